"""Reads of where in the code spans were made, as far as their senders say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .trace_reads import READ_SETTINGS, Stretch
from .trace_store import TraceStore

CODE_KEYS = (
    *("code.file.path", "code.filepath", "code.line.number", "code.lineno"),
    *("code.function.name", "code.function", "code.namespace", "process.working_directory"),
)


def code_attributes(
    store: TraceStore, project: str, trace_id: str, stretch: Stretch, span_ids: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """``attributes`` and ``resource`` of some spans, with what tells of the code alone, and ``error_stack``; by id."""
    if not span_ids:
        return {}
    keep = "mapFilter((k, v) -> k IN {keys:Array(String)}, {column})"
    table = store.query(
        f"SELECT span_id, {keep.replace('{column}', 'attributes')} AS attributes, "
        f"{keep.replace('{column}', 'resource')} AS resource, error_stack FROM {{db}}.span FINAL "
        "WHERE project_id = {project:String} AND trace_id = {trace:String} "
        "AND start_time >= fromUnixTimestamp64Nano({from:Int64}, 'UTC') "
        "AND start_time <= fromUnixTimestamp64Nano({to:Int64}, 'UTC') AND span_id IN {spans:Array(String)}",
        {
            "project": project,
            "trace": trace_id,
            "from": stretch.start_ns,
            "to": stretch.end_ns,
            "spans": sorted(set(span_ids)),
            "keys": list(CODE_KEYS),
        },
        settings=READ_SETTINGS,
    )
    return {row["span_id"]: row for row in table.dicts()}
