"""Analyses on this server: what was asked of which traces, how far each is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pilothouse.analysis.playbook import built_in_names
from pilothouse.analysis.shelf import Analysis
from pilothouse.jobs import STATES
from pilothouse.web.context import told
from pilothouse.web.visit import PageContext, PageSpec, Visit, link

ROWS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalysisPage(PageContext):
    """The list of analyses."""

    state: str = field(metadata=told("the state shown; empty for all"))
    analyses: tuple[Analysis, ...] = field(metadata=told("the analyses of this page, newest first"))
    total: int = field(metadata=told("how many there are on all pages"))
    next: str = field(metadata=told("cursor of the next page; empty at the end"))
    cursor: str = field(metadata=told("which page this is; empty for the first"))
    playbooks: tuple[str, ...] = field(metadata=told("the playbooks that can be asked for"))

    def here(self, **changed: Any) -> str:
        """The same list with something changed."""
        return link("/analysis", **({"state": self.state} | changed))


def gather(visit: Visit) -> AnalysisPage:
    """Read one page of analyses."""
    state = visit.word("state", ("", *STATES))
    cursor = visit.text("cursor", 20)
    found = visit.reader.analyses(state, limit=ROWS, cursor=cursor)
    return AnalysisPage(
        title="Analysis",
        command="pilothouse analyze ls" + (f" --state {state}" if state else ""),
        state=state,
        analyses=found.items,
        total=found.total,
        next=found.next,
        cursor=cursor,
        playbooks=tuple(built_in_names()),
    )


ANALYSIS = PageSpec(name="analysis", path="/analysis", context=AnalysisPage, gather=gather)
