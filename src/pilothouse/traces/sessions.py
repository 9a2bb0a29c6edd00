"""Conversations: lists of sessions, and one session with its turns."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from pilothouse.records import BadRequest, NotFound, command, iso
from pilothouse.store import TraceStore
from pilothouse.store.conditions import LATEST_NS
from pilothouse.store.session_reads import find_sessions, session_rows, turns
from pilothouse.store.trace_reads import session_candidates, trace_rows

from .cursors import Cursor, digest, read_cursor, write_cursor
from .filters import check_text, conditions_of
from .model import DEFAULT_BUDGET, Page, Session, SessionRow, TraceQuery
from .rows import money, trace_row
from .search import check_page, emptied_by
from .text import Fence, cut, dollars, duration, label, quoted
from .trees import step_text
from .windows import Range, time_range

_TURNS_MAX = 1_000


def sessions(store: TraceStore, project: str, query: TraceQuery) -> Page[SessionRow]:
    """Sessions with a trace that fits a query, one page; sums go over all their turns in the time range."""
    conditions = conditions_of(store, project, query.text)
    check_page(query)
    marked = digest("sessions", query.text, query.sort)
    cursor = read_cursor(query.cursor, marked) if query.cursor else None
    if cursor is None:
        covered = time_range(query.since_ns, query.until_ns)
        after = None
    else:
        covered = Range(since_ns=cursor.since_ns, until_ns=cursor.until_ns, assumed=cursor.assumed)
        after = (cursor.key, cursor.id)
    found, total = find_sessions(
        store,
        project,
        covered.since_ns,
        covered.until_ns,
        conditions,
        order=query.sort,
        limit=query.limit + 1,
        after=after,
    )
    if cursor is not None:
        total = cursor.total
    shown, more = found[: query.limit], len(found) > query.limit
    ids = [item.session_id for item in shown]
    rows = session_rows(store, project, ids, covered.since_ns, covered.until_ns) if ids else {}
    following = ""
    if more:
        last = Cursor(
            key=shown[-1].key,
            id=shown[-1].session_id,
            since_ns=covered.since_ns,
            until_ns=covered.until_ns,
            total=total,
            assumed=covered.assumed,
        )
        following = write_cursor(last, marked)
    return Page(
        items=tuple(_row(rows[id]) for id in ids if id in rows),
        next=following,
        more=more,
        total=total,
        window=covered.as_window(),
        emptied_by=() if shown or cursor is not None else emptied_by(store, project, covered, conditions),
    )


def session(store: TraceStore, project: str, session_id: str, *, cursor: str = "", limit: int = 200) -> Session:
    """One session and a page of its turns, oldest first, however old they are.

    Raises:
        NotFound: no trace has a session id that begins so.
        BadRequest: several begin so; ``allowed`` lists them.
    """
    check_text(session_id, "a session id", 500)
    if not 1 <= limit <= _TURNS_MAX:
        raise BadRequest(f"a page has 1 to {_TURNS_MAX} turns", got=limit)
    session_id = _whole_id(store, project, session_id)
    marked = digest("turns", session_id)
    before = read_cursor(cursor, marked) if cursor else None
    found = turns(
        store, project, session_id, limit=limit + 1, after=(before.key, before.id) if before is not None else None
    )
    shown = found[:limit]
    rows = trace_rows(store, project, shown, chars=1000)
    following = ""
    if len(found) > limit:
        last = Cursor(key=shown[-1].key, id=shown[-1].trace_id, since_ns=0, until_ns=0, total=0, assumed=False)
        following = write_cursor(last, marked)
    sums = session_rows(store, project, [session_id], 0, LATEST_NS)
    return Session(
        row=_row(sums[session_id]),
        turns=tuple(trace_row(rows[item.trace_id]) for item in shown if item.trace_id in rows),
        next=following,
    )


def _whole_id(store: TraceStore, project: str, beginning: str) -> str:
    found = session_candidates(store, project, beginning) if beginning else []
    if not found:
        raise NotFound("no session has an id that begins so", got=beginning, fix="pilothouse sessions")
    if len(found) > 1:
        listed = [item.id for item in found[:10]]
        raise BadRequest(
            "several session ids begin so",
            got=beginning,
            allowed=listed + (["…"] if len(found) > 10 else []),
            fix=f"pilothouse sessions {shlex.quote(listed[0])}",
        )
    return found[0].id


def session_text(found: Session, budget: int = DEFAULT_BUDGET, *, transcript: bool = False, marker: str = "") -> str:
    """A session as text in at most ``budget`` characters: a line for each turn, or what was asked and answered."""
    row, fence = found.row, Fence(marker)
    top = (
        f"# session {label(row.session_id, 200)} agent={label(row.agent, 80)} status={row.status} turns={row.traces} "
        f"start={row.start_time} end={row.end_time} steps={row.spans} errors={row.errors} "
        f"tokens={row.total_tokens:,} cost={dollars(row.cost_usd)}"
    )
    if row.user_id:
        top += f" user={label(row.user_id, 80)}"
    lines = [top, fence.note, ""] if transcript else [top]
    used = sum(len(text) + 1 for text in lines)
    for place, turn in enumerate(found.turns, 1):
        heading = (
            f"{step_text(place)} trace {turn.trace_id[:12]} {turn.status} {duration(turn.duration_ms)} "
            f"steps={turn.spans} {dollars(turn.cost_usd)}"
        )
        if transcript:
            asked, answered = cut(turn.input_text, 1000), cut(turn.output_text, 1000)
            piece = f"## {heading}\n[user]\n{fence.around(asked)}\n[answer]\n{fence.around(answered)}\n"
        else:
            piece = f"{heading} {quoted(turn.input_text, 80)} -> {quoted(turn.output_text, 80)}"
        if used + len(piece) > budget - 200:
            shown = place - 1
            form = "transcript" if transcript else "tree"
            get = (
                command("sessions", row.session_id, "--as", form, "--budget", budget * 10) or f"--budget {budget * 10}"
            )
            lines.append(f"cut: {row.traces - shown:,} of {row.traces:,} turns; more: {get}")
            return "\n".join(lines) + "\n"
        lines.append(piece)
        used += len(piece) + 1
    if row.traces > len(found.turns):
        lines.append(f"cut: {row.traces - len(found.turns):,} of {row.traces:,} turns; more: --cursor {found.next}")
    return "\n".join(lines) + "\n"


def _row(row: Mapping[str, Any]) -> SessionRow:
    return SessionRow(
        session_id=row["session_id"],
        user_id=row["user_id"],
        agent=row["agent"],
        environment=row["environment"],
        traces=row["traces"],
        status="running" if row["running"] else "error" if row["failed"] else "ok",
        start_time=iso(row["start_ns"]),
        end_time=iso(row["end_ns"]),
        spans=row["spans"],
        model_calls=row["model_calls"],
        tool_calls=row["tool_calls"],
        errors=row["errors"],
        total_tokens=row["tokens"],
        cost_usd=money(row["cost"]),
        first_input=row["first_input"],
        last_output=row["last_output"],
    )
