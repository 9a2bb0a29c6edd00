"""What runs now: who runs, waits for a person, is held up, is stuck, or has died."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from typing import Any

from pilothouse.records import BadRequest
from pilothouse.traces.model import LIVE_STATES, Live, LiveRow
from pilothouse.web.context import told
from pilothouse.web.filters import HELP, Term, terms
from pilothouse.web.setup import Setup, live_setup
from pilothouse.web.visit import PageContext, PageSpec, Visit, link

ROWS = 300
"""Rows of the page: more than anybody reads, and still a light page."""
STATE_WORDS = {
    "died": "died",
    "stalled": "stuck",
    "waiting_human": "needs a person",
    "rate_limited": "rate-limited",
    "retrying": "tries again",
    "quiet": "quiet",
    "queued": "queued",
    "running": "running",
    "ended": "ended",
}
"""Each state as it is written on pages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LivePage(PageContext):
    """What runs now."""

    query: str = field(metadata=told("the filter line"))
    terms: tuple[Term, ...] = field(metadata=told("the filter line, term by term"))
    states: tuple[str, ...] = field(metadata=told("the states asked for; none: all"))
    problem: dict[str, Any] | None = field(metadata=told("what is wrong with the filter line, and the remedy"))
    live: Live | None = field(metadata=told("the traces, those that need somebody first; nothing where it is wrong"))
    setup: Setup | None = field(metadata=told("how to send the first live trace; only where nothing runs"))

    @property
    def failure(self) -> dict[str, Any] | None:
        """The problem, where there is one."""
        return self.problem

    @property
    def words(self) -> dict[str, str]:
        """Each state as it is written."""
        return STATE_WORDS

    @property
    def events(self) -> str:
        """The address of the stream that this page goes on with."""
        return link("/api/v1/live/events", filter=self.query)

    @property
    def help(self) -> tuple[tuple[str, str], ...]:
        """Examples of the filter language."""
        return HELP

    @property
    def here(self) -> str:
        """The address of this page."""
        return self.only(*self.states)

    def only(self, *states: str) -> str:
        """The same page with these states alone."""
        return link("/live", q=self.query, state=",".join(states))

    def rank(self, row: LiveRow) -> str:
        """What the rows are sorted by; the page's script makes the same."""
        return f"{LIVE_STATES.index(row.state)}{0 if row.attention else 1}{row.since}{row.trace_id}"

    def why(self, row: LiveRow) -> str:
        """The second line of a row: why it is as it is; of one that simply runs, what it was asked."""
        return row.input_text if row.state in ("running", "ended") and row.input_text else row.reason

    def error(self, row: LiveRow) -> str:
        """The last error, where the line above does not say it already."""
        return "" if row.last_error in self.why(row) else row.last_error

    def share(self, row: LiveRow) -> float:
        """Of the time that is usual at most: how much has passed."""
        return min(row.elapsed_ms / row.usual_p95_ms, 1.0) if row.usual_p95_ms else 0.0


def gather(visit: Visit) -> LivePage:
    """Take the picture."""
    query = visit.text("q")
    states = tuple(state for state in visit.text("state", 200).split(",") if state)
    problem: dict[str, Any] | None = None
    live: Live | None = None
    try:
        live = visit.reader.live(query, states, limit=ROWS)
    except BadRequest as error:
        problem = error.as_dict()
    words = [shlex.quote(term.text) for term in terms(query)]
    chosen = ["--state", ",".join(states)] if states else []
    nothing = live is not None and not live.counts and not query
    return LivePage(
        title=f"({live.attention}) Live" if live is not None and live.attention else "Live",
        command=" ".join(["pilothouse live", *words, *chosen]),
        query=query,
        terms=terms(query),
        states=states,
        problem=problem,
        live=live,
        setup=live_setup(visit.visitor) if nothing else None,
    )


LIVE = PageSpec(name="live", path="/live", context=LivePage, gather=gather)
