"""Approvals as pages show them: who may decide, how long there is, which comes next."""

from __future__ import annotations

from pilothouse.access import Grant
from pilothouse.approvals import Approval, Approvals, State, event_info, info, notice_info, person
from pilothouse.records import Actor
from pilothouse.web import ApprovalQueue, ApprovalRow, ApprovalShown

_WAITING_MAX = 500
_S = 1_000_000_000


class ApprovalReader:
    """Reads the approvals of one project for one visitor."""

    def __init__(self, approvals: Approvals, grant: Grant, who: Actor) -> None:
        self._approvals, self._grant, self._who = approvals, grant, who

    def queue(self, states: tuple[State, ...], *, risk: str, query: str, cursor: str, limit: int) -> ApprovalQueue:
        """What waits, the nearest deadline first; or others, the newest first."""
        project, now_ns = self._grant.project_id, self._approvals.now_ns()
        if states == ("pending",):
            found, further = self._waiting(), ""
        else:
            listing = self._approvals.list(project, states=states, cursor=cursor, limit=limit)
            found, further = list(listing.items), listing.next
        words = query.casefold().split()
        kept = [one for one in found if risk in ("", one.risk) and all(word in _words(one) for word in words)]
        return ApprovalQueue(
            rows=tuple(_row(one, now_ns) for one in kept[:limit]),
            counts=self._approvals.counts(project),
            next=further,
            has_rules=bool(self._approvals.rules.rules),
        )

    def one(self, approval_id: str, *, seen: bool) -> ApprovalShown:
        """One approval with its history; ``seen`` notes that a person looked."""
        project = self._grant.project_id
        found = self._approvals.find(project, approval_id)
        if seen and found.state == "pending":
            found = self._approvals.see(project, found.approval_id, self._who)
        now_ns = self._approvals.now_ns()
        row = _row(found, now_ns)
        waiting = [one.approval_id for one in self._waiting()]
        at = waiting.index(found.approval_id) if found.approval_id in waiting else -1
        return ApprovalShown(
            approval=row.approval,
            history=tuple(event_info(event) for event in self._approvals.history(project, found.approval_id)),
            notices=tuple(notice_info(notice) for notice in self._approvals.notices(project, found.approval_id)),
            left_s=row.left_s,
            ladder=row.ladder,
            escalated=row.escalated,
            why_not=self._why_not(found),
            visitor_name=self._who.name,
            next_id=waiting[at + 1] if at + 1 < len(waiting) else "",
            previous_id=waiting[at - 1] if at > 0 else "",
            waiting=len(waiting),
        )

    def following(self, approval_id: str) -> str:
        """The one that waits after this one, else the first that waits; empty where none does."""
        waiting = [one.approval_id for one in self._waiting()]
        if approval_id not in waiting:
            return waiting[0] if waiting else ""
        at = waiting.index(approval_id)
        others = [*waiting[at + 1 :], *waiting[:at]]
        return others[0] if others else ""

    def _waiting(self) -> list[Approval]:
        listing = self._approvals.list(self._grant.project_id, states=("pending",), limit=_WAITING_MAX)
        return sorted(listing.items, key=lambda one: (one.deadline_ns, one.approval_id))

    def _why_not(self, approval: Approval) -> str:
        """What the decision would be refused for, as far as it is known now; it is judged again when it is made."""
        who = self._who
        if not self._grant.allows("write"):
            return "You are signed in to read: somebody with the right to write decides."
        if who.kind != "person":
            return (
                "It is not known which person sits here: sign in by a link that was made for one (pilothouse sign-in)."
            )
        if who.id == approval.asker.id or (approval.asker.kind == "person" and person(who) == person(approval.asker)):
            return "You asked for it: somebody else decides."
        if approval.reviewers and who.name.strip().casefold() not in {name.casefold() for name in approval.reviewers}:
            return f"{', '.join(approval.reviewers)} decide this."
        return ""


def _row(approval: Approval, now_ns: int) -> ApprovalRow:
    ladder = tuple(
        f"{', '.join(rung.to)} {_after(approval.made_ns + rung.after_s * _S - now_ns)}" for rung in approval.escalate
    )
    return ApprovalRow(
        approval=info(approval),
        left_s=max((approval.deadline_ns - now_ns) // _S, 0) if approval.state == "pending" else 0,
        ladder=ladder,
        escalated=approval.escalated,
    )


def _after(left_ns: int) -> str:
    minutes = left_ns // (60 * _S)
    if minutes < 0:
        return "was asked too"
    return f"in {minutes} min" if minutes < 120 else f"in {minutes // 60} h"


def _words(approval: Approval) -> str:
    action = approval.action
    told = (approval.sentence, action.tool, action.agent, action.user, approval.run, approval.rule, action.environment)
    return " ".join(told).casefold()
