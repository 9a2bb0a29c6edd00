"""Annotations in the trace store: what the log says, for reading beside traces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pilothouse.records import Annotation, Target, iso, utc

from .schema import ANNOTATION, SCORE
from .trace_reads import SCORE_COLUMNS
from .trace_store import TraceStore

WRITTEN = "annotation"
"""The source of scores that were written afterwards; who wrote them is in columns of their own."""
ROWS_MAX = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """An annotation to be shown, or one to be shown no more."""

    annotation: Annotation
    removed: bool
    created_ns: int
    version: int


def put_annotations(store: TraceStore, project: str, shown: Sequence[Shown]) -> None:
    """Show annotations as they are now. The newest version wins, in whatever order they arrive."""
    scores = [_score_row(project, one) for one in shown if one.annotation.kind == "score"]
    others = [_row(project, one) for one in shown if one.annotation.kind != "score"]
    store.insert("score", SCORE.column_names, scores)
    store.insert("annotation", ANNOTATION.column_names, others)


def annotations_of(
    store: TraceStore,
    project: str,
    *,
    trace_ids: Sequence[str] = (),
    session_id: str = "",
    run: str = "",
    limit: int = 1_000,
) -> list[Annotation]:
    """The annotations of traces, of a session itself, or those a run wrote, oldest first. Give one of the three."""
    if trace_ids:
        where, params = "trace_id IN {ids:Array(String)}", {"ids": list(trace_ids)}
    elif session_id:
        where, params = "session_id = {session:String} AND trace_id = ''", {"session": session_id}
    else:
        where, params = "run = {run:String}", {"run": run}
    asked: dict[str, Any] = {"project": project, "limit": min(limit, ROWS_MAX), **params}
    written = store.query(
        "SELECT annotation_id, kind, trace_id, span_id, session_id, name, text, actor, actor_id, actor_kind, run, "
        f"toUnixTimestamp64Nano(time) AS time_ns FROM {{db}}.annotation FINAL WHERE project_id = {{project:String}} "
        f"AND {where} AND removed = 0 ORDER BY time, annotation_id LIMIT {{limit:UInt32}}",
        asked,
    ).dicts()
    scores = store.query(
        f"SELECT {SCORE_COLUMNS}, session_id, actor_id FROM {{db}}.score FINAL WHERE project_id = {{project:String}} "
        f"AND {where} AND removed = 0 ORDER BY time, score_id LIMIT {{limit:UInt32}}",
        asked,
    ).dicts()
    found = [_annotation(row) for row in written] + [_score(row) for row in scores]
    return sorted(found, key=lambda one: (one.time_ns, one.annotation_id))[:limit]


def notes_of(
    store: TraceStore, project: str, *, trace_ids: Sequence[str] = (), session_id: str = "", limit: int = 1_000
) -> list[Annotation]:
    """The notes and labels of traces, or of a session itself, oldest first; scores are read with the traces."""
    where = "trace_id IN {ids:Array(String)}" if trace_ids else "session_id = {session:String} AND trace_id = ''"
    rows = store.query(
        "SELECT annotation_id, kind, trace_id, span_id, session_id, name, text, actor, actor_id, actor_kind, run, "
        f"toUnixTimestamp64Nano(time) AS time_ns FROM {{db}}.annotation FINAL WHERE project_id = {{project:String}} "
        f"AND {where} AND removed = 0 ORDER BY time, annotation_id LIMIT {{limit:UInt32}}",
        {"project": project, "ids": list(trace_ids), "session": session_id, "limit": limit},
    ).dicts()
    return [_annotation(row) for row in rows]


def score_names(store: TraceStore, project: str, *, limit: int = 1_000) -> list[str]:
    """The names of all scores there are, the most frequent first."""
    table = store.query(
        "SELECT name FROM {db}.score WHERE project_id = {project:String} AND removed = 0 "
        "GROUP BY name ORDER BY count() DESC, name LIMIT {limit:UInt32}",
        {"project": project, "limit": limit},
    )
    return [row[0] for row in table.rows]


def _annotation(row: dict[str, Any]) -> Annotation:
    target = Target(trace_id=row.pop("trace_id"), span_id=row.pop("span_id"), session_id=row.pop("session_id"))
    return Annotation(target=target, **row)


def _score(row: dict[str, Any]) -> Annotation:
    return Annotation(
        annotation_id=row["written_id"],
        kind="score",
        target=Target(trace_id=row["trace_id"], span_id=row["span_id"], session_id=row["session_id"]),
        name=row["name"],
        value=row["value"],
        label=row["label"],
        text=row["explanation"],
        actor=row["judge"],
        actor_kind=row["actor_kind"],
        actor_id=row["actor_id"],
        run=row["run"],
        time_ns=row["time_ns"],
    )


def _row(project: str, shown: Shown) -> list[Any]:
    one = shown.annotation
    return [
        project,
        one.target.trace_id,
        one.target.span_id,
        one.target.session_id,
        one.kind,
        one.annotation_id,
        one.name,
        "" if shown.removed else one.text,
        one.actor,
        one.actor_id,
        one.actor_kind,
        one.run,
        int(shown.removed),
        _time(one.time_ns),
        *_arrival(shown),
    ]


def _score_row(project: str, shown: Shown) -> list[Any]:
    one = shown.annotation
    return [
        project,
        one.target.trace_id,
        one.target.span_id,
        one.target.session_id,
        one.name,
        WRITTEN,
        one.annotation_id,
        one.value,
        one.label,
        "" if shown.removed else one.text,
        one.actor,
        one.actor_id,
        one.actor_kind,
        one.run,
        int(shown.removed),
        _time(one.time_ns),
        *_arrival(shown),
    ]


def _arrival(shown: Shown) -> list[Any]:
    # The day of its first write, always: versions of a row are merged within a day's partition.
    return [
        iso(shown.version)[:-1].replace("T", " "),
        utc(shown.created_ns).strftime("%Y-%m-%d"),
        shown.version,
    ]


def _time(ns: int) -> str:
    return f"{utc(ns).strftime('%Y-%m-%d %H:%M:%S')}.{ns % 1_000_000_000:09d}"
