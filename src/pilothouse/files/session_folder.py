"""``sessions/ID/`` of an export: a conversation turn by turn, each turn with the folder of its trace."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace

from pilothouse.records import Annotation, iso
from pilothouse.store import TraceStore
from pilothouse.store.annotation_rows import annotations_of
from pilothouse.traces import as_json, dumps, session, session_text
from pilothouse.traces.model import Session, TraceRow

from .binaries import without
from .export_file import ExportFile, slug
from .spec import Content
from .trace_folder import folder_name

_TEXT_CHARS = 100_000
"""Of session.md; turns.jsonl has every turn."""
_TURNS_MAX = 10_000
_NOTES_MAX = 1_000


def session_files(store: TraceStore, project: str, session_id: str, content: Content) -> Iterator[ExportFile]:
    """``session.md``, ``turns.jsonl`` and what is noted on the session itself, made anew with every sync.

    Ten thousand turns at most.
    """
    found = _whole(store, project, session_id, content)
    folder = f"sessions/{slug(session_id)}"
    # The content cannot know it, and the same turns give the same bytes.
    known = f"{session_id} {[turn.trace_id for turn in found.turns]} {found.row.end_time}"
    marker = hashlib.sha256(known.encode()).hexdigest()[:8]
    text = session_text(found, _TEXT_CHARS, transcript=content == "full", marker=marker)
    yield ExportFile(path=f"{folder}/session.md", text=without(text))
    lines = [dumps(_turn(place, turn)).decode() for place, turn in enumerate(found.turns, 1)]
    yield ExportFile(path=f"{folder}/turns.jsonl", text=without("".join(line + "\n" for line in lines)))
    # An empty file too: what stood in it may have been taken back since the last sync.
    own = annotations_of(store, project, session_id=session_id, limit=_NOTES_MAX)
    notes = [dumps(_note(one, content)).decode() for one in own]
    yield ExportFile(path=f"{folder}/notes.jsonl", text=without("".join(line + "\n" for line in notes)))


def _whole(store: TraceStore, project: str, session_id: str, content: Content) -> Session:
    page = session(store, project, session_id, limit=1_000)
    turns = list(page.turns)
    while page.next and len(turns) < _TURNS_MAX:
        page = session(store, project, session_id, cursor=page.next, limit=1_000)
        turns += page.turns
    row = page.row
    if content == "meta":
        row = replace(row, first_input="", last_output="")
        turns = [replace(turn, input_text="", output_text="", first_error="") for turn in turns]
    return Session(row=row, turns=tuple(turns))


def _note(one: Annotation, content: Content) -> dict[str, object]:
    """A note, score or label on the session itself."""
    return {
        "kind": one.kind,
        "name": one.name,
        "value": one.value,
        "label": one.label,
        "text": one.text if content == "full" else "",
        "actor": one.actor,
        "run": one.run,
        "time": iso(one.time_ns),
    }


def _turn(place: int, turn: TraceRow) -> dict[str, object]:
    """One turn, short fields first."""
    line: dict[str, object] = {
        "turn": place,
        "trace_id": turn.trace_id,
        "status": turn.status,
        "start": turn.start_time,
        "duration_ms": turn.duration_ms,
        "agent": turn.agent or turn.root_name,
        "spans": turn.spans,
        "errors": turn.errors,
        "tokens": turn.tokens.total,
        "cost_usd": as_json(turn.cost_usd),
        "signals": list(turn.signals),
        "path": folder_name(turn),
        "error": turn.first_error,
        "input": turn.input_text,
        "output": turn.output_text,
    }
    return {key: value for key, value in line.items() if value not in ("", None, [], {})}
