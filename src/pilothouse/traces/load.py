"""A whole trace: its row and its spans in step order, without their long content."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from functools import lru_cache
from typing import Any, NamedTuple

from pilothouse.records import NotFound, depths_of, iso, steps
from pilothouse.store import TraceStore
from pilothouse.store.trace_reads import LIGHT_COLUMNS, Stretch, columnar_spans, light_spans
from pilothouse.store.trace_reads import trace_row as read_row

from .model import Span, Tokens, Trace, TraceRow, Waterfall
from .paths import critical_stretches
from .rows import bucket_tokens, milliseconds, money, trace_row

SPANS_MAX = 100_000
"""Spans of one trace that are read at most."""
_MARGIN_NS = 600_000_000_000
"""Spans that have just arrived may lie a little outside of what the trace's row says."""

_START = LIGHT_COLUMNS.index("start_ns")
_BUCKETS = slice(LIGHT_COLUMNS.index("ttft_ns") + 1, LIGHT_COLUMNS.index("usage_scope"))


class Placed(NamedTuple):
    """What is needed to number a span and to know how deep it lies."""

    span_id: str
    parent_span_id: str
    start_ns: int


class Head(NamedTuple):
    """A trace's row and when it ran."""

    row: TraceRow
    start_ns: int
    stretch: Stretch


def head(store: TraceStore, project: str, trace_id: str) -> Head:
    """The row of a trace.

    Raises:
        NotFound: the project has no such trace.
    """
    row = read_row(store, project, trace_id)
    if row is None:
        raise NotFound("no trace has this id", got=trace_id, fix="pilothouse ls")
    start_ns, duration_ns = row["start_ns"], row["duration_ns"]
    stretch = Stretch(start_ns=max(0, start_ns - _MARGIN_NS), end_ns=start_ns + max(duration_ns, 0) + _MARGIN_NS)
    return Head(trace_row(row), start_ns, stretch)


def load(store: TraceStore, project: str, trace_id: str) -> Trace:
    """A trace with all its spans in step order (at most 100,000), each without its long content."""
    top = head(store, project, trace_id)
    columns = light_spans(store, project, trace_id, top.stretch, limit=SPANS_MAX)
    numbers = number([columns[0], columns[1], columns[_START]])
    depths = depths_of(dict(zip(columns[0], columns[1], strict=True)))
    spans = [light_span(row, numbers[row[0]], depths[row[0]], top.start_ns) for row in zip(*columns, strict=True)]
    spans.sort(key=lambda span: span.step)
    return Trace(row=top.row, spans=tuple(spans), cut=max(0, top.row.spans - len(spans)))


def number(placed: Sequence[Sequence[Any]]) -> dict[str, int]:
    """The step of each span, from lists of span ids, parents' ids and starts."""
    return steps(map(Placed._make, zip(*placed, strict=True)))


def light_span(row: Sequence[Any], step: int, depth: int, trace_start_ns: int) -> Span:
    """A span from the values of ``LIGHT_COLUMNS``."""
    (span_id, parent, start_ns, duration_ns, kind, name, agent, agent_version, model, provider, dialect) = row[:11]
    (status, error_type, error_message, tool_name, tool_call_id, tool_error, ttft_ns) = row[11:18]
    (usage_scope, duplicate_of, cost, finish_reason, input_head, output_head, notes) = row[_BUCKETS.stop :]
    usage: Tokens | None = bucket_tokens(row[_BUCKETS]) if usage_scope else None
    return Span(
        step=step,
        span_id=span_id,
        parent_span_id=parent,
        depth=depth,
        kind=kind,
        name=name,
        agent=agent,
        agent_version=agent_version,
        model=model,
        provider=provider,
        dialect=dialect,
        status=status,
        error_type=error_type,
        error_message=error_message,
        tool_name=tool_name,
        tool_call_id=tool_call_id,
        tool_error=tool_error,
        start_time=_iso(start_ns),
        offset_ms=milliseconds(start_ns - trace_start_ns),
        duration_ms=milliseconds(duration_ns),
        ttft_ms=None if ttft_ns is None else milliseconds(ttft_ns),
        tokens=usage,
        usage_scope=usage_scope,
        duplicate_of=duplicate_of,
        cost_usd=None if cost is None else _money(cost),
        counted=bool(usage_scope) and usage_scope != "aggregate" and not duplicate_of,
        finish_reason=finish_reason,
        input_head=input_head,
        output_head=output_head,
        notes=tuple(notes),
    )


@lru_cache(4096)
def _money(text: str) -> Decimal | None:
    return money(text)


@lru_cache(4096)
def _second(seconds: int) -> str:
    return iso(seconds * 1_000_000_000)[:-5]


def _iso(ns: int) -> str:
    # As records.iso, which formats the calendar anew each time: a trace has thousands of spans a minute.
    seconds, rest = divmod(ns, 1_000_000_000)
    return f"{_second(seconds)}.{rest // 1_000_000:03d}Z" if ns > 0 else ""


def waterfall(store: TraceStore, project: str, trace_id: str) -> Waterfall:
    """A trace's spans as columns in step order, at most 100,000: made to draw."""
    top = head(store, project, trace_id)
    columns = columnar_spans(store, project, trace_id, top.stretch, limit=SPANS_MAX)
    numbers = number(columns[:3])
    rows = sorted(zip(*columns, strict=True), key=lambda row: numbers[row[0]])
    places = {row[0]: place for place, row in enumerate(rows)}
    depths = depths_of({row[0]: row[1] for row in rows})
    kinds: dict[str, int] = {}
    names: dict[str, int] = {}
    start_ns = top.start_ns
    parent = tuple(places.get(row[1], -1) for row in rows)
    critical = critical_stretches(parent, [row[2] for row in rows], [row[2] + row[3] for row in rows])
    on_path = {place for place, _, _ in critical}
    return Waterfall(
        trace_id=trace_id,
        start_time=top.row.start_time,
        duration_ms=top.row.duration_ms,
        spans=len(rows),
        step=tuple(numbers[row[0]] for row in rows),
        span_id=tuple(row[0] for row in rows),
        parent=parent,
        depth=tuple(depths[row[0]] for row in rows),
        kind=tuple(kinds.setdefault(row[4], len(kinds)) for row in rows),
        name=tuple(names.setdefault(row[5], len(names)) for row in rows),
        start_ms=tuple(round((row[2] - start_ns) / 1e6, 3) for row in rows),
        duration=tuple(round(row[3] / 1e6, 3) for row in rows),
        status=tuple(row[6] for row in rows),
        tokens=tuple(row[7] for row in rows),
        cost_usd=tuple(row[8] for row in rows),
        critical=tuple(int(place in on_path) for place in range(len(rows))),
        kinds=tuple(kinds),
        names=tuple(names),
    )
