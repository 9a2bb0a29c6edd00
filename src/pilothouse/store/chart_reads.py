"""Reads for charts: time series, tables by dimension, facets, the heatmap, the fleet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .conditions import FACET_COLUMNS, TOTAL_TOKENS, TRACE_STATUS, Condition, Where, filtered
from .schema import TOKEN_BUCKETS
from .trace_reads import READ_SETTINGS
from .trace_store import TraceStore

_SUMS = ", ".join(f"sum({bucket}_tokens) AS {bucket}_sum" for bucket in TOKEN_BUCKETS)


# Bucket by bucket: most of them are nearly all zero, which the engine skips unless they are added up row by row.
_COUNTED_TOKENS = " + ".join(f"sumIf({bucket}_tokens, usage_scope != 'aggregate')" for bucket in TOKEN_BUCKETS)


# Exact, not sketched: over the traces of a week it costs the same, and the same question has the same answer.
def _quantiles(status: str) -> str:
    """The expression for p50, p95 and p99 of what has ended; an empty list where nothing has."""
    ended = f"{status} != 'running'"
    return f"if(countIf({ended}) = 0, [], quantilesExactIf(0.5, 0.95, 0.99)(duration_ns, {ended}))"


_QUANTILES = _quantiles("status_now")

DIMENSIONS: Mapping[str, str] = {
    "agent": "agent",
    "version": "agent_version",
    "environment": "environment",
    "user": "user_id",
}
"""What the overview breaks traces down by, and the column of each."""


def overview_sets(
    store: TraceStore, project: str, since_ns: int, until_ns: int, conditions: Sequence[Condition], *, bucket_s: int,
    rows_max: int
) -> list[dict[str, Any]]:  # fmt: skip
    """Counts, quantiles, money and tokens of traces: in all, by time bucket and by each dimension, in one pass.

    ``set_name`` is ``all``, ``time`` or a dimension; ``set_size`` is how many values it has. Dearest first; of each
    dimension ``rows_max`` rows, of time all.
    """
    where = filtered(project, since_ns, until_ns, conditions)
    columns = list(DIMENSIONS.values())
    sets = ", ".join(f"({name})" for name in ("bucket", *columns))
    names = "multiIf(grouping(bucket) = 0, 'time', " + ", ".join(
        f"grouping({column}) = 0, '{name}'" for name, column in DIMENSIONS.items()
    )
    value = "multiIf(grouping(bucket) = 0, toString(bucket), " + ", ".join(
        f"grouping({column}) = 0, {column}" for column in columns
    )
    return store.query(
        f"SELECT *, count() OVER (PARTITION BY set_name) AS set_size FROM ("
        f"SELECT {names}, 'all') AS set_name, {value}, '') AS value, count() AS traces, "
        f"countIf(status_now = 'error') AS failed, countIf(status_now = 'running') AS running, {_QUANTILES} AS quantiles, "
        f"sum(cost_usd) AS cost, sum(cost_unknown) AS unknown, {_SUMS} "
        f"FROM (SELECT *, {TRACE_STATUS} AS status_now, intDiv(toUnixTimestamp(start_time), {{bucket:UInt32}}) "
        f"* {{bucket:UInt32}} AS bucket FROM {{db}}.trace FINAL WHERE {where.sql}) "
        f"GROUP BY GROUPING SETS ({sets}, ())) "
        "ORDER BY set_name, cost DESC NULLS LAST, traces DESC, value "
        "LIMIT {rows:UInt32} BY set_name SETTINGS prefer_column_name_to_alias = 1",
        {**where.params, "bucket": bucket_s, "rows": rows_max},
        settings=READ_SETTINGS,
    ).dicts()


def model_table(
    store: TraceStore, project: str, since_ns: int, until_ns: int, conditions: Sequence[Condition], *, rows_max: int
) -> list[dict[str, Any]]:
    """Model calls by model, dearest first: calls, errors, quantiles, money, tokens; ``set_size`` as above."""
    where = spans_of_traces(project, since_ns, until_ns, conditions)
    return store.query(
        "SELECT model AS value, count() OVER () AS set_size, count() AS traces, countIf(status = 'error') AS failed, "
        f"{_quantiles('status')} AS quantiles, "
        "sumIf(cost_usd, usage_scope != 'aggregate') AS cost, "
        f"{_COUNTED_TOKENS} AS tokens, "
        "countIf(usage_scope = 'leaf' AND cost_usd IS NULL) AS unknown "
        f"FROM {{db}}.span FINAL WHERE {where.sql} AND kind = 'model' AND duplicate_of = '' GROUP BY model "
        "ORDER BY cost DESC NULLS LAST, traces DESC, value LIMIT {rows:UInt32}",
        {**where.params, "rows": rows_max},
        settings=READ_SETTINGS,
    ).dicts()


ANNOTATION_FACETS = {
    "label": "annotation FINAL WHERE project_id = {project:String} AND removed = 0 AND kind = 'label'",
    "score": "score FINAL WHERE project_id = {project:String} AND removed = 0",
}
"""Fields that are counted from what was written to traces: the rows their values are the names of."""


def facet_counts(
    store: TraceStore,
    project: str,
    since_ns: int,
    until_ns: int,
    conditions: Sequence[Condition],
    fields: Sequence[str],
    *,
    values_max: int,
) -> dict[str, tuple[list[tuple[str, int]], int]]:
    """Of each field the commonest values with their traces, and how many values there are. All in one pass."""
    where = filtered(project, since_ns, until_ns, conditions)
    plain = [name for name in fields if name in FACET_COLUMNS and not FACET_COLUMNS[name][1]]
    reads: list[str] = []
    if plain:
        # One pass for all fields with one value; those with several need a row for each.
        columns = ", ".join(f"toString({FACET_COLUMNS[name][0]}) AS {name}_value" for name in plain)
        sets = ", ".join(f"({name}_value)" for name in plain)
        which = ", ".join(f"grouping({name}_value) = 0, '{name}'" for name in plain)
        value = ", ".join(f"grouping({name}_value) = 0, {name}_value" for name in plain)
        reads.append(
            f"SELECT multiIf({which}, '') AS field, multiIf({value}, '') AS value, count() AS traces "
            f"FROM (SELECT {columns} FROM {{db}}.trace FINAL WHERE {where.sql}) GROUP BY GROUPING SETS ({sets})"
        )
    reads += [
        f"SELECT '{name}' AS field, arrayJoin(arrayDistinct({FACET_COLUMNS[name][0]}))::String AS value, "
        f"count() AS traces FROM {{db}}.trace FINAL WHERE {where.sql} GROUP BY value"
        for name in fields
        if name in FACET_COLUMNS and FACET_COLUMNS[name][1]
    ]
    reads += [
        f"SELECT '{name}' AS field, name::String AS value, uniqExact(trace_id) AS traces "
        f"FROM {{db}}.{ANNOTATION_FACETS[name]} AND trace_id IN (SELECT trace_id FROM {{db}}.trace FINAL WHERE {where.sql}) "
        "GROUP BY value"
        for name in fields
        if name in ANNOTATION_FACETS
    ]
    table = store.query(
        f"SELECT field, value, traces, count() OVER (PARTITION BY field) AS values FROM ({' UNION ALL '.join(reads)}) "
        "ORDER BY field, traces DESC, value LIMIT {values:UInt32} BY field",
        {**where.params, "values": values_max},
        settings=READ_SETTINGS,
    )
    found: dict[str, tuple[list[tuple[str, int]], int]] = {name: ([], 0) for name in fields}
    for name, value, traces, size in table.rows:
        found[name][0].append((value, traces))
        found[name] = (found[name][0], size)
    return found


def heatmap_cells(
    store: TraceStore, project: str, since_ns: int, until_ns: int, conditions: Sequence[Condition], *, bucket_s: int,
    rows_max: int
) -> list[tuple[int, int, int, int]]:  # fmt: skip
    """Traces by time bucket and by the power of two of their milliseconds: (second, row, traces, failed)."""
    where = filtered(project, since_ns, until_ns, conditions)
    table = store.query(
        "SELECT intDiv(toUnixTimestamp(start_time), {bucket:UInt32}) * {bucket:UInt32} AS second, "
        "toUInt8(least(greatest(floor(log2(greatest(duration_ns, 1) / 1e6)), 0), {top:UInt8})) AS power, "
        f"count(), countIf(({TRACE_STATUS}) = 'error') FROM {{db}}.trace FINAL WHERE {where.sql} "
        "GROUP BY second, power ORDER BY second, power",
        {**where.params, "bucket": bucket_s, "top": rows_max - 1},
        settings=READ_SETTINGS,
    )
    return [(row[0], row[1], row[2], row[3]) for row in table.rows]


def fleet_rows(store: TraceStore, project: str, since_ns: int, until_ns: int, *, rows_max: int) -> list[dict[str, Any]]:
    """Every agent in every environment: what it does now and how it did, busiest first."""
    where = filtered(project, since_ns, until_ns, ())
    return store.query(
        "SELECT agent, environment, maxMap(map(agent_version, toUnixTimestamp(start_time))) AS versions, "
        "count() AS traces, countIf(status_now = 'running') AS running, countIf(status_now = 'error') AS failed, "
        "countIf(status_now = 'running' AND received_at < now64(3) - INTERVAL 5 MINUTE) AS stuck, "
        f"{_QUANTILES} AS quantiles, sum(cost_usd) AS cost, sum({TOTAL_TOKENS}) AS tokens, "
        "max(toUnixTimestamp64Nano(start_time) + duration_ns) AS last_ns, "
        "sumMap(signals, arrayMap(x -> toUInt64(1), signals)) AS signal_counts "
        f"FROM (SELECT *, {TRACE_STATUS} AS status_now FROM {{db}}.trace FINAL WHERE {where.sql}) "
        "GROUP BY agent, environment ORDER BY traces DESC, agent, environment LIMIT {rows:UInt32}",
        {**where.params, "rows": rows_max},
        settings=READ_SETTINGS,
    ).dicts()


COST_DIMENSIONS: Mapping[str, str] = {
    "agent": "if(span_agent != '', span_agent, trace_agent)",
    "model": "model",
    "provider": "provider",
    "prompt": "prompt",
    "version": "trace_version",
    "user": "trace_user",
    "session": "trace_session",
    "env": "trace_environment",
    "service": "trace_service",
    "feature": "trace_feature",
    "trace": "trace_id",
    "day": "toString(toDate(start_time))",
}
"""What costs can be broken down by, and the expression of each."""

_OF_TRACES = ("version", "user", "session", "env", "service", "feature", "trace", "day")
"""Dimensions that the traces' own sums answer, without a look at their spans."""

_TRACE_COLUMNS = (
    "agent AS trace_agent, agent_version AS trace_version, user_id AS trace_user, session_id AS trace_session, "
    "environment AS trace_environment, service AS trace_service, feature AS trace_feature"
)


def cost_rows(
    store: TraceStore,
    project: str,
    since_ns: int,
    until_ns: int,
    conditions: Sequence[Condition],
    by: Sequence[str],
    *,
    rows_max: int,
) -> list[dict[str, Any]]:
    """Money and tokens of counted calls by some dimensions, dearest first; ``all_…`` columns sum over all rows."""
    keys = "".join(f"{COST_DIMENSIONS[name]} AS key{place}, " for place, name in enumerate(by))
    grouped = ", ".join(f"key{place}" for place in range(len(by)))
    if all(name in _OF_TRACES for name in by):
        where = filtered(project, since_ns, until_ns, conditions)
        counts = "sum(model_calls) AS calls, sum(cost_usd) AS cost, sum(cost_unknown) AS unknown, "
        source = (
            f"SELECT trace_id, start_time, {_TRACE_COLUMNS}, model_calls, cost_usd, cost_unknown, usage_ambiguous, "
            f"{_BUCKETS} FROM {{db}}.trace FINAL WHERE {where.sql}"
        )
        joined = ""
    else:
        where = spans_of_traces(project, since_ns, until_ns, conditions)
        counts = "count() AS calls, sum(cost_usd) AS cost, countIf(cost_usd IS NULL) AS unknown, "
        source = (
            "SELECT trace_id, agent AS span_agent, model, provider, start_time, cost_usd, usage_ambiguous, "
            "concat(prompt_name, if(prompt_version = '', '', '@'), prompt_version) AS prompt, "
            f"{_BUCKETS} FROM {{db}}.span FINAL WHERE {where.sql} AND usage_scope = 'leaf' AND duplicate_of = ''"
        )
        joined = _TRACE_JOIN if any("trace_" in COST_DIMENSIONS[name] for name in by if name != "trace") else ""
    return store.query(
        f"SELECT *, count() OVER () AS set_size, sum(cost) OVER () AS all_cost, sum(calls) OVER () AS all_calls, "
        "sum(unknown) OVER () AS all_unknown, sum(ambiguous) OVER () AS all_ambiguous FROM ("
        f"SELECT {keys}{counts} sum(usage_ambiguous) AS ambiguous, {_SUMS} "
        f"FROM ({source}) AS s {joined} {f'GROUP BY {grouped}' if grouped else ''}) "
        f"ORDER BY cost DESC NULLS LAST, calls DESC{', ' + grouped if grouped else ''} LIMIT {{rows:UInt32}}",
        {**where.params, "rows": rows_max},
        settings=READ_SETTINGS,
    ).dicts()


_BUCKETS = ", ".join(f"{bucket}_tokens" for bucket in TOKEN_BUCKETS)
# Who it was for stands with the trace: emitters seldom repeat it on every call.
_TRACE_JOIN = (
    f"LEFT ANY JOIN (SELECT trace_id, {_TRACE_COLUMNS} FROM {{db}}.trace FINAL WHERE project_id = {{project:String}} "
    "AND received_day >= toDate(fromUnixTimestamp64Nano(greatest({since:Int64}, 172800000000000), 'UTC')) - 2) AS t "
    "USING (trace_id)"
)


def spans_of_traces(project: str, since_ns: int, until_ns: int, conditions: Sequence[Condition]) -> Where:
    """The condition on ``span`` for a project, a time range and filters on traces."""
    where = filtered(project, since_ns, until_ns, ())
    if conditions:
        chosen = filtered(project, since_ns, until_ns, conditions)
        where.add(f"trace_id IN (SELECT trace_id FROM {{db}}.trace FINAL WHERE {chosen.sql})", **chosen.params)
    return where
