"""Durable runs: what the server does in the background, whether it goes on, and why something failed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pilothouse.jobs import STATES, Run, RunPage
from pilothouse.web.context import told
from pilothouse.web.visit import PageContext, PageSpec, Visit, link

ROWS = 50
_ALL = ("", *STATES)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobsPage(PageContext):
    """The list of durable runs."""

    state: str = field(metadata=told("the state shown; empty for all"))
    runs: tuple[Run, ...] = field(metadata=told("the runs of this page, newest first"))
    total: int = field(metadata=told("how many there are on all pages"))
    next: str = field(metadata=told("cursor of the next page; empty at the end"))
    cursor: str = field(metadata=told("which page this is; empty for the first"))

    @property
    def states(self) -> tuple[str, ...]:
        """What the list can be narrowed to; empty for all."""
        return _ALL

    def here(self, **changed: Any) -> str:
        """The same list with something changed."""
        return link("/jobs", **({"state": self.state} | changed))


def gather(visit: Visit) -> JobsPage:
    """Read one page of runs."""
    state = visit.word("state", _ALL)
    cursor = visit.text("cursor", 20)
    found: RunPage = visit.reader.jobs(state, limit=ROWS, cursor=cursor)
    return JobsPage(
        title="Jobs",
        command="pilothouse jobs ls" + (f" --state {state}" if state else ""),
        state=state,
        runs=found.items,
        total=found.total,
        next=found.next,
        cursor=cursor,
    )


JOBS = PageSpec(name="jobs", path="/jobs", context=JobsPage, gather=gather)
