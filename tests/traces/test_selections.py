"""Many at once: spans of the traces a filter finds, page by page, and traces in groups with their figures."""

from __future__ import annotations

import pytest

from pilothouse.records import BadRequest
from pilothouse.store import TraceStore
from pilothouse.traces import selections
from pilothouse.traces.model import TraceQuery
from pilothouse.traces.selections import groups, span_page
from pilothouse.traces.windows import time_range

from .support import MINUTE_NS, NOW_NS, PROJECT, TraceBuilder, trace_id


def run_of(
    number: int, experiment: str, *, failed: bool = False, ms: float = 100, quality: float = 0.5
) -> TraceBuilder:
    """One run of an experiment; the label stands on a span below the root."""
    trace = TraceBuilder(trace_id(number), start_ns=NOW_NS - (60 + number) * MINUTE_NS)
    trace.span(
        number * 10, "agent", "invoke", ms=ms, agent="solver", agent_version="1", status="error" if failed else "ok"
    )
    trace.span(
        number * 10 + 1, "model", "chat", parent=number * 10, ms=ms / 2, model="gpt-x", cost="0.25",
        tokens={"input_uncached": 90, "output_text": 10}, attributes={"experiment": experiment, "case": f"c{number % 2}"},
    )  # fmt: skip
    trace.span(number * 10 + 2, "tool", "execute_tool find", parent=number * 10, tool_name="find", input_text="{}")
    trace.score("quality", quality)
    return trace


@pytest.fixture
def runs(any_store: TraceStore) -> TraceStore:
    for number in range(1, 7):
        run_of(number, f"e{number % 3}", failed=number == 3, ms=100 * number, quality=number / 10).store(any_store)
    return any_store


def test_traces_in_groups_by_an_attribute_on_any_span(runs: TraceStore) -> None:
    page = groups(runs, PROJECT, "", ["attr.experiment"], time_range(None, None))
    found = {row.by["attr.experiment"]: row for row in page.items}
    assert (page.total, page.more, sorted(found)) == (3, False, ["e0", "e1", "e2"])
    row = found["e0"]
    assert (row.traces, row.failed, row.failed_share, row.with_errors) == (2, 1, 0.5, 1)
    assert (row.spans, row.model_calls, row.tool_calls, row.tokens, row.tokens_mean) == (6, 2, 2, 200, 100.0)
    assert (row.cost_usd, row.cost_mean_usd) == (0.5, 0.25)
    assert (row.duration_mean_ms, row.scores) == (450.0, {"quality": 0.45})
    assert found["e1"].failed_share == 0 and found["e1"].scores == {"quality": 0.25}


def test_groups_by_several_fields_and_a_filter(runs: TraceStore) -> None:
    window = time_range(None, None)
    page = groups(runs, PROJECT, "attr.experiment:e1,e2", ["attr.experiment", "attr.case", "status"], window)
    assert [tuple(row.by.values()) for row in page.items] == [
        ("e1", "c0", "ok"),
        ("e1", "c1", "ok"),
        ("e2", "c0", "ok"),
        ("e2", "c1", "ok"),
    ]
    by_tool = groups(runs, PROJECT, "", ["tool", "signal"], window)
    assert [(row.by, row.traces) for row in by_tool.items] == [
        ({"tool": "find", "signal": ""}, 5),
        ({"tool": "find", "signal": "error"}, 1),
    ]
    first = groups(runs, PROJECT, "", ["id"], window, limit=2)
    assert (len(first.items), first.total, first.more) == (2, 6, True)
    assert groups(runs, "prj_other", "", ["agent"], window).items == ()


@pytest.mark.parametrize("by", [[], ["nope"], ["attr."], ["agent"] * 5, ["attr.a\x00b"]])
def test_what_cannot_be_grouped_by_is_said(store: TraceStore, by: list[str]) -> None:
    with pytest.raises(BadRequest):
        groups(store, PROJECT, "", by, time_range(None, None))


def test_a_hostile_key_is_a_key(runs: TraceStore) -> None:
    page = groups(runs, PROJECT, "", ["attr.x'] , (SELECT 1) --"], time_range(None, None))
    assert [(row.by["attr.x'] , (SELECT 1) --"], row.traces) for row in page.items] == [("", 6)]


def test_spans_come_by_pages_of_traces_each_once(runs: TraceStore) -> None:
    seen: list[str] = []
    cursor, pages = "", 0
    while True:
        found = span_page(runs, PROJECT, TraceQuery(text="", limit=4, cursor=cursor))
        assert found.page.total == 6 and found.cut_traces == ()
        seen += [row.span_id for row in found.page.items]
        pages += 1
        if not found.page.more:
            break
        cursor = found.page.next
    assert (pages, len(seen), len(set(seen))) == (2, 18, 18)
    newest = span_page(runs, PROJECT, TraceQuery(text="", limit=1)).page.items
    assert [row.kind for row in newest] == ["agent", "model", "tool"]
    assert newest[0].trace_id == trace_id(1) and newest[1].tokens == 100 and newest[1].cost_usd == 0.25
    assert newest[1].attributes is None


def test_spans_of_a_kind_or_a_name_with_content(runs: TraceStore) -> None:
    models = span_page(runs, PROJECT, TraceQuery(text="status:error"), kind="model", content=True).page.items
    assert [row.attributes for row in models] == [{"experiment": "e0", "case": "c1"}]
    tools = span_page(runs, PROJECT, TraceQuery(text=""), name="find").page.items
    assert [row.tool_name for row in tools] == ["find"] * 6
    with pytest.raises(BadRequest):
        span_page(runs, PROJECT, TraceQuery(text="agnt:x"))


def test_a_trace_with_too_many_spans_is_named(store: TraceStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selections, "SPANS_A_TRACE", 2)
    run_of(1, "e").store(store)
    found = span_page(store, PROJECT, TraceQuery(text=""))
    assert len(found.page.items) == 2 and found.cut_traces == (trace_id(1),)
