"""Where the time went, who called whom, and the small pure parts: time ranges, JSON that fits, cursors."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilothouse import traces
from pilothouse.records import BadRequest
from pilothouse.store import TraceStore
from pilothouse.traces.model import Trace
from pilothouse.traces.paths import critical_stretches, own_times
from pilothouse.traces.windows import slices

from .support import PROJECT, TraceBuilder, trace_id

NOW = 1_800_000_000_000_000_000


def parallel(store: TraceStore) -> Trace:
    """A manager with two workers side by side, a critic after them, and a guard that runs in the second worker."""
    trace = TraceBuilder(trace_id(1), agent="manager")
    trace.span(1, "agent", ms=1000, agent="manager")
    trace.span(2, "agent", parent=1, at_ms=100, ms=300, agent="worker")
    trace.span(3, "agent", parent=1, at_ms=100, ms=500, agent="worker")
    trace.span(4, "guard", "pii", parent=3, at_ms=200, ms=100)
    trace.span(5, "model", parent=2, at_ms=150, ms=200, model="m", cost="0.5", tokens={"output_text": 9})
    trace.span(6, "chain", "glue", parent=1, at_ms=650, ms=250)
    trace.span(7, "agent", parent=6, at_ms=700, ms=200, agent="critic", status="error")
    trace.span(8, "model", parent=2, at_ms=150, ms=200, model="m", cost="0.5", duplicate_of="x")
    return traces.load(store, PROJECT, trace.store(store))


def test_the_critical_path_covers_the_whole_time_once(store: TraceStore) -> None:
    path = traces.critical_path(parallel(store))
    assert [(part.step, part.label, part.start_ms, part.duration_ms) for part in path] == [
        (1, "manager", 0, 100),
        (3, "worker", 100, 100),
        (6, "pii", 200, 100),
        (3, "worker", 300, 300),
        (1, "manager", 600, 50),
        (7, "glue", 650, 50),
        (8, "critic", 700, 200),
        (1, "manager", 900, 100),
    ]


def test_each_moment_belongs_to_the_deepest_spans_running(store: TraceStore) -> None:
    trace = parallel(store)
    view = traces.breakdown(trace)
    assert sum(share.self_ms for share in view.by_kind) == pytest.approx(1000, abs=0.01)
    own = {(share.what, share.label): share for share in view.by_label}
    # 150 ms to 350: two model spans under one worker share with the other worker, or its guard.
    assert own[("guard", "pii")].self_ms == pytest.approx(100 / 3, abs=0.01)
    assert own[("model", "m")].self_ms == pytest.approx(400 / 3, abs=0.01)
    assert own[("model", "m")].calls == 1 and own[("model", "m")].cost_usd == Decimal("0.5")
    assert own[("agent", "critic")].errors == 1 and own[("agent", "worker")].total_ms == 800


def test_gaps_between_roots_are_waiting(store: TraceStore) -> None:
    trace = TraceBuilder(trace_id(1))
    trace.span(1, "tool", ms=10, tool_name="a")
    trace.span(2, "tool", at_ms=50, ms=10, tool_name="b")
    loaded = traces.load(store, PROJECT, trace.store(store))
    assert {share.what: share.self_ms for share in traces.breakdown(loaded).by_kind} == {"waiting": 40, "tool": 20}
    assert [part.kind for part in traces.critical_path(loaded)] == ["tool", "waiting", "tool"]


def test_the_graph_joins_callers_and_called(store: TraceStore) -> None:
    graph = traces.graph(parallel(store))
    assert {(edge.source, edge.target): edge.calls for edge in graph.edges} == {
        ("agent:manager", "agent:worker"): 2,
        ("agent:worker", "guard:pii"): 1,
        ("agent:worker", "model:m"): 1,
        ("agent:manager", "agent:critic"): 1,
    }
    nodes = {node.id: node for node in graph.nodes}
    assert nodes["model:m"].calls == 1 and nodes["model:m"].cost_usd == Decimal("0.5")
    assert nodes["agent:critic"].errors == 1 and "chain:glue" not in nodes


def test_a_trace_without_agents_has_one(store: TraceStore) -> None:
    trace = TraceBuilder(trace_id(1), agent="")
    trace.span(1, "tool", "outer", tool_name="outer")
    trace.span(2, "model", parent=1, model="m")
    graph = traces.graph(traces.load(store, PROJECT, trace.store(store)))
    assert {(edge.source, edge.target) for edge in graph.edges} == {
        ("agent:outer", "tool:outer"),
        ("tool:outer", "model:m"),
    }


@given(st.lists(st.tuples(st.integers(-1, 20), st.integers(0, 1000), st.integers(0, 1000)), min_size=1, max_size=20))
def test_the_critical_path_has_no_gap_and_no_overlap(spans: list[tuple[int, int, int]]) -> None:
    parents = [parent if parent < place else -1 for place, (parent, _, _) in enumerate(spans)]
    starts = [float(start) for _, start, _ in spans]
    ends = [float(start + length) for _, start, length in spans]
    path = critical_stretches(parents, starts, ends)
    at = min(starts)
    for stretch in path:
        assert stretch.start == at and stretch.end > stretch.start
        at = stretch.end
    assert at == max(ends) or not path


def test_own_times_add_up_to_the_time_something_ran(store: TraceStore) -> None:
    trace = parallel(store)
    own, idle = own_times(trace.spans)
    assert sum(own) + idle == pytest.approx(1000) and idle == 0
    running = replace(trace.spans[0], duration_ms=0.0)
    assert own_times([running]) == ([0.0], 0.0)


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("15m", NOW - 900 * 10**9),
        ("24h", NOW - 86_400 * 10**9),
        ("2w", NOW - 14 * 86_400 * 10**9),
        ("now", NOW),
        ("2026-11-20T10:00:00Z", 1_795_168_800 * 10**9),
        ("2026-11-20T12:00:00+02:00", 1_795_168_800 * 10**9),
        ("2026-11-20", 1_795_132_800 * 10**9),
    ],
)
def test_times_are_read_as_people_write_them(text: str, ns: int) -> None:
    assert traces.parse_moment(text, now_ns=NOW) == ns


@pytest.mark.parametrize("text", ["", "yesterday", "5y", "9999999h", "-1h", "2300-01-01", "1901-01-01", "x" * 5000])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(BadRequest):
        traces.parse_moment(text, now_ns=NOW)


def test_a_range_without_a_start_is_seven_days() -> None:
    covered = traces.time_range(None, NOW)
    assert covered.assumed and covered.until_ns - covered.since_ns == 7 * 86_400 * 10**9
    with pytest.raises(BadRequest, match="is empty"):
        traces.time_range(NOW, NOW - 1)
    with pytest.raises(BadRequest, match="outside"):
        traces.time_range(-5, NOW)


@given(st.integers(0, NOW), st.integers(1, 10**18))
def test_slices_cover_a_range_without_gap_newest_first(since: int, length: int) -> None:
    pieces = slices(since, since + length)
    assert pieces[0][1] == since + length and pieces[-1][0] == since
    assert all(later[0] == earlier[1] for later, earlier in pairwise(pieces))


@given(
    st.recursive(
        st.none() | st.integers(-5, 10**6) | st.text(max_size=400),
        lambda inner: st.lists(inner, max_size=40) | st.dictionaries(st.text(max_size=8), inner, max_size=6),
        max_leaves=60,
    ),
    st.integers(600, 3000),
)
def test_json_is_made_to_fit(value: object, budget: int) -> None:
    smaller, cuts = traces.fit({"data": value}, budget, lambda path: "pilothouse show x")
    assert len(json.dumps(smaller, ensure_ascii=False, separators=(",", ":"))) <= budget
    if not cuts:
        assert smaller == {"data": value}


def test_fitting_cuts_values_before_it_folds_lists() -> None:
    data = {"steps": [{"name": f"n{place}", "text": "x" * 300} for place in range(20)]}
    smaller, cuts = traces.fit(data, 5_000, lambda path: f"get {path[1]}")
    assert len(smaller["steps"]) == 20 and len(smaller["steps"][0]["text"]) == 100
    assert cuts[3].path == "steps.3.text" and cuts[3].bytes == 300 and cuts[3].get == "get 3"
    folded, _ = traces.fit(data, 1_500, lambda path: "get")
    assert {"cut": 10} in folded["steps"] or any("cut" in step for step in folded["steps"])


def test_money_keeps_its_digits() -> None:
    assert traces.as_json(
        {"a": Decimal("0.000632000"), "b": Decimal("1E-7"), "c": Decimal(100), "d": Decimal("0E-12")}
    ) == {
        "a": "0.000632",
        "b": "0.0000001",
        "c": "100",
        "d": "0",
    }


def test_a_trace_can_be_as_small_as_one_running_span(store: TraceStore) -> None:
    trace = TraceBuilder(trace_id(1))
    trace.span(1, "model", ms=0, status="running", model="m")
    id = trace.store(store, running_spans=1, open=1)
    loaded = traces.load(store, PROJECT, id)
    for form in traces.FORMS:
        assert traces.render(store, PROJECT, loaded, form)
    assert traces.waterfall(store, PROJECT, id).status == (2,)
    assert traces.critical_path(loaded) == ()
