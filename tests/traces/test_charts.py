"""Overview, facets, heatmap, fleet and costs: sums that must agree with the rows."""

from __future__ import annotations

from decimal import Decimal

import pytest

from pilothouse import traces
from pilothouse.records import BadRequest
from pilothouse.store import TraceStore
from pilothouse.traces import TraceQuery

from .support import MINUTE_NS, NOW_NS, PROJECT, TraceBuilder, support_trace, trace_id


def some(store: TraceStore) -> None:
    """Ten traces of 100 to 1,000 ms, an hour apart, of two agents; two fail; odd ones cost a dollar per number."""
    for number in range(1, 11):
        trace = TraceBuilder(
            trace_id(number),
            NOW_NS - number * 60 * MINUTE_NS,
            agent="even" if number % 2 == 0 else "odd",
            environment="staging" if number == 10 else "production",
            user=f"user-{number % 3}",
            session="chat" if number < 4 else "",
        )
        failed = {"status": "error", "error_type": "E"} if number in (3, 4) else {}
        trace.span(
            number, "model", "chat", ms=number * 100, model=f"m{number % 2}", provider="openai", agent_version="1.0",
            tokens={"input_uncached": 10 * number, "cache_read": 5, "output_text": number},
            cost=f"{number}.5" if number % 2 else None, cost_source="price book" if number % 2 else "unknown model",
            input_text=f"question {number}", output_text=f"answer {number}", **failed,
        )  # fmt: skip
        trace.store(store)


def test_the_overview_adds_up(store: TraceStore) -> None:
    some(store)
    view = traces.overview(store, PROJECT, since_ns=NOW_NS - 24 * 60 * MINUTE_NS, until_ns=NOW_NS)
    assert (view.traces, view.errors, view.running, view.cost_unknown) == (10, 2, 0, 5)
    assert view.cost_usd == Decimal("27.5") and view.cost_per_trace_usd == Decimal("2.75")
    assert view.tokens.input_uncached == 550 and view.tokens.total == 550 + 50 + 55
    assert (view.p50_ms, view.p99_ms) == (600, 1000)
    series = view.series
    assert sum(series.traces) == 10 and sum(series.errors) == 2
    assert sum(cost or 0 for cost in series.cost_usd) == pytest.approx(27.5)
    assert len(series.times) == len(series.p95_ms) == len(series.cost_per_trace_usd)
    tables = {table.by: table for table in view.breakdowns}
    assert [row.value for row in tables["agent"].rows] == ["odd", "even"]
    assert tables["agent"].rows[0].cost_usd == Decimal("27.5") and tables["agent"].rows[1].cost_usd is None
    assert {row.value: row.traces for row in tables["environment"].rows} == {"production": 9, "staging": 1}
    assert {row.value: row.traces for row in tables["model"].rows} == {"m1": 5, "m0": 5}
    assert tables["model"].counts == "calls" and len(tables["user"].rows) == 3


def test_the_overview_takes_a_filter(store: TraceStore) -> None:
    some(store)
    view = traces.overview(store, PROJECT, text="agent:even status:error")
    assert (view.traces, view.errors) == (1, 1)
    assert [row.value for row in view.breakdowns[1].rows] == ["m0"]


def test_an_empty_project_has_an_empty_overview(store: TraceStore) -> None:
    view = traces.overview(store, "prj_empty")
    assert (view.traces, view.p50_ms, view.cost_usd, view.cost_per_trace_usd) == (0, None, None, None)
    assert sum(view.series.traces) == 0 and len(view.series.times) > 10
    assert all(table.rows == () for table in view.breakdowns)


def test_facets_count_traces_by_value(store: TraceStore) -> None:
    some(store)
    found = {facet.field: facet for facet in traces.facets(store, PROJECT, TraceQuery())}
    assert [(v.value, v.count) for v in found["status"].values] == [("ok", 8), ("error", 2)]
    assert [(v.value, v.count) for v in found["model"].values] == [("m0", 5), ("m1", 5)]
    assert [(v.value, v.count) for v in found["env"].values] == [("production", 9), ("staging", 1)]
    assert found["tag"].values == () and found["user"].others == 0
    (only,) = traces.facets(store, PROJECT, TraceQuery(text="status:error"), ["agent"])
    assert [(v.value, v.count) for v in only.values] == [("even", 1), ("odd", 1)]
    with pytest.raises(BadRequest, match="no values to count"):
        traces.facets(store, PROJECT, TraceQuery(), ["cost"])


def test_the_heatmap_has_every_trace_in_the_cell_of_its_time_and_duration(store: TraceStore) -> None:
    some(store)
    chart = traces.heatmap(store, PROJECT, TraceQuery())
    assert sum(chart.count) == 10 and sum(chart.errors) == 2
    assert chart.edges_ms == (64, 128, 256, 512, 1024)
    assert max(chart.row) == 3 and min(chart.row) == 0
    by_row = dict.fromkeys(range(4), 0)
    for row, count in zip(chart.row, chart.count, strict=True):
        by_row[row] += count
    assert by_row == {0: 1, 1: 1, 2: 3, 3: 5}


def test_the_fleet_shows_what_needs_attention_first(store: TraceStore) -> None:
    some(store)
    for number in range(20, 25):
        trace = TraceBuilder(trace_id(number), NOW_NS - number * MINUTE_NS, agent="broken")
        trace.span(number, "agent", ms=10, status="error", agent_version=f"{number}")
        trace.store(store)
    stuck = TraceBuilder(trace_id(30), NOW_NS - 20 * MINUTE_NS, agent="waiting")
    stuck.span(300, "agent", ms=10, status="running")
    stuck.store(store, running_spans=1, open=1, status="ok")
    fleet = traces.fleet(store, PROJECT)
    assert [(row.agent, row.state) for row in fleet.agents][:2] == [("waiting", "stuck"), ("broken", "failing")]
    broken = fleet.agents[1]
    assert (broken.traces, broken.errors, broken.error_share) == (5, 5, 1.0)
    assert broken.versions == ("20", "21", "22", "23", "24") and broken.signals == {"error": 5}
    assert {row.agent: row.traces for row in fleet.agents if row.environment == "production"} == {
        "waiting": 1, "broken": 5, "odd": 5, "even": 4,
    }  # fmt: skip


def test_costs_add_up_however_they_are_broken_down(store: TraceStore) -> None:
    some(store)
    for by in ([], ["model"], ["agent", "model"], ["user"], ["day", "env"], ["provider"], ["session"], ["prompt"]):
        spent = traces.costs(store, PROJECT, by)
        assert spent.total_usd == Decimal("27.5"), by
        assert (spent.calls, spent.cost_unknown) == (10, 5), by
        assert sum((row.cost_usd or 0 for row in spent.rows), Decimal(0)) == Decimal("27.5"), by
        assert sum(row.tokens.output for row in spent.rows) == 55
    rows = traces.costs(store, PROJECT, ["agent", "model"]).rows
    assert [dict(row.key) for row in rows] == [{"agent": "odd", "model": "m1"}, {"agent": "even", "model": "m0"}]
    assert rows[0].cost_from_cache_share == pytest.approx(25 / (250 + 25), abs=1e-4)


def test_aggregates_and_duplicates_cost_nothing_again(store: TraceStore) -> None:
    trace = support_trace(1)
    usage = {"input_uncached": 900, "output_text": 120}
    trace.span(190, "agent", parent=101, tokens=usage, cost="0.5", usage_scope="aggregate")
    trace.span(191, "model", parent=101, model="gpt-x", tokens=usage, cost="0.5", duplicate_of="x")
    trace.store(store)
    assert traces.costs(store, PROJECT, ["model"]).total_usd == Decimal("0.003632")
    view = traces.overview(store, PROJECT)
    assert view.breakdowns[1].rows[0].traces == 3 and view.cost_usd == Decimal("0.003632")


def test_a_wrong_dimension_is_refused(store: TraceStore) -> None:
    for by in (["colour"], ["model", "model"], ["model", "agent", "user", "env", "day"]):
        with pytest.raises(BadRequest):
            traces.costs(store, PROJECT, by)


def test_sessions_sum_their_turns(store: TraceStore) -> None:
    some(store)
    page = traces.sessions(store, PROJECT, TraceQuery())
    (row,) = page.items
    assert (row.session_id, row.traces, row.spans, row.errors, row.status) == ("chat", 3, 3, 1, "error")
    assert (row.first_input, row.last_output) == ("question 3", "answer 1")
    assert row.cost_usd == Decimal("5.0") and page.total == 1
    # A filter picks the session by one of its turns; the sums still go over all of them.
    assert traces.sessions(store, PROJECT, TraceQuery(text="status:error")).items == (row,)
    assert traces.sessions(store, PROJECT, TraceQuery(text="env:staging")).emptied_by == ("env:staging",)
    found = traces.session(store, PROJECT, "chat")
    assert [turn.trace_id for turn in found.turns] == [trace_id(3), trace_id(2), trace_id(1)]
    first = traces.session(store, PROJECT, "chat", limit=2)
    second = traces.session(store, PROJECT, "chat", limit=2, cursor=first.next)
    assert first.turns + second.turns == found.turns and second.next == ""
    text = traces.session_text(found, transcript=True)
    assert "question 2" in text and "answer 3" in text and "## 001 trace" in text
    assert len(traces.session_text(found, 600, transcript=True)) <= 600


@pytest.mark.parametrize("sort", traces.SORTS)
def test_pages_of_sessions_follow_each_other(store: TraceStore, sort: str) -> None:
    for number in range(1, 8):
        trace = TraceBuilder(trace_id(number), NOW_NS - number * MINUTE_NS, session=f"s{number // 2}")
        trace.span(number, "model", ms=10, cost="0.5" if number % 2 else None, tokens={"output_text": 7})
        trace.store(store)
    whole = traces.sessions(store, PROJECT, TraceQuery(sort=sort))  # type: ignore[arg-type]
    first = traces.sessions(store, PROJECT, TraceQuery(sort=sort, limit=3))  # type: ignore[arg-type]
    second = traces.sessions(store, PROJECT, TraceQuery(sort=sort, limit=3, cursor=first.next))  # type: ignore[arg-type]
    assert first.items + second.items == whole.items and len(whole.items) == 4 and second.total == 4
