"""Reads for exports: traces in the order in which they last changed, and whole spans in bounded portions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from .conditions import Condition, Where, filtered
from .trace_reads import READ_SETTINGS, SCORE_COLUMNS, WIDE_COLUMNS, Stretch
from .trace_store import TraceStore

SPANS_A_READ = 500
"""Whole spans fetched at once: with their attributes each may be hundreds of kilobytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """A trace that fits an export, and a version that is greater with every change of it or of what is written to it."""

    trace_id: str
    version: int
    received_day: str = ""


def changed_traces(
    store: TraceStore,
    project: str,
    since_ns: int,
    until_ns: int,
    conditions: Sequence[Condition],
    *,
    after: tuple[int, str],
    limit: int,
) -> list[Changed]:
    """Traces that changed after a version and id, oldest change first.

    A late span makes its trace change again, and so does a note, a score or a label.
    """
    changes = _changes(filtered(project, since_ns, until_ns, conditions), after)
    table = store.query(
        f"{changes.sql} ORDER BY changed, trace_id LIMIT {{limit:UInt32}}",
        {**changes.params, "limit": limit},
        settings=READ_SETTINGS,
    )
    return [Changed(trace_id=row[0], version=int(row[1]), received_day=row[2]) for row in table.rows]


def count_traces(
    store: TraceStore,
    project: str,
    since_ns: int,
    until_ns: int,
    conditions: Sequence[Condition],
    after: tuple[int, str],
) -> int:
    """How many traces :func:`changed_traces` would give in all."""
    changes = _changes(filtered(project, since_ns, until_ns, conditions), after)
    sql = f"SELECT count() FROM ({changes.sql})"
    return int(store.query(sql, changes.params, settings=READ_SETTINGS).rows[0][0])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Changes:
    sql: str
    params: dict[str, Any]


_WRITTEN = (
    "SELECT trace_id, max(version) AS newest FROM {{db}}.{table} WHERE project_id = {{project:String}} "
    "AND trace_id != '' GROUP BY trace_id"
)


def _changes(where: Where, after: tuple[int, str]) -> _Changes:
    """Traces with the version of their last change: of the trace itself, or of what was written to it."""
    params = {**where.params, "after_version": after[0], "after_id": after[1]}
    return _Changes(
        sql=(
            "SELECT trace_id, greatest(version, noted.newest, scored.newest) AS changed, received_day "
            "FROM {db}.trace FINAL "
            f"LEFT JOIN ({_WRITTEN.format(table='annotation')}) AS noted USING (trace_id) "
            f"LEFT JOIN ({_WRITTEN.format(table='score')}) AS scored USING (trace_id) WHERE {where.sql} "
            "AND (changed > {after_version:UInt64} OR changed = {after_version:UInt64} AND trace_id > {after_id:String})"
        ),
        params=params,
    )


def named_traces(store: TraceStore, project: str, trace_ids: Sequence[str], *, after: tuple[int, str]) -> list[Changed]:
    """Those of these traces that changed after a version and id, oldest change first."""
    params = {"project": project, "ids": list(trace_ids)}
    rows = store.query(
        "SELECT trace_id, max(version), max(received_day) FROM {db}.trace "
        "WHERE project_id = {project:String} AND trace_id IN {ids:Array(String)} GROUP BY trace_id",
        params,
    ).rows
    versions = {str(row[0]): int(row[1]) for row in rows}
    for table in ("annotation", "score"):
        written = store.query(
            f"{_WRITTEN.format(table=table).replace('GROUP BY', 'AND trace_id IN {ids:Array(String)} GROUP BY')}",
            params,
        ).rows
        for trace_id, newest in written:
            if trace_id in versions:
                versions[trace_id] = max(versions[trace_id], int(newest))
    found = [Changed(trace_id=row[0], version=versions[row[0]], received_day=row[2]) for row in rows]
    ordered = sorted(found, key=lambda item: (item.version, item.trace_id))
    return [item for item in ordered if (item.version, item.trace_id) > after]


def spans_of_traces(
    store: TraceStore, project: str, trace_ids: Sequence[str], since_ns: int, until_ns: int
) -> list[dict[str, Any]]:
    """Every column of every span of these traces, all of which lie between two moments."""
    return store.query(
        f"SELECT {WIDE_COLUMNS}, toUnixTimestamp64Nano(start_time) AS start_ns FROM {{db}}.span FINAL "
        "WHERE project_id = {project:String} AND trace_id IN {ids:Array(String)} "
        "AND start_time >= fromUnixTimestamp64Nano({start:Int64}, 'UTC') "
        "AND start_time <= fromUnixTimestamp64Nano({end:Int64}, 'UTC')",
        {"project": project, "ids": list(trace_ids), "start": since_ns, "end": until_ns},
        settings=READ_SETTINGS,
    ).dicts()


def events_of_traces(store: TraceStore, project: str, trace_ids: Sequence[str]) -> list[dict[str, Any]]:
    """The span events of these traces, in order, at most 200,000."""
    return store.query(
        "SELECT trace_id, span_id, toUnixTimestamp64Nano(time) AS time_ns, name, attributes FROM {db}.event FINAL "
        "WHERE project_id = {project:String} AND trace_id IN {ids:Array(String)} ORDER BY time, position LIMIT 200000",
        {"project": project, "ids": list(trace_ids)},
    ).dicts()


def scores_of_traces(store: TraceStore, project: str, trace_ids: Sequence[str]) -> list[dict[str, Any]]:
    """The scores of these traces, oldest first, at most 100,000."""
    return store.query(
        f"SELECT {SCORE_COLUMNS} FROM {{db}}.score FINAL WHERE project_id = {{project:String}} "
        "AND trace_id IN {ids:Array(String)} AND removed = 0 ORDER BY time LIMIT 100000",
        {"project": project, "ids": list(trace_ids)},
    ).dicts()


def signals_of_traces(store: TraceStore, project: str, trace_ids: Sequence[str]) -> dict[str, str]:
    """The JSON list of signals of each of these traces that has one, by trace id."""
    table = store.query(
        "SELECT trace_id, argMax(signal_details, version) AS details FROM {db}.trace "
        "WHERE project_id = {project:String} AND trace_id IN {ids:Array(String)} GROUP BY trace_id "
        "HAVING details != ''",
        {"project": project, "ids": list(trace_ids)},
    )
    return {row[0]: row[1] for row in table.rows}


def whole_spans(
    store: TraceStore, project: str, trace_id: str, stretch: Stretch, span_ids: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """Every column of these spans, in the order asked for, read in portions; spans that are gone are left out."""
    for first in range(0, len(span_ids), SPANS_A_READ):
        wanted = list(span_ids[first : first + SPANS_A_READ])
        rows = store.query(
            f"SELECT {WIDE_COLUMNS}, toUnixTimestamp64Nano(start_time) AS start_ns FROM {{db}}.span FINAL "
            "WHERE project_id = {project:String} AND trace_id = {id:String} "
            "AND start_time >= fromUnixTimestamp64Nano({start:Int64}, 'UTC') "
            "AND start_time <= fromUnixTimestamp64Nano({end:Int64}, 'UTC') AND span_id IN {spans:Array(String)}",
            {
                "project": project,
                "id": trace_id,
                "start": stretch.start_ns,
                "end": stretch.end_ns,
                "spans": wanted,
            },
            settings=READ_SETTINGS,
        ).dicts()
        by_id = {row["span_id"]: row for row in rows}
        yield from (by_id[span_id] for span_id in wanted if span_id in by_id)


def session_traces(store: TraceStore, project: str, session_id: str, *, limit: int = 10_000) -> list[str]:
    """The ids of a session's traces, oldest first."""
    table = store.query(
        "SELECT trace_id FROM {db}.trace FINAL WHERE project_id = {project:String} AND session_id = {id:String} "
        "ORDER BY start_time, trace_id LIMIT {limit:UInt32}",
        {"project": project, "id": session_id, "limit": limit},
        settings=READ_SETTINGS,
    )
    return [row[0] for row in table.rows]
