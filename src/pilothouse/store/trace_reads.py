"""Reads of traces: which ones a filter finds, their rows, their spans, the content of one span."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from .conditions import LATEST_NS, TOTAL_TOKENS, TRACE_STATUS, Condition, filtered
from .schema import SPAN, TOKEN_BUCKETS
from .trace_store import TraceStore

READ_SETTINGS: Mapping[str, Any] = {
    # A trace keeps the day of its first arrival for all its rows, so versions of a row never lie in two partitions.
    "do_not_merge_across_partitions_select_final": 1,
    # On a cluster a subquery is answered once by all nodes, not by each from its own rows.
    "distributed_product_mode": "global",
}
"""For reads of ``trace`` and ``span`` with FINAL. Not for ``message``: each day stores its own copy there."""

_COLUMN_SETTINGS: Mapping[str, Any] = {
    **READ_SETTINGS,
    "output_format_json_quote_decimals": 1,
    "output_format_json_quote_64bit_integers": 0,
    "output_format_json_quote_denormals": 0,
}

Order = Literal["newest", "oldest", "slowest", "dearest", "tokens", "errors", "spans"]

_START = "toUnixTimestamp64Nano(start_time)"
_KEYS: Mapping[str, tuple[str, str]] = {
    "newest": (_START, "DESC"),
    "oldest": (_START, "ASC"),
    "slowest": ("duration_ns", "DESC"),
    # In billionths of a dollar; unknown cost comes last.
    "dearest": ("ifNull(toInt64(toFloat64(cost_usd) * 1e9), -1)", "DESC"),
    "tokens": (f"toInt64({TOTAL_TOKENS})", "DESC"),
    "errors": ("toInt64(errors)", "DESC"),
    "spans": ("toInt64(spans)", "DESC"),
}

_TOKENS = ", ".join(f"{bucket}_tokens" for bucket in TOKEN_BUCKETS)
_ROW = f"""
trace_id, root_span_id, root_name, agent, agent_version, agents, models, tools, dialects, {TRACE_STATUS} AS status_now,
{_START} AS start_ns, duration_ns, spans, model_calls, tool_calls, errors, duplicates, orphans, {_TOKENS}, cost_usd,
cost_unknown, usage_gap, session_id, user_id, environment, service, feature, tags, signals,
substring(input_text, 1, {{chars:UInt32}}) AS input_text, substring(output_text, 1, {{chars:UInt32}}) AS output_text,
substring(first_error, 1, {{chars:UInt32}}) AS first_error"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One trace of a list: enough to fetch its row and to go on after it."""

    trace_id: str
    key: int
    """The value sorted by."""
    received_day: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundPage:
    """Traces in order, and how many fit in all."""

    traces: tuple[Found, ...]
    total: int


def find_traces(
    store: TraceStore,
    project: str,
    since_ns: int,
    until_ns: int,
    conditions: Sequence[Condition],
    *,
    order: Order,
    limit: int,
    after: tuple[int, str] | None = None,
    spans_until_ns: int = LATEST_NS,
) -> FoundPage:
    """The ids of the traces that fit, in order; ``after`` is the key and id of the last one already seen.

    The total is 0 where ``after`` is given: whoever goes on knows it from the first page.
    """
    where = filtered(project, since_ns, until_ns, conditions, spans_until_ns=spans_until_ns)
    key, direction = _KEYS[order]
    total = "count() OVER ()"
    if after is not None:
        total = "0"
        beyond = "<" if direction == "DESC" else ">"
        where.add(
            f"({key} {beyond} {{after_key:Int64}} OR {key} = {{after_key:Int64}} AND trace_id > {{after_id:String}})",
            after_key=after[0],
            after_id=after[1],
        )
    table = store.query(
        f"SELECT trace_id, {key} AS sort_key, received_day, {total} FROM {{db}}.trace FINAL WHERE {where.sql} "
        f"ORDER BY sort_key {direction}, trace_id LIMIT {{limit:UInt32}}",
        {**where.params, "limit": limit},
        settings=READ_SETTINGS,
    )
    found = tuple(Found(trace_id=row[0], key=row[1], received_day=row[2]) for row in table.rows)
    return FoundPage(traces=found, total=table.rows[0][3] if table.rows else 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """What lies in a time range, roughly: versions of a trace not merged yet count each."""

    traces: int
    longest_ns: int


def extent(store: TraceStore, project: str, since_ns: int, until_ns: int) -> Extent:
    """How many traces started in a range, and how long the longest took."""
    where = filtered(project, since_ns, until_ns, ())
    sql = f"SELECT count(), max(duration_ns) FROM {{db}}.trace WHERE {where.sql}"
    ((traces, longest),) = store.query(sql, where.params).rows
    return Extent(traces=traces, longest_ns=longest)


def any_trace(store: TraceStore, project: str, since_ns: int, until_ns: int, conditions: Sequence[Condition]) -> bool:
    """True where at least one trace fits."""
    where = filtered(project, since_ns, until_ns, conditions)
    table = store.query(
        f"SELECT 1 FROM {{db}}.trace FINAL WHERE {where.sql} LIMIT 1", where.params, settings=READ_SETTINGS
    )
    return bool(table.rows)


def trace_rows(
    store: TraceStore, project: str, found: Sequence[Found], *, chars: int = 200
) -> dict[str, dict[str, Any]]:
    """The rows of these traces by id, texts cut to ``chars``."""
    if not found:
        return {}
    # No FINAL: with the ids and days known, the newest version of few rows is picked faster than all are merged.
    table = store.query(
        f"SELECT {_ROW} FROM {{db}}.trace WHERE project_id = {{project:String}} "
        "AND received_day IN {days:Array(Date)} AND trace_id IN {ids:Array(String)} "
        "ORDER BY version DESC LIMIT 1 BY trace_id",
        {
            "project": project,
            "days": sorted({item.received_day for item in found}),
            "ids": [item.trace_id for item in found],
            "chars": chars,
        },
    )
    return {row["trace_id"]: row for row in table.dicts()}


def trace_row(store: TraceStore, project: str, trace_id: str, *, chars: int = 1000) -> dict[str, Any] | None:
    """The row of one trace, None where there is none."""
    table = store.query(
        f"SELECT {_ROW} FROM {{db}}.trace WHERE project_id = {{project:String}} AND trace_id = {{id:String}} "
        "ORDER BY version DESC LIMIT 1",
        {"project": project, "id": trace_id, "chars": chars},
    )
    rows = table.dicts()
    return rows[0] if rows else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """When a trace ran: bounds the read of its spans to a few granules."""

    start_ns: int
    end_ns: int


_OF_TRACE = (
    "project_id = {project:String} AND trace_id = {id:String} "
    "AND start_time >= fromUnixTimestamp64Nano({start:Int64}, 'UTC') "
    "AND start_time <= fromUnixTimestamp64Nano({end:Int64}, 'UTC')"
)

_LIGHT = f"""
span_id, parent_span_id, {_START} AS start_ns, duration_ns, kind, name, agent, agent_version, model, provider, dialect,
status, error_type, substringUTF8(error_message, 1, 300) AS error_message, tool_name, tool_call_id,
substringUTF8(tool_error, 1, 300) AS tool_error, ttft_ns, {_TOKENS}, usage_scope, duplicate_of, cost_usd, finish_reason,
substringUTF8(input_text, 1, 120) AS input_head, substringUTF8(output_text, 1, 120) AS output_head, notes"""

_COLUMNAR = (
    f"span_id, parent_span_id, {_START} AS start_ns, duration_ns, kind, "
    "multiIf(kind = 'tool' AND tool_name != '', tool_name, kind = 'model' AND model != '', model, "
    "kind = 'agent' AND agent != '', agent, name) AS label, "
    "multiIf(status = 'error', 1, status = 'running', 2, tool_error != '', 3, 0) AS status_code, "
    f"if(usage_scope = 'aggregate' OR duplicate_of != '', 0, {TOTAL_TOKENS}) AS tokens, "
    "if(usage_scope = 'aggregate' OR duplicate_of != '', 0, ifNull(toFloat64(cost_usd), 0)) AS cost"
)


def light_spans(
    store: TraceStore, project: str, trace_id: str, stretch: Stretch, *, limit: int, span_ids: Sequence[str] = ()
) -> list[list[Any]]:
    """The spans of a trace without their content, by start time: one list for each of ``LIGHT_COLUMNS``."""
    return _columns(store, project, trace_id, stretch, _LIGHT, limit, span_ids)


def columnar_spans(store: TraceStore, project: str, trace_id: str, stretch: Stretch, *, limit: int) -> list[list[Any]]:
    """What a waterfall draws of the spans of a trace, by start time: one list for each of ``COLUMNAR_COLUMNS``."""
    return _columns(store, project, trace_id, stretch, _COLUMNAR, limit)


def placed_spans(store: TraceStore, project: str, trace_id: str, stretch: Stretch, *, limit: int) -> list[list[Any]]:
    """What numbers the spans of a trace: lists of span ids, parents' ids and starts in nanoseconds."""
    return _columns(store, project, trace_id, stretch, f"span_id, parent_span_id, {_START} AS start_ns", limit)


def tool_results(store: TraceStore, project: str, trace_id: str, stretch: Stretch, *, limit: int) -> list[list[Any]]:
    """Of the tool calls of a trace: a list of their ids and one of how their results begin."""
    columns = f"tool_call_id, substringUTF8(output_text, 1, 100) AS head, {_START} AS start_ns, span_id"
    return _columns(store, project, trace_id, stretch, columns, limit, kind="tool")[:2]


LIGHT_COLUMNS = (
    *("span_id", "parent_span_id", "start_ns", "duration_ns", "kind", "name", "agent", "agent_version", "model"),
    *("provider", "dialect", "status", "error_type", "error_message", "tool_name", "tool_call_id", "tool_error"),
    *("ttft_ns", *(f"{bucket}_tokens" for bucket in TOKEN_BUCKETS), "usage_scope", "duplicate_of", "cost_usd"),
    *("finish_reason", "input_head", "output_head", "notes"),
)
COLUMNAR_COLUMNS = (
    "span_id",
    "parent_span_id",
    "start_ns",
    "duration_ns",
    "kind",
    "label",
    "status_code",
    "tokens",
    "cost",
)


def _columns(
    store: TraceStore,
    project: str,
    trace_id: str,
    stretch: Stretch,
    columns: str,
    limit: int,
    span_ids: Sequence[str] = (),
    kind: str = "",
) -> list[list[Any]]:
    params: dict[str, Any] = {"project": project, "id": trace_id, "limit": limit}
    params.update(start=stretch.start_ns, end=stretch.end_ns)
    where = _OF_TRACE
    if span_ids:
        where += " AND span_id IN {spans:Array(String)}"
        params["spans"] = list(span_ids)
    if kind:
        where += " AND kind = {kind:String}"
        params["kind"] = kind
    sql = f"SELECT {columns} FROM {{db}}.span FINAL WHERE {where} ORDER BY start_ns, span_id LIMIT {{limit:UInt32}}"
    # Columns, not rows: of fifty thousand spans they are read back three times as fast.
    body = store.engine.execute(
        sql.replace("{db}", store.database), params, settings=_COLUMN_SETTINGS, format="JSONCompactColumns"
    )
    return orjson.loads(body)


WIDE_COLUMNS = ", ".join(
    name for name in SPAN.column_names if name not in ("project_id", "step", "received_day", "version", "start_time")
)


def whole_span(store: TraceStore, project: str, trace_id: str, span_id: str, stretch: Stretch) -> dict[str, Any] | None:
    """Every column of one span, ``start_ns`` instead of ``start_time``; None where it is gone."""
    # No FINAL: it would read all columns of whole granules before it looks at the id.
    rows = store.query(
        f"SELECT {WIDE_COLUMNS}, {_START} AS start_ns FROM {{db}}.span WHERE {_OF_TRACE} AND span_id = {{span:String}} "
        "ORDER BY version DESC LIMIT 1",
        {
            "project": project,
            "id": trace_id,
            "span": span_id,
            "start": stretch.start_ns,
            "end": stretch.end_ns,
        },
    ).dicts()
    return rows[0] if rows else None


def whole_texts(
    store: TraceStore, project: str, trace_id: str, span_ids: Sequence[str], stretch: Stretch
) -> dict[str, tuple[str, str, int]]:
    """By span id: the input and output as the row holds them, and how many contents it refers to."""
    found: dict[str, tuple[str, str, int]] = {}
    for first in range(0, len(span_ids), 10_000):
        table = store.query(
            "SELECT span_id, input_text, output_text, length(input_refs) + length(output_refs) FROM {db}.span FINAL "
            f"WHERE {_OF_TRACE} AND span_id IN {{spans:Array(String)}}",
            {
                "project": project,
                "id": trace_id,
                "start": stretch.start_ns,
                "end": stretch.end_ns,
                "spans": list(span_ids[first : first + 10_000]),
            },
            settings=READ_SETTINGS,
        )
        found.update((row[0], (row[1], row[2], row[3])) for row in table.rows)
    return found


def events(store: TraceStore, project: str, trace_id: str, span_id: str) -> list[dict[str, Any]]:
    """The events of one span, in order, at most 1,000."""
    return store.query(
        "SELECT toUnixTimestamp64Nano(time) AS time_ns, name, attributes FROM {db}.event FINAL "
        "WHERE project_id = {project:String} AND trace_id = {id:String} AND span_id = {span:String} "
        "ORDER BY position LIMIT 1000",
        {"project": project, "id": trace_id, "span": span_id},
    ).dicts()


SCORE_COLUMNS = (
    "trace_id, span_id, name, value, label, explanation, if(actor != '', actor, source) AS judge, actor_kind, run, "
    "if(actor != '', score_id, '') AS written_id, toUnixTimestamp64Nano(time) AS time_ns"
)


def scores(store: TraceStore, project: str, trace_id: str) -> list[dict[str, Any]]:
    """The scores of a trace and its spans, oldest first, at most 1,000."""
    return store.query(
        f"SELECT {SCORE_COLUMNS} FROM {{db}}.score FINAL WHERE project_id = {{project:String}} "
        "AND trace_id = {id:String} AND removed = 0 ORDER BY time LIMIT 1000",
        {"project": project, "id": trace_id},
    ).dicts()


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """Something whose id begins as asked for."""

    kind: Literal["trace", "span", "session"]
    id: str
    trace_id: str


def candidates(store: TraceStore, project: str, prefix: str, *, limit: int = 11) -> list[Candidate]:
    """Traces, spans and sessions whose id is or begins with ``prefix``: a whole id alone, else all that begin so."""
    params = {"project": project, "prefix": prefix, "limit": limit}
    found: list[Candidate] = []
    hexadecimal = prefix.strip("0123456789abcdef") == ""
    if hexadecimal and len(prefix) <= 32:
        table = store.query(
            "SELECT DISTINCT trace_id FROM {db}.trace WHERE project_id = {project:String} "
            "AND trace_id >= {prefix:String} AND startsWith(trace_id, {prefix:String}) ORDER BY trace_id LIMIT {limit:UInt32}",
            params,
        )
        found += [Candidate(kind="trace", id=row[0], trace_id=row[0]) for row in table.rows]
    if not found and hexadecimal and len(prefix) <= 16:
        fits = "span_id = {prefix:String}" if len(prefix) == 16 else "startsWith(span_id, {prefix:String})"
        table = store.query(
            f"SELECT DISTINCT span_id, trace_id FROM {{db}}.span WHERE project_id = {{project:String}} AND {fits} "
            "ORDER BY span_id, trace_id LIMIT {limit:UInt32}",
            params,
        )
        found += [Candidate(kind="span", id=row[0], trace_id=row[1]) for row in table.rows]
    return found or session_candidates(store, project, prefix, limit=limit)


def session_candidates(store: TraceStore, project: str, prefix: str, *, limit: int = 11) -> list[Candidate]:
    """Sessions whose id is or begins with ``prefix``: a whole id alone, else all that begin so, in order."""
    table = store.query(
        "SELECT session_id, session_id = {prefix:String} AS same FROM {db}.trace "
        "WHERE project_id = {project:String} AND session_id != '' AND startsWith(session_id, {prefix:String}) "
        "GROUP BY session_id ORDER BY same DESC, session_id LIMIT {limit:UInt32}",
        {"project": project, "prefix": prefix, "limit": limit},
    )
    rows = table.rows[:1] if table.rows and table.rows[0][1] else table.rows
    return [Candidate(kind="session", id=row[0], trace_id="") for row in rows]


def last_trace(store: TraceStore, project: str, *, failed: bool) -> str:
    """The id of the newest trace (that failed); empty where there is none."""
    for days in (1, 7, 3650):
        # Newest day first: the whole history is sorted only where the last week is empty.
        condition = f"AND received_day >= today() - {days}"
        condition += f" AND ({TRACE_STATUS} = 'error' OR errors > 0)" if failed else ""
        table = store.query(
            f"SELECT trace_id FROM {{db}}.trace FINAL WHERE project_id = {{project:String}} {condition} "
            "ORDER BY start_time DESC, trace_id LIMIT 1",
            {"project": project},
            settings=READ_SETTINGS,
        )
        if table.rows:
            return str(table.rows[0][0])
    return ""
