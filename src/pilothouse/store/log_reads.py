"""Reads of log records: by time and words, and those that may belong to a trace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from .conditions import TRACE_STATUS, Where, has_phrase, window
from .trace_reads import READ_SETTINGS, Stretch
from .trace_store import TraceStore

BODY_CHARS = 4_000
"""Of a body in a list; the length of the whole comes along."""

_NOISE = (
    "startsWith(event_name, 'gen_ai.') OR event_name IN ('pilothouse.heartbeat', 'pilothouse.goodbye') "
    "OR startsWith(scope_name, 'com.anthropic.claude_code')"
)
"""Records that carry messages or heartbeats: what they say is in the trace already."""

_ROW = f"""
toUnixTimestamp64Nano(time) AS time_ns, severity_number, severity, service, host, event_name,
substringUTF8(body, 1, {BODY_CHARS}) AS text, lengthUTF8(body) AS chars, trace_id, span_id, attributes,
resource['k8s.pod.name'] AS pod, resource['container.id'] AS container, scope_name, hash"""

_NEWEST = "ORDER BY toStartOfHour(time) DESC, time DESC, hash DESC"
"""The sorting key backwards: the engine reads the end of the range and stops."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogFilter:
    """Which records; what is empty or 0 does not matter."""

    severity_min: int = 0
    service: str = ""
    host: str = ""
    trace_id: str = ""
    text: str = ""
    """Words that stand together."""


def find_logs(
    store: TraceStore,
    project: str,
    since_ns: int,
    until_ns: int,
    chosen: LogFilter,
    *,
    limit: int,
    after: tuple[int, str] | None = None,
) -> list[dict[str, Any]]:
    """The newest records that fit; ``after`` is time and hash of the last one seen. Versions not merged come twice."""
    where = filtered_logs(project, since_ns, until_ns, chosen)
    if after is not None:
        where.add(
            "time <= fromUnixTimestamp64Nano({after_time:Int64}, 'UTC') AND (toUnixTimestamp64Nano(time) < "
            "{after_time:Int64} OR hash < {after_hash:String})",
            after_time=after[0],
            after_hash=after[1],
        )
    return log_rows(store, where, _NEWEST, limit)


def count_logs(
    store: TraceStore,
    project: str,
    since_ns: int,
    until_ns: int,
    chosen: LogFilter,
    by: Literal["service", "severity", "host"],
) -> list[tuple[str, int, int]]:
    """The commonest values of ``service``, ``severity`` or ``host``: value, records, errors among them."""
    where = filtered_logs(project, since_ns, until_ns, chosen)
    table = store.query(
        f"SELECT {by} AS value, count() AS records, countIf(severity_number >= 17) FROM {{db}}.log "
        f"WHERE {where.sql} GROUP BY value ORDER BY records DESC, value LIMIT 50",
        where.params,
        settings=READ_SETTINGS,
    )
    return [(row[0], row[1], row[2]) for row in table.rows]


def any_log(store: TraceStore, project: str) -> bool:
    """True where at least one record that is no heartbeat or message was ever stored."""
    sql = f"SELECT 1 FROM {{db}}.log WHERE project_id = {{project:String}} AND NOT ({_NOISE}) LIMIT 1"
    return bool(store.query(sql, {"project": project}).rows)


def filtered_logs(project: str, since_ns: int, until_ns: int, chosen: LogFilter) -> Where:
    """The records of a time range that fit, heartbeats and messages left out."""
    where = Where()
    window(where, project, since_ns, until_ns, time="time")
    if chosen.severity_min:
        where.add("severity_number >= {severity:UInt8}", severity=chosen.severity_min)
    if chosen.service:
        where.add("service = {service:String}", service=chosen.service)
    if chosen.host:
        where.add("host = {host:String}", host=chosen.host)
    if chosen.trace_id:
        where.add("trace_id = {trace:String}", trace=chosen.trace_id)
    if chosen.text:
        where.add("hasAllTokens(body, {text:String})", text=chosen.text)
        if has_phrase(chosen.text):
            where.add("positionCaseInsensitiveUTF8(body, {text:String}) > 0")
    where.add(f"NOT ({_NOISE})")
    return where


def logs_of_trace(
    store: TraceStore,
    project: str,
    trace_ids: Sequence[str],
    since_ns: int,
    until_ns: int,
    *,
    limit: int,
    severity: int,
) -> list[dict[str, Any]]:
    """Records that carry one of these trace ids, oldest first."""
    where = filtered_logs(project, since_ns, until_ns, LogFilter(severity_min=severity))
    where.add("trace_id IN {traces:Array(String)}", traces=list(trace_ids))
    return log_rows(store, where, "ORDER BY time, hash", limit)


def logs_with_values(
    store: TraceStore,
    project: str,
    values: Sequence[str],
    keys: str,
    since_ns: int,
    until_ns: int,
    *,
    limit: int,
    severity: int,
) -> list[dict[str, Any]]:
    """Records that hold one of these values under a key that ends like ``keys`` says, oldest first.

    ``keys`` is an expression over the key in lower case without anything but letters and digits.
    """
    where = filtered_logs(project, since_ns, until_ns, LogFilter(severity_min=severity))
    # Of the index first: it knows whole values, whatever their key.
    where.add("hasAny(mapValues(attributes), {values:Array(String)})", values=list(values))
    where.add(
        "arrayExists((k, v) -> has({values:Array(String)}, v) AND "
        "match(lower(replaceRegexpAll(k, '[^A-Za-z0-9]', '')), {keys:String}), "
        "mapKeys(attributes), mapValues(attributes))",
        keys=keys,
    )
    return log_rows(store, where, "ORDER BY time, hash", limit)


def logs_with_words(
    store: TraceStore,
    project: str,
    texts: Sequence[str],
    tokens: Sequence[str],
    since_ns: int,
    until_ns: int,
    *,
    limit: int,
    severity: int,
) -> list[dict[str, Any]]:
    """Records whose body holds one of these texts, oldest first; ``tokens`` are a word of each, at most 64."""
    where = filtered_logs(project, since_ns, until_ns, LogFilter(severity_min=severity))
    where.add("hasAnyTokens(body, {tokens:Array(String)})", tokens=list(tokens))
    where.add("multiSearchAny(body, {texts:Array(String)})", texts=list(texts))
    return log_rows(store, where, "ORDER BY time, hash", limit)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sites:
    """Where a trace ran. Hosts are short names in lower case."""

    hosts: tuple[str, ...]
    services: tuple[str, ...]
    instances: tuple[str, ...]
    """Ids of processes, pods and containers."""

    def __bool__(self) -> bool:
        """True where anything is known."""
        return bool(self.hosts or self.services or self.instances)


SHORT_HOST = "if(match({host}, '^[0-9.:]*$'), {host}, lower(splitByChar('.', {host})[1]))"
"""A host's first name in lower case; an address stays whole."""
INSTANCES = ("service.instance.id", "k8s.pod.name", "k8s.pod.uid", "container.id", "container.name", "host.id")


def trace_sites(store: TraceStore, project: str, trace_id: str, stretch: Stretch) -> Sites:
    """The hosts, services, pods, containers and processes of a trace's spans, at most 100 of each."""
    host = SHORT_HOST.replace("{host}", "h")
    instances = ", ".join(f"resource['{name}']" for name in INSTANCES)
    table = store.query(
        f"SELECT groupUniqArray(100)(if(h = '', '', {host})), groupUniqArray(100)(service), "
        f"groupUniqArrayArray(100)([{instances}]) FROM (SELECT service, resource, "
        "if(resource['host.name'] != '', resource['host.name'], resource['k8s.node.name']) AS h FROM {db}.span "
        f"WHERE {_OF_TRACE})",
        _trace_params(project, trace_id, stretch),
    )
    hosts, services, instances_found = (_named(names) for names in table.rows[0])
    return Sites(hosts=hosts, services=services, instances=instances_found)


def _named(names: list[str]) -> tuple[str, ...]:
    return tuple(sorted(name for name in names if name))


def logs_at_sites(
    store: TraceStore,
    project: str,
    sites: Sites,
    trace_id: str,
    since_ns: int,
    until_ns: int,
    moments: Sequence[int],
    *,
    limit: int,
    severity: int,
) -> tuple[list[dict[str, Any]], int]:
    """Records of the same places at the same time, and how many there are.

    The most severe come first, then those nearest to one of ``moments``. Records of other traces are left out. A
    service alone is enough only where one of the two does not say on which host it runs.
    """
    where = filtered_logs(project, since_ns, until_ns, LogFilter(severity_min=severity))
    host = SHORT_HOST.replace("{host}", "host")
    instances = ", ".join(f"resource['{name}']" for name in INSTANCES)
    same = [f"(host != '' AND {host} IN {{hosts:Array(String)}})"] if sites.hosts else []
    if sites.instances:
        same.append(f"hasAny([{instances}], {{instances:Array(String)}})")
    if sites.services:
        unplaced = " AND host = ''" if sites.hosts else ""
        same.append(f"(service IN {{services:Array(String)}}{unplaced})")
    where.add(f"({' OR '.join(same)})")
    where.params.update(hosts=list(sites.hosts), services=list(sites.services), instances=list(sites.instances))
    where.add("trace_id IN ('', {trace:String})", trace=trace_id)
    nearest = "arrayMin(m -> abs(toUnixTimestamp64Nano(time) - m), {moments:Array(Int64)})"
    where.params["moments"] = list(moments)
    # By class of severity, not by its number: a WARN2 is no worse than a WARN.
    order = f"ORDER BY intDiv(greatest(severity_number, 1) - 1, 4) DESC, {nearest}, time, hash"
    rows = log_rows(store, where, order, limit, extra=f", count() OVER () AS total, {nearest} AS distance_ns")
    return rows, rows[0]["total"] if rows else 0


_OF_TRACE = (
    "project_id = {project:String} AND trace_id = {id:String} "
    "AND start_time >= fromUnixTimestamp64Nano({start:Int64}, 'UTC') "
    "AND start_time <= fromUnixTimestamp64Nano({end:Int64}, 'UTC')"
)


def _trace_params(project: str, trace_id: str, stretch: Stretch) -> dict[str, Any]:
    return {"project": project, "id": trace_id, "start": stretch.start_ns, "end": stretch.end_ns}


def span_moments(store: TraceStore, project: str, trace_id: str, stretch: Stretch, *, limit: int) -> list[list[Any]]:
    """The spans of a trace by start: lists of id, parent, start and duration in ns, label, service, whether it failed."""
    label = (
        "multiIf(kind = 'tool' AND tool_name != '', tool_name, kind = 'model' AND model != '', model, "
        "kind = 'agent' AND agent != '', agent, name) AS label"
    )
    sql = (
        f"SELECT span_id, parent_span_id, toUnixTimestamp64Nano(start_time) AS start_ns, duration_ns, {label}, service, "
        f"(status = 'error' OR tool_error != '') AS failed FROM {{db}}.span FINAL WHERE {_OF_TRACE} "
        "ORDER BY start_ns, span_id LIMIT {limit:UInt32}"
    )
    rows = store.query(sql, {**_trace_params(project, trace_id, stretch), "limit": limit}, settings=READ_SETTINGS).rows
    return [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in range(7)]


def id_values(
    store: TraceStore, project: str, trace_id: str, stretch: Stretch, keys: str, *, limit: int
) -> list[tuple[str, str, str]]:
    """Values that a trace's spans hold under keys that end like ``keys`` says: key, value, the first span with it."""
    table = store.query(
        "SELECT pair.1 AS k, pair.2 AS v, argMin(span_id, start_time) FROM (SELECT span_id, start_time, "
        "arrayJoin(arrayConcat(arrayFilter(p -> match(lower(replaceRegexpAll(p.1, '[^A-Za-z0-9]', '')), "
        "{keys:String}), arrayZip(mapKeys(attributes), mapValues(attributes))), "
        "[('response id', response_id), ('tool call id', tool_call_id)])) AS pair "
        f"FROM {{db}}.span WHERE {_OF_TRACE}) WHERE v != '' GROUP BY k, v ORDER BY min(start_time), v "
        "LIMIT {limit:UInt32}",
        {**_trace_params(project, trace_id, stretch), "keys": keys, "limit": limit},
    )
    return [(row[0], row[1], row[2]) for row in table.rows]


def lost_logs(
    store: TraceStore,
    project: str,
    since_ns: int,
    until_ns: int,
    *,
    limit: int,
    after: tuple[int, str] | None = None,
) -> list[dict[str, Any]]:
    """The newest errors in logs whose trace has no failed span, or no span at all."""
    where = filtered_logs(project, since_ns, until_ns, LogFilter(severity_min=17))
    where.add("trace_id != ''")
    failed = (
        "SELECT trace_id FROM {db}.trace WHERE project_id = {project:String} AND errors > 0 AND trace_id IN "
        f"(SELECT trace_id FROM {{db}}.log WHERE {where.sql})"
    )
    where.add(f"trace_id NOT IN ({failed})")
    if after is not None:
        where.add(
            "(toUnixTimestamp64Nano(time) < {after_time:Int64} OR toUnixTimestamp64Nano(time) = {after_time:Int64} "
            "AND hash < {after_hash:String})",
            after_time=after[0],
            after_hash=after[1],
        )
    return log_rows(store, where, _NEWEST, limit)


def traces_named(store: TraceStore, project: str, trace_ids: Sequence[str]) -> dict[str, Mapping[str, Any]]:
    """Of those of these traces that are stored: agent and status, by id."""
    if not trace_ids:
        return {}
    table = store.query(
        f"SELECT trace_id, if(agent != '', agent, root_name) AS agent, {TRACE_STATUS} AS status FROM {{db}}.trace "
        "WHERE project_id = {project:String} AND trace_id IN {ids:Array(String)} "
        "ORDER BY version DESC LIMIT 1 BY trace_id",
        {"project": project, "ids": sorted(set(trace_ids))},
    )
    return {row["trace_id"]: row for row in table.dicts()}


def log_rows(store: TraceStore, where: Where, order: str, limit: int, *, extra: str = "") -> list[dict[str, Any]]:
    """Records that fit, as the answers show them."""
    return store.query(
        f"SELECT {_ROW}{extra} FROM {{db}}.log WHERE {where.sql} {order} LIMIT {{limit:UInt32}}",
        {**where.params, "limit": limit},
        settings=READ_SETTINGS,
    ).dicts()
