"""What waits for a person, and what became of what did."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pilothouse.approvals import ApprovalInfo, State
from pilothouse.web.context import told
from pilothouse.web.model import ApprovalRow
from pilothouse.web.visit import PageContext, PageSpec, Visit, link

GROUPS: dict[str, tuple[State, ...]] = {
    "waiting": ("pending",),
    "approved": ("approved", "reserved", "unknown"),
    "done": ("executed", "failed"),
    "refused": ("rejected", "expired", "cancelled", "fallback"),
}
"""What the list can be narrowed to, in the order of its segments."""
RISKS = ("", "high", "medium", "low")
ROWS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalsPage(PageContext):
    """The queue of approvals."""

    show: str = field(metadata=told("waiting, approved, done, refused or all"))
    risk: str = field(metadata=told("only of this risk; empty for all"))
    query: str = field(metadata=told("only with these words in sentence, tool, agent, user or run"))
    rows: tuple[ApprovalRow, ...] = field(
        metadata=told("what waits: the nearest deadline first; else the newest first")
    )
    counts: dict[str, int] = field(metadata=told("how many there are, by group"))
    next: str = field(metadata=told("cursor of the next page; empty at the end"))
    has_rules: bool = field(metadata=told("true where the policy has rules of approvals"))
    decided: ApprovalInfo | None = field(metadata=told("what was just decided"))

    @property
    def groups(self) -> tuple[str, ...]:
        """What the list can be narrowed to."""
        return (*GROUPS, "all")

    @property
    def risks(self) -> tuple[str, ...]:
        """The risks one can choose."""
        return RISKS

    @property
    def overdue_soon(self) -> int:
        """How many of those shown end within an hour."""
        return sum(row.left_s < 3_600 for row in self.rows if row.approval.state == "pending")

    def here(self, **changed: Any) -> str:
        """The same list with something changed."""
        return link("/approvals", **({"show": self.show, "risk": self.risk, "q": self.query} | changed))


def gather(visit: Visit) -> ApprovalsPage:
    """Read the queue."""
    show = visit.word("show", (*GROUPS, "all"))
    risk = visit.word("risk", RISKS)
    query = visit.text("q", 200).strip()
    found = visit.reader.approvals(
        GROUPS.get(show, ()), risk=risk, query=query, cursor=visit.text("cursor", 200), limit=ROWS
    )
    counts = {name: sum(found.counts.get(state, 0) for state in states) for name, states in GROUPS.items()}
    decided = visit.text("decided", 120)
    return ApprovalsPage(
        title="Approvals",
        command="pilothouse approvals ls" + (" --state pending" if show == "waiting" else ""),
        show=show,
        risk=risk,
        query=query,
        rows=found.rows,
        counts=counts | {"all": sum(found.counts.values())},
        next=found.next,
        has_rules=found.has_rules,
        decided=visit.reader.approval(decided).approval if decided else None,
    )


APPROVALS = PageSpec(name="approvals", path="/approvals", context=ApprovalsPage, gather=gather)
