"""One conversation: its totals and its turns."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field

from pilothouse.traces.model import SessionRow, TraceRow
from pilothouse.web.context import told
from pilothouse.web.model import Written
from pilothouse.web.visit import PageContext, PageSpec, Visit, link, session_url

TURNS = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionPage(PageContext):
    """One conversation."""

    session: SessionRow = field(metadata=told("the conversation as a whole"))
    turns: tuple[TraceRow, ...] = field(metadata=told("its turns on this page, oldest first; each is a trace"))
    written: tuple[Written, ...] = field(metadata=told("notes, scores and labels on the session itself, oldest first"))
    may_write: bool = field(metadata=told("true where the visitor may add to them"))
    first_turn: int = field(metadata=told("number of the first turn on this page, from 1"))
    cursor: str = field(metadata=told("which page this is; empty for the first"))
    next: str = field(metadata=told("cursor of the next page; empty at the end"))

    @property
    def longest_ms(self) -> float:
        """The longest turn on this page."""
        return max((turn.duration_ms for turn in self.turns), default=0.0)

    @property
    def next_url(self) -> str:
        """The next turns."""
        after = self.first_turn + len(self.turns)
        return link(session_url(self.session.session_id).partition("?")[0], cursor=self.next, turn=after, format="html")

    @property
    def first_url(self) -> str:
        """The first turns."""
        return session_url(self.session.session_id)


def gather(visit: Visit) -> SessionPage:
    """Read one page of turns."""
    session_id = visit.parts["id"]
    cursor = visit.text("cursor")
    found = visit.reader.session(session_id, cursor=cursor, limit=TURNS)
    return SessionPage(
        title=f"Session {session_id}",
        command=f"pilothouse show {shlex.quote(session_id)}",
        session=found.row,
        turns=found.turns,
        written=visit.reader.written(session_id=session_id),
        may_write=visit.visitor.mode != "read",
        first_turn=visit.number("turn", 1, at_least=1) if cursor else 1,
        cursor=cursor,
        next=found.next,
    )


SESSION = PageSpec(name="session", path="/sessions/{id}", context=SessionPage, gather=gather, nav="sessions", tail=True)
