"""The list of conversations."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pilothouse.records import BadRequest
from pilothouse.traces.model import Page, SessionRow, TraceQuery
from pilothouse.web.context import told
from pilothouse.web.filters import HELP, Term, terms
from pilothouse.web.setup import Setup, setup
from pilothouse.web.visit import PageContext, PageSpec, Visit, link
from pilothouse.web.windows import Chosen

ROWS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionsPage(PageContext):
    """The list of conversations."""

    window: Chosen = field(metadata=told("the time window shown"))
    query: str = field(metadata=told("the filter line"))
    terms: tuple[Term, ...] = field(metadata=told("the filter line, term by term"))
    problem: dict[str, Any] | None = field(metadata=told("what is wrong with the filter line, and the remedy"))
    sessions: Page[SessionRow] | None = field(metadata=told("the rows of this page"))
    cursor: str = field(metadata=told("which page this is; empty for the first"))
    setup: Setup | None = field(metadata=told("how to send the first trace; only where there is nothing"))

    @property
    def failure(self) -> dict[str, Any] | None:
        """The problem, where there is one."""
        return self.problem

    def here(self, **changed: Any) -> str:
        """The same list with something changed."""
        values: dict[str, Any] = {"q": self.query}
        if self.window.choice and not {"since", "until"} & changed.keys():
            values["window"] = self.window.choice
        elif not self.window.choice:
            values.update(since=self.window.since, until=self.window.until)
        return link("/sessions", **(values | changed))

    @property
    def help(self) -> tuple[tuple[str, str], ...]:
        """Examples of the filter language."""
        return HELP


def gather(visit: Visit) -> SessionsPage:
    """Read one page of conversations."""
    window = visit.window()
    query = visit.text("q")
    cursor = visit.text("cursor")
    asked = TraceQuery(
        text=query,
        since_ns=window.since_ns,
        until_ns=window.until_ns,
        limit=visit.number("limit", ROWS, at_least=1, at_most=200),
        cursor=cursor,
    )
    problem: dict[str, Any] | None = None
    rows: Page[SessionRow] | None = None
    try:
        rows = visit.reader.sessions(asked)
    except BadRequest as error:
        problem = error.as_dict()
    nothing = rows is not None and not rows.items and not query and not cursor
    return SessionsPage(
        title="Sessions",
        command=f"pilothouse sessions {window.flags}",
        window=window,
        query=query,
        terms=terms(query),
        problem=problem,
        sessions=rows,
        cursor=cursor,
        setup=setup(visit.visitor) if nothing else None,
    )


SESSIONS = PageSpec(name="sessions", path="/sessions", context=SessionsPage, gather=gather)
