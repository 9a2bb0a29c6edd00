"""The list of traces: a filter line, facets, a latency heatmap, and the rows."""

from __future__ import annotations

import math
import shlex
from dataclasses import dataclass, field
from typing import Any

from pilothouse.records import BadRequest
from pilothouse.traces.model import SORTS, Facet, Heatmap, Page, Sort, TraceQuery, TraceRow
from pilothouse.web.charts import HeatmapPicture, heatmap_picture
from pilothouse.web.context import told
from pilothouse.web.filters import HELP, Term, chosen, terms, toggled, without_empty
from pilothouse.web.setup import Setup, setup
from pilothouse.web.visit import PageContext, PageSpec, Visit, link
from pilothouse.web.windows import Chosen, choose

FACETS = ("status", "agent", "signal", "model", "tool", "env", "version", "user", "feature")
OPEN_FACETS = 5
"""Facets shown open at first."""
ROWS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class TracesPage(PageContext):
    """The list of traces."""

    window: Chosen = field(metadata=told("the time window shown"))
    query: str = field(metadata=told("the filter line"))
    terms: tuple[Term, ...] = field(metadata=told("the filter line, term by term"))
    sort: Sort = field(metadata=told("newest, oldest, slowest, dearest, tokens, errors or spans"))
    problem: dict[str, Any] | None = field(metadata=told("what is wrong with the filter line, and the remedy"))
    traces: Page[TraceRow] | None = field(metadata=told("the rows of this page; nothing where the filter is wrong"))
    facets: tuple[Facet, ...] = field(metadata=told("the commonest values of some fields, with counts"))
    heatmap: Heatmap | None = field(metadata=told("the traces by time and duration"))
    cursor: str = field(metadata=told("which page this is; empty for the first"))
    setup: Setup | None = field(metadata=told("how to send the first trace; only where there is none"))
    elsewhere: int = field(metadata=told("traces of the last 30 days, counted only where the window holds none"))

    @property
    def failure(self) -> dict[str, Any] | None:
        """The problem, where there is one."""
        return self.problem

    @property
    def picture(self) -> HeatmapPicture | None:
        """The heatmap as shapes."""
        return heatmap_picture(self.heatmap) if self.heatmap and self.heatmap.count else None

    def length(self, duration_ms: float) -> float:
        """The share of the little bar a duration fills: logarithmic, since durations span decades."""
        longest = max((row.duration_ms for row in self.traces.items), default=0.0) if self.traces else 0.0
        return math.log1p(max(duration_ms, 0) / 100) / math.log1p(longest / 100) if longest > 0 else 0.0

    @property
    def live(self) -> bool:
        """True where new traces would appear at the top of what is shown."""
        return self.window.live and self.sort == "newest" and not self.cursor and self.problem is None

    def here(self, **changed: Any) -> str:
        """The same list with something changed."""
        values: dict[str, Any] = {"q": self.query, "sort": "" if self.sort == "newest" else self.sort}
        if self.window.choice:
            values["window"] = self.window.choice
        else:
            values.update(since=self.window.since, until=self.window.until)
        if {"since", "until"} & changed.keys():
            values.pop("window", None)
        return link("/traces", **(values | changed))

    def facet_url(self, field: str, value: str) -> str:
        """The same list with a value of a facet added or taken away."""
        return self.here(q=toggled(self.query, field, value))

    def facet_on(self, field: str, value: str) -> bool:
        """True where the filter line asks for the value."""
        return chosen(self.query, field, value)

    @property
    def help(self) -> tuple[tuple[str, str], ...]:
        """Examples of the filter language."""
        return HELP


def gather(visit: Visit) -> TracesPage:
    """Read one page of the list, its facets and its heatmap."""
    window = visit.window()
    query = visit.text("q")
    sort: Sort = visit.word("sort", SORTS)  # pyright: ignore[reportAssignmentType]
    cursor = visit.text("cursor")
    asked = TraceQuery(
        text=query,
        since_ns=window.since_ns,
        until_ns=window.until_ns,
        sort=sort,
        limit=visit.number("limit", ROWS, at_least=1, at_most=200),
        cursor=cursor,
    )
    problem: dict[str, Any] | None = None
    rows: Page[TraceRow] | None = None
    facets: tuple[Facet, ...] = ()
    heatmap: Heatmap | None = None
    elsewhere = 0
    try:
        rows = visit.reader.search(asked)
        # A poll for new rows needs neither.
        if visit.text("part") != "list":
            facets = visit.reader.facets(asked, FACETS)
            heatmap = visit.reader.heatmap(asked)
    except BadRequest as error:
        problem = error.as_dict()
    if rows is not None and not rows.items:
        month = choose("30d", "", "", visit.now_ns)
        elsewhere = visit.reader.search(TraceQuery(since_ns=month.since_ns, until_ns=month.until_ns, limit=1)).total
    words = [shlex.quote(term.text) for term in terms(query)]
    order = [] if sort == "newest" else ["--sort", sort]
    return TracesPage(
        title="Traces",
        command=" ".join(["pilothouse ls", *words, window.flags, *order]),
        window=window,
        query=query,
        terms=terms(query),
        sort=sort,
        problem=problem,
        traces=rows,
        facets=tuple(facet for facet in map(without_empty, facets) if facet.values),
        heatmap=heatmap,
        cursor=cursor,
        setup=setup(visit.visitor) if rows is not None and not rows.items and not elsewhere and not query else None,
        elsewhere=elsewhere,
    )


TRACES = PageSpec(name="traces", path="/traces", context=TracesPage, gather=gather)
