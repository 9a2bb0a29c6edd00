"""Reads of stored content: messages and long values by hash, and which span of a trace said what first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from .trace_reads import READ_SETTINGS, Stretch
from .trace_store import TraceStore

_HASHES_A_QUERY = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredContent:
    """One stored content."""

    hash: str
    kind: str
    role: str
    name: str
    content: str
    envelope: str


def contents(store: TraceStore, project: str, scopes: Iterable[str], hashes: Sequence[str]) -> dict[str, StoredContent]:
    """Contents by hash, looked for in the project's shared scope and in ``scopes``. What is not stored is left out."""
    found: dict[str, StoredContent] = {}
    unique = list(dict.fromkeys(hashes))
    for first in range(0, len(unique), _HASHES_A_QUERY):
        # No FINAL: copies of one hash have the same content, whichever day they were stored on.
        table = store.query(
            "SELECT hash, kind, role, name, content, envelope FROM {db}.message WHERE project_id = {project:String} "
            "AND scope IN {scopes:Array(String)} AND hash IN {hashes:Array(String)} LIMIT 1 BY hash",
            {
                "project": project,
                "scopes": ["", *dict.fromkeys(scopes)],
                "hashes": unique[first : first + _HASHES_A_QUERY],
            },
        )
        for row in table.rows:
            found[row[0]] = StoredContent(
                hash=row[0], kind=row[1], role=row[2], name=row[3], content=row[4], envelope=row[5]
            )
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstUse:
    """Where in a trace a content belongs: said once, shown once."""

    hash: str
    span_id: str
    output: bool
    position: int
    scope: str


def first_uses(
    store: TraceStore, project: str, trace_id: str, stretch: Stretch, *, span_ids: Sequence[str] = ()
) -> list[FirstUse]:
    """Every content that spans of a trace refer to, with the span that had it first.

    An output belongs to the model call that made it before it belongs to the agents around it, which start earlier.
    ``span_ids`` limits the answer to what these spans had first.
    """
    params: dict[str, Any] = {"project": project, "id": trace_id, "start": stretch.start_ns, "end": stretch.end_ns}
    chosen = ""
    if span_ids:
        params["spans"] = list(span_ids)
        chosen = "HAVING first.1 IN {spans:Array(String)}"
    table = store.query(
        "SELECT ref.3 AS hash, argMin(tuple(span_id, ref.1, ref.2, message_scope), "
        "tuple(ref.1 AND kind NOT IN ('model', 'tool'), start_time, ref.1, ref.2)) AS first "
        "FROM (SELECT span_id, kind, start_time, message_scope, arrayJoin(arrayConcat("
        "arrayMap((h, i) -> tuple(0, i, h), input_refs, arrayEnumerate(input_refs)), "
        "arrayMap((h, i) -> tuple(1, i, h), output_refs, arrayEnumerate(output_refs)))) AS ref "
        "FROM {db}.span FINAL WHERE project_id = {project:String} AND trace_id = {id:String} "
        "AND start_time >= fromUnixTimestamp64Nano({start:Int64}, 'UTC') "
        "AND start_time <= fromUnixTimestamp64Nano({end:Int64}, 'UTC')) "
        f"GROUP BY hash {chosen}",
        params,
        settings=READ_SETTINGS,
    )
    return [
        FirstUse(hash=row[0], span_id=row[1][0], output=bool(row[1][1]), position=row[1][2], scope=row[1][3])
        for row in table.rows
    ]
