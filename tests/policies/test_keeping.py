"""Versions of the policy file: written with a name and a reason, kept over kill -9, taken back."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pilothouse.policies import Keeper, PolicyConflict
from pilothouse.policy import watch
from pilothouse.records import Actor, BadRequest, Forbidden, NeedsApproval, NotFound
from pilothouse.server.policies import READERS, check_policy
from pilothouse.store.control_store import ControlStore, open_control
from pilothouse.store.policy_log import PolicyLog

ANN = Actor(id="key_ann", name="ann", kind="person")
AGENT = Actor(id="key_bot", name="bot", kind="agent")
ONE = "# why: keys leaked in March\nguards:\n  output: [secrets]\n"
TWO = "guards:\n  output: [secrets, beacons]\n"


@pytest.fixture
def control(tmp_path: Path) -> Iterator[ControlStore]:
    made = open_control("", tmp_path / "control")
    made.migrate()
    yield made
    made.close()


def keeper(folder: Path, control: ControlStore, environment: dict[str, str] | None = None) -> Keeper:
    folder.mkdir(exist_ok=True)
    watched = watch(
        folder / "pilothouse.yaml" if (folder / "pilothouse.yaml").exists() else None,
        data_folder=folder,
        check=check_policy,
    )
    made = Keeper(watched, control, READERS, folder=folder, environment=environment or {})
    made.settle()
    return made


def test_the_text_is_kept_with_its_comments_and_is_in_force_at_once(tmp_path: Path, control: ControlStore) -> None:
    one = keeper(tmp_path / "data", control)
    assert (one.current().text, one.current().revision, one.current().version) == ("", "", "none")
    made = one.set(ONE, base="", note="secrets", actor=ANN)
    assert (made.number, made.who, made.note, made.in_force) == (1, "ann", "secrets", True)
    file = tmp_path / "data/pilothouse.yaml"
    assert file.read_text() == ONE == one.text(1)
    assert one.current().version == made.version != "none"
    assert file.stat().st_mode & 0o077 == 0
    assert [path.name for path in file.parent.iterdir()] == ["pilothouse.yaml"]


def test_who_writes_over_another_is_refused(tmp_path: Path, control: ControlStore) -> None:
    one = keeper(tmp_path / "data", control)
    first = one.set(ONE, base="", note="", actor=ANN)
    with pytest.raises(PolicyConflict, match="has changed since you read it"):
        one.set(TWO, base="", note="", actor=ANN)
    one.set(TWO, base=first.revision, note="", actor=ANN)
    assert (tmp_path / "data/pilothouse.yaml").read_text() == TWO


def test_a_wrong_text_changes_nothing(tmp_path: Path, control: ControlStore) -> None:
    one = keeper(tmp_path / "data", control)
    with pytest.raises(BadRequest, match=r"2 errors: line 1: there is no such section .* line 2: budgets.x.level"):
        one.set("gards: {}\nbudgets: {x: {level: no}}\n", base="", note="", actor=ANN)
    assert not (tmp_path / "data/pilothouse.yaml").exists() and one.versions() == ((), 0)


def test_an_agent_does_not_say_what_it_may(tmp_path: Path, control: ControlStore) -> None:
    one = keeper(tmp_path / "data", control)
    with pytest.raises(NeedsApproval, match="changed by a person"):
        one.set(ONE, base="", note="", actor=AGENT)
    with pytest.raises(NeedsApproval):
        one.undo(actor=AGENT)


def test_undo_goes_back_step_by_step_and_to_any_version(tmp_path: Path, control: ControlStore) -> None:
    one = keeper(tmp_path / "data", control)
    three = TWO + "  tool_results: [injection]\n"
    base = ""
    for text in (ONE, TWO, three):
        base = one.set(text, base=base, note="", actor=ANN).revision
    assert (one.undo(actor=ANN).of, one.current().text) == (2, TWO)
    assert (one.undo(actor=ANN).of, one.current().text) == (1, ONE)
    assert (one.undo(actor=ANN, to=3).of, one.current().text) == (3, three)
    shown, total = one.versions()
    assert total == 6 and [version.number for version in shown if version.in_force] == [6]
    assert shown[0].note == "back to version 3"
    with pytest.raises(NotFound, match="no such version"):
        one.undo(actor=ANN, to=99)


def test_undo_of_the_first_leaves_everything_at_its_default(tmp_path: Path, control: ControlStore) -> None:
    one = keeper(tmp_path / "data", control)
    with pytest.raises(NotFound, match="no version of the policy to take back"):
        one.undo(actor=ANN)
    one.set(ONE, base="", note="", actor=ANN)
    assert one.undo(actor=ANN).note == "back to no policy"
    assert one.current().text.startswith("# Nothing is said")


def test_what_is_edited_by_hand_becomes_a_version_too(tmp_path: Path, control: ControlStore) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "pilothouse.yaml").write_text(ONE)
    one = keeper(folder, control)
    assert [(version.who, version.note) for version in one.versions()[0]] == [("the file", "found at the start")]
    (folder / "pilothouse.yaml").write_text("guards: {output: [nonsense]}\n")
    shown, _ = one.versions()
    assert (shown[0].note, shown[0].version) == ("edited where it is kept", shown[0].version)
    assert one.current().problem and one.current().version == one.versions()[0][1].version
    # Taking back mends a file that somebody broke.
    assert one.undo(actor=ANN).of == 1
    assert (folder / "pilothouse.yaml").read_text() == ONE and not one.current().problem


@pytest.mark.parametrize("reached", [True, False])
def test_a_server_killed_while_it_wrote_knows_afterwards(tmp_path: Path, control: ControlStore, reached: bool) -> None:
    """The two moments of a kill: before the file was replaced, and after it, before that was noted."""
    folder = tmp_path / "data"
    first = keeper(folder, control).set(ONE, base="", note="first", actor=ANN)
    raw = TWO.encode()
    import hashlib

    revision = hashlib.sha256(raw).hexdigest()[:12]
    PolicyLog(control).begin(
        version="v", revision=revision, text=TWO, who="ann", who_kind="person", note="second", of=None, now_ns=1
    )
    if reached:
        (folder / "pilothouse.yaml").write_bytes(raw)
    again = keeper(folder, control)
    shown, total = again.versions()
    assert total == (2 if reached else 1)
    assert (shown[0].note, shown[0].who) == (("second", "ann") if reached else ("first", "ann"))
    assert again.current().revision == (revision if reached else first.revision)


def test_a_file_that_is_kept_elsewhere_is_not_written(tmp_path: Path, control: ControlStore) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "rules.yaml").write_text(ONE)
    watched = watch(elsewhere / "rules.yaml", check=check_policy)
    given = {"PILOTHOUSE_POLICY": str(elsewhere / "rules.yaml")}
    one = Keeper(watched, control, READERS, folder=tmp_path, environment=given)
    assert not one.current().editable
    with pytest.raises(Forbidden, match="PILOTHOUSE_POLICY names a file that is kept elsewhere"):
        one.set(TWO, base=one.current().revision, note="", actor=ANN)
    link = tmp_path / "data"
    link.mkdir()
    (link / "pilothouse.yaml").symlink_to(elsewhere / "rules.yaml")
    linked = keeper(link, control)
    with pytest.raises(Forbidden, match="a link to a file that is kept elsewhere"):
        linked.set(TWO, base=linked.current().revision, note="", actor=ANN)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everything")
def test_a_read_only_file_is_said_to_be_one(tmp_path: Path, control: ControlStore) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "pilothouse.yaml").write_text(ONE)
    (folder / "pilothouse.yaml").chmod(0o400)
    one = keeper(folder, control)
    with pytest.raises(Forbidden, match="read-only for the server"):
        one.set(TWO, base=one.current().revision, note="", actor=ANN)


def test_the_difference_between_two_versions(tmp_path: Path, control: ControlStore) -> None:
    one = keeper(tmp_path / "data", control)
    base = one.set(ONE, base="", note="", actor=ANN).revision
    one.set(TWO, base=base, note="", actor=ANN)
    assert "+  output: [secrets, beacons]" in one.diff(2)
    assert "-  output: [secrets, beacons]" in one.diff(1, 2)
    assert one.diff(1)[0].startswith("--- nothing")
