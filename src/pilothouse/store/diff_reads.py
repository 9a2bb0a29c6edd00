"""Reads of two traces that are compared: every step with what decides whether two are the same."""

from __future__ import annotations

from typing import NamedTuple

from .schema import TOKEN_BUCKETS
from .trace_reads import READ_SETTINGS, Stretch
from .trace_store import TraceStore


class StepRow(NamedTuple):
    """One span as a step to compare."""

    span_id: str
    parent_span_id: str
    start_ns: int
    duration_ns: int
    kind: str
    name: str
    agent: str
    model: str
    provider: str
    dialect: str
    status: str
    error_type: str
    error_message: str
    tool_name: str
    tool_error: str
    usage_scope: str
    duplicate_of: str
    cost_usd: str | None
    finish_reason: str
    input_text: str
    output_text: str
    input_ref: str
    """Of a step that is no conversation: the reference of its whole input, where that is long."""
    output_ref: str
    output_refs: tuple[str, ...]
    tools_ref: str
    tools_offered: tuple[str, ...]
    parameters: str
    scope: str
    scope_name: str
    tokens: int


_TOKENS = " + ".join(f"{bucket}_tokens" for bucket in TOKEN_BUCKETS)


def steps_to_compare(store: TraceStore, project: str, trace_id: str, stretch: Stretch, *, limit: int) -> list[StepRow]:
    """The spans of a trace by start time, at most ``limit``."""
    table = store.query(
        "SELECT span_id, parent_span_id, toUnixTimestamp64Nano(start_time) AS start_ns, duration_ns, kind, name, agent, "
        "model, provider, dialect, status, error_type, substringUTF8(error_message, 1, 300) AS error_message, tool_name, "
        "substringUTF8(tool_error, 1, 300) AS tool_error, usage_scope, duplicate_of, "
        "if(cost_usd IS NULL, NULL, toString(cost_usd)) AS cost, finish_reason, "
        "substringUTF8(input_text, 1, 1000) AS input_text, substringUTF8(output_text, 1, 1000) AS output_text, "
        "if(kind IN ('model', 'agent') OR length(input_refs) != 1, '', input_refs[1]) AS input_ref, "
        "if(kind IN ('model', 'agent') OR length(output_refs) != 1, '', output_refs[1]) AS output_ref, "
        "if(kind = 'model', output_refs, []) AS output_refs, tools_ref, tools_offered, parameters, message_scope, scope_name, "
        f"{_TOKENS} AS tokens FROM {{db}}.span FINAL WHERE project_id = {{project:String}} AND trace_id = {{id:String}} "
        "AND start_time >= fromUnixTimestamp64Nano({start:Int64}, 'UTC') "
        "AND start_time <= fromUnixTimestamp64Nano({end:Int64}, 'UTC') "
        "ORDER BY start_ns, span_id LIMIT {limit:UInt32}",
        {"project": project, "id": trace_id, "start": stretch.start_ns, "end": stretch.end_ns, "limit": limit},
        settings=READ_SETTINGS,
    )
    return [StepRow._make((*row[:23], tuple(row[23]), row[24], tuple(row[25]), *row[26:])) for row in table.rows]
