"""What arrived since: spans in the order of arrival, and the traces they belong to. The source of every live view."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pilothouse.records import BadRequest, iso
from pilothouse.signals import Rulebook
from pilothouse.store import TraceStore
from pilothouse.store import live_reads as reads
from pilothouse.store.conditions import Condition

from .filters import parse_filter
from .live import live_rows
from .live_cursors import Place, read_place, write_place
from .model import Changes, LiveRow, SpanChange
from .rows import milliseconds, money

SPANS_MAX = 1_000
TRACES_MAX = 2_000
"""Traces that may have changed since a cursor; where it were more, it is too far behind to catch up."""
_RECENT_NS = 600_000_000_000
_LAST_TRACES = 50
_DAY_MS = 86_400_000


def changes(
    store: TraceStore,
    project: str,
    *,
    cursor: str = "",
    text: str = "",
    trace_id: str = "",
    limit: int = 100,
    rules: Rulebook | None = None,
) -> Changes:
    """What arrived after a cursor, oldest first, at most ``limit`` spans. Without a cursor: what arrived last.

    A cursor from which too much has happened since is taken to the present; ``skipped`` says how many traces changed.
    The same cursor gives the same spans again, except those that have ended since or were deleted.

    Raises:
        BadRequest: the cursor, the filter or the limit is none.
    """
    if not 1 <= limit <= SPANS_MAX:
        raise BadRequest(f"a page has 1 to {SPANS_MAX} spans", got=limit, fix="pilothouse tail --limit 100")
    conditions = parse_filter(text)
    if not cursor:
        return _latest(store, project, conditions, trace_id, limit, rules)
    found = arrivals(store, project, cursor, conditions=conditions, trace_id=trace_id, limit=limit)
    if not found.trace_ids and not found.spans:
        return Changes(spans=(), traces=(), cursor=found.cursor, skipped=found.skipped)
    busy = {change.trace_id for change in found.spans}
    rows = live_rows(store, project, [*busy, *(trace for trace in found.trace_ids if trace not in busy)], rules=rules)
    return Changes(
        spans=found.spans,
        # A trace that ended long ago and brought no span was only written again, as when history is reprocessed.
        traces=tuple(row for row in rows if row.trace_id in busy or row.state != "ended"),
        cursor=found.cursor,
        more=found.more,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrivals:
    """Spans that arrived after a cursor, and which traces were written."""

    spans: tuple[SpanChange, ...] = ()
    trace_ids: tuple[str, ...] = ()
    cursor: str
    more: bool = False
    skipped: int = 0


def arrivals(
    store: TraceStore,
    project: str,
    cursor: str,
    *,
    conditions: Sequence[Condition] = (),
    trace_id: str = "",
    limit: int = SPANS_MAX,
) -> Arrivals:
    """What :func:`changes` tells, without a look at the traces."""
    after = read_place(cursor)
    # In the middle of a batch its traces are still to be told.
    since_ms = after.received_ms if after.whole else after.received_ms - 1
    traces = reads.touched(store, project, since_ms, trace_id=trace_id, limit=TRACES_MAX + 1)
    if not traces:
        return Arrivals(cursor=cursor)
    until_ms = traces[0].written_ms
    if len(traces) > TRACES_MAX:
        return Arrivals(cursor=write_place(Place(received_ms=until_ms)), skipped=len(traces) - 1)
    wanted = _fitting(store, project, [row.trace_id for row in traces], conditions)
    spans = reads.arrived_spans(
        store,
        project,
        sorted(wanted),
        after=(after.received_ms, after.start_ns, after.span_id),
        until_ms=until_ms,
        since_ns=min(row.start_ns for row in traces),
        limit=limit + 1,
    )
    more = len(spans) > limit
    spans = spans[:limit]
    end = _place(spans[-1]) if more else Place(received_ms=until_ms)
    return Arrivals(
        spans=_changes(spans, traces),
        trace_ids=tuple(
            row.trace_id for row in traces if row.trace_id in wanted and (not more or row.written_ms <= end.received_ms)
        ),
        cursor=write_place(end),
        more=more,
    )


def present(store: TraceStore, project: str) -> str:
    """The cursor behind everything that has arrived."""
    return write_place(Place(received_ms=reads.horizon(store, project, time.time_ns() - _RECENT_NS)))


def matching(store: TraceStore, project: str, trace_ids: Sequence[str], text: str) -> set[str]:
    """Which of these traces fit a filter as they are now."""
    return _fitting(store, project, trace_ids, parse_filter(text))


def _latest(
    store: TraceStore,
    project: str,
    conditions: Sequence[Condition],
    trace_id: str,
    limit: int,
    rules: Rulebook | None,
) -> Changes:
    """The last spans that arrived, of the traces heard of last."""
    # The beginning of time but for the days that the read itself reaches further back.
    since_ms = 30 * _DAY_MS if trace_id else time.time_ns() // 1_000_000 - _DAY_MS
    traces = reads.touched(store, project, since_ms, trace_id=trace_id, limit=_LAST_TRACES)
    if not traces:
        return Changes(spans=(), traces=(), cursor=present(store, project))
    wanted = _fitting(store, project, [row.trace_id for row in traces], conditions)
    chosen = [row for row in traces if row.trace_id in wanted]
    spans = reads.arrived_spans(
        store,
        project,
        [row.trace_id for row in chosen],
        after=(0, 0, ""),
        until_ms=traces[0].written_ms,
        since_ns=min((row.start_ns for row in chosen), default=0),
        limit=limit,
        newest=True,
    )
    rows: tuple[LiveRow, ...] = live_rows(store, project, sorted({span["trace_id"] for span in spans}), rules=rules)
    return Changes(
        spans=_changes(spans, traces), traces=rows, cursor=write_place(Place(received_ms=traces[0].written_ms))
    )


def _fitting(store: TraceStore, project: str, trace_ids: Sequence[str], conditions: Sequence[Condition]) -> set[str]:
    return reads.fitting(store, project, trace_ids, conditions) if conditions else set(trace_ids)


def _place(span: Mapping[str, Any]) -> Place:
    return Place(received_ms=span["received_ms"], start_ns=max(span["start_ns"], 0), span_id=span["span_id"])


def _changes(spans: Sequence[Mapping[str, Any]], traces: Sequence[reads.Touched]) -> tuple[SpanChange, ...]:
    agents = {row.trace_id: row.agent for row in traces}
    return tuple(_change(span, agents.get(span["trace_id"], "")) for span in spans)


def _change(span: Mapping[str, Any], agent: str) -> SpanChange:
    status = span["status"]
    return SpanChange(
        cursor=write_place(_place(span)),
        time=iso(span["received_ms"] * 1_000_000),
        trace_id=span["trace_id"],
        span_id=span["span_id"],
        step=span["step"],
        kind=span["kind"],
        name=span["label"],
        agent=span["agent"] or agent,
        environment=span["environment"],
        status="soft_error" if status == "ok" and span["tool_error"] else status,
        duration_ms=milliseconds(span["duration_ns"]),
        total_tokens=span["tokens"],
        cost_usd=money(span["cost_usd"]),
        error=span["error_message"] or span["tool_error"][:300],
    )
