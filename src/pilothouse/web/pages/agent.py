"""One agent: what it is, what of it would fail silently, its part of the map, its versions and how it did."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field

from pilothouse.records import NotFound
from pilothouse.traces.model import AgentLevel, Audit, AuditCheck, BreakdownRow, FleetRow, Overview, SystemMap
from pilothouse.traces.system_map import focused
from pilothouse.web.charts import Chart, Line
from pilothouse.web.context import told
from pilothouse.web.filters import term
from pilothouse.web.map_picture import MapPicture, picture
from pilothouse.web.visit import PageContext, PageSpec, Visit
from pilothouse.web.windows import Chosen


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentPage(PageContext):
    """One agent."""

    agent: str = field(metadata=told("the agent's name"))
    window: Chosen = field(metadata=told("the time window shown"))
    level: AgentLevel = field(metadata=told("its level, with evidence, and the controls it demands"))
    audit: Audit = field(metadata=told("what would fail silently"))
    rows: tuple[FleetRow, ...] = field(metadata=told("how it did, by environment"))
    overview: Overview = field(metadata=told("latency, cost and versions of the traces it takes part in"))
    map: SystemMap = field(metadata=told("who calls it and what it calls; its prompts"))

    @property
    def picture(self) -> MapPicture | None:
        """Its part of the map."""
        if not self.map.components:
            return None
        return picture(self.map, "everything", weak=None, here={**self.moments, "focus": f"agent:{self.agent}"})

    @property
    def moments(self) -> dict[str, str]:
        """The parameters that ask for the same window."""
        window = self.window
        return {"window": window.choice} if window.choice else {"since": window.since, "until": window.until}

    @property
    def latency(self) -> Chart:
        """How long its traces took."""
        series = self.overview.series
        lines = (Line(label="p50", values=series.p50_ms), Line(label="p95", values=series.p95_ms))
        return Chart(label="Trace latency", unit="ms", times=series.times, bucket_s=series.bucket_s, lines=lines)

    @property
    def cost(self) -> Chart:
        """What its traces cost."""
        series = self.overview.series
        lines = (Line(label="cost per trace", values=series.cost_per_trace_usd),)
        return Chart(label="Cost per trace", unit="usd", times=series.times, bucket_s=series.bucket_s, lines=lines)

    @property
    def versions(self) -> tuple[BreakdownRow, ...]:
        """Its versions with how each did."""
        return next((one.rows for one in self.overview.breakdowns if one.by == "version"), ())

    def checks(self, state: str) -> tuple[AuditCheck, ...]:
        """The checks of the audit in one state."""
        return tuple(check for check in self.audit.checks if check.state == state)


def gather(visit: Visit) -> AgentPage:
    """Read everything about one agent."""
    agent = visit.parts["agent"][:300]
    window = visit.window()
    span = (window.since_ns, window.until_ns)
    audit = visit.reader.audit(agent, *span)
    level = visit.reader.levels(*span, agent=agent).agents[0]
    rows = tuple(row for row in visit.reader.fleet(*span).agents if row.agent == agent)
    whole = visit.reader.system_map(*span, term("agent", agent))
    try:
        near = focused(whole, f"agent:{agent}")
    except NotFound:
        near = whole
    return AgentPage(
        title=agent,
        command=f"pilothouse audit {shlex.quote(agent)} {window.flags}",
        agent=agent,
        window=window,
        level=level,
        audit=audit,
        rows=rows,
        overview=visit.reader.overview(*span, term("agent", agent)),
        map=near,
    )


AGENT = PageSpec(name="agent", path="/agents/{agent}", context=AgentPage, gather=gather, nav="fleet", tail=True)
