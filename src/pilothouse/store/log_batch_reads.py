"""Reads of the log records of many traces at once, for exports: a few statements for all of them, not a few for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .conditions import Where
from .log_reads import INSTANCES, SHORT_HOST, LogFilter, Sites, filtered_logs, log_rows
from .trace_reads import READ_SETTINGS
from .trace_store import TraceStore

NEEDLES_MAX = 250
"""Texts looked for in one pass; the engine takes 255."""
_STRETCHES_MAX = 40
_HOST = SHORT_HOST.replace("{host}", "host")
_IDS = "[" + ", ".join(f"resource['{name}']" for name in INSTANCES) + "]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where and when a trace ran, for the lines that are joined by that alone."""

    trace_id: str
    start_ns: int
    end_ns: int
    sites: Sites
    moments: tuple[int, ...]
    """When something failed, or the trace's ends; the nearest lines come first. At least one."""


Stretches = Sequence[tuple[int, int]]
"""From and until, in nanoseconds."""


def any_log_in(store: TraceStore, project: str, stretches: Stretches) -> bool:
    """True where at least one record lies in one of the stretches."""
    where = _within(project, stretches)
    sql = f"SELECT 1 FROM {{db}}.log WHERE {where.sql} LIMIT 1"
    return bool(store.query(sql, where.params, settings=READ_SETTINGS).rows)


def logs_of_traces(
    store: TraceStore, project: str, trace_ids: Sequence[str], since_ns: int, until_ns: int, *, each: int
) -> list[dict[str, Any]]:
    """Records that carry one of these ids, oldest first, at most ``each`` of one id; ``total`` says how many it has."""
    where = filtered_logs(project, since_ns, until_ns, LogFilter())
    where.add("trace_id IN {traces:Array(String)}", traces=list(trace_ids))
    # The limit by id comes first: it stands between the order and the limit of the whole.
    order = f"ORDER BY time, hash LIMIT {int(each)} BY trace_id"
    return log_rows(store, where, order, each * len(trace_ids), extra=", count() OVER (PARTITION BY trace_id) AS total")


def logs_with_any_value(
    store: TraceStore, project: str, values: Sequence[str], stretches: Stretches, *, limit: int
) -> list[dict[str, Any]]:
    """Records that hold one of these values under any key, oldest first."""
    where = _within(project, stretches)
    # Of the index first, which knows whole values; a set, since there may be thousands.
    where.add("arrayExists(v -> v IN {values:Array(String)}, mapValues(attributes))", values=list(values))
    return log_rows(store, where, "ORDER BY time, hash", limit)


def logs_with_any_text(
    store: TraceStore, project: str, texts: Sequence[str], stretches: Stretches, *, limit: int
) -> list[dict[str, Any]]:
    """Records whose body holds one of these texts, oldest first; at most ``NEEDLES_MAX`` texts."""
    where = _within(project, stretches)
    where.add("multiSearchAny(body, {texts:Array(String)})", texts=list(texts))
    return log_rows(store, where, "ORDER BY time, hash", limit)


def count_logs_at(store: TraceStore, project: str, places: Sequence[Place]) -> int:
    """How many records :func:`logs_at_places` has to look at."""
    where = _at_places(project, places)
    sql = f"SELECT count() FROM {{db}}.log WHERE {where.sql}"
    return int(store.query(sql, where.params, settings=READ_SETTINGS).rows[0][0])


def logs_at_places(
    store: TraceStore, project: str, places: Sequence[Place], *, each: int
) -> list[tuple[int, dict[str, Any]]]:
    """Records of the same places at the same time as each trace: the place's number in ``places``, and the record.

    Of each trace at most ``each``, the most severe first, then those nearest to a moment; ``total`` of a record says how
    many there are, ``distance_ns`` how near it is. As ``log_reads.logs_at_sites`` for one trace.
    """
    where = _at_places(project, places)
    fits = (
        "toUnixTimestamp64Nano(time) >= {starts:Array(Int64)}[i] AND toUnixTimestamp64Nano(time) < {ends:Array(Int64)}[i] "
        "AND (trace_id = '' OR trace_id = {traces:Array(String)}[i]) AND ("
        f"(host != '' AND has({{hosts:Array(Array(String))}}[i], {_HOST})) "
        f"OR hasAny({_IDS}, {{instances:Array(Array(String))}}[i]) "
        "OR (has({services:Array(Array(String))}[i], service) AND (host = '' OR empty({hosts:Array(Array(String))}[i]))))"
    )
    where.params.update(
        starts=[place.start_ns for place in places],
        ends=[place.end_ns for place in places],
        traces=[place.trace_id for place in places],
        hosts=[list(place.sites.hosts) for place in places],
        instances=[list(place.sites.instances) for place in places],
        services=[list(place.sites.services) for place in places],
        moments=[list(place.moments) for place in places],
        numbers=list(range(1, len(places) + 1)),
        each=each,
    )
    # Only what is needed to choose is multiplied by the traces; the records themselves are read afterwards, once.
    chosen = store.query(
        "SELECT i, time_ns, hash, count() OVER (PARTITION BY i) AS total, distance_ns FROM ("
        f"SELECT arrayJoin(arrayFilter(i -> {fits}, {{numbers:Array(UInt32)}})) AS i, hash, "
        "toUnixTimestamp64Nano(time) AS time_ns, intDiv(greatest(severity_number, 1) - 1, 4) AS class, "
        "arrayMin(m -> abs(toUnixTimestamp64Nano(time) - m), {moments:Array(Array(Int64))}[i]) AS distance_ns "
        f"FROM {{db}}.log WHERE {where.sql}) "
        "ORDER BY i, class DESC, distance_ns, time_ns, hash LIMIT {each:UInt32} BY i",
        where.params,
        settings=READ_SETTINGS,
    ).rows
    if not chosen:
        return []
    records = _named_records(store, project, {(int(row[1]), str(row[2])) for row in chosen})
    return [
        (int(row[0]) - 1, {**record, "total": int(row[3]), "distance_ns": int(row[4])})
        for row in chosen
        if (record := records.get((int(row[1]), str(row[2])))) is not None
    ]


def _at_places(project: str, places: Sequence[Place]) -> Where:
    """The records of any of these places, while any of these traces ran."""
    where = _within(project, [(place.start_ns, place.end_ns) for place in places])
    where.add(
        f"(host != '' AND {_HOST} IN {{any_host:Array(String)}} OR hasAny({_IDS}, {{any_instance:Array(String)}}) "
        "OR service IN {any_service:Array(String)})",
        any_host=sorted({host for place in places for host in place.sites.hosts}),
        any_instance=sorted({name for place in places for name in place.sites.instances}),
        any_service=sorted({service for place in places for service in place.sites.services}),
    )
    where.add("trace_id IN {any_trace:Array(String)}", any_trace=["", *(place.trace_id for place in places)])
    return where


def _named_records(
    store: TraceStore, project: str, keys: set[tuple[int, str]]
) -> dict[tuple[int, str], dict[str, Any]]:
    times = sorted(time_ns for time_ns, _ in keys)
    where = filtered_logs(project, times[0], times[-1] + 1, LogFilter())
    where.add("hash IN {hashes:Array(String)}", hashes=sorted({digest for _, digest in keys}))
    where.add("toUnixTimestamp64Nano(time) IN {times:Array(Int64)}", times=sorted(set(times)))
    # Versions of one record that are not merged yet come twice.
    rows = log_rows(store, where, "ORDER BY time, hash", 4 * len(keys))
    return {(row["time_ns"], row["hash"]): row for row in rows}


def _within(project: str, stretches: Stretches) -> Where:
    """The records of several stretches of time. Far apart ones are read apart, so that what lies between is not."""
    merged = merge_stretches(stretches)
    where = filtered_logs(project, merged[0][0], merged[-1][1] + 1, LogFilter())
    if len(merged) > 1:
        parts: list[str] = []
        for number, (since, until) in enumerate(merged):
            parts.append(
                f"(time >= fromUnixTimestamp64Nano({{from{number}:Int64}}, 'UTC') "
                f"AND time <= fromUnixTimestamp64Nano({{to{number}:Int64}}, 'UTC'))"
            )
            where.params.update({f"from{number}": since, f"to{number}": until})
        where.add(f"({' OR '.join(parts)})")
    return where


def merge_stretches(stretches: Stretches) -> list[tuple[int, int]]:
    """The same moments in at most 40 stretches that do not overlap; where there would be more, small gaps go along."""
    merged: list[tuple[int, int]] = []
    for since, until in sorted((max(0, since), until) for since, until in stretches):
        if merged and since <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], until))
        else:
            merged.append((since, until))
    while len(merged) > _STRETCHES_MAX:
        _, place = min((merged[at + 1][0] - merged[at][1], at) for at in range(len(merged) - 1))
        merged[place : place + 2] = [(merged[place][0], merged[place + 1][1])]
    return merged
