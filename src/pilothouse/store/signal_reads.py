"""What is stored of a trace's signals, and where their evidence stands now."""

from __future__ import annotations

from collections.abc import Sequence

from .trace_reads import READ_SETTINGS, Stretch
from .trace_store import TraceStore


def signal_details(store: TraceStore, project: str, trace_id: str) -> str:
    """The JSON list of a trace's signals; empty where it has none, or was stored before details were kept."""
    table = store.query(
        "SELECT signal_details FROM {db}.trace FINAL WHERE project_id = {project:String} AND trace_id = {trace:String}",
        {"project": project, "trace": trace_id},
        settings=READ_SETTINGS,
    )
    return table.rows[0][0] if table.rows else ""


def steps_of(
    store: TraceStore, project: str, trace_id: str, stretch: Stretch, span_ids: Sequence[str]
) -> dict[str, int]:
    """The step numbers of some spans of a trace."""
    if not span_ids:
        return {}
    table = store.query(
        "SELECT span_id, step FROM {db}.span FINAL WHERE project_id = {project:String} AND trace_id = {trace:String} "
        "AND start_time >= fromUnixTimestamp64Nano({from:Int64}, 'UTC') "
        "AND start_time <= fromUnixTimestamp64Nano({to:Int64}, 'UTC') AND span_id IN {spans:Array(String)}",
        {
            "project": project,
            "trace": trace_id,
            "from": stretch.start_ns,
            "to": stretch.end_ns,
            "spans": sorted(set(span_ids)),
        },
        settings=READ_SETTINGS,
    )
    return {str(row[0]): int(row[1]) for row in table.rows}
