"""Whole rows of some spans of a trace: what an explanation of their costs needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .schema import SPAN
from .trace_reads import Stretch
from .trace_store import TraceStore


def span_rows(
    store: TraceStore, project: str, trace_id: str, span_ids: Sequence[str], stretch: Stretch
) -> dict[str, dict[str, Any]]:
    """Every column of these spans, by span id."""
    # No FINAL: it would read all columns of whole granules before it looks at the ids.
    rows = store.query(
        f"SELECT {', '.join(SPAN.column_names)} FROM {{db}}.span WHERE project_id = {{project:String}} "
        "AND trace_id = {trace:String} AND start_time >= fromUnixTimestamp64Nano({start:Int64}, 'UTC') "
        "AND start_time <= fromUnixTimestamp64Nano({end:Int64}, 'UTC') AND span_id IN {spans:Array(String)} "
        "ORDER BY version DESC LIMIT 1 BY span_id",
        {
            "project": project,
            "trace": trace_id,
            "spans": list(span_ids),
            "start": stretch.start_ns,
            "end": stretch.end_ns,
        },
    ).dicts()
    return {row["span_id"]: row for row in rows}
