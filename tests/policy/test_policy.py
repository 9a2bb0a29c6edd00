"""The policy file: what is read, what is refused with its place, and what happens when it changes."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from pilothouse.policy import SECTIONS, Policy, Watch, find, json_schema, load, read, watch
from pilothouse.records import BadRequest, NotFound, PilothouseError

GOOD = "guards:\n  input:\n    - injection\nbudgets:\n"


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_sections_are_plain_data() -> None:
    policy = read(GOOD)
    assert policy.section("guards") == {"input": ["injection"]}
    assert policy.section("budgets") == {} == policy.section("gateway")


def test_the_version_is_of_what_is_said() -> None:
    again = read("# a comment\nguards: {input: [injection]}\n")
    assert again.version == read(GOOD).version != read("guards: {input: []}").version
    assert len(again.version) == 12


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("gaurds:\n  a: 1\n", "no such section"),
        ("guards:\n  a: 1\n  a: 2\n", "has guards.a twice"),
        ("guards:\n  a: &x [1]\n  b: *x\n", "alias"),
        ("guards:\n  a: &x {b: 1}\n  c:\n    <<: *x\n", "merge"),
        ("guards: [1, 2]\n", "guards is a mapping"),
        ("- guards\n", "not a mapping of sections"),
        ("guards:\n  a: [1, 2\n", "no YAML"),
        ("guards:\n  a: !!python/object/apply:os.system ['true']\n", "type that is not known"),
        ("guards:\n  a: !secret x\n", "type that is not known"),
        ("guards: {? [1, 2] : 3}\n", "a key is a word"),
        ("guards: " + "[" * 5_000, "nested too deeply"),
        ("guards: {a: " + "[" * 60 + "]" * 60 + "}", "nested too deeply"),
        ("guards: {a: " + "9" * 5_000 + "}", "cannot be read"),
        ("a: " + "x" * (1 << 20), "larger than"),
    ],
)
def test_a_wrong_file_is_refused_with_its_place(text: str, says: str) -> None:
    with pytest.raises(BadRequest, match=says) as caught:
        read(text, path="here.yaml")
    assert "here.yaml" in caught.value.message


def test_no_utf8_is_refused() -> None:
    with pytest.raises(BadRequest, match="not UTF-8"):
        read(b"guards: {a: \xff}")


def test_times_and_dates_stay_text() -> None:
    found = read("guards: {at: 22:30, day: 2026-11-29, on: off, n: 3, x: 1.5, none: ~}").section("guards")
    assert found == {"at": "22:30", "day": "2026-11-29", "on": False, "n": 3, "x": 1.5, "none": None}


def test_the_schema_takes_what_is_read_and_refuses_what_is_refused() -> None:
    check = Draft202012Validator(json_schema())
    assert check.is_valid({section.name: {} for section in SECTIONS})
    assert check.is_valid({"guards": None})
    assert not check.is_valid({"gaurds": {}})
    assert not check.is_valid({"guards": []})


def test_the_file_is_found_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, work, named = tmp_path / "data", tmp_path / "work", tmp_path / "mine.yaml"
    for folder in (data, work):
        folder.mkdir()
    monkeypatch.chdir(work)
    assert find(data, environment={}) is None
    (work / "pilothouse.yaml").write_text(GOOD)
    assert find(data, environment={}) == (work / "pilothouse.yaml").resolve()
    (data / "pilothouse.yaml").write_text(GOOD)
    assert find(data, environment={}) == (data / "pilothouse.yaml").resolve()
    with pytest.raises(NotFound, match="PILOTHOUSE_POLICY"):
        find(data, environment={"PILOTHOUSE_POLICY": str(named)})
    named.write_text(GOOD)
    assert find(data, environment={"PILOTHOUSE_POLICY": str(named)}) == named
    assert load(named).path == str(named)


@pytest.fixture
def watched(tmp_path: Path) -> tuple[Path, Watch, Clock]:
    path, clock = tmp_path / "pilothouse.yaml", Clock()
    path.write_text(GOOD)
    return path, watch(path, clock=clock), clock


def put(path: Path, text: str) -> None:
    """As an editor does: a new file in the old one's place."""
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    fresh.replace(path)


def test_a_changed_file_comes_into_force(watched: tuple[Path, Watch, Clock]) -> None:
    path, policies, clock = watched
    before = policies.policy.version
    put(path, "guards: {input: []}")
    assert policies.policy.version == before, "looked at within the same second"
    clock.now += 2
    assert policies.policy.section("guards") == {"input": []}


def test_a_bad_file_keeps_the_old_policy_and_says_so(watched: tuple[Path, Watch, Clock]) -> None:
    path, policies, clock = watched
    put(path, "guards: [")
    clock.now += 2
    assert policies.policy.section("guards") == {"input": ["injection"]}
    assert policies.error is not None
    assert str(path) in policies.error.message
    put(path, "guards: {input: []}")
    clock.now += 2
    assert policies.policy.section("guards") == {"input": []}
    assert policies.error is None


def test_a_file_that_is_put_back_as_it_was_has_no_error(watched: tuple[Path, Watch, Clock]) -> None:
    path, policies, clock = watched
    away = path.with_suffix(".away")
    path.rename(away)
    clock.now += 2
    assert policies.policy.section("guards") == {"input": ["injection"]}
    assert policies.error is not None
    away.rename(path)
    clock.now += 2
    assert policies.policy.section("guards")
    assert policies.error is None


def test_a_file_made_later_is_found_and_one_that_goes_stays_in_force(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PILOTHOUSE_POLICY", raising=False)
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    clock = Clock()
    policies = watch(data_folder=tmp_path, clock=clock)
    assert policies.policy.version == "none"
    path = tmp_path / "pilothouse.yaml"
    path.write_text(GOOD)
    clock.now += 2
    assert policies.policy.section("guards")
    path.unlink()
    clock.now += 2
    assert policies.policy.section("guards")
    assert policies.error is not None
    assert "stays in force" in policies.error.message


def test_an_owner_can_refuse_a_policy(tmp_path: Path) -> None:
    path, clock = tmp_path / "pilothouse.yaml", Clock()
    path.write_text(GOOD)

    def check(policy: Policy) -> None:
        if "nonsense" in policy.section("guards"):
            raise BadRequest("guards.nonsense is not known")

    policies = watch(path, check=check, clock=clock)
    put(path, "guards: {nonsense: 1}")
    clock.now += 2
    assert policies.policy.section("guards") == {"input": ["injection"]}
    assert policies.error is not None
    with pytest.raises(PilothouseError):
        watch(path, check=check)


def test_a_thread_meets_a_changed_file_and_what_is_prepared_is_ready_before_it_is_in_force(tmp_path: Path) -> None:
    path = tmp_path / "pilothouse.yaml"
    path.write_text("limits: {}\n")
    policies = watch(path)
    prepared: list[tuple[str, str, int]] = []

    def prepare(new: Policy) -> None:
        prepared.append((new.version, policies.policy.version, threading.get_ident()))
        if "limits" not in new.sections:
            raise BadRequest("no limits")

    policies.ahead(prepare)
    before = policies.policy.version
    policies.start()
    try:
        path.write_text("limits: {all: {per: system, requests_per_minute: 60}}\n")
        deadline = time.monotonic() + 20
        while policies.policy.version == before:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        (only,) = prepared
        assert only[:2] == (policies.policy.version, before) and only[2] != threading.get_ident()
        in_force = policies.policy.version
        path.write_text("guards: {}\n")
        while policies.error is None:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert policies.policy.version == in_force, "what cannot be prepared does not come into force"
    finally:
        policies.stop()
