"""Writing: stamped, the same twice changes nothing, refused with a remedy, read back on every engine."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pilothouse.annotations import Change, of_session, runs, settle
from pilothouse.records import BadRequest, Forbidden, NotFound, Target, Unreachable

from .conftest import ADA, BOT, Desk


def test_a_note_a_score_and_a_label_are_read_back_with_their_stamps(any_desk: Desk) -> None:
    desk = any_desk
    written = desk.write(
        desk.note("asked twice"),
        desk.score("helpful", 0.25, text="half of it"),
        desk.label("loop"),
        run="r1",
        actor=BOT,
    )
    assert [item.outcome for item in written.items] == ["added"] * 3 and written.shown and written.run == "r1"
    found = desk.shown()
    assert {(one.kind, one.name, one.value, one.text) for one in found} == {
        ("note", "", None, "asked twice"),
        ("score", "helpful", 0.25, "half of it"),
        ("label", "loop", None, ""),
    }
    assert {(one.actor, one.actor_kind, one.actor_id, one.run) for one in found} == {
        ("triage bot", "agent", "key_bot", "r1")
    }
    assert sorted(one.annotation_id for one in found) == sorted(
        item.annotation.annotation_id for item in written.items if item.annotation
    )


def test_the_views_of_sql_show_what_is_there_and_not_what_was_removed(any_desk: Desk) -> None:
    desk = any_desk
    desk.write(desk.note("one"), desk.note("two"), desk.score("s", 1.0), desk.label("x"), run="r")
    desk.write(replace(desk.label("x"), remove=True), run="r")
    for view, columns, rows in (
        ("notes", "text", [["one"], ["two"]]),
        ("labels", "name", []),
        ("scores", "name, value, source", [["s", 1.0, "ada"]]),
    ):
        sql = f"SELECT {columns} FROM {{db}}.{view}_of(project = {{p:String}}) ORDER BY 1"
        assert desk.store.query(sql, {"p": desk.project}).rows == rows, view


def test_the_same_write_twice_changes_nothing(desk: Desk) -> None:
    first = desk.write(desk.score("s", 0.5), run="r")
    again = desk.write(desk.score("s", 0.5), run="r")
    assert [again.items[0].outcome, again.items[0].annotation] == ["unchanged", first.items[0].annotation]
    changed = desk.write(desk.score("s", 0.75), run="r")
    assert changed.items[0].outcome == "changed"
    assert changed.items[0].before == first.items[0].annotation
    assert desk.said() == [("score", "s", 0.75, "", "")]


def test_without_a_run_the_same_words_of_the_same_actor_are_the_same_note(desk: Desk) -> None:
    first = desk.write(desk.note("same"))
    second = desk.write(desk.note("same"))
    assert first.run != second.run and second.items[0].outcome == "unchanged"
    assert desk.write(desk.note("same"), actor=BOT).items[0].outcome == "added"
    assert len(desk.shown()) == 2


def test_an_identifier_is_the_same_annotation_in_whatever_run(desk: Desk) -> None:
    desk.write(desk.note("first", identifier="k"), run="r1")
    second = desk.write(desk.note("second", identifier="k"), run="r2", actor=BOT)
    assert second.items[0].outcome == "changed"
    assert [(one.text, one.run, one.actor) for one in desk.shown()] == [("second", "r2", "triage bot")]


def test_a_dry_run_says_what_would_be_and_changes_nothing(desk: Desk) -> None:
    dry = desk.write(desk.note("x"), desk.label("y"), run="r", dry_run=True)
    assert [item.outcome for item in dry.items] == ["added", "added"] and dry.dry_run
    assert desk.shown() == [] and runs(desk.control, desk.project) == []


def test_what_is_written_together_is_written_whole_or_not_at_all(desk: Desk) -> None:
    with pytest.raises(NotFound):
        desk.write(
            desk.note("x"), Change(kind="note", target=desk.target, annotation_id="note_none", remove=True), run="r"
        )
    assert desk.shown() == []


def test_only_who_wrote_it_removes_it_or_who_may_write(desk: Desk) -> None:
    made = desk.write(desk.label("mine"), run="r", actor=ADA).items[0].annotation
    assert made is not None
    remove = replace(desk.label("mine"), remove=True)
    with pytest.raises(Forbidden) as refused:
        desk.write(remove, actor=BOT)
    assert "ada" in str(refused.value.got) and refused.value.fix
    with pytest.raises(Forbidden):
        desk.write(Change(kind="label", target=Target(), annotation_id=made.annotation_id, remove=True), actor=BOT)
    assert desk.write(remove, actor=BOT, anybodys=True).items[0].outcome == "removed"
    assert desk.write(remove, actor=ADA).items[0].outcome == "unchanged"
    assert desk.shown() == []


def test_a_session_shows_its_own_and_those_of_its_traces(desk: Desk) -> None:
    desk.write(Change(kind="note", target=Target(session_id="chat 1"), text="long"), run="r")
    assert [one.text for one in of_session(desk.store, desk.project, "chat 1")] == ["long"]
    assert of_session(desk.store, desk.project, "chat 2") == []


BAD: dict[str, Change] = {
    "no words": Change(kind="note", target=Target(trace_id="a"), text="  "),
    "too long": Change(kind="note", target=Target(trace_id="a"), text="x" * 10_001),
    "control character": Change(kind="note", target=Target(trace_id="a"), text="a\x1b[31m"),
    "a name of two words": Change(kind="score", target=Target(trace_id="a"), name="very good", value=1.0),
    "no name": Change(kind="label", target=Target(trace_id="a")),
    "no value": Change(kind="score", target=Target(trace_id="a"), name="s"),
    "infinite": Change(kind="score", target=Target(trace_id="a"), name="s", value=float("inf")),
}


@pytest.mark.parametrize("what", sorted(BAD))
def test_bad_input_is_refused_with_the_value(desk: Desk, what: str) -> None:
    with pytest.raises(BadRequest) as refused:
        desk.write(BAD[what], run="r")
    assert refused.value.got is not None
    with pytest.raises(BadRequest):
        desk.write(desk.note("x"), run="two words")


class _Away:
    """A trace store that does not answer."""

    def insert(self, *_: object) -> None:
        raise Unreachable("the store is away")


def test_what_is_logged_while_the_store_is_away_is_shown_later(desk: Desk) -> None:
    real = desk.store
    desk.store = _Away()  # type: ignore[assignment]
    written = desk.write(desk.note("late"), run="r")
    assert not written.shown
    desk.store = real
    assert desk.shown() == []
    assert settle(real, desk.control, 1_800_000_000_000_000_000) == 1
    assert [one.text for one in desk.shown()] == ["late"]
    # A version of now: an export that has seen later changes still meets it.
    table = real.query("SELECT max(version) FROM {db}.annotation")
    assert table.rows[0][0] == 1_800_000_000_000_000_000
    assert settle(real, desk.control, 1_800_000_000_000_000_001) == 0


def test_every_write_leaves_a_row_in_the_audit_log(desk: Desk) -> None:
    desk.write(desk.note("x"), run="r7", actor=BOT)
    desk.undo("r7", actor=BOT)
    rows = [(row["who"], row["action"], row["run"]) for row in desk.control.audit(desk.project)]
    assert sorted(rows) == [("triage bot", "annotate", "r7"), ("triage bot", "undo", "r7")]
