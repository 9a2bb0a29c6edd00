"""The first page: latency and cost per trace over time, then infrastructure, behaviour and outcome."""

from __future__ import annotations

from dataclasses import dataclass, field

from pilothouse.traces.model import Breakdown, Facet, Overview, TraceQuery
from pilothouse.web.charts import Chart, Line
from pilothouse.web.context import told
from pilothouse.web.filters import Term, terms, toggled, without_empty
from pilothouse.web.setup import Setup, setup
from pilothouse.web.visit import PageContext, PageSpec, Visit, link
from pilothouse.web.windows import Chosen, choose

FILTER_FIELDS = {"environment": "env"}
"""Filter fields whose name differs from the dimension's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OverviewPage(PageContext):
    """The first page."""

    window: Chosen = field(metadata=told("the time window shown"))
    query: str = field(metadata=told("the filter line; empty: everything"))
    terms: tuple[Term, ...] = field(metadata=told("the filter line, term by term"))
    overview: Overview = field(metadata=told("totals, series and tables of the window"))
    signals: Facet | None = field(metadata=told("what is odd, and in how many traces"))
    features: Facet | None = field(metadata=told("traces by product feature"))
    tools: Facet | None = field(metadata=told("traces by tool used"))
    setup: Setup | None = field(metadata=told("how to send the first trace; only where there is none"))
    elsewhere: int = field(metadata=told("traces of the last 30 days, counted only where the window holds none"))

    @property
    def charts(self) -> dict[str, Chart]:
        """The charts by name, ready to draw."""
        series = self.overview.series
        start, width = series.times, series.bucket_s
        return {
            "latency": Chart(
                label="Trace latency",
                unit="ms",
                times=start,
                bucket_s=width,
                lines=(
                    Line(label="p50", values=series.p50_ms),
                    Line(label="p95", values=series.p95_ms),
                    Line(label="p99", values=series.p99_ms),
                ),
            ),
            "cost": Chart(
                label="Cost per trace",
                unit="usd",
                times=start,
                bucket_s=width,
                lines=(
                    Line(label="cost per trace", values=series.cost_per_trace_usd),
                    Line(label="tokens per trace", values=series.tokens_per_trace, unit="tokens"),
                ),
            ),
            "volume": Chart(
                label="Traces and failures",
                unit="count",
                times=start,
                bucket_s=width,
                lines=(
                    Line(label="traces", values=series.traces, bars=True),
                    Line(label="failed", values=series.errors, bars=True, bad=True),
                ),
            ),
            "spend": Chart(
                label="Spend",
                unit="usd",
                times=start,
                bucket_s=width,
                lines=(Line(label="cost", values=series.cost_usd, bars=True),),
            ),
        }

    @property
    def breakdowns(self) -> dict[str, Breakdown]:
        """The tables by dimension."""
        return {breakdown.by: breakdown for breakdown in self.overview.breakdowns}

    def row_url(self, by: str, value: str) -> str:
        """The traces behind a row of a table."""
        if by == "version" and " " in value:
            # A version is told with its agent, since every agent counts its own.
            agent, _, version = value.rpartition(" ")
            line = toggled(toggled(self.query, "agent", agent), "version", version)
        else:
            line = toggled(self.query, FILTER_FIELDS.get(by, by), value)
        moments = {} if self.window.choice else {"since": self.window.since, "until": self.window.until}
        return link("/traces", q=line, window=self.window.choice, **moments)

    @property
    def cached_share(self) -> float | None:
        """Cache reads over all input tokens."""
        tokens = self.overview.tokens
        return tokens.cache_read / tokens.input_total if tokens.input_total else None


def gather(visit: Visit) -> OverviewPage:
    """Read the window's totals, series, tables and signals."""
    window = visit.window()
    query = visit.text("q")
    overview = visit.reader.overview(window.since_ns, window.until_ns, query)
    asked = TraceQuery(text=query, since_ns=window.since_ns, until_ns=window.until_ns)
    facets = (
        {f.field: without_empty(f) for f in visit.reader.facets(asked, ("signal", "feature", "tool"))}
        if overview.traces
        else {}
    )
    elsewhere = 0
    if not overview.traces:
        month = choose("30d", "", "", visit.now_ns)
        elsewhere = visit.reader.search(TraceQuery(since_ns=month.since_ns, until_ns=month.until_ns, limit=1)).total
    return OverviewPage(
        title="Overview",
        command=f"pilothouse overview {window.flags}",
        window=window,
        query=query,
        terms=terms(query),
        overview=overview,
        signals=facets.get("signal"),
        features=facets.get("feature"),
        tools=facets.get("tool"),
        setup=None if overview.traces or elsewhere or query else setup(visit.visitor),
        elsewhere=elsewhere,
    )


OVERVIEW = PageSpec(name="overview", path="/", context=OverviewPage, gather=gather)
