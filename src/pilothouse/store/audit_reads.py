"""Reads for audits and levels: an agent's newest traces, what their spans record, what came beside them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .conditions import Where, window
from .schema import TOKEN_BUCKETS
from .trace_reads import READ_SETTINGS
from .trace_store import TraceStore

_OF_AGENT = "(agent = {agent:String} OR has(agents, {agent:String}))"
_DAY_NS = 86_400_000_000_000

_TRACE = (
    "trace_id, toUnixTimestamp64Nano(start_time) AS start_ns, duration_ns, status, open, agent, agents, session_id, "
    "environment, service, agent_version, spans, orphans, duplicates, signals, substringUTF8(input_text, 1, 300) AS asked, "
    "substringUTF8(output_text, 1, 600) AS answer, first_error"
)


def agent_traces(
    store: TraceStore, project: str, since_ns: int, until_ns: int, *, agent: str, traces_max: int
) -> tuple[list[dict[str, Any]], int]:
    """An agent's newest traces, the newest first, and how many it has in the window."""
    where = Where()
    window(where, project, since_ns, until_ns)
    rows = store.query(
        f"SELECT {_TRACE}, count() OVER () AS set_size FROM {{db}}.trace FINAL WHERE {where.sql} AND {_OF_AGENT} "
        "ORDER BY start_time DESC, trace_id LIMIT {rows:UInt32}",
        {**where.params, "agent": agent, "rows": traces_max},
        settings=READ_SETTINGS,
    ).dicts()
    return rows, rows[0]["set_size"] if rows else 0


def traces_by_agent(
    store: TraceStore, project: str, since_ns: int, until_ns: int, *, agents_max: int, traces_max: int
) -> list[dict[str, Any]]:
    """The newest traces of each agent, with ``of_agent`` and ``set_size``, how many the agent has."""
    where = Where()
    window(where, project, since_ns, until_ns)
    return store.query(
        f"SELECT * FROM (SELECT {_TRACE}, arrayJoin(arrayDistinct(arrayConcat([agent], agents))) AS of_agent, "
        "count() OVER (PARTITION BY of_agent) AS set_size, uniqExact(of_agent) OVER () AS agents_found "
        f"FROM {{db}}.trace FINAL WHERE {where.sql}) WHERE of_agent != '' "
        "ORDER BY set_size DESC, of_agent, start_ns DESC, trace_id LIMIT {each:UInt32} BY of_agent LIMIT {rows:UInt32}",
        {**where.params, "each": traces_max, "rows": traces_max * agents_max},
        settings=READ_SETTINGS,
    ).dicts()


_TOKENS = " + ".join(f"{bucket}_tokens" for bucket in TOKEN_BUCKETS)


def recorded_spans(
    store: TraceStore, project: str, trace_ids: Sequence[str], since_ns: int, until_ns: int, *, rows_max: int
) -> list[dict[str, Any]]:
    """What the spans of some traces record, by trace and start, without their content but for how it begins."""
    where = Where()
    window(where, project, since_ns, until_ns)
    return store.query(
        "SELECT trace_id, span_id, parent_span_id, toUnixTimestamp64Nano(start_time) AS start_ns, duration_ns, kind, "
        "name, agent, agent_version, operation, model, status, error_type, substringUTF8(error_message, 1, 300) AS error, "
        "substringUTF8(tool_error, 1, 300) AS tool_error, tool_name, session_id, environment, service, duplicate_of, "
        f"usage_scope, {_TOKENS} AS tokens, cost_source, finish_reason, prompt_name, prompt_version, notes, "
        "length(input_refs) AS messages_in, length(output_refs) AS messages_out, if(length(input_refs) > 0, input_refs[1], '') "
        "AS first_ref, cityHash64(input_text) AS input_hash, substringUTF8(input_text, 1, 200) AS input_head, "
        "substringUTF8(output_text, 1, 600) AS output_head, lengthUTF8(output_text) AS output_chars, "
        "length(tools_offered) AS tools_offered, scope_name, dialect, "
        "attributes['pilothouse.tool.effect'] AS effect, attributes['pilothouse.tool.idempotency_key'] AS idempotency_key, "
        "attributes['pilothouse.tool.reversible_by'] AS reversible_by, attributes['pilothouse.retry.attempt'] AS attempt, "
        "attributes['pilothouse.wait.for'] AS wait_for, attributes['pilothouse.decision.valid'] AS decision_valid, "
        "multiIf(attributes['http.request.resend_count'] != '', attributes['http.request.resend_count'], "
        "attributes['gen_ai.request.retry'] != '', attributes['gen_ai.request.retry'], '') AS resend "
        f"FROM {{db}}.span FINAL WHERE {where.sql} AND trace_id IN {{ids:Array(String)}} "
        "ORDER BY trace_id, start_time, span_id LIMIT {rows:UInt32}",
        {**where.params, "ids": list(trace_ids), "rows": rows_max},
        settings=READ_SETTINGS,
    ).dicts()


def system_hashes(store: TraceStore, project: str, hashes: Sequence[str]) -> set[str]:
    """Which of these contents are system messages."""
    if not hashes:
        return set()
    table = store.query(
        "SELECT DISTINCT hash FROM {db}.message WHERE project_id = {project:String} AND scope = '' "
        "AND hash IN {hashes:Array(String)} AND role IN ('system', 'developer')",
        {"project": project, "hashes": list(hashes)},
    )
    return {row[0] for row in table.rows}


def state_changes(
    store: TraceStore, project: str, trace_ids: Sequence[str], since_ns: int, until_ns: int
) -> list[dict[str, Any]]:
    """Transitions of state that agents of some traces reported, in order, at most 20,000."""
    where = Where()
    window(where, project, since_ns, until_ns, time="time")
    return store.query(
        "SELECT trace_id, span_id, toUnixTimestamp64Nano(time) AS time_ns, attributes['pilothouse.state.from'] AS before, "
        f"attributes['pilothouse.state.to'] AS after FROM {{db}}.event FINAL WHERE {where.sql} "
        "AND trace_id IN {ids:Array(String)} AND name = 'pilothouse.state' ORDER BY trace_id, time LIMIT 20000",
        {**where.params, "ids": list(trace_ids)},
    ).dicts()


def logs_beside(
    store: TraceStore, project: str, trace_ids: Sequence[str], services: Sequence[str], since_ns: int, until_ns: int
) -> tuple[int, int]:
    """Log lines that name one of these traces, and log lines of these services in all."""
    where = Where()
    window(where, project, since_ns, until_ns, time="time")
    row = store.query(
        "SELECT countIf(trace_id IN {ids:Array(String)}), count() FROM {db}.log "
        f"WHERE {where.sql} AND service IN {{services:Array(String)}}",
        {**where.params, "ids": list(trace_ids), "services": list(services)},
    ).rows[0]
    return int(row[0]), int(row[1])


def heartbeats_of(store: TraceStore, project: str, services: Sequence[str]) -> int:
    """Processes of these services that have sent heartbeats lately."""
    table = store.query(
        "SELECT uniqExact(instance) FROM {db}.pulse WHERE project_id = {project:String} "
        "AND service IN {services:Array(String)}",
        {"project": project, "services": list(services)},
    )
    return int(table.rows[0][0])


def judged(store: TraceStore, project: str, trace_ids: Sequence[str]) -> int:
    """How many of these traces have a score."""
    table = store.query(
        "SELECT uniqExact(trace_id) FROM {db}.score FINAL WHERE project_id = {project:String} "
        "AND trace_id IN {ids:Array(String)} AND removed = 0",
        {"project": project, "ids": list(trace_ids)},
    )
    return int(table.rows[0][0])


def volume_by_day(store: TraceStore, project: str, agent: str, until_ns: int, *, days: int) -> list[int]:
    """Traces of an agent in each of the last days before a moment, the newest day first."""
    where = Where()
    window(where, project, max(until_ns - days * _DAY_NS, 0), until_ns)
    table = store.query(
        f"SELECT intDiv({{until:Int64}} - toUnixTimestamp64Nano(start_time), {_DAY_NS}) AS ago, count() "
        f"FROM {{db}}.trace FINAL WHERE {where.sql} AND {_OF_AGENT} GROUP BY ago",
        {**where.params, "agent": agent},
        settings=READ_SETTINGS,
    )
    found: dict[int, int] = {int(row[0]): int(row[1]) for row in table.rows}
    return [found.get(ago, 0) for ago in range(days)]
