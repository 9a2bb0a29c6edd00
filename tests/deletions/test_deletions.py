"""Deleting on request: what goes, what stays, who may, and an export that lets go of it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from pilothouse import deletions
from pilothouse.annotations import runs
from pilothouse.files.spec import ExportSpec
from pilothouse.files.stream import stream
from pilothouse.records import BadRequest, Forbidden, NotFound, Target
from pilothouse.store.deletion_log import DeletionLog, DeletionRecord
from tests.annotations.conftest import ADA, BOT, Desk, next_moment
from tests.traces.support import support_trace, trace_id

DAY_NS = 86_400_000_000_000


def recorded(desk: Desk) -> None:
    """Two traces of one session, which say the same things, and one of its own."""
    for number in (1, 2, 3):
        support_trace(number, project=desk.project, session="chat" if number < 3 else "").store(
            desk.store, version=number
        )


def counts(desk: Desk, *tables: str) -> dict[str, int]:
    return {
        table: desk.store.query(
            f"SELECT count() FROM {{db}}.{table} FINAL WHERE project_id = {{p:String}}", {"p": desk.project}
        ).rows[0][0]
        for table in tables
    }


def missing(desk: Desk) -> set[tuple[str, str]]:
    """What spans refer to and nothing holds: system prompts, which are stored for the whole project, among it."""
    table = desk.store.query(
        "SELECT scope, hash FROM (SELECT DISTINCT message_scope AS scope, "
        "arrayJoin(arrayConcat(input_refs, output_refs)) AS hash FROM {db}.span WHERE project_id = {p:String}) "
        "WHERE (scope, hash) NOT IN (SELECT scope, hash FROM {db}.message WHERE project_id = {p:String})",
        {"p": desk.project},
    )
    return {(row[0], row[1]) for row in table.rows}


def planned(desk: Desk, target: Target) -> DeletionRecord:
    return deletions.plan(desk.store, desk.project, target, BOT, next_moment())


def confirmed(desk: Desk, target: Target) -> DeletionRecord:
    asked = deletions.ask(desk.control, planned(desk, target))
    return deletions.confirm(desk.store, desk.control, desk.project, asked.deletion_id, ADA, next_moment())


def test_a_trace_goes_with_what_only_it_said(desk: Desk) -> None:
    recorded(desk)
    desk.write(desk.note("words of a note"), desk.score("s", 1.0), run="r")
    before, unstored = counts(desk, "trace", "span", "message"), missing(desk)
    record = planned(desk, Target(trace_id=trace_id(1)))
    assert record.weighed.traces == 1 and record.weighed.notes == 1 and record.weighed.spans > 3
    confirmed(desk, Target(trace_id=trace_id(1)))
    after = counts(desk, "trace", "span", "message", "annotation", "score")
    assert after["trace"] == before["trace"] - 1 and after["span"] == before["span"] - record.weighed.spans
    assert after["annotation"] == after["score"] == 0
    # Of what both traces of the session said, only what the first alone said is gone.
    assert after["message"] == before["message"] - record.weighed.messages
    # The second trace of the session refers to what was said, so it stays.
    assert missing(desk) <= unstored
    assert "words of a note" not in str(desk.control.audit(desk.project))
    # That something was written stays in the log, what it said does not.
    assert [(one.run, one.undone) for one in runs(desk.control, desk.project)] == [("r", 2)]
    assert desk.undo("r").removed == 0


def test_a_session_goes_with_all_its_traces_and_messages(desk: Desk) -> None:
    recorded(desk)
    assert planned(desk, Target(session_id="chat")).weighed.traces == 2
    confirmed(desk, Target(session_id="chat"))
    left = desk.store.query(
        "SELECT DISTINCT scope FROM {db}.message WHERE project_id = {p:String}", {"p": desk.project}
    ).rows
    assert [trace_id(3)] in left and ["chat"] not in left
    assert counts(desk, "trace") == {"trace": 1}


def pulled(desk: Desk, after: tuple[int, str], **spec: Any) -> list[dict[str, Any]]:
    asked = ExportSpec(**({"kind": "query", "text": ""} | spec))
    return [json.loads(line) for line in stream(desk.store, desk.project, asked, after=after, now_ns=next_moment())]


def test_an_export_lets_go_of_it(desk: Desk) -> None:
    recorded(desk)
    first = [line for line in pulled(desk, (0, "")) if line["t"] == "done"]
    assert len(first) == 3
    mark = (first[-1]["version"], first[-1]["id"])
    confirmed(desk, Target(trace_id=trace_id(1)))
    second = pulled(desk, mark)
    assert second[0]["total"] == 1 and [(line["t"], line.get("id")) for line in second[1:-1]] == [("gone", trace_id(1))]
    named = pulled(desk, mark, kind="trace", id=trace_id(1))
    assert [line["id"] for line in named if line["t"] == "gone"] == [trace_id(1)]
    later = (second[1]["version"], second[1]["id"])
    assert pulled(desk, later)[0]["total"] == 0
    with pytest.raises(NotFound):
        pulled(desk, (0, ""), kind="trace", id=trace_id(1))


def test_only_a_person_confirms_and_only_in_time(desk: Desk) -> None:
    recorded(desk)
    asked = deletions.ask(desk.control, planned(desk, Target(trace_id=trace_id(1))))
    again = deletions.ask(desk.control, planned(desk, Target(trace_id=trace_id(1))))
    assert again.deletion_id == asked.deletion_id
    with pytest.raises(Forbidden):
        deletions.confirm(desk.store, desk.control, desk.project, asked.deletion_id, BOT, next_moment())
    with pytest.raises(BadRequest, match="expired"):
        deletions.confirm(desk.store, desk.control, desk.project, asked.deletion_id, ADA, next_moment() + 2 * DAY_NS)
    deletions.refuse(desk.control, desk.project, asked.deletion_id, ADA, next_moment())
    with pytest.raises(BadRequest, match="refused"):
        deletions.confirm(desk.store, desk.control, desk.project, asked.deletion_id, ADA, next_moment())
    assert counts(desk, "trace") == {"trace": 3}
    with pytest.raises(BadRequest, match="step"):
        planned(desk, Target(trace_id=trace_id(1), span_id="ab" * 8))


def test_one_that_was_killed_half_way_is_finished(desk: Desk) -> None:
    recorded(desk)
    asked = deletions.ask(desk.control, planned(desk, Target(trace_id=trace_id(3))))
    log = DeletionLog(desk.control)
    assert log.decide(desk.project, asked.deletion_id, "approved", "ada", next_moment())
    # Killed after the spans, before the trace.
    desk.store.delete(
        "span", "trace_id = {id:String} AND project_id = {p:String}", {"id": trace_id(3), "p": desk.project}
    )
    assert deletions.settle(desk.store, desk.control, next_moment()) == 1
    assert counts(desk, "trace") == {"trace": 2}
    assert deletions.settle(desk.store, desk.control, next_moment()) == 0
    found = deletions.find(desk.control, desk.project, asked.deletion_id)
    assert replace(found, decided_ns=None).state == "done"
