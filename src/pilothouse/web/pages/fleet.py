"""Every agent: who runs, who waits, who is stuck or has died, who fails, who spends."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pilothouse.traces.fleet import STATES
from pilothouse.traces.model import Fleet, FleetRow
from pilothouse.web.context import told
from pilothouse.web.setup import Setup, setup
from pilothouse.web.visit import PageContext, PageSpec, Visit, link
from pilothouse.web.windows import Chosen

from .live import STATE_WORDS

ROWS = 400
"""Agents of one page."""
_SORTS: dict[str, Callable[[FleetRow], Any]] = {
    "attention": lambda row: 0,  # as the fleet comes
    "agent": lambda row: (row.agent, row.environment),
    "runs": lambda row: -row.traces,
    "failed": lambda row: (-row.error_share, -row.errors),
    "slow": lambda row: -(row.p95_ms or 0),
    "spend": lambda row: -(row.spend_now_usd or 0),
    "cost": lambda row: -(row.cost_usd or 0),
    "recent": lambda row: tuple(-ord(letter) for letter in row.last_seen),
}
SORTS = tuple(_SORTS)
_DEAR = 2
"""So many times what is usual is worth marking."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetPage(PageContext):
    """Every agent."""

    window: Chosen = field(metadata=told("the time window shown"))
    query: str = field(metadata=told("only agents and environments that hold this text"))
    state: str = field(metadata=told("only agents in this state; empty: all"))
    sort: str = field(metadata=told("attention, agent, runs, failed, slow, spend, cost or recent"))
    fleet: Fleet = field(metadata=told("the agents, those that need attention first"))
    states: dict[str, int] = field(metadata=told("how many agents that hold the text are in each state"))
    total: int = field(metadata=told("how many agents fit; the page shows the first 400"))
    setup: Setup | None = field(metadata=told("how to send the first trace; only where there is none"))

    @property
    def dearest(self) -> float:
        """The most any agent spent: the full width of the little bars."""
        return max((float(agent.cost_usd or 0) for agent in self.fleet.agents), default=0.0)

    @property
    def words(self) -> dict[str, str]:
        """Each state of a trace as it is written."""
        return STATE_WORDS

    def here(self, **changed: Any) -> str:
        """The same page with something changed."""
        sort = "" if self.sort == "attention" else self.sort
        values = {"window": self.window.choice, "q": self.query, "state": self.state, "sort": sort}
        return link("/fleet", **(values | changed))

    def dear(self, row: FleetRow) -> bool:
        """True where the last hour cost far more than an hour does."""
        now, usual = row.spend_now_usd, row.spend_usual_usd
        return now is not None and usual is not None and now > _DEAR * usual and now > 0

    def course(self, counts: tuple[int, ...], most: int) -> str:
        """A little chart of bars as one path: 4 units a stretch, 14 high."""
        if not most:
            return ""
        heights = [max(round(12 * count / most), 1) if count else 0 for count in counts]
        return "".join(f"M{4 * place} {14 - high}h3v{high}h-3z" for place, high in enumerate(heights) if high)


def gather(visit: Visit) -> FleetPage:
    """Read the fleet of a window."""
    window = visit.window()
    query, state = visit.text("q", 200), visit.word("state", ("", *STATES))
    sort = visit.word("sort", SORTS)
    fleet = visit.reader.fleet(window.since_ns, window.until_ns)
    words = query.lower().split()
    holding = [row for row in fleet.agents if all(word in f"{row.agent} {row.environment}".lower() for word in words)]
    counts = Counter(row.state for row in holding)
    fitting = sorted((row for row in holding if not state or row.state == state), key=_SORTS[sort])
    return FleetPage(
        title="Fleet",
        command=f"pilothouse fleet {window.flags}",
        window=window,
        query=query,
        state=state,
        sort=sort,
        fleet=Fleet(window=fleet.window, agents=tuple(fitting[:ROWS]), bucket_s=fleet.bucket_s),
        states={name: counts[name] for name in STATES if counts[name]},
        total=len(fitting),
        setup=None if fleet.agents else setup(visit.visitor),
    )


FLEET = PageSpec(name="fleet", path="/fleet", context=FleetPage, gather=gather)
