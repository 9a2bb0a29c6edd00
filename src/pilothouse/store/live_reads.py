"""Reads for watching: open traces, what runs in them, heartbeats, what is usual, and what arrived after a moment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from .conditions import LATEST_NS, TOTAL_TOKENS, Condition, filtered
from .trace_reads import READ_SETTINGS
from .trace_store import TraceStore

OPEN_DAYS = 7
"""A trace that is still open began to arrive at most this many days ago."""
LATE_NS = 600_000_000_000
"""A trace whose last span ended so long before it arrived is history that was sent later, not something that runs."""

_NOW_ROW = f"""
trace_id, root_name, agent, agent_version, environment, service, session_id, status,
open OR running_spans > 0 AS is_open, running_spans, toUnixTimestamp64Nano(start_time) AS start_ns, duration_ns, spans,
model_calls, tool_calls, errors, {TOTAL_TOKENS} AS tokens, cost_usd, substringUTF8(first_error, 1, 300) AS first_error,
signals, substringUTF8(input_text, 1, 200) AS input_text, toUnixTimestamp64Milli(received_at) AS received_ms, version"""

_LABEL = (
    "multiIf(kind = 'tool' AND tool_name != '', tool_name, kind = 'model' AND model != '', model, "
    "kind = 'agent' AND agent != '', agent, name)"
)
_END = "toUnixTimestamp64Nano(start_time) + duration_ns"
_RECENT_DAYS = f"received_day >= toDate(fromUnixTimestamp64Nano({{now:Int64}}, 'UTC')) - {OPEN_DAYS}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulse:
    """The last heartbeat of one process, or its goodbye."""

    instance: str
    received_ms: int
    interval_s: float
    goodbye: bool
    open: list[dict[str, Any]]
    """``trace_id, span_id, name, kind, state, wait_for, since_ns`` of its open spans."""


def pulses(store: TraceStore, project: str, since_ms: int) -> list[Pulse]:
    """The last heartbeat of every process that sent one since a moment, newest first, at most 10,000."""
    table = store.query(
        "SELECT instance, toUnixTimestamp64Milli(received_at) AS received_ms, interval_s, goodbye, open "
        "FROM {db}.pulse FINAL WHERE project_id = {project:String} "
        "AND received_day >= toDate(fromUnixTimestamp64Milli({since:Int64}, 'UTC')) "
        "AND received_at >= fromUnixTimestamp64Milli({since:Int64}, 'UTC') ORDER BY received_ms DESC LIMIT 10000",
        {"project": project, "since": since_ms},
    )
    return [
        Pulse(
            instance=row[0], received_ms=row[1], interval_s=row[2], goodbye=bool(row[3]), open=orjson.loads(row[4])
        )
        for row in table.rows
    ]  # fmt: skip


def open_traces(
    store: TraceStore,
    project: str,
    now_ns: int,
    conditions: Sequence[Condition],
    *,
    heard_since_ns: int,
    ended_since_ns: int,
    beating: Sequence[str],
    limit: int,
) -> list[dict[str, Any]]:
    """Traces that run and gave a sign of life since a moment, and those that ended since another; newest sign first.

    ``beating`` are traces that heartbeats name: they run, however long ago their last span came. ``total`` of each row
    is how many there are.
    """
    where = filtered(project, max(now_ns - OPEN_DAYS * 86_400_000_000_000, 0), LATEST_NS, conditions)
    heard = "received_at >= fromUnixTimestamp64Nano({heard:Int64}, 'UTC')"
    ended = "received_at >= fromUnixTimestamp64Nano({ended:Int64}, 'UTC')"
    # Which traces it may be is seen without merging versions; what they are now, of these few alone.
    return store.query(
        f"SELECT *, count() OVER () AS total FROM (SELECT {_NOW_ROW} FROM {{db}}.trace WHERE {where.sql} "
        f"AND trace_id IN (SELECT trace_id FROM {{db}}.trace WHERE project_id = {{project:String}} AND {_RECENT_DAYS} "
        f"AND ({heard} AND (open OR running_spans > 0) OR {ended} OR trace_id IN {{beating:Array(String)}})) "
        "ORDER BY version DESC LIMIT 1 BY trace_id) "
        f"WHERE is_open AND (received_ms >= {{heard_ms:Int64}} OR trace_id IN {{beating:Array(String)}}) "
        f"AND (running_spans > 0 OR received_ms * 1000000 - start_ns - duration_ns < {LATE_NS}) "
        f"OR NOT is_open AND received_ms >= {{ended_ms:Int64}} AND start_ns + duration_ns >= {{ended:Int64}} - {LATE_NS} "
        "ORDER BY received_ms DESC, trace_id LIMIT {limit:UInt32}",
        {
            **where.params,
            "now": now_ns,
            "heard": heard_since_ns,
            "heard_ms": heard_since_ns // 1_000_000,
            "ended": ended_since_ns,
            "ended_ms": ended_since_ns // 1_000_000,
            "beating": list(beating),
            "limit": limit,
        },
        settings=READ_SETTINGS,
    ).dicts()


def traces_now(store: TraceStore, project: str, now_ns: int, trace_ids: Sequence[str]) -> list[dict[str, Any]]:
    """The same rows of these traces, whatever state they are in; for traces that arrived within the last days."""
    if not trace_ids:
        return []
    return store.query(
        f"SELECT {_NOW_ROW} FROM {{db}}.trace WHERE project_id = {{project:String}} AND {_RECENT_DAYS} "
        "AND trace_id IN {ids:Array(String)} ORDER BY version DESC LIMIT 1 BY trace_id",
        {"project": project, "now": now_ns, "ids": list(trace_ids)},
    ).dicts()


def activity(store: TraceStore, project: str, trace_ids: Sequence[str], since_ns: int) -> dict[str, dict[str, Any]]:
    """Of these traces: ``running`` spans, the one that ended ``last``, the ``call`` of a model that ended last,
    ``longest_ns``, the length of the longest step, and ``arrived_ms``, when the last span arrived.

    ``since_ns`` is when the first of them began: the fewer hours it reaches back, the less is read.
    """
    if not trace_ids:
        return {}
    rows = store.query(
        f"SELECT trace_id, groupArrayIf(100)((span_id, parent_span_id, step, kind, {_LABEL}, "
        "toUnixTimestamp64Nano(start_time)), status = 'running') AS running, "
        f"argMaxIf((span_id, step, kind, {_LABEL}, status, {_END}), ({_END}, start_time), status != 'running') AS last, "
        "argMaxIf((status, error_type, substringUTF8(error_message, 1, 500), "
        f"{_END}), {_END}, status != 'running' AND kind = 'model') AS call, "
        "maxIf(duration_ns, parent_span_id != '' AND kind != 'agent') AS longest_ns, "
        "max(toUnixTimestamp64Milli(received_at)) AS arrived_ms "
        "FROM {db}.span FINAL WHERE project_id = {project:String} AND trace_id IN {ids:Array(String)} "
        "AND start_time >= fromUnixTimestamp64Nano({since:Int64}, 'UTC') GROUP BY trace_id",
        {"project": project, "ids": list(trace_ids), "since": since_ns},
        settings=READ_SETTINGS,
    ).dicts()
    return {row["trace_id"]: row for row in rows}


def waits(store: TraceStore, project: str, span_ids: Sequence[str], since_ns: int) -> dict[str, tuple[str, str]]:
    """What these running spans of kind waiting wait for, and why, by span id."""
    if not span_ids:
        return {}
    table = store.query(
        "SELECT span_id, attributes['pilothouse.wait.for'], attributes['pilothouse.wait.reason'] FROM {db}.span "
        "PREWHERE kind = 'waiting' AND span_id IN {ids:Array(String)} WHERE project_id = {project:String} "
        "AND start_time >= fromUnixTimestamp64Nano({since:Int64}, 'UTC') ORDER BY version LIMIT 10000",
        {"project": project, "ids": list(span_ids), "since": since_ns},
    )
    return {row[0]: (row[1], row[2]) for row in table.rows}


@dataclass(frozen=True, slots=True, kw_only=True)
class Usual:
    """How one agent's traces of the last days went."""

    traces: int
    p50_ns: int
    p95_ns: int
    gap_ns: int
    """Time from one span to the next, in nineteen of twenty traces less."""
    cost_usd: str | None
    """On average."""


def usual(store: TraceStore, project: str, now_ns: int, agents: Sequence[str]) -> dict[str, Usual]:
    """What is usual for these agents, by agent."""
    if not agents:
        return {}
    # Without FINAL: an older version of a trace that was not merged yet moves no quantile, and this is read often.
    table = store.query(
        "SELECT agent, count(), quantilesExact(0.5, 0.95)(duration_ns), "
        "quantileExact(0.95)(duration_ns / greatest(spans, 1)), toString(avg(toFloat64(cost_usd))) "
        f"FROM {{db}}.trace WHERE project_id = {{project:String}} AND {_RECENT_DAYS} AND NOT open AND running_spans = 0 "
        "AND agent IN {agents:Array(String)} GROUP BY agent",
        {"project": project, "now": now_ns, "agents": list(agents)},
    )
    return {
        row[0]: Usual(traces=row[1], p50_ns=row[2][0], p95_ns=row[2][1], gap_ns=int(row[3]), cost_usd=row[4])
        for row in table.rows
    }


def agent_courses(
    store: TraceStore, project: str, since_ns: int, until_ns: int, *, bucket_s: int, spent_since_ns: int, rows_max: int
) -> list[dict[str, Any]]:
    """Every agent in every environment: its ``runs`` and ``failed`` by time bucket, and what it ``spent`` lately."""
    where = filtered(project, since_ns, until_ns, ())
    place = "toUInt32(intDiv(toUnixTimestamp(start_time) - {first:Int64}, {bucket:UInt32}))"
    return store.query(
        f"SELECT agent, environment, sumMap(map({place}, toUInt32(1))) AS runs, "
        f"sumMap(map({place}, toUInt32(status = 'error'))) AS failed, "
        "sumIf(cost_usd, start_time >= fromUnixTimestamp64Nano({spent:Int64}, 'UTC')) AS spent "
        f"FROM {{db}}.trace FINAL WHERE {where.sql} GROUP BY agent, environment ORDER BY agent LIMIT {{rows:UInt32}}",
        {
            **where.params,
            "first": since_ns // 1_000_000_000,
            "bucket": bucket_s,
            "spent": spent_since_ns,
            "rows": rows_max,
        },
        settings=READ_SETTINGS,
    ).dicts()


def horizon(store: TraceStore, project: str, since_ns: int) -> int:
    """When the newest row of a trace was written, in milliseconds; ``since_ns`` where none was written after it."""
    table = store.query(
        "SELECT max(version) FROM {db}.trace WHERE project_id = {project:String} "
        "AND received_day >= toDate(fromUnixTimestamp64Nano({since:UInt64}, 'UTC')) - {days:UInt32} "
        "AND version > {since:UInt64}",
        {"project": project, "since": since_ns, "days": OPEN_DAYS},
    )
    return max(int(table.rows[0][0]), since_ns) // 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Touched:
    """A trace that was written after some moment."""

    trace_id: str
    written_ms: int
    start_ns: int
    agent: str


def touched(store: TraceStore, project: str, since_ms: int, *, trace_id: str = "", limit: int) -> list[Touched]:
    """Traces written after a moment; at most ``limit``, the latest first."""
    chosen = "AND trace_id = {trace:String} " if trace_id else ""
    table = store.query(
        # The version is the moment of writing in nanoseconds, the same that the spans of the batch say they arrived at;
        # what a trace's row says of its arrival is when the server took its last span in.
        "SELECT trace_id, intDiv(max(version), 1000000) AS written_ms, "
        "min(toUnixTimestamp64Nano(start_time)), argMax(agent, version) "
        "FROM {db}.trace WHERE project_id = {project:String} "
        "AND received_day >= toDate(fromUnixTimestamp64Milli({since:Int64}, 'UTC')) - {days:UInt32} "
        f"AND version >= toUInt64({{since:Int64}} + 1) * 1000000 {chosen}"
        "GROUP BY trace_id ORDER BY written_ms DESC, trace_id LIMIT {limit:UInt32}",
        {"project": project, "since": since_ms, "days": OPEN_DAYS, "limit": limit, "trace": trace_id},
    )
    return [Touched(trace_id=row[0], written_ms=row[1], start_ns=row[2], agent=row[3]) for row in table.rows]


def arrived_spans(
    store: TraceStore,
    project: str,
    trace_ids: Sequence[str],
    *,
    after: tuple[int, int, str],
    until_ms: int,
    since_ns: int,
    limit: int,
    newest: bool = False,
) -> list[dict[str, Any]]:
    """The spans of these traces that arrived after a place in the order of arrival, start and id, up to a moment.

    The first ``limit`` of them, or the last where ``newest``; oldest first either way. A correction of a span that was
    there does not count: it keeps the moment of its arrival.
    """
    if not trace_ids:
        return []
    way = "DESC" if newest else "ASC"
    rows = store.query(
        f"SELECT trace_id, span_id, step, kind, {_LABEL} AS label, agent, environment, status, tool_error, duration_ns, "
        f"{TOTAL_TOKENS} AS tokens, cost_usd, substringUTF8(error_message, 1, 300) AS error_message, "
        "toUnixTimestamp64Nano(start_time) AS start_ns, toUnixTimestamp64Milli(received_at) AS received_ms "
        "FROM {db}.span WHERE project_id = {project:String} AND trace_id IN {ids:Array(String)} "
        "AND start_time >= fromUnixTimestamp64Nano({since:Int64}, 'UTC') "
        "AND received_at >= fromUnixTimestamp64Milli({ms:Int64}, 'UTC') "
        "AND received_at <= fromUnixTimestamp64Milli({until:Int64}, 'UTC') "
        "AND (received_ms, start_ns, span_id) > ({ms:Int64}, {start:Int64}, {span:String}) "
        f"ORDER BY received_ms {way}, start_ns {way}, span_id {way}, version DESC "
        "LIMIT 1 BY trace_id, span_id, received_ms "
        "LIMIT {limit:UInt32}",
        {
            "project": project,
            "ids": list(trace_ids),
            "since": since_ns,
            "ms": after[0],
            "start": after[1],
            "span": after[2],
            "until": until_ms,
            "limit": limit,
        },
    ).dicts()
    return rows[::-1] if newest else rows


def fitting(store: TraceStore, project: str, trace_ids: Sequence[str], conditions: Sequence[Condition]) -> set[str]:
    """Which of these traces fit a filter."""
    where = filtered(project, 86_400_000_000_000, LATEST_NS, conditions)
    table = store.query(
        f"SELECT trace_id FROM {{db}}.trace FINAL WHERE {where.sql} AND trace_id IN {{ids:Array(String)}}",
        {**where.params, "ids": list(trace_ids)},
        settings=READ_SETTINGS,
    )
    return {row[0] for row in table.rows}
