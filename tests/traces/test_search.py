"""Lists of traces: filters, order, pages, and what an empty answer says."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from pilothouse import traces
from pilothouse.records import BadRequest
from pilothouse.store import TraceStore
from pilothouse.store.chdb_engine import ChdbEngine
from pilothouse.traces import TraceQuery
from tests.conftest import fresh_store

from .support import MINUTE_NS, NOW_NS, PROJECT, TraceBuilder, support_trace, trace_id


def ids(store: TraceStore, text: str = "", **query: object) -> list[int]:
    """The numbers of the traces found, in order."""
    page = traces.search(store, PROJECT, TraceQuery(text=text, **query))  # type: ignore[arg-type]
    return [int(row.trace_id[:8], 16) for row in page.items]


def three(store: TraceStore) -> None:
    """Three traces, the newest numbered 3; number 2 is cheap and quick and never fails."""
    support_trace(1, start_ns=NOW_NS - 30 * MINUTE_NS, user="ada", session="s1").store(store, tags=["beta"])
    plain = TraceBuilder(trace_id(2), NOW_NS - 20 * MINUTE_NS, environment="staging", agent="triage")
    plain.span(201, "agent", "triage", ms=50, agent="triage", input_text="sort this", attributes={"tenant": "acme"})
    plain.store(store)
    support_trace(3, start_ns=NOW_NS - 10 * MINUTE_NS, user="bob", session="s2").store(store)


@pytest.fixture(scope="module")
def filled(chdb_engine: ChdbEngine) -> Iterator[TraceStore]:
    """A store with the three, for tests that only read."""
    for store in fresh_store(chdb_engine):
        three(store)
        yield store


def test_traces_come_newest_first_with_what_a_list_shows(store: TraceStore) -> None:
    three(store)
    page = traces.search(store, PROJECT, TraceQuery())
    assert [row.trace_id for row in page.items] == [trace_id(3), trace_id(2), trace_id(1)]
    assert (page.total, page.total_is, page.more, page.window.assumed) == (3, "exact", False, True)
    row = page.items[0]
    assert (row.agent, row.status, row.spans, row.model_calls, row.tool_calls, row.errors) == (
        "refunds", "error", 6, 3, 2, 1,
    )  # fmt: skip
    assert str(row.cost_usd) == "0.003632"
    assert (row.tokens.input_uncached, row.tokens.cache_read, row.tokens.output) == (900, 3000, 120)
    assert row.tokens.total == 4020


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("status:error", [3, 1]),
        ("-status:error", [2]),
        ("status:ok,error", [3, 2, 1]),
        ("agent:refunds", [3, 1]),
        ("agent:tri*", [2]),
        ("agent!=refunds", [2]),
        ("tool:get_order", [3, 1]),
        ("model:gpt-*", [3, 1]),
        ("provider:openai", [3, 1]),
        ("user:ada", [1]),
        ('user:""', [2]),
        ("user:*", [3, 1]),
        ("env:staging", [2]),
        ("session:s1,s2", [3, 1]),
        ("tag:beta", [1]),
        ("cost>0.001", [3, 1]),
        ("cost:>0.1", []),
        ("cost<=0.0037", [3, 1]),
        ("duration_ms<100", [2]),
        ("spans=6", [3, 1]),
        ("errors>0 user:bob", [3]),
        ("tokens>=4020", [3, 1]),
        ("error:limit", [3, 1]),
        ("error:LimitError", [3, 1]),
        ("error:*", [3, 1]),
        ("attr.tenant:acme", [2]),
        ("attr.tenant:ac*", [2]),
        ("-attr.tenant:acme", [3, 1]),
        ("name:triage", [2]),
        ("dialect:otel", [3, 2, 1]),
        ("signal:error", [3, 1]),
        (f"id:{trace_id(2)[:8]}", [2]),
        ("approve", [3, 1]),
        ("APPROVE refund", [3, 1]),
        ('"patient support"', []),
        ('"money back" 4401', [1]),
        ("-4403", [2, 1]),
        ("delivered", [3, 1]),
    ],
)
def test_a_filter_finds_what_it_says(filled: TraceStore, text: str, expected: list[int]) -> None:
    assert ids(filled, text) == expected


def test_an_empty_answer_names_the_filter_that_emptied_it(store: TraceStore) -> None:
    three(store)
    page = traces.search(store, PROJECT, TraceQuery(text="status:error user:nobody agent:refunds"))
    assert page.items == () and page.emptied_by == ("user:nobody",)
    page = traces.search(store, PROJECT, TraceQuery(text="status:error", until_ns=NOW_NS - 60 * MINUTE_NS))
    assert page.emptied_by[0].startswith("since 20")
    assert traces.search(store, "prj_empty", TraceQuery()).emptied_by == ()


@pytest.mark.parametrize("sort", traces.SORTS)
def test_pages_follow_each_other_without_gap_or_repeat(store: TraceStore, sort: str) -> None:
    for number in range(1, 8):
        trace = TraceBuilder(trace_id(number), NOW_NS - number // 2 * MINUTE_NS)
        trace.span(number, "model", ms=10 * (number % 3), cost="0.5" if number % 2 else None, tokens={"output_text": 7})
        trace.store(store)
    everything = ids(store, sort=sort)
    assert sorted(everything) == list(range(1, 8))
    seen: list[int] = []
    cursor = ""
    while True:
        page = traces.search(store, PROJECT, TraceQuery(sort=sort, limit=3, cursor=cursor))  # type: ignore[arg-type]
        assert page.total == 7
        seen += [int(row.trace_id[:8], 16) for row in page.items]
        if not page.more:
            break
        cursor = page.next
    assert seen == everything


def test_the_newest_version_of_a_trace_is_shown_once(store: TraceStore) -> None:
    trace = support_trace(1)
    trace.store(store, status="ok")
    trace.store(store, version=2, spans=7)
    page = traces.search(store, PROJECT, TraceQuery())
    assert [(row.spans, row.status) for row in page.items] == [(7, "error")]


def test_another_project_sees_nothing(store: TraceStore) -> None:
    three(store)
    assert traces.search(store, "prj_other", TraceQuery(text="agent:refunds")).items == ()


def test_a_trace_without_its_root_runs_until_it_falls_silent(store: TraceStore) -> None:
    trace = support_trace(1, start_ns=time.time_ns() - MINUTE_NS // 6)
    trace.store(store, open=1)
    support_trace(2, start_ns=NOW_NS - 60 * MINUTE_NS).store(store, open=1, status="ok")
    assert ids(store, "status:running") == [1]
    assert ids(store, "status:ok") == [2]


@pytest.mark.parametrize(
    ("text", "message", "fix"),
    [
        ("statsu:error", "no field 'statsu'", "pilothouse ls 'status:error'"),
        ("http://x", "no field 'http'", None),
        ("status:failed", "no such status", "pilothouse ls 'status:error'"),
        ("cost>cheap", "cost is a number", "pilothouse ls 'cost>1'"),
        ("agent>5", "agent is text", None),
        ("agent:", "a value is missing", "pilothouse ls 'agent:\"\"'"),
        ('"open', "not closed", None),
        ("---", "no word", None),
        ("a" * 2001, "longer than", None),
        ("x\x00y", "control character", None),
        (" ".join(["a"] * 21), "at most 20", None),
    ],
)
def test_a_wrong_filter_is_refused_with_a_way_out(filled: TraceStore, text: str, message: str, fix: str | None) -> None:
    with pytest.raises(BadRequest, match=message) as caught:
        traces.search(filled, PROJECT, TraceQuery(text=text))
    if fix:
        assert caught.value.fix == fix


@pytest.mark.parametrize("cursor", ["x", "####", "bnVsbA", "W10", "ä", "eyJhIjoxfQ"])
def test_a_made_up_cursor_is_refused(filled: TraceStore, cursor: str) -> None:
    with pytest.raises(BadRequest, match="cursor"):
        traces.search(filled, PROJECT, TraceQuery(cursor=cursor))


def test_a_cursor_of_another_query_is_refused(store: TraceStore) -> None:
    three(store)
    page = traces.search(store, PROJECT, TraceQuery(limit=1))
    with pytest.raises(BadRequest, match="another query"):
        traces.search(store, PROJECT, TraceQuery(limit=1, text="status:error", cursor=page.next))
