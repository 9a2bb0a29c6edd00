"""The steps of a trace, a page at a time: what the waterfall element fetches as it is scrolled."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pilothouse.traces.model import TraceRow
from pilothouse.web.context import told
from pilothouse.web.format import own_name
from pilothouse.web.spans_table import SpanLine, chunk, columns_of, lines
from pilothouse.web.visit import PageContext, PageSpec, Visit, trace_url

from .trace import find_trace

ROWS = 100
CHUNK_MAX = 8_000
"""Rows of one answer as columns: about 400 kB before packing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpansPage(PageContext):
    """The steps of a trace in tree order."""

    trace: TraceRow = field(metadata=told("the trace as a whole"))
    after: int = field(metadata=told("rows before this page"))
    total: int = field(metadata=told("rows in all"))
    rows: tuple[SpanLine, ...] = field(metadata=told("the rows; empty where columns were asked for"))
    columns: dict[str, Any] | None = field(
        metadata=told("with as=columns: the same rows as columns, microseconds and micro-dollars")
    )
    row_of_step: int | None = field(metadata=told("with step=N: the row of that step"))

    @property
    def url(self) -> str:
        """The address of the trace."""
        return trace_url(self.trace.trace_id)


def gather(visit: Visit) -> SpansPage:
    """Read some rows of a trace."""
    row = visit.reader.row(find_trace(visit, visit.parts["id"]))
    after = visit.number("after", 0)
    as_columns = visit.text("as") == "columns"
    limit = visit.number("limit", CHUNK_MAX if as_columns else ROWS, at_least=1, at_most=CHUNK_MAX)
    columns = columns_of(visit.reader, row)
    step = visit.number("step", 0)
    return SpansPage(
        title=f"Steps of {own_name(row.root_name, row.agent) or row.agent or row.trace_id}",
        command=f"pilothouse show {row.trace_id[:12]} --as tree",
        trace=row,
        after=after,
        total=columns.total,
        rows=() if as_columns else lines(columns, after, limit),
        columns=chunk(columns, after, limit) | ({"busy": columns.busy} if after == 0 else {}) if as_columns else None,
        row_of_step=columns.row_of_step[step] if 0 < step < len(columns.row_of_step) else None,
    )


SPANS = PageSpec(name="spans", path="/traces/{id}/spans", context=SpansPage, gather=gather, nav="traces")
