"""Every agent: who runs, who is stuck, who fails, who spends."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from pilothouse.traces.model import Fleet
from pilothouse.web.context import told
from pilothouse.web.setup import Setup, setup
from pilothouse.web.visit import PageContext, PageSpec, Visit
from pilothouse.web.windows import Chosen

STATES = ("stuck", "failing", "running", "ok", "idle")


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetPage(PageContext):
    """Every agent."""

    window: Chosen = field(metadata=told("the time window shown"))
    fleet: Fleet = field(metadata=told("the agents, those that need attention first"))
    setup: Setup | None = field(metadata=told("how to send the first trace; only where there is none"))

    @property
    def states(self) -> dict[str, int]:
        """How many agents are in each state."""
        found = Counter(agent.state for agent in self.fleet.agents)
        return {state: found[state] for state in STATES if found[state]}

    @property
    def dearest(self) -> float:
        """The most any agent spent: the full width of the little bars."""
        return max((float(agent.cost_usd or 0) for agent in self.fleet.agents), default=0.0)


def gather(visit: Visit) -> FleetPage:
    """Read the fleet of a window."""
    window = visit.window()
    fleet = visit.reader.fleet(window.since_ns, window.until_ns)
    return FleetPage(
        title="Fleet",
        command=f"pilothouse fleet {window.flags}",
        window=window,
        fleet=fleet,
        setup=None if fleet.agents else setup(visit.visitor),
    )


FLEET = PageSpec(name="fleet", path="/fleet", context=FleetPage, gather=gather)
