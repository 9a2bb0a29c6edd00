"""Reads for decisions and states: the model and tool calls of a trace, and what our recorder says on them."""

from __future__ import annotations

from typing import Any

from pilothouse.records import names

from .trace_reads import READ_SETTINGS, Stretch
from .trace_store import TraceStore

_OF_TRACE = (
    "project_id = {project:String} AND trace_id = {id:String} "
    "AND start_time >= fromUnixTimestamp64Nano({start:Int64}, 'UTC') "
    "AND start_time <= fromUnixTimestamp64Nano({end:Int64}, 'UTC')"
)
_START = "toUnixTimestamp64Nano(start_time)"


def model_calls(
    store: TraceStore, project: str, trace_id: str, stretch: Stretch, *, limit: int
) -> list[dict[str, Any]]:
    """The model calls of a trace in order of time, twins seen by a second instrumentation left out."""
    return store.query(
        f"SELECT span_id, parent_span_id, {_START} AS start_ns, agent, model, name, status, output_refs, "
        "substringUTF8(output_text, 1, 300) AS output_head, message_scope, tools_ref, tools_offered, "
        "attributes[{action:String}] AS action, attributes[{valid:String}] AS valid, "
        "attributes[{reason:String}] AS reason, attributes[{sha256:String}] AS sha256 "
        f"FROM {{db}}.span FINAL WHERE {_OF_TRACE} AND kind = 'model' AND duplicate_of = '' "
        "ORDER BY start_ns, span_id LIMIT {limit:UInt32}",
        {
            **_trace(project, trace_id, stretch),
            "limit": limit,
            "action": names.DECISION_ACTION,
            "valid": names.DECISION_VALID,
            "reason": names.DECISION_INVALID_REASON,
            "sha256": names.DECISION_PROMPT_SHA256,
        },
        settings=READ_SETTINGS,
    ).dicts()


def tool_calls(store: TraceStore, project: str, trace_id: str, stretch: Stretch, *, limit: int) -> list[dict[str, Any]]:
    """The tool calls of a trace in order of time."""
    return store.query(
        f"SELECT span_id, {_START} AS start_ns, tool_name, tool_call_id, status, tool_error != '' AS soft "
        f"FROM {{db}}.span FINAL WHERE {_OF_TRACE} AND kind = 'tool' ORDER BY start_ns, span_id "
        "LIMIT {limit:UInt32}",
        {**_trace(project, trace_id, stretch), "limit": limit},
        settings=READ_SETTINGS,
    ).dicts()


def calls_before(
    store: TraceStore, project: str, trace_id: str, stretch: Stretch, *, span_id: str, end_ns: int, limit: int
) -> list[dict[str, Any]]:
    """The calls of a trace that ended last before a moment, the last first; one span is left out."""
    return store.query(
        f"SELECT span_id, {_START} + duration_ns AS end_ns, kind, "
        "multiIf(kind = 'tool' AND tool_name != '', tool_name, kind = 'model' AND model != '', model, "
        "kind = 'agent' AND agent != '', agent, name) AS label, "
        "if(tool_error != '' AND status != 'error', 'soft_error', toString(status)) AS outcome "
        f"FROM {{db}}.span FINAL WHERE {_OF_TRACE} AND status != 'running' AND duplicate_of = '' "
        f"AND span_id != {{span:String}} AND {_START} + duration_ns <= {{moment:Int64}} "
        "ORDER BY end_ns DESC, span_id LIMIT {limit:UInt32}",
        {**_trace(project, trace_id, stretch), "span": span_id, "moment": end_ns, "limit": limit},
        settings=READ_SETTINGS,
    ).dicts()


def state_events(store: TraceStore, project: str, trace_id: str, *, limit: int) -> list[dict[str, Any]]:
    """The changes of state that agents of a trace told of, in order of time."""
    return store.query(
        "SELECT span_id, toUnixTimestamp64Nano(time) AS time_ns, attributes FROM {db}.event FINAL "
        "WHERE project_id = {project:String} AND trace_id = {id:String} AND name = {name:String} "
        "ORDER BY time_ns, position LIMIT {limit:UInt32}",
        {"project": project, "id": trace_id, "name": names.STATE_EVENT, "limit": limit},
    ).dicts()


def runtime_events(store: TraceStore, project: str, trace_id: str, *, limit: int) -> list[dict[str, Any]]:
    """What the runtime of a trace's agents told of itself, in order of time."""
    return store.query(
        "SELECT span_id, name, toUnixTimestamp64Nano(time) AS time_ns, attributes FROM {db}.event FINAL "
        "WHERE project_id = {project:String} AND trace_id = {id:String} AND has({names:Array(String)}, name) "
        "ORDER BY time_ns, position LIMIT {limit:UInt32}",
        {"project": project, "id": trace_id, "names": list(names.RUNTIME_EVENTS), "limit": limit},
    ).dicts()


def waits_and_tries(
    store: TraceStore, project: str, trace_id: str, stretch: Stretch, *, limit: int
) -> dict[str, tuple[str, str, int]]:
    """By span id: what a span waits for, why, and the number of the attempt; spans without any of them are left out."""
    rows = store.query(
        "SELECT span_id, attributes[{wait:String}], attributes[{why:String}], toUInt32OrZero(attributes[{try:String}]) "
        f"FROM {{db}}.span FINAL WHERE {_OF_TRACE} AND "
        "(kind = 'waiting' OR mapContains(attributes, {try:String})) LIMIT {limit:UInt32}",
        {
            **_trace(project, trace_id, stretch),
            "limit": limit,
            "wait": names.WAIT_FOR,
            "why": names.WAIT_REASON,
            "try": names.RETRY_ATTEMPT,
        },
        settings=READ_SETTINGS,
    ).rows
    return {row[0]: (row[1], row[2], row[3]) for row in rows}


def _trace(project: str, trace_id: str, stretch: Stretch) -> dict[str, Any]:
    return {"project": project, "id": trace_id, "start": stretch.start_ns, "end": stretch.end_ns}
