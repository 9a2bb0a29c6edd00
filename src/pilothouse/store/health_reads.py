"""What keeps the recorded picture from being the whole truth, and what the store holds: the SQL of doctor and stats."""

from __future__ import annotations

from typing import Any

from .schema import TABLES
from .trace_store import TraceStore

_IN_WINDOW = (
    "project_id = {project:String} AND received_day >= toDate(fromUnixTimestamp64Nano({since:Int64}, 'UTC')) - 1 "
    "AND start_time >= fromUnixTimestamp64Nano({since:Int64}, 'UTC') "
    "AND start_time < fromUnixTimestamp64Nano({until:Int64}, 'UTC')"
)

_CHECKS = {
    "orphans": ("trace", "orphans > 0", "sum(orphans)", "trace_id"),
    "double_instrumented": ("trace", "duplicates > 0", "sum(duplicates)", "trace_id"),
    "unknown_prices": ("span", "cost_source = 'unknown model' AND usage_scope != 'aggregate'", "count()", "concat(provider, ' ', model)"),
    "ambiguous_usage": ("span", "usage_ambiguous AND usage_scope != 'aggregate'", "count()", "scope_name"),
    "unknown_dialect": ("span", "dialect = 'plain' AND kind = 'other'", "count()", "scope_name"),
    "skewed_clocks": ("span", "arrayExists(n -> startsWith(n, 'clock:'), notes)", "count()", "service"),
    "usage_gap": ("trace", "usage_gap != 0", "count()", "trace_id"),
    "stale_running": (
        "trace",
        "(open OR running_spans > 0) AND received_at < now64(3) - INTERVAL 10 MINUTE",
        "count()",
        "trace_id",
    ),
}  # fmt: skip


def check(
    store: TraceStore, project: str, name: str, since_ns: int, until_ns: int
) -> tuple[int, int, list[dict[str, Any]]]:
    """One check: how many, in how many rows, and up to five examples with their count, the most frequent first."""
    table, where, measure, example = _CHECKS[name]
    params = {"project": project, "since": since_ns, "until": until_ns}
    rows = store.query(
        f"SELECT {example} AS example, {measure} AS times, sum(times) OVER () AS total, count() OVER () AS kinds "
        f"FROM {{db}}.{table} FINAL WHERE {_IN_WINDOW} AND {where} GROUP BY example ORDER BY times DESC, example LIMIT 5",
        params,
    ).dicts()
    if not rows:
        return 0, 0, []
    return (
        int(rows[0]["total"]),
        int(rows[0]["kinds"]),
        [{"what": row["example"], "count": int(row["times"])} for row in rows],
    )


def spans_in(store: TraceStore, project: str, since_ns: int, until_ns: int) -> int:
    """How many spans started in the window."""
    params = {"project": project, "since": since_ns, "until": until_ns}
    return int(store.query(f"SELECT count() FROM {{db}}.span FINAL WHERE {_IN_WINDOW}", params).rows[0][0])


def table_sizes(store: TraceStore) -> list[dict[str, Any]]:
    """Every stored table with rows, bytes on disk and before compression, and parts. The whole store, all projects."""
    found = store.query(
        "SELECT table, sum(rows) AS rows, sum(bytes_on_disk) AS bytes, sum(data_uncompressed_bytes) AS bytes_raw, "
        "count() AS parts FROM system.parts WHERE active AND database = {database:String} GROUP BY table",
        {"database": store.database},
    ).dicts()
    sizes = {row["table"].removesuffix("_local"): row for row in found}
    empty = {"rows": 0, "bytes": 0, "bytes_raw": 0, "parts": 0}
    return [{**empty, **sizes.get(spec.name, {}), "table": spec.name} for spec in TABLES]


def held(store: TraceStore, project: str) -> dict[str, Any]:
    """What a project holds: counts, the first and last moment, and what storing messages once saved."""
    params = {"project": project}
    row = store.query(
        "SELECT count() AS spans, sum(length(input_refs) + length(output_refs)) AS references, "
        "toUnixTimestamp64Nano(min(start_time)) AS oldest_ns, toUnixTimestamp64Nano(max(start_time)) AS newest_ns "
        "FROM {db}.span FINAL WHERE project_id = {project:String}",
        params,
    ).dicts()[0]
    row |= store.query(
        "SELECT count() AS messages, sum(length(content) + length(envelope)) AS message_bytes, avg(length(content)) AS "
        "message_mean FROM {db}.message FINAL WHERE project_id = {project:String}",
        params,
    ).dicts()[0]
    row["traces"] = store.query(
        "SELECT count() FROM {db}.trace FINAL WHERE project_id = {project:String}", params
    ).rows[0][0]
    # What every reference would have cost on its own, from the newest spans: exact for the whole would read all of it.
    sample = store.query(
        "SELECT sum(m.size) AS offered FROM (SELECT arrayJoin(arrayConcat(input_refs, output_refs)) AS hash, message_scope AS scope "
        "FROM {db}.span FINAL WHERE project_id = {project:String} ORDER BY start_time DESC LIMIT 200000) AS r "
        "INNER JOIN (SELECT hash, any(length(content) + length(envelope)) AS size FROM {db}.message FINAL "
        "WHERE project_id = {project:String} GROUP BY hash) AS m USING (hash)",
        params,
    ).rows
    row["offered_bytes"] = int(sample[0][0] or 0)
    return row
