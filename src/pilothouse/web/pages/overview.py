"""The first page: latency and cost per trace over time, then infrastructure, behaviour and outcome."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

from pilothouse.traces.model import Breakdown, Facet, Overview, TraceQuery
from pilothouse.web.charts import Chart, Line
from pilothouse.web.context import told
from pilothouse.web.filters import Term, terms, toggled, without_empty
from pilothouse.web.setup import Setup, setup
from pilothouse.web.visit import PageContext, PageSpec, Visit, link
from pilothouse.web.windows import Chosen, choose

COMPARED = ("1h", "24h", "7d")
"""Windows that are compared with the one before."""
LEAST_BEFORE = 10
"""Traces the window before must hold: a change from three traces to four says nothing."""
CLEARLY = 1.2
"""From this ratio on a change is shown as one for the worse."""
FILTER_FIELDS = {"environment": "env"}
"""Filter fields whose name differs from the dimension's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    """The same figures of the window just before."""

    traces: int = field(metadata=told("traces"))
    error_share: float = field(metadata=told("failed traces over all"))
    p50_ms: float | None = field(metadata=told("median latency"))
    p95_ms: float | None = field(metadata=told("95th percentile of the latency"))
    p99_ms: float | None = field(metadata=told("99th percentile of the latency"))
    cost_usd: Decimal | None = field(metadata=told("cost"))
    cost_per_trace_usd: Decimal | None = field(metadata=told("cost per trace"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """How a figure differs from the window before."""

    text: str
    """Such as ``+12 %``."""
    worse: bool
    """True where more is bad and it is clearly more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OverviewPage(PageContext):
    """The first page."""

    window: Chosen = field(metadata=told("the time window shown"))
    query: str = field(metadata=told("the filter line; empty: everything"))
    terms: tuple[Term, ...] = field(metadata=told("the filter line, term by term"))
    overview: Overview = field(metadata=told("totals, series and tables of the window"))
    before: Before | None = field(metadata=told("the same figures of the window before; only of the picker's windows"))
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

    def change(self, figure: str) -> Change | None:
        """A figure against the window before; nothing where there was too little to compare with."""
        now, then = getattr(self.overview, figure), getattr(self.before, figure, None)
        if self.before is None or self.before.traces < LEAST_BEFORE or not now or not then:
            return None
        ratio = float(now) / float(then)
        text = f"{(ratio - 1) * 100:+.0f} %" if ratio < 10 else f"×{ratio:.0f}"
        return (
            Change(text=text, worse=figure != "traces" and ratio >= CLEARLY) if text not in ("+0 %", "-0 %") else None
        )

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
    before = None
    if overview.traces and window.choice in COMPARED:
        length = window.until_ns - window.since_ns
        before = _before(visit.reader.overview(window.since_ns - length, window.since_ns, query))
    return OverviewPage(
        title="Overview",
        command=f"pilothouse overview {window.flags}",
        window=window,
        query=query,
        terms=terms(query),
        overview=overview,
        before=before,
        signals=facets.get("signal"),
        features=facets.get("feature"),
        tools=facets.get("tool"),
        setup=None if overview.traces or elsewhere or query else setup(visit.visitor),
        elsewhere=elsewhere,
    )


def _before(overview: Overview) -> Before:
    return Before(
        traces=overview.traces,
        error_share=overview.errors / overview.traces if overview.traces else 0.0,
        p50_ms=overview.p50_ms,
        p95_ms=overview.p95_ms,
        p99_ms=overview.p99_ms,
        cost_usd=overview.cost_usd,
        cost_per_trace_usd=overview.cost_per_trace_usd,
    )


OVERVIEW = PageSpec(name="overview", path="/", context=OverviewPage, gather=gather)
