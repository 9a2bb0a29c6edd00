"""An approval as surfaces show it: plain, moments in ISO 8601, without the right to run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pilothouse.records import iso
from pilothouse.store.approval_store import NoticeRow

from .model import Approval, Event


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalInfo:
    """An action that waits for a person, or did."""

    approval_id: str
    state: str
    """pending, approved, reserved, executed, failed, unknown, rejected, expired, cancelled or fallback."""
    sentence: str
    """What it will do, in one sentence."""
    tool: str
    arguments: Mapping[str, Any]
    """Exactly what will run."""
    asked_arguments: Mapping[str, Any]
    """What was asked for, before anybody changed it."""
    edited: bool
    digest: str
    """Stands for the action as it is now; a decision and a reservation name it."""
    reason: str
    expected: str
    rows: int | None
    people: int | None
    money_usd: float | None
    counted: str
    """How rows and people were counted."""
    rollback: str
    risk: str
    rule: str
    why: str
    """Where the rule's condition could not be answered: what failed."""
    policy_version: str
    agent: str
    agent_version: str
    environment: str
    user: str
    run: str
    cost_so_far_usd: float
    asked_by: str
    asked_by_kind: str
    trace_id: str
    span_id: str
    step: int | None
    links: Sequence[str]
    reviewers: Sequence[str]
    """Who may decide; empty: whoever may decide at all."""
    needs: int
    agreed: Sequence[str]
    missing: int
    """How many people must still agree."""
    can_edit: bool
    question: str
    """What a reviewer wants to know, as long as it has no answer."""
    feedback: str
    """What the agent is told where it was not allowed."""
    outcome: str
    decided_by: str
    instead: str
    """The approval of what is done instead, where nobody answered."""
    parent: str
    on_timeout: str
    asked: str
    deadline: str
    use_by: str
    decided: str
    changed: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EventInfo:
    """One thing that happened to an approval."""

    kind: str
    at: str
    who: str
    who_kind: str
    text: str
    to: Sequence[str] = ()
    """To whom it was handed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeInfo:
    """Somebody who is told, or was."""

    channel: str
    kind: str
    state: str
    """waiting, delivered or failed."""
    tries: int
    at: str
    error: str = ""


def info(approval: Approval) -> ApprovalInfo:
    """An approval to show."""
    action, evidence = approval.action, approval.evidence
    return ApprovalInfo(
        approval_id=approval.approval_id,
        state=approval.state,
        sentence=approval.sentence,
        tool=action.tool,
        arguments=action.arguments,
        asked_arguments=approval.asked_action.arguments,
        edited=approval.edited,
        digest=approval.digest,
        reason=approval.reason,
        expected=approval.expected,
        rows=action.rows,
        people=action.people,
        money_usd=action.money_usd,
        counted=approval.counted,
        rollback=approval.rollback,
        risk=approval.risk,
        rule=approval.rule,
        why=approval.why,
        policy_version=approval.policy_version,
        agent=action.agent,
        agent_version=action.agent_version,
        environment=action.environment,
        user=action.user,
        run=approval.run,
        cost_so_far_usd=action.cost_so_far_usd,
        asked_by=approval.asker.name,
        asked_by_kind=approval.asker.kind,
        trace_id=evidence.trace_id,
        span_id=evidence.span_id,
        step=evidence.step,
        links=evidence.links,
        reviewers=approval.reviewers,
        needs=approval.needs,
        agreed=approval.agreed,
        missing=approval.missing,
        can_edit=approval.edit == "allow" and approval.state == "pending",
        question=approval.question,
        feedback=approval.feedback,
        outcome=approval.outcome,
        decided_by=approval.decided_by,
        instead=approval.instead,
        parent=approval.parent,
        on_timeout=approval.on_timeout,
        asked=iso(approval.made_ns),
        deadline=iso(approval.deadline_ns),
        use_by=iso(approval.use_by_ns),
        decided=iso(approval.decided_ns),
        changed=iso(approval.changed_ns),
    )


def event_info(event: Event) -> EventInfo:
    """An event to show."""
    return EventInfo(
        kind=event.kind,
        at=iso(event.at_ns),
        who=event.who,
        who_kind=event.who_kind,
        text=event.text,
        to=tuple(event.detail.get("to", ())),
    )


def notice_info(row: NoticeRow) -> NoticeInfo:
    """A notice to show."""
    return NoticeInfo(
        channel=row.channel,
        kind=row.kind,
        state=row.state,
        tries=row.tries,
        at=iso(row.changed_ns),
        error=str(row.detail.get("error", "")),
    )
