"""Reads for online evals: traces in the order in which they last changed, once they have been quiet for a while."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .conditions import LATEST_NS, TRACE_STATUS, Condition, filtered
from .trace_reads import READ_SETTINGS
from .trace_store import TraceStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Quiet:
    """A trace that fits, and when it last changed."""

    trace_id: str
    version: int
    session_id: str
    agent: str


def quiet_traces(
    store: TraceStore,
    project: str,
    since_ns: int,
    conditions: Sequence[Condition],
    *,
    after: tuple[int, str],
    until: int,
    finished: bool,
    limit: int,
) -> list[Quiet]:
    """Traces whose last change lies after a version and id, and not after ``until``; oldest change first.

    What is written about a trace, a note or a score, is no change of it.
    """
    where = filtered(project, since_ns, LATEST_NS, conditions)
    where.add(
        "(version > {after:UInt64} OR version = {after:UInt64} AND trace_id > {after_id:String})"
        " AND version <= {until_version:UInt64}",
        after=max(0, after[0]),
        after_id=after[1],
        until_version=max(0, until),
    )
    if finished:
        where.add(f"({TRACE_STATUS}) != 'running'")
    table = store.query(
        "SELECT trace_id, version, session_id, agent FROM {db}.trace FINAL "
        f"WHERE {where.sql} ORDER BY version, trace_id LIMIT {{limit:UInt32}}",
        {**where.params, "limit": limit},
        settings=READ_SETTINGS,
    )
    return [Quiet(trace_id=row[0], version=int(row[1]), session_id=row[2], agent=row[3]) for row in table.rows]


def last_changes(store: TraceStore, project: str, session_ids: Sequence[str]) -> dict[str, int]:
    """When each of these sessions last changed."""
    if not session_ids:
        return {}
    table = store.query(
        "SELECT session_id, max(version) FROM {db}.trace WHERE project_id = {project:String} "
        "AND session_id IN {ids:Array(String)} GROUP BY session_id",
        {"project": project, "ids": list(session_ids)},
    )
    return {row[0]: int(row[1]) for row in table.rows}
