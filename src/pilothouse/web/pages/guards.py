"""The guards in force by gate, what is capped and switched off, and rules that wait to be switched on."""

from __future__ import annotations

from dataclasses import dataclass, field

from pilothouse.policies import Proposal
from pilothouse.web.context import told
from pilothouse.web.model import CheckShown
from pilothouse.web.visit import PageContext, PageSpec, Visit

GATES = ("input", "output", "tool_arguments", "tool_results")


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardsPage(PageContext):
    """The guards."""

    version: str = field(metadata=told("the policy in force; none where there is no file: the built-in gates"))
    checks: tuple[CheckShown, ...] = field(metadata=told("the checks of each gate, in the order in which they run"))
    caps: tuple[str, ...] = field(metadata=told("how often an action may be done"))
    off: tuple[str, ...] = field(metadata=told("agents and tools that are switched off"))
    proposals: tuple[Proposal, ...] = field(metadata=told("rules that were proposed, the newest first"))
    may_set: bool = field(metadata=told("true where the visitor may switch rules on"))

    @property
    def gates(self) -> tuple[tuple[str, tuple[CheckShown, ...]], ...]:
        """Each gate with its checks."""
        return tuple((gate, tuple(one for one in self.checks if one.gate == gate)) for gate in GATES)


def gather(visit: Visit) -> GuardsPage:
    """Read the guards."""
    found = visit.reader.guards()
    return GuardsPage(
        title="Guards",
        command="pilothouse guard proposals",
        version=found.version,
        checks=found.checks,
        caps=found.caps,
        off=found.off,
        proposals=found.proposals,
        may_set=visit.visitor.mode == "admin" and visit.visitor.is_person,
    )


GUARDS = PageSpec(name="guards", path="/guards", context=GuardsPage, gather=gather)
