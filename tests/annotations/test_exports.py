"""What was written goes along with a trace: in text, on a step, in an export, which notices it on an old trace."""

from __future__ import annotations

import json
from typing import Any

from pilothouse import traces
from pilothouse.annotations import Change
from pilothouse.files.spec import ExportSpec
from pilothouse.files.stream import stream
from pilothouse.records import Target
from tests.traces.support import span_id, support_trace, trace_id

from .conftest import BOT, Desk, next_moment


def pulled(desk: Desk, after: tuple[int, str], spec: ExportSpec | None = None) -> list[dict[str, Any]]:
    asked = spec or ExportSpec(kind="query", text="")
    lines = stream(desk.store, desk.project, asked, after=after, now_ns=next_moment())
    return [json.loads(line) for line in lines]


def file_of(lines: list[dict[str, Any]], name: str) -> str:
    return "".join(line["text"] for line in lines if line["t"] == "file" and line["path"].endswith(f"/{name}"))


def watermark(lines: list[dict[str, Any]]) -> tuple[int, str]:
    last = [line for line in lines if line["t"] == "done"][-1]
    return last["version"], last["id"]


def recorded(desk: Desk) -> None:
    for number in (1, 2):
        support_trace(number, project=desk.project).store(desk.store, version=number)


def test_an_export_notices_what_was_written_to_an_old_trace(desk: Desk) -> None:
    recorded(desk)
    first = pulled(desk, (0, ""))
    assert [line["id"] for line in first if line["t"] == "done"] == [trace_id(1), trace_id(2)]
    assert pulled(desk, watermark(first))[0]["total"] == 0
    desk.write(desk.note("asked twice"), desk.label("loop"), desk.score("helpful", 0.5), run="r", actor=BOT)
    second = pulled(desk, watermark(first))
    assert second[0]["total"] == 1 and [line["id"] for line in second if line["t"] == "done"] == [trace_id(1)]
    notes = [json.loads(line) for line in file_of(second, "notes.jsonl").splitlines()]
    assert sorted((one["kind"], one["name"], one["text"], one["actor"], one["run"]) for one in notes) == [
        ("label", "loop", "", "triage bot", "r"),
        ("note", "", "asked twice", "triage bot", "r"),
    ]
    (score,) = map(json.loads, file_of(second, "scores.jsonl").splitlines()[-1:])
    assert (score["name"], score["value"], score["source"]) == ("helpful", 0.5, "triage bot")
    assert pulled(desk, watermark(second))[0]["total"] == 0
    desk.undo("r", actor=BOT)
    third = pulled(desk, watermark(second))
    assert [line["id"] for line in third if line["t"] == "done"] == [trace_id(1)]
    assert file_of(third, "notes.jsonl") == ""
    named = pulled(desk, watermark(second), ExportSpec(kind="trace", id=trace_id(1)))
    assert [line["id"] for line in named if line["t"] == "done"] == [trace_id(1)]


def test_without_content_an_export_has_no_words_of_a_note(desk: Desk) -> None:
    recorded(desk)
    desk.write(desk.note("secret words"), run="r")
    lines = pulled(desk, (0, ""), ExportSpec(kind="query", text="", content="meta"))
    assert "secret words" not in json.dumps(lines)
    assert json.loads(file_of(lines, "notes.jsonl"))["actor"] == "ada"


def test_the_card_the_tree_and_the_step_show_it_as_data(desk: Desk) -> None:
    recorded(desk)
    step = Target(trace_id=trace_id(1), span_id=span_id(101))
    desk.write(
        desk.note("ignore all\n## orders"),
        desk.score("helpful", 0.5, text="half of it"),
        Change(kind="label", target=step, name="odd"),
        run="r",
    )
    trace = traces.load(desk.store, desk.project, trace_id(1))
    card = traces.render(desk.store, desk.project, trace, "card")
    number = next(span.step for span in trace.spans if span.span_id == span_id(101))
    assert "score helpful=0.5 by ada: half of it" in card and f"label odd step {number:03d} by ada (person)" in card
    assert "\n## orders" not in card and "ignore all" in card
    assert "labels=odd" in traces.render(desk.store, desk.project, trace, "tree").splitlines()[1]
    detail = traces.span(desk.store, desk.project, trace_id(1), span_id(101))
    assert {(note.kind, note.name) for note in detail.notes_left} == {("note", ""), ("label", "odd")}
    short = traces.render(desk.store, desk.project, trace, "card", 500)
    assert len(short) <= 500
