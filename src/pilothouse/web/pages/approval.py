"""One action that waits for a person: exactly what, how far it reaches, why, and the ways to decide."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from pilothouse.approvals import ApprovalInfo, EventInfo, NoticeInfo
from pilothouse.web.approval_text import Argument, arguments_of
from pilothouse.web.context import told
from pilothouse.web.model import ApprovalShown
from pilothouse.web.visit import PageContext, PageSpec, Visit, trace_url


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalPage(PageContext):
    """An action, and the person who is to decide."""

    approval: ApprovalInfo = field(metadata=told("the action as it stands, and all that is known of it"))
    arguments: tuple[Argument, ...] = field(metadata=told("its arguments, one by one"))
    left_out: int = field(metadata=told("arguments that are not shown one by one; the JSON has them"))
    history: tuple[EventInfo, ...] = field(metadata=told("what happened to it, oldest first"))
    notices: tuple[NoticeInfo, ...] = field(metadata=told("who was told of it"))
    left_s: int = field(metadata=told("seconds until its deadline; 0 where it is over"))
    ladder: tuple[str, ...] = field(metadata=told("whom else it asks, and when"))
    escalated: int = field(metadata=told("how many of those were asked"))
    may_decide: bool = field(metadata=told("true where the visitor may decide"))
    why_not: str = field(metadata=told("why the visitor may not"))
    visitor_name: str = field(metadata=told("in whose name it is decided"))
    next_id: str = field(metadata=told("the one that waits after it; empty at the end"))
    previous_id: str = field(metadata=told("the one that waits before it"))
    waiting: int = field(metadata=told("how many wait"))
    decided: ApprovalInfo | None = field(metadata=told("what was decided just before"))
    problem: Mapping[str, Any] | None = field(metadata=told("why a decision was not taken"))
    said: str = field(metadata=told("the words that came with it"))

    @property
    def failure(self) -> Mapping[str, Any] | None:
        """The problem, where there is one."""
        return self.problem

    @property
    def pending(self) -> bool:
        """Whether it waits."""
        return self.approval.state == "pending"

    @property
    def agreed_already(self) -> bool:
        """Whether the visitor has said yes, and others must too."""
        return self.visitor_name.strip().casefold() in {name.casefold() for name in self.approval.agreed}

    @property
    def evidence_url(self) -> str:
        """The step in the trace that led here; empty where none is named."""
        a = self.approval
        if not a.trace_id:
            return ""
        step = str(a.step) if a.step is not None else a.span_id
        return f"{trace_url(a.trace_id)}/spans/{quote(step, safe='')}" if step else trace_url(a.trace_id)


def gather(visit: Visit) -> ApprovalPage:
    """Read one approval; that a person looked is noted."""
    found = visit.reader.approval(visit.parts["id"], seen=True)
    decided = visit.text("decided", 120)
    return approval_page(found, decided=visit.reader.approval(decided).approval if decided else None)


def approval_page(
    found: ApprovalShown,
    *,
    decided: ApprovalInfo | None = None,
    problem: Mapping[str, Any] | None = None,
    said: str = "",
) -> ApprovalPage:
    """The page of what was read."""
    approval = found.approval
    shown = arguments_of(approval.arguments, approval.asked_arguments)
    return ApprovalPage(
        title="Approval",
        command=f"pilothouse approvals show {approval.approval_id}",
        approval=approval,
        arguments=shown,
        left_out=max(len({**approval.arguments, **approval.asked_arguments}) - len(shown), 0),
        history=found.history,
        notices=found.notices,
        left_s=found.left_s,
        ladder=found.ladder,
        escalated=found.escalated,
        may_decide=not found.why_not,
        why_not=found.why_not,
        visitor_name=found.visitor_name,
        next_id=found.next_id,
        previous_id=found.previous_id,
        waiting=found.waiting,
        decided=decided,
        problem=problem,
        said=said,
    )


APPROVAL = PageSpec(name="approval", path="/approvals/{id}", context=ApprovalPage, gather=gather, nav="approvals")
