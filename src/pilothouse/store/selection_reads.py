"""Reads of many: the spans of the traces a filter finds, and traces grouped by what is known of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from .conditions import ARRIVED, TOTAL_TOKENS, TRACE_STATUS, Condition, Where, filtered
from .trace_reads import READ_SETTINGS, Found
from .trace_store import TraceStore

_PLAIN: Final[Mapping[str, str]] = {
    "id": "trace_id",
    "status": f"({TRACE_STATUS})",
    "agent": "agent",
    "version": "agent_version",
    "user": "user_id",
    "session": "session_id",
    "env": "environment",
    "service": "service",
    "feature": "feature",
    "name": "root_name",
    "day": "toString(toDate(start_time, 'UTC'))",
    "hour": "formatDateTime(toStartOfHour(start_time, 'UTC'), '%Y-%m-%dT%H:00:00Z', 'UTC')",
}
# A trace with several counts once in the group of each.
_LISTS: Final[Mapping[str, str]] = {"model": "models", "tool": "tools", "tag": "tags", "signal": "signals"}
_MAPS: Final[Mapping[str, str]] = {"attr.": "attributes", "resource.": "resource"}

GROUP_FIELDS: Final = (*_PLAIN, *_LISTS, "attr.KEY", "resource.KEY")
"""What traces can be grouped by. An attribute may stand on any span of the trace; the earliest counts."""

_SPAN = f"""
trace_id, span_id, parent_span_id, step, kind, name, agent, model, status, error_type,
substringUTF8(error_message, 1, 300) AS error_message, toUnixTimestamp64Nano(start_time) AS start_ns, duration_ns,
ttft_ns, if(usage_scope = 'aggregate', 0, {TOTAL_TOKENS}) AS tokens, toFloat64(cost_usd) AS cost, tool_name,
substringUTF8(tool_error, 1, 300) AS tool_error, finish_reason, session_id, prompt_name, prompt_version"""
_CONTENT = (
    "substringUTF8(input_text, 1, 1000) AS input_text, substringUTF8(output_text, 1, 1000) AS output_text, attributes"
)

_FIGURES = """
count() AS traces, countIf(status_now = 'error') AS failed, countIf(errors > 0) AS with_errors,
countIf(notEmpty(signals)) AS with_signals, sum(spans) AS span_count, sum(model_calls) AS model_call_count,
sum(tool_calls) AS tool_call_count, sum(tokens) AS token_count, toFloat64(sum(cost_usd)) AS cost,
avg(duration_ns) AS mean_ns, quantile(0.5)(duration_ns) AS p50_ns, quantile(0.95)(duration_ns) AS p95_ns,
min(start_ns) AS first_ns, max(start_ns) AS last_ns"""


def is_group_field(name: str) -> bool:
    """True for what traces can be grouped by."""
    return name in _PLAIN or name in _LISTS or any(name.startswith(one) and len(name) > len(one) for one in _MAPS)


def spans_of(
    store: TraceStore,
    project: str,
    found: Sequence[Found],
    *,
    kind: str = "",
    name: str = "",
    content: bool = False,
    per_trace: int,
) -> list[dict[str, Any]]:
    """The spans of these traces, trace by trace in the given order, each by start time; at most so many of a trace."""
    if not found:
        return []
    # Traces of a list start within its range; a span cannot have arrived before the trace's first day.
    where = Where()
    where.add("project_id = {project:String}", project=project)
    where.add("trace_id IN {ids:Array(String)}", ids=[item.trace_id for item in found])
    where.add("received_day >= {day:Date}", day=min(item.received_day for item in found))
    if kind:
        where.add("kind = {kind:String}", kind=kind)
    if name:
        where.add("(name = {name:String} OR tool_name = {name:String})", name=name)
    columns = f"{_SPAN}, {_CONTENT}" if content else _SPAN
    rows = store.query(
        f"SELECT {columns} FROM {{db}}.span FINAL WHERE {where.sql} ORDER BY trace_id, start_ns, span_id "
        "LIMIT {per_trace:UInt32} BY trace_id",
        {**where.params, "per_trace": per_trace},
        settings=READ_SETTINGS,
    ).dicts()
    place = {item.trace_id: number for number, item in enumerate(found)}
    return sorted(rows, key=lambda row: place[row["trace_id"]])


@dataclass(frozen=True, slots=True, kw_only=True)
class Grouped:
    """Groups, those with the most traces first."""

    rows: list[dict[str, Any]]
    """One for each group: ``by`` (values in the order of the fields), the figures, ``scores`` (name: mean)."""
    total: int
    """How many groups there are in all."""


def grouped(
    store: TraceStore,
    project: str,
    since_ns: int,
    until_ns: int,
    conditions: Sequence[Condition],
    by: Sequence[str],
    *,
    limit: int,
) -> Grouped:
    """The traces that fit, counted and summed in groups by these fields."""
    where = filtered(project, since_ns, until_ns, conditions)
    inner, names = _traces_with(where, by)
    groups = ", ".join(names)
    table = store.query(
        f"SELECT {groups}, {_FIGURES}, count() OVER () AS total FROM ({inner}) GROUP BY {groups} "
        f"ORDER BY traces DESC, {groups} LIMIT {{limit:UInt32}}",
        {**where.params, "limit": limit},
        settings=READ_SETTINGS,
    )
    rows: list[dict[str, Any]] = []
    for row in table.rows:
        figures = dict(zip(table.columns[len(by) :], row[len(by) :], strict=True))
        rows.append({**figures, "by": row[: len(by)], "scores": {}})
    total = int(rows[0]["total"]) if rows else 0
    places: dict[tuple[str, ...], dict[str, float]] = {tuple(row["by"]): row["scores"] for row in rows}
    scores = store.query(
        f"SELECT {groups}, score_name, avg(score_value) FROM ({inner}) AS traces INNER JOIN ("
        "SELECT trace_id AS scored_id, name AS score_name, avg(value) AS score_value FROM {db}.score FINAL "
        "WHERE project_id = {project:String} AND removed = 0 AND trace_id != '' AND isNotNull(value) "
        f"GROUP BY scored_id, score_name) AS scores ON traces.trace_id = scores.scored_id GROUP BY {groups}, score_name",
        where.params,
        settings=READ_SETTINGS,
    )
    for row in scores.rows:
        place = places.get(tuple(row[: len(by)]))
        if place is not None:
            place[row[-2]] = row[-1]
    return Grouped(rows=rows, total=total)


def _traces_with(where: Where, by: Sequence[str]) -> tuple[str, list[str]]:
    """A subquery with one row a trace (and list value), and the names of the columns to group by."""
    columns: list[str] = []
    joined: list[str] = []
    for number, field in enumerate(by):
        if field in _PLAIN:
            columns.append(f"{_PLAIN[field]} AS g{number}")
        elif field in _LISTS:
            column = _LISTS[field]
            columns.append(f"arrayJoin(if(empty({column}), [''], arrayDistinct({column}))) AS g{number}")
        else:
            prefix = next(one for one in _MAPS if field.startswith(one))
            key = f"{_MAPS[prefix]}[{{{where.name(field.removeprefix(prefix))}:String}}]"
            joined.append(f"argMinIf({key}, start_time, {key} != '') AS a{number}")
            columns.append(f"a{number} AS g{number}")
    base = (
        f"SELECT {', '.join(columns)}, trace_id, {TRACE_STATUS} AS status_now, errors, signals, spans, model_calls, "
        f"tool_calls, {TOTAL_TOKENS} AS tokens, cost_usd, duration_ns, toUnixTimestamp64Nano(start_time) AS start_ns "
        "FROM (SELECT * FROM {db}.trace FINAL WHERE " + where.sql + ") AS found"
    )
    if joined:
        # What a trace holds cannot have started before it.
        base += (
            f" LEFT JOIN (SELECT trace_id AS spans_of, {', '.join(joined)} FROM {{db}}.span FINAL "
            f"WHERE project_id = {{project:String}} AND {ARRIVED} "
            "AND start_time >= fromUnixTimestamp64Nano({since:Int64}, 'UTC') - 60 "
            "AND trace_id IN (SELECT trace_id FROM {db}.trace FINAL WHERE " + where.sql + ") "
            "GROUP BY spans_of) AS noted ON found.trace_id = noted.spans_of"
        )
    return base, [f"g{number}" for number in range(len(by))]
