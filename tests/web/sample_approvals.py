"""Approvals of every state, one of which says hostile things."""

from __future__ import annotations

from dataclasses import replace

from pilothouse.approvals import ApprovalInfo, EventInfo, NoticeInfo, State
from pilothouse.records import NotFound, iso
from pilothouse.web import ApprovalQueue, ApprovalRow, ApprovalShown

from .sample import NOW_NS, SECOND

HOSTILE = "<script>alert('x')</script>\u202e"
STATEMENT = "UPDATE orders SET status = 'void' WHERE paid = 0 AND country = 'FR'"
_STATES: tuple[State, ...] = (
    *("pending", "pending", "pending", "approved", "reserved", "unknown", "executed"),
    *("failed", "rejected", "expired", "cancelled", "fallback"),
)


def _approval(number: int, state: str) -> ApprovalInfo:
    return ApprovalInfo(
        approval_id=f"apr_{number:02d}",
        state=state,
        sentence=f"Void {number} orders {HOSTILE}",
        tool="sql",
        arguments={"statement": STATEMENT, "limit": 10, "why": HOSTILE},
        asked_arguments={"statement": STATEMENT.replace("FR", "DE"), "limit": 10, "why": HOSTILE},
        edited=number == 2,
        digest="ab" * 32,
        reason=f"They were never paid. {HOSTILE}",
        expected="Fewer open orders.",
        rows=4_210,
        people=None,
        money_usd=12.5,
        counted="dry run, rolled back",
        rollback="",
        risk=("high", "medium", "low")[number % 3],
        rule="large-writes",
        why="",
        policy_version="5f4e3d2c1b0a",
        agent="support",
        agent_version="1.2",
        environment="production",
        user=HOSTILE,
        run="run_1",
        cost_so_far_usd=0.0123,
        asked_by="agents",
        asked_by_kind="agent",
        trace_id="",
        span_id="",
        step=None,
        links=("https://example.com/t/1", "javascript:alert(1)"),
        reviewers=(),
        needs=2,
        agreed=(),
        missing=2 if state == "pending" else 0,
        can_edit=True,
        question=HOSTILE if number == 3 else "",
        feedback="ask the customer first" if state == "rejected" else "",
        outcome="",
        decided_by="ann" if state not in ("pending",) else "",
        instead="",
        parent="",
        on_timeout="cancel",
        asked=iso(NOW_NS - 600 * SECOND),
        deadline=iso(NOW_NS + 600 * SECOND),
        use_by="",
        decided=iso(NOW_NS - 60 * SECOND),
        changed=iso(NOW_NS - 60 * SECOND),
    )


APPROVALS = tuple(_approval(number, state) for number, state in enumerate(_STATES, 1))


def sample_queue(states: tuple[State, ...], risk: str, query: str, *, empty: bool) -> ApprovalQueue:
    """The list."""
    kept = [
        one
        for one in (() if empty else APPROVALS)
        if (not states or one.state in states) and risk in ("", one.risk) and query in one.tool
    ]
    counts = {state: sum(one.state == state for one in APPROVALS) for state in _STATES}
    return ApprovalQueue(
        rows=tuple(ApprovalRow(approval=one, left_s=600, ladder=("carol in 20 min",), escalated=0) for one in kept),
        counts={} if empty else counts,
        next="",
        has_rules=not empty,
    )


def sample_approval(approval_id: str) -> ApprovalShown:
    """One of them."""
    found = next((one for one in APPROVALS if one.approval_id == approval_id), None)
    if found is None:
        raise NotFound("there is no such approval", got=approval_id)
    event = EventInfo(kind="asked", at=found.asked, who="agents", who_kind="agent", text=HOSTILE)
    return ApprovalShown(
        approval=found,
        history=(event, replace(event, kind="delegated", to=("ben",))),
        notices=(NoticeInfo(channel="ops", kind="asked", state="failed", tries=3, at=found.asked, error=HOSTILE),),
        left_s=600,
        ladder=("carol in 20 min",),
        escalated=0,
        why_not="",
        visitor_name="ann",
        next_id="apr_02" if approval_id == "apr_01" else "",
        previous_id="",
        waiting=3,
    )
