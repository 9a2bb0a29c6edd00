"""Many at once, for programs: the spans of the traces a filter finds, and traces in groups with their figures.

What is summed is summed in the store. A page of spans is the spans of a page of traces.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from pilothouse.records import BadRequest, iso
from pilothouse.store import TraceStore
from pilothouse.store.selection_reads import GROUP_FIELDS, grouped, is_group_field, spans_of
from pilothouse.store.trace_reads import find_traces

from .cursors import Cursor, digest, read_cursor, write_cursor
from .filters import check_text, conditions_of
from .model import Page, TraceQuery
from .rows import milliseconds
from .windows import Range, time_range

GROUPS_MAX: Final = 10_000
SPANS_A_TRACE: Final = 2_000
"""Spans of one trace in a page; a trace with more is named."""
_BY_MAX: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanRow:
    """One span of a selection."""

    trace_id: str
    span_id: str
    parent_span_id: str
    step: int
    kind: str
    name: str
    agent: str
    model: str
    status: str
    error_type: str
    error_message: str
    """First 300 characters."""
    start_time: str
    duration_ms: float
    ttft_ms: float | None
    tokens: int
    """All buckets; 0 where descendants report the same."""
    cost_usd: float | None
    tool_name: str
    tool_error: str
    finish_reason: str
    session_id: str
    prompt_name: str
    prompt_version: str
    input_text: str | None = None
    """First 1,000 characters, where content is asked for."""
    output_text: str | None = None
    attributes: dict[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanPage:
    """The spans of a page of traces."""

    page: Page[SpanRow]
    """Its total counts traces."""
    cut_traces: tuple[str, ...] = ()
    """Traces with more spans than are in the page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupRow:
    """The traces that have the same values, taken together."""

    by: dict[str, str]
    """The fields grouped by, and this group's values; empty where a trace has none."""
    traces: int
    failed: int
    """Traces that ended in an error."""
    failed_share: float
    with_errors: int
    """Traces with an error in any span, soft tool errors included."""
    with_signals: int
    spans: int
    model_calls: int
    tool_calls: int
    tokens: int
    tokens_mean: float
    cost_usd: float | None
    """The sum; null where no price is known."""
    cost_mean_usd: float | None
    duration_mean_ms: float
    duration_p50_ms: float
    duration_p95_ms: float
    first: str
    """When the first of them started."""
    last: str
    scores: dict[str, float] = field(default_factory=dict[str, float])
    """By name the mean over traces."""


def span_page(
    store: TraceStore, project: str, query: TraceQuery, *, kind: str = "", name: str = "", content: bool = False
) -> SpanPage:
    """The spans of the traces that fit, newest trace first, a page of ``query.limit`` traces.

    Raises:
        BadRequest: the filter, a time or the cursor is not understood.
    """
    check_text(name, "a name", 500)
    conditions = conditions_of(store, project, query.text)
    marked = digest("spans", query.text, kind, name, content)
    cursor = read_cursor(query.cursor, marked) if query.cursor else None
    if cursor is None:
        covered = time_range(query.since_ns, query.until_ns)
        until_ns, after = covered.until_ns, None
    else:
        covered = Range(since_ns=cursor.since_ns, until_ns=cursor.until_ns, assumed=cursor.assumed)
        # Newest first: what comes later on in the list started no later.
        until_ns, after = min(covered.until_ns, cursor.key + 1), (cursor.key, cursor.id)
    found = find_traces(
        store, project, covered.since_ns, until_ns, conditions, order="newest", limit=query.limit + 1, after=after
    )
    shown = found.traces[: query.limit]
    total = cursor.total if cursor is not None else found.total
    following = ""
    if len(found.traces) > query.limit:
        going_on = Cursor(
            key=shown[-1].key,
            id=shown[-1].trace_id,
            since_ns=covered.since_ns,
            until_ns=covered.until_ns,
            total=total,
            assumed=covered.assumed,
        )
        following = write_cursor(going_on, marked)
    rows = spans_of(store, project, shown, kind=kind, name=name, content=content, per_trace=SPANS_A_TRACE + 1)
    kept, cut = _bounded(rows)
    page = Page(
        items=tuple(_span(row) for row in kept),
        next=following,
        more=bool(following),
        total=total,
        window=covered.as_window(),
    )
    return SpanPage(page=page, cut_traces=cut)


def groups(
    store: TraceStore, project: str, text: str, by: Sequence[str], covered: Range, *, limit: int = 1_000
) -> Page[GroupRow]:
    """The traces that fit a filter in groups by these fields, the largest group first.

    Raises:
        BadRequest: the filter is not understood, or there is no such field to group by.
    """
    if not 1 <= len(by) <= _BY_MAX:
        raise BadRequest(
            f"traces are grouped by 1 to {_BY_MAX} fields", got=list(by), allowed=list(GROUP_FIELDS), fix="by=agent"
        )
    for name in by:
        check_text(name, "a field", 500)
        if not is_group_field(name):
            close = difflib.get_close_matches(name, GROUP_FIELDS, n=3, cutoff=0.5)
            raise BadRequest(
                "there is no such field to group by",
                got=name,
                allowed=close or list(GROUP_FIELDS),
                fix="by=attr.experiment",
            )
    if not 1 <= limit <= GROUPS_MAX:
        raise BadRequest(f"an answer has 1 to {GROUPS_MAX:,} groups", got=limit, fix="limit=1000")
    conditions = conditions_of(store, project, text)
    found = grouped(store, project, covered.since_ns, covered.until_ns, conditions, by, limit=limit)
    return Page(
        items=tuple(_group(by, row) for row in found.rows),
        next="",
        more=found.total > len(found.rows),
        total=found.total,
        window=covered.as_window(),
    )


def _bounded(rows: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], tuple[str, ...]]:
    kept: list[dict[str, Any]] = []
    cut: list[str] = []
    of_trace, count = "", 0
    for row in rows:
        count = count + 1 if row["trace_id"] == of_trace else 1
        of_trace = row["trace_id"]
        if count <= SPANS_A_TRACE:
            kept.append(row)
        else:
            cut.append(of_trace)
    return kept, tuple(cut)


def _span(row: dict[str, Any]) -> SpanRow:
    made = SpanRow(
        trace_id=row["trace_id"],
        span_id=row["span_id"],
        parent_span_id=row["parent_span_id"],
        step=row["step"],
        kind=row["kind"],
        name=row["name"],
        agent=row["agent"],
        model=row["model"],
        status=row["status"],
        error_type=row["error_type"],
        error_message=row["error_message"],
        start_time=iso(row["start_ns"]),
        duration_ms=milliseconds(row["duration_ns"]),
        ttft_ms=None if row["ttft_ns"] is None else milliseconds(row["ttft_ns"]),
        tokens=row["tokens"],
        cost_usd=_rounded(row["cost"]),
        tool_name=row["tool_name"],
        tool_error=row["tool_error"],
        finish_reason=row["finish_reason"],
        session_id=row["session_id"],
        prompt_name=row["prompt_name"],
        prompt_version=row["prompt_version"],
    )
    if "attributes" not in row:
        return made
    return replace(
        made, input_text=row["input_text"], output_text=row["output_text"], attributes=dict(row["attributes"])
    )


def _group(by: Sequence[str], row: dict[str, Any]) -> GroupRow:
    count = row["traces"]
    return GroupRow(
        by=dict(zip(by, row["by"], strict=True)),
        traces=count,
        failed=row["failed"],
        failed_share=round(row["failed"] / count, 4),
        with_errors=row["with_errors"],
        with_signals=row["with_signals"],
        spans=row["span_count"],
        model_calls=row["model_call_count"],
        tool_calls=row["tool_call_count"],
        tokens=row["token_count"],
        tokens_mean=round(row["token_count"] / count, 1),
        cost_usd=_rounded(row["cost"]),
        cost_mean_usd=None if row["cost"] is None else _rounded(row["cost"] / count),
        duration_mean_ms=milliseconds(round(row["mean_ns"])),
        duration_p50_ms=milliseconds(round(row["p50_ns"])),
        duration_p95_ms=milliseconds(round(row["p95_ns"])),
        first=iso(row["first_ns"]),
        last=iso(row["last_ns"]),
        scores={name: round(value, 4) for name, value in sorted(row["scores"].items())},
    )


def _rounded(amount: float | None) -> float | None:
    return None if amount is None else round(amount, 9)
