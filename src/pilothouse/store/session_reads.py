"""Reads of sessions: the traces of one conversation, taken together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .conditions import TOTAL_TOKENS, TRACE_STATUS, Condition, Where, filtered
from .trace_reads import READ_SETTINGS, Found, Order
from .trace_store import TraceStore

_KEYS: Mapping[str, tuple[str, str]] = {
    "newest": ("max(toUnixTimestamp64Nano(start_time))", "DESC"),
    "oldest": ("min(toUnixTimestamp64Nano(start_time))", "ASC"),
    "slowest": ("sum(duration_ns)", "DESC"),
    "dearest": ("ifNull(toInt64(sum(toFloat64(cost_usd)) * 1e9), -1)", "DESC"),
    "tokens": (f"toInt64(sum({TOTAL_TOKENS}))", "DESC"),
    "errors": ("toInt64(sum(errors))", "DESC"),
    "spans": ("toInt64(sum(spans))", "DESC"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundSession:
    """One session of a list."""

    session_id: str
    key: int
    """The value sorted by."""


def find_sessions(
    store: TraceStore,
    project: str,
    since_ns: int,
    until_ns: int,
    conditions: Sequence[Condition],
    *,
    order: Order,
    limit: int,
    after: tuple[int, str] | None = None,
) -> tuple[list[FoundSession], int]:
    """Sessions with a trace that fits, in order, and how many there are (0 where ``after`` is given)."""
    where = _with_trace(project, since_ns, until_ns, conditions)
    key, direction = _KEYS[order]
    total, beyond = "count() OVER ()", ""
    if after is not None:
        total = "0"
        sign = "<" if direction == "DESC" else ">"
        where.params.update(after_key=after[0], after_id=after[1])
        beyond = (
            f"WHERE sort_key {sign} {{after_key:Int64}} "
            "OR sort_key = {after_key:Int64} AND session_id > {after_id:String}"
        )
    table = store.query(
        f"SELECT session_id, sort_key, {total} FROM (SELECT session_id, {key} AS sort_key "
        f"FROM {{db}}.trace FINAL WHERE {where.sql} GROUP BY session_id) {beyond} "
        f"ORDER BY sort_key {direction}, session_id LIMIT {{limit:UInt32}}",
        {**where.params, "limit": limit},
        settings=READ_SETTINGS,
    )
    found = [FoundSession(session_id=row[0], key=row[1]) for row in table.rows]
    return found, table.rows[0][2] if table.rows else 0


def session_rows(
    store: TraceStore, project: str, session_ids: Sequence[str], since_ns: int, until_ns: int
) -> dict[str, dict[str, Any]]:
    """The sums over the turns that these sessions have in a time range, by session id."""
    where = filtered(project, since_ns, until_ns, ())
    where.add("session_id IN {sessions:Array(String)}", sessions=list(session_ids))
    table = store.query(
        "SELECT session_id, argMaxIf(user_id, start_time, user_id != '') AS user_id, argMax(agent, start_time) AS agent, "
        "argMax(environment, start_time) AS environment, count() AS traces, countIf(status_now = 'error') AS failed, "
        "countIf(status_now = 'running') AS running, toUnixTimestamp64Nano(min(start_time)) AS start_ns, "
        "max(toUnixTimestamp64Nano(start_time) + duration_ns) AS end_ns, sum(spans) AS spans, "
        "sum(model_calls) AS model_calls, sum(tool_calls) AS tool_calls, sum(errors) AS errors, "
        f"sum({TOTAL_TOKENS}) AS tokens, sum(cost_usd) AS cost, "
        "argMin(substring(input_text, 1, 200), start_time) AS first_input, "
        "argMax(substring(output_text, 1, 200), start_time) AS last_output "
        f"FROM (SELECT *, {TRACE_STATUS} AS status_now FROM {{db}}.trace FINAL WHERE {where.sql}) "
        "GROUP BY session_id SETTINGS prefer_column_name_to_alias = 1",
        where.params,
        settings=READ_SETTINGS,
    )
    return {row["session_id"]: row for row in table.dicts()}


def turns(
    store: TraceStore, project: str, session_id: str, *, limit: int, after: tuple[int, str] | None = None
) -> list[Found]:
    """The traces of a session, oldest first."""
    params: dict[str, Any] = {"project": project, "session": session_id, "limit": limit}
    beyond = ""
    if after is not None:
        params.update(after_key=after[0], after_id=after[1])
        beyond = "AND (start_ns > {after_key:Int64} OR start_ns = {after_key:Int64} AND trace_id > {after_id:String}) "
    table = store.query(
        "SELECT trace_id, toUnixTimestamp64Nano(start_time) AS start_ns, received_day FROM {db}.trace FINAL "
        f"WHERE project_id = {{project:String}} AND session_id = {{session:String}} {beyond}"
        "ORDER BY start_ns, trace_id LIMIT {limit:UInt32}",
        params,
        settings=READ_SETTINGS,
    )
    return [Found(trace_id=row[0], key=row[1], received_day=row[2]) for row in table.rows]


def _with_trace(project: str, since_ns: int, until_ns: int, conditions: Sequence[Condition]) -> Where:
    """The traces of sessions of which one trace fits: sums go over all turns, not over those that fit."""
    where = filtered(project, since_ns, until_ns, ())
    where.add("session_id != ''")
    if conditions:
        chosen = filtered(project, since_ns, until_ns, conditions)
        where.add(f"session_id IN (SELECT session_id FROM {{db}}.trace FINAL WHERE {chosen.sql})", **chosen.params)
    return where
