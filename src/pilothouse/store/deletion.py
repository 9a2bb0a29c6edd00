"""Deleting traces on request: what would go, and taking it away. Doing it again changes nothing more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pilothouse.records import iso

from .export_reads import Changed
from .retention import row_bytes
from .schema import GONE
from .trace_store import TraceStore

_CHUNK = 5_000
_OF_TRACES = "project_id = {project:String} AND trace_id IN {ids:Array(String)}"
_REFS = "arrayJoin(arrayConcat(input_refs, output_refs, [tools_ref, documents_ref]))"


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighed:
    """What a deletion takes."""

    traces: int
    spans: int
    messages: int
    """Messages and long values that no other trace refers to."""
    logs: int
    scores: int
    notes: int
    """Notes and labels."""
    bytes: int
    """By the average size of a row of each table."""


def weigh(store: TraceStore, project: str, trace_ids: Sequence[str], session_id: str = "") -> Weighed:
    """What deleting these traces, and a session's own annotations, would take."""
    params = {"project": project, "ids": list(trace_ids)}
    counts = {
        table: int(store.query(f"SELECT count() FROM {{db}}.{table} FINAL WHERE {_OF_TRACES}", params).rows[0][0])
        for table in ("trace", "span", "event", "log", "score", "annotation")
    }
    if session_id:
        own = {"project": project, "session": session_id}
        for table in ("score", "annotation"):
            found = store.query(
                f"SELECT count() FROM {{db}}.{table} FINAL WHERE project_id = {{project:String}} "
                "AND session_id = {session:String} AND trace_id = ''",
                own,
            )
            counts[table] += int(found.rows[0][0])
    counts["message"] = sum(
        int(
            store.query(
                "SELECT uniqExact(hash) FROM {db}.message WHERE project_id = {project:String} AND scope = {scope:String}"
                + ("" if hashes is None else " AND hash IN {hashes:Array(String)}"),
                {"project": project, "scope": scope, "hashes": hashes or []},
            ).rows[0][0]
        )
        for scope, hashes in _contents(store, project, trace_ids)
    )
    width = row_bytes(store)
    return Weighed(
        traces=counts["trace"],
        spans=counts["span"],
        messages=counts["message"],
        logs=counts["log"],
        scores=counts["score"],
        notes=counts["annotation"],
        bytes=round(sum(count * width.get(table, 0.0) for table, count in counts.items())),
    )


def erase(store: TraceStore, project: str, trace_ids: Sequence[str], session_id: str, now_ns: int) -> None:
    """Take traces away, with their events, logs, scores, notes and what only they said; the traces themselves last."""
    params = {"project": project, "ids": list(trace_ids)}
    store.insert("gone", GONE.column_names, [_gone(project, one, session_id, now_ns) for one in trace_ids])
    for scope, hashes in _contents(store, project, trace_ids):
        if hashes is None:
            where = "project_id = {project:String} AND scope = {scope:String}"
            store.delete("message", where, {"project": project, "scope": scope})
            continue
        for first in range(0, len(hashes), _CHUNK):
            store.delete(
                "message",
                "project_id = {project:String} AND scope = {scope:String} AND hash IN {hashes:Array(String)}",
                {"project": project, "scope": scope, "hashes": hashes[first : first + _CHUNK]},
            )
    # The spans after what they refer to, the trace after its spans: interrupted in between, the rest is found again.
    for table in ("event", "log", "score", "annotation", "span", "trace"):
        store.delete(table, _OF_TRACES, params)
    if session_id:
        for table in ("score", "annotation"):
            store.delete(
                table,
                "project_id = {project:String} AND session_id = {session:String} AND trace_id = ''",
                {"project": project, "session": session_id},
            )


def gone_traces(
    store: TraceStore, project: str, *, after: tuple[int, str], limit: int, session_id: str = "", trace_id: str = ""
) -> list[Changed]:
    """Traces that were deleted on request after a version and id, the first to go first; of one session or trace where named."""
    where = "project_id = {project:String} AND (version, trace_id) > ({version:UInt64}, {after:String})"
    where += " AND session_id = {session:String}" if session_id else ""
    where += " AND trace_id = {trace:String}" if trace_id else ""
    table = store.query(
        f"SELECT trace_id, version, toString(received_day) FROM {{db}}.gone FINAL WHERE {where} "
        "ORDER BY version, trace_id LIMIT {limit:UInt32}",
        {
            "project": project,
            "version": after[0],
            "after": after[1],
            "session": session_id,
            "trace": trace_id,
            "limit": limit,
        },
    )
    return [Changed(trace_id=row[0], version=int(row[1]), received_day=row[2]) for row in table.rows]


def _gone(project: str, trace_id: str, session_id: str, now_ns: int) -> list[object]:
    moment = iso(now_ns)[:-1].replace("T", " ")
    return [project, trace_id, session_id, moment, moment, moment[:10], now_ns]


def _contents(store: TraceStore, project: str, trace_ids: Sequence[str]) -> list[tuple[str, list[str] | None]]:
    """By scope, the contents that these traces alone refer to; None for all of a scope.

    A scope is a trace or a session. System prompts and tool definitions are stored once for the project: they stay.
    """
    params = {"project": project, "ids": list(trace_ids)}
    found = store.query(f"SELECT DISTINCT message_scope FROM {{db}}.span WHERE {_OF_TRACES}", params)
    scopes = sorted({*trace_ids, *(str(row[0]) for row in found.rows)} - {""})
    chosen: list[tuple[str, list[str] | None]] = []
    for scope in scopes:
        asked = {**params, "scope": scope}
        in_scope = "project_id = {project:String} AND message_scope = {scope:String}"
        others = store.query(
            f"SELECT DISTINCT {_REFS} FROM {{db}}.span WHERE {in_scope} AND trace_id NOT IN {{ids:Array(String)}}",
            asked,
        )
        if not others.rows:
            chosen.append((scope, None))
            continue
        mine = store.query(
            f"SELECT DISTINCT {_REFS} FROM {{db}}.span WHERE {in_scope} AND trace_id IN {{ids:Array(String)}}", asked
        )
        kept = {str(row[0]) for row in others.rows}
        chosen.append((scope, [str(row[0]) for row in mine.rows if row[0] and row[0] not in kept]))
    return chosen
