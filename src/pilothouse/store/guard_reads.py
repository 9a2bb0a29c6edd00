"""What the gates of guards did, told by span events of stored traces: counted by check, by time, and one by one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from pilothouse.records import names

from .trace_reads import READ_SETTINGS
from .trace_store import TraceStore

# An event without the attribute stands for one text; one with a number that is none is not trusted with more.
_TIMES = "greatest(toUInt32OrZero(attributes[{times:String}]), 1)"
_WINDOW = (
    "project_id = {project:String} AND has({names:Array(String)}, name) "
    "AND time >= fromUnixTimestamp64Nano({since:Int64}, 'UTC') AND time < fromUnixTimestamp64Nano({until:Int64}, 'UTC')"
)


class GuardEventRow(NamedTuple):
    """One verdict that was not simply yes."""

    trace_id: str
    span_id: str
    position: int
    time_ns: int
    attributes: dict[str, str]


class GuardSpanRow(NamedTuple):
    """The step at which a verdict fell."""

    trace_id: str
    span_id: str
    step: int
    agent: str
    environment: str


def _values(project: str, since_ns: int, until_ns: int) -> dict[str, Any]:
    return {
        "project": project,
        "since": since_ns,
        "until": until_ns,
        "names": [names.GUARD_EVENT, names.GUARD_PASSED_EVENT],
        "gate": names.GUARD_GATE,
        "action": names.GUARD_ACTION,
        "checks": names.GUARD_CHECKS,
        "times": names.GUARD_TIMES,
    }


def counts_by_check(
    store: TraceStore, project: str, since_ns: int, until_ns: int, *, limit: int
) -> list[dict[str, Any]]:
    """By gate, check and what it came to: how many texts."""
    return store.query(
        f"SELECT gate, parts[1] AS check, parts[2] AS outcome, sum(times) AS texts FROM ("
        "SELECT attributes[{gate:String}] AS gate, splitByChar('|', arrayJoin("
        f"JSONExtract(attributes[{{checks:String}}], 'Array(String)'))) AS parts, {_TIMES} AS times "
        f"FROM {{db}}.event FINAL WHERE {_WINDOW}) "
        "GROUP BY gate, check, outcome ORDER BY texts DESC, gate, check, outcome LIMIT {limit:UInt32}",
        {**_values(project, since_ns, until_ns), "limit": limit},
        settings=READ_SETTINGS,
    ).dicts()


def counts_by_gate(store: TraceStore, project: str, since_ns: int, until_ns: int) -> list[dict[str, Any]]:
    """By gate and verdict: how many texts."""
    return store.query(
        f"SELECT attributes[{{gate:String}}] AS gate, attributes[{{action:String}}] AS action, sum({_TIMES}) AS texts "
        f"FROM {{db}}.event FINAL WHERE {_WINDOW} GROUP BY gate, action ORDER BY gate, action LIMIT 100",
        _values(project, since_ns, until_ns),
        settings=READ_SETTINGS,
    ).dicts()


def counts_by_time(
    store: TraceStore, project: str, since_ns: int, until_ns: int, *, bucket_s: int
) -> list[dict[str, Any]]:
    """By bucket of time and verdict: how many texts."""
    return store.query(
        "SELECT intDiv(toUnixTimestamp(time), {bucket:UInt32}) * {bucket:UInt32} AS start, "
        f"attributes[{{action:String}}] AS action, sum({_TIMES}) AS texts "
        f"FROM {{db}}.event FINAL WHERE {_WINDOW} GROUP BY start, action ORDER BY start, action LIMIT 10000",
        {**_values(project, since_ns, until_ns), "bucket": bucket_s},
        settings=READ_SETTINGS,
    ).dicts()


def guard_events(
    store: TraceStore,
    project: str,
    since_ns: int,
    until_ns: int,
    *,
    gate: str = "",
    check: str = "",
    action: str = "",
    limit: int,
) -> list[GuardEventRow]:
    """Verdicts that were not simply yes, the newest first. ``check``: only where it found something, or was down."""
    where = _WINDOW
    if gate:
        where += " AND attributes[{gate:String}] = {of_gate:String}"
    if action:
        where += " AND attributes[{action:String}] = {of_action:String}"
    if check:
        where += (
            " AND arrayExists(one -> splitByChar('|', one)[1] = {of_check:String} AND NOT "
            "has(['ok', 'skipped'], splitByChar('|', one)[2]), JSONExtract(attributes[{checks:String}], 'Array(String)'))"
        )
    rows: list[Any] = store.query(
        "SELECT trace_id, span_id, position, toUnixTimestamp64Nano(time) AS time_ns, attributes "
        f"FROM {{db}}.event FINAL WHERE {where} "
        "ORDER BY time DESC, trace_id, span_id, position DESC LIMIT {limit:UInt32}",
        {
            **_values(project, since_ns, until_ns),
            "names": [names.GUARD_EVENT],
            "of_gate": gate,
            "of_action": action,
            "of_check": check,
            "limit": limit,
        },
        settings=READ_SETTINGS,
    ).rows
    return [GuardEventRow(*row) for row in rows]


def guard_spans(
    store: TraceStore, project: str, since_ns: int, until_ns: int, trace_ids: Sequence[str], span_ids: Sequence[str]
) -> dict[str, GuardSpanRow]:
    """The steps of verdicts, by span id. A span may have begun up to a day before what happened in it."""
    if not span_ids:
        return {}
    rows: list[Any] = store.query(
        "SELECT trace_id, span_id, step, agent, environment FROM {db}.span FINAL WHERE project_id = {project:String} "
        "AND start_time >= fromUnixTimestamp64Nano({since:Int64}, 'UTC') "
        "AND start_time < fromUnixTimestamp64Nano({until:Int64}, 'UTC') "
        "AND has({traces:Array(String)}, trace_id) AND has({spans:Array(String)}, span_id) LIMIT {limit:UInt32}",
        {
            "project": project,
            "since": max(0, since_ns - 86_400_000_000_000),
            "until": until_ns,
            "traces": sorted(set(trace_ids)),
            "spans": sorted(set(span_ids)),
            "limit": len(set(span_ids)) * 2,
        },
        settings=READ_SETTINGS,
    ).rows
    return {row[1]: GuardSpanRow(*row) for row in rows}


def labelled_spans(
    store: TraceStore, project: str, labels: Sequence[str], since_ns: int, *, limit: int
) -> list[tuple[str, str, str, str]]:
    """Steps with one of the labels since a moment: trace, span, label, who gave it; the newest first."""
    rows: list[Any] = store.query(
        "SELECT trace_id, span_id, name, actor FROM {db}.annotation FINAL WHERE project_id = {project:String} "
        "AND kind = 'label' AND has({labels:Array(String)}, name) AND removed = 0 AND span_id != '' "
        "AND time >= fromUnixTimestamp64Nano({since:Int64}, 'UTC') ORDER BY time DESC LIMIT {limit:UInt32}",
        {"project": project, "labels": list(labels), "since": since_ns, "limit": limit},
        settings=READ_SETTINGS,
    ).rows
    return [(row[0], row[1], row[2], row[3]) for row in rows]


def events_of_spans(
    store: TraceStore, project: str, trace_ids: Sequence[str], span_ids: Sequence[str], *, limit: int
) -> list[GuardEventRow]:
    """The verdicts that were not simply yes of some steps, in order of time."""
    if not span_ids:
        return []
    rows: list[Any] = store.query(
        "SELECT trace_id, span_id, position, toUnixTimestamp64Nano(time) AS time_ns, attributes "
        "FROM {db}.event FINAL WHERE project_id = {project:String} AND has({traces:Array(String)}, trace_id) "
        "AND has({spans:Array(String)}, span_id) AND name = {name:String} "
        "ORDER BY time, trace_id, span_id, position LIMIT {limit:UInt32}",
        {
            "project": project,
            "traces": sorted(set(trace_ids)),
            "spans": sorted(set(span_ids)),
            "name": names.GUARD_EVENT,
            "limit": limit,
        },
        settings=READ_SETTINGS,
    ).rows
    return [GuardEventRow(*row) for row in rows]
