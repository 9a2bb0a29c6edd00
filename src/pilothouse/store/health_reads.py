"""What keeps the recorded picture from being the whole truth, and what the store holds: the SQL of doctor and stats."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .conditions import Where, window
from .schema import MESSAGE, TABLES, TOKEN_BUCKETS
from .trace_reads import READ_SETTINGS
from .trace_store import TraceStore

_EXAMPLES_MAX = 5

# Name: what is wrong, how much of it a row holds, and what an example names.
_SPAN_CHECKS = {
    "unknown_prices": ("cost_source = 'unknown model' AND usage_scope = 'leaf'", "concat(provider, ' ', model)"),
    "ambiguous_usage": ("usage_ambiguous AND usage_scope = 'leaf'", "toString(scope_name)"),
    "unknown_dialect": ("dialect = 'plain' AND kind = 'other'", "toString(scope_name)"),
    "skewed_clocks": ("arrayExists(n -> startsWith(n, 'clock:'), notes)", "toString(service)"),
}
_TRACE_CHECKS = {
    "orphans": ("orphans > 0", "orphans"),
    "double_instrumented": ("duplicates > 0", "duplicates"),
    "usage_gap": ("usage_gap != 0", "1"),
    "stale_running": ("(open OR running_spans > 0) AND received_at < now64(3) - INTERVAL 10 MINUTE", "1"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What one check found."""

    count: int
    kinds: int
    """In how many traces, or of how many models, instrumentations or services."""
    examples: tuple[tuple[str, int], ...]
    """The most frequent, with how often."""


def checks(store: TraceStore, project: str, since_ns: int, until_ns: int) -> tuple[int, dict[str, Check]]:
    """How many spans started in a window, and all checks by name. One pass over the spans, one over the traces."""
    where = Where()
    window(where, project, since_ns, until_ns)
    found: dict[str, Check] = {}
    parts = [
        f"sumMapIf([{example}], [toUInt64(1)], {wrong}) AS m{place}"
        for place, (wrong, example) in enumerate(_SPAN_CHECKS.values())
    ]
    row = store.query(
        f"SELECT count(), {', '.join(parts)} FROM {{db}}.span FINAL WHERE {where.sql}",
        where.params,
        settings=READ_SETTINGS,
    ).rows[0]
    for name, (keys, counts) in zip(_SPAN_CHECKS, row[1:], strict=True):
        pairs = sorted(zip(keys, map(int, counts), strict=True), key=lambda pair: (-pair[1], pair[0]))
        found[name] = Check(
            count=sum(count for _, count in pairs), kinds=len(pairs), examples=tuple(pairs[:_EXAMPLES_MAX])
        )
    for name, check in _trace_checks(store, where).items():
        found[name] = check
    return int(row[0]), found


def _trace_checks(store: TraceStore, where: Where) -> dict[str, Check]:
    parts: list[str] = []
    for wrong, measure in _TRACE_CHECKS.values():
        parts.append(f"sumIf(toUInt64({measure}), {wrong}), countIf({wrong})")
        worst = f"arrayReverseSort(groupArrayIf(100)(tuple(toUInt64({measure}), trace_id), {wrong}))"
        parts.append(f"arraySlice({worst}, 1, {_EXAMPLES_MAX})")
    row = store.query(
        f"SELECT {', '.join(parts)} FROM {{db}}.trace FINAL WHERE {where.sql}", where.params, settings=READ_SETTINGS
    ).rows[0]
    return {
        name: Check(
            count=int(row[place * 3]),
            kinds=int(row[place * 3 + 1]),
            examples=tuple((trace_id, int(times)) for times, trace_id in row[place * 3 + 2]),
        )
        for place, name in enumerate(_TRACE_CHECKS)
    }


def recorded(store: TraceStore, project: str, since_ns: int, until_ns: int) -> dict[str, Any]:
    """What was recorded in a window, in numbers: of traces, and of what came beside them."""
    where = Where()
    window(where, project, since_ns, until_ns)
    tokens = ", ".join(f"sum({bucket}_tokens) AS {bucket}_sum" for bucket in TOKEN_BUCKETS)
    row = store.query(
        "SELECT count() AS traces, sum(spans) AS spans, sum(model_calls) AS model_calls, "
        "sum(tool_calls) AS tool_calls, sum(errors) AS errors, countIf(errors > 0) AS traces_with_errors, "
        "uniqExactIf(session_id, session_id != '') AS sessions, uniqExactIf(user_id, user_id != '') AS users, "
        "uniqExactIf(agent, agent != '') AS agents, sum(duplicates) AS duplicates, sum(orphans) AS orphans, "
        f"{tokens}, sum(cost_usd) AS cost, sum(cost_unknown) AS cost_unknown, "
        "sumMap(dialects, arrayMap(x -> toUInt64(1), dialects)) AS dialects "
        f"FROM {{db}}.trace FINAL WHERE {where.sql} SETTINGS prefer_column_name_to_alias = 1",
        where.params,
        settings=READ_SETTINGS,
    ).dicts()[0]
    for name in ("event", "log", "point", "score"):
        beside = Where()
        window(beside, project, since_ns, until_ns, time="time")
        if name == "score":
            beside.add("removed = 0")
        table = store.query(f"SELECT count() FROM {{db}}.{name} FINAL WHERE {beside.sql}", beside.params)
        row[f"{name}s"] = int(table.rows[0][0])
    return row


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What a project holds."""

    traces: int
    spans: int
    oldest_ns: int
    newest_ns: int
    references: int
    """Times a span refers to a stored content."""


def held(store: TraceStore, project: str) -> Held:
    """What a project holds: counts, and the first and last moment."""
    params = {"project": project}
    row = store.query(
        "SELECT count(), sum(spans), toUnixTimestamp64Nano(min(start_time)), toUnixTimestamp64Nano(max(start_time)) "
        "FROM {db}.trace FINAL WHERE project_id = {project:String}",
        params,
        settings=READ_SETTINGS,
    ).rows[0]
    # Lengths alone are read, not the hashes; a version not merged yet counts twice, which changes no ratio.
    references = store.query(
        "SELECT sum(input_refs.size0 + output_refs.size0) FROM {db}.span WHERE project_id = {project:String}", params
    ).rows[0][0]
    return Held(traces=row[0], spans=row[1], oldest_ns=row[2], newest_ns=row[3], references=int(references))


@dataclass(frozen=True, slots=True, kw_only=True)
class Sharing:
    """Of some traces: what their spans refer to, and what of it had to be stored."""

    offered_bytes: int
    """Every reference at its full length."""
    stored_bytes: int
    """Every content once."""


def sharing(store: TraceStore, project: str, *, traces: int = 300) -> Sharing:
    """How much storing contents once saves, looked at in the newest traces: all of them would mean to read it all."""
    params: dict[str, Any] = {"project": project, "traces": traces}
    newest = store.query(
        "SELECT trace_id, if(session_id = '', trace_id, session_id), toUnixTimestamp64Nano(start_time), duration_ns "
        "FROM {db}.trace FINAL WHERE project_id = {project:String} AND received_day >= ("
        "SELECT max(received_day) - 1 FROM {db}.trace WHERE project_id = {project:String}) "
        "ORDER BY start_time DESC LIMIT {traces:UInt32}",
        params,
        settings=READ_SETTINGS,
    ).rows
    if not newest:
        return Sharing(offered_bytes=0, stored_bytes=0)
    params.update(
        ids=[row[0] for row in newest],
        scopes=["", *dict.fromkeys(scope for row in newest for scope in (row[0], row[1]))],
        start=min(row[2] for row in newest),
        end=max(row[2] + row[3] for row in newest),
    )
    row = store.query(
        "SELECT sum(times * size), sum(size) FROM (SELECT hash, count() AS times FROM (SELECT arrayJoin(arrayConcat("
        "input_refs, output_refs, [tools_ref], [documents_ref])) AS hash FROM {db}.span FINAL "
        "WHERE project_id = {project:String} AND trace_id IN {ids:Array(String)} "
        "AND start_time >= fromUnixTimestamp64Nano({start:Int64}, 'UTC') "
        "AND start_time <= fromUnixTimestamp64Nano({end:Int64}, 'UTC')) GROUP BY hash) AS r INNER JOIN ("
        "SELECT hash, any(length(content) + length(envelope)) AS size FROM {db}.message "
        "WHERE project_id = {project:String} AND scope IN {scopes:Array(String)} GROUP BY hash) AS m USING (hash)",
        params,
        settings=READ_SETTINGS,
    ).rows[0]
    return Sharing(offered_bytes=int(row[0] or 0), stored_bytes=int(row[1] or 0))


def content_bytes(store: TraceStore) -> int:
    """Bytes of all stored contents before compression, of the whole store; known without reading them."""
    table = store.query(
        "SELECT sum(column_data_uncompressed_bytes) FROM system.parts_columns WHERE active "
        "AND database = {database:String} AND table IN {tables:Array(String)} AND column IN ('content', 'envelope')",
        {"database": store.database, "tables": [MESSAGE.name, f"{MESSAGE.name}_local"]},
    )
    return int(table.rows[0][0] or 0)
