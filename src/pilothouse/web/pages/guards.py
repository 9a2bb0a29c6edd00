"""What the guards did, the checks in force by gate, what is switched off, and rules that wait to be switched on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from pilothouse.policies import Proposal, Switch
from pilothouse.records import Forbidden
from pilothouse.traces.guards import ACTIONS, GATES, GUARD_WRONG
from pilothouse.traces.model.guards import CheckCount, GuardActivity
from pilothouse.web.charts import Chart, Line
from pilothouse.web.context import told
from pilothouse.web.model import CheckShown, GuardsShown
from pilothouse.web.visit import PageContext, PageSpec, Visit, link
from pilothouse.web.windows import Chosen

EVENTS = 30
OVER_BLOCK_MIN = 0.1
"""Share of what a check found that people marked as wrong, from which the page says so."""
_NONE = GuardsShown(version="", checks=(), caps=(), off=(), proposals=())


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardsPage(PageContext):
    """The guards."""

    window: Chosen = field(metadata=told("the time that is counted"))
    activity: GuardActivity = field(metadata=told("what the guards did in it: by gate, check and time, and events"))
    gate: str = field(metadata=told("the gate whose events are listed; empty: all"))
    check: str = field(metadata=told("the check whose events are listed; empty: all"))
    action: str = field(metadata=told("the verdict whose events are listed; empty: all"))
    version: str = field(metadata=told("the policy in force; none where there is no file: the built-in gates"))
    checks: tuple[CheckShown, ...] = field(metadata=told("the checks of each gate, in the order in which they run"))
    caps: tuple[str, ...] = field(metadata=told("how often an action may be done"))
    off: tuple[Switch, ...] = field(metadata=told("agents and tools that are switched off: by whom, when and why"))
    proposals: tuple[Proposal, ...] = field(metadata=told("rules that were proposed, the newest first"))
    may_see: bool = field(metadata=told("true where the visitor may see what is in force and what is proposed"))
    may_set: bool = field(metadata=told("true where the visitor may switch rules on"))
    may_write: bool = field(metadata=told("true where the visitor may mark a verdict as wrong"))

    @property
    def gates(self) -> tuple[tuple[str, tuple[CheckShown, ...]], ...]:
        """Each gate with its checks."""
        return tuple((gate, tuple(one for one in self.checks if one.gate == gate)) for gate in GATES)

    @property
    def known(self) -> tuple[str, ...]:
        """Names of agents and tools among the events: offered where something is to be switched off."""
        return tuple(sorted({name for one in self.activity.events for name in (one.agent, one.tool) if name}))

    @property
    def label(self) -> str:
        """The label that marks a verdict as wrong."""
        return GUARD_WRONG

    @property
    def actions(self) -> tuple[str, ...]:
        """Verdicts that events can be narrowed to."""
        return ACTIONS

    @property
    def chart(self) -> Chart:
        """The verdicts that were not simply yes, by time."""
        series = self.activity.series
        return Chart(
            label="What was not simply let through",
            unit="count",
            times=series.times,
            bucket_s=series.bucket_s,
            lines=(
                Line(label="blocked", values=series.blocked, bars=True, bad=True),
                Line(label="asked", values=series.asked, bars=True),
                Line(label="rewritten", values=series.rewritten, bars=True),
                Line(label="flagged", values=series.flagged, bars=True),
            ),
        )

    def total(self, what: Literal["texts", "allowed", "flagged", "rewritten", "asked", "blocked"]) -> int:
        """A figure over all gates."""
        return sum(getattr(gate, what) for gate in self.activity.gates)

    @property
    def failed(self) -> int:
        """Texts on which a check was down."""
        return sum(check.failed for check in self.activity.checks)

    @property
    def wrong(self) -> int:
        """What checks found that people marked as wrong."""
        return sum(check.wrong for check in self.activity.checks)

    def over_blocks(self, check: CheckCount) -> bool:
        """Whether people say that a check is too strict."""
        found = check.flagged + check.rewritten + check.asked + check.blocked
        return check.wrong > 0 and check.wrong >= OVER_BLOCK_MIN * found

    def here(self, **changed: str) -> str:
        """The same page with something changed."""
        moments = {"window": self.window.choice} if self.window.choice else {}
        if not self.window.choice:
            moments = {"since": self.window.since, "until": self.window.until}
        return link("/guards", **{**moments, "gate": self.gate, "check": self.check, "action": self.action, **changed})


def gather(visit: Visit) -> GuardsPage:
    """Read the guards."""
    window = visit.window()
    gate, action = visit.word("gate", ("", *GATES)), visit.word("action", ("", *ACTIONS))
    check = visit.text("check", 200)
    activity = visit.reader.guard_activity(
        window.since_ns, window.until_ns, gate=gate, check=check, action=action, limit=EVENTS
    )
    try:
        found, may_see = visit.reader.guards(), True
    except Forbidden:
        # What is watched for is shown to those who may write; what was done, to all who may read the traces.
        found, may_see = _NONE, False
    narrowed = [f"--{name} {value}" for name, value in (("gate", gate), ("action", action)) if value]
    return GuardsPage(
        title="Guards",
        command=" ".join(["pilothouse guard activity", window.flags, *narrowed]),
        window=window,
        activity=activity,
        gate=gate,
        check=check,
        action=action,
        version=found.version,
        checks=found.checks,
        caps=found.caps,
        off=found.off,
        proposals=found.proposals,
        may_see=may_see,
        may_set=visit.visitor.mode == "admin" and visit.visitor.is_person,
        may_write=visit.visitor.mode != "read",
    )


GUARDS = PageSpec(name="guards", path="/guards", context=GuardsPage, gather=gather)
