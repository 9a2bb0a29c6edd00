"""What may become of an approval: pure functions from one record to the next. Anything else is refused.

    pending ──▶ approved ──▶ reserved ──▶ executed | failed
       │            │            └──────▶ unknown ──▶ executed | failed | approved (it did not happen)
       ├──▶ rejected│expired│cancelled   │
       └──▶ fallback (what is done instead is an approval of its own)

Every function is given the moment. It is never the wall clock alone (see :mod:`pilothouse.approvals.moment`), and it is
compared at the moment of use: a record whose time is over is over, whether or not anybody has noted that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from pilothouse.records import Actor, BadRequest, Forbidden, NeedsApproval, NotApproved, command, iso

from .action import Action, same
from .demand import Demand, sentence
from .model import SERVER, Approval, Event, Reservation, Right, State, person
from .rules import Fallback

LEASE_S_DEFAULT: Final = 300
TEXT_CHARS_MAX: Final = 4_000
QUESTIONS_MAX: Final = 100

Judge = Callable[[Action], Demand]
Sign = Callable[[Action], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A change: the record as it is now, what happened, and what else was made."""

    approval: Approval
    events: tuple[Event, ...] = ()
    made: Approval | None = None
    """The approval of what is done instead."""
    right: Right | None = None


# -- what passes by itself -------------------------------------------------------------------------------------------


def due(approval: Approval, now_ns: int, judge: Judge, sign: Sign) -> Step:
    """What has come of it by now, without anybody doing anything. Nothing: no events."""
    events: list[Event] = []
    made: Approval | None = None
    while (moment := due_ns(approval)) and moment <= now_ns:
        step = _pass(approval, now_ns, judge, sign)
        approval, made = step.approval, step.made or made
        events += step.events
    return Step(approval=approval, events=tuple(events), made=made)


def due_ns(approval: Approval) -> int:
    """When something comes of it by itself; 0: never."""
    if approval.state == "pending":
        rung = _next_rung_ns(approval)
        return min(approval.deadline_ns, rung) if rung else approval.deadline_ns
    if approval.state == "approved":
        return approval.use_by_ns
    if approval.state == "reserved" and approval.reservation is not None:
        return approval.reservation.until_ns
    return 0


def _next_rung_ns(approval: Approval) -> int:
    if approval.escalated >= len(approval.escalate):
        return 0
    return approval.made_ns + approval.escalate[approval.escalated].after_s * 1_000_000_000


def _pass(approval: Approval, now_ns: int, judge: Judge, sign: Sign) -> Step:
    if approval.state == "reserved":
        found = replace(approval, state="unknown")
        return _step(found, "unknown", SERVER, now_ns, text="nobody said how it went, and its time is over")
    if approval.state == "approved":
        told = "it was approved, and not begun in time"
        return _step(replace(approval, state="expired", feedback=told), "expired", SERVER, now_ns, text=told)
    rung_ns = _next_rung_ns(approval)
    if rung_ns and rung_ns <= approval.deadline_ns:
        return _climb(approval, now_ns)
    if approval.on_timeout == "escalate" and not approval.extended:
        # From the old deadline on, not from now: a server that stood still gives nobody more time.
        later = approval.deadline_ns + approval.deadline_s * 1_000_000_000
        climbed = replace(approval, extended=True, deadline_ns=later)
        return _step(climbed, "escalated", SERVER, now_ns, to=[], until=iso(later), text="handed up at its deadline")
    if approval.on_timeout == "fallback" and approval.fallback is not None:
        return _fall_back(approval, approval.fallback, now_ns, judge, sign)
    return _expire(approval, now_ns, "nobody decided in time")


def _climb(approval: Approval, now_ns: int) -> Step:
    rung = approval.escalate[approval.escalated]
    # Where anybody may decide, naming somebody must not take that away from the others.
    reviewers = _with(approval.reviewers, rung.to) if approval.reviewers else ()
    climbed = replace(approval, escalated=approval.escalated + 1, reviewers=reviewers)
    return _step(climbed, "escalated", SERVER, now_ns, to=list(rung.to))


def _expire(approval: Approval, now_ns: int, told: str) -> Step:
    return _step(replace(approval, state="expired", feedback=told), "expired", SERVER, now_ns, text=told)


def _fall_back(approval: Approval, fallback: Fallback, now_ns: int, judge: Judge, sign: Sign) -> Step:
    action = replace(
        approval.action,
        tool=fallback.tool,
        arguments=dict(fallback.arguments),
        rows=None,
        people=None,
        money_usd=None,
    )
    demand = judge(action)
    if demand.do != "allow":
        return _expire(
            approval, now_ns, f"nobody decided in time, and what is done instead is not allowed ({demand.rule.name})"
        )
    told = f"nobody decided in time: {fallback.tool} is done instead"
    instead = f"{approval.approval_id}-instead"
    made = replace(
        approval,
        approval_id=instead,
        state="approved",
        action=action,
        asked_action=action,
        digest=sign(action),
        sentence=sentence(demand.rule, action),
        risk="low",
        parent=approval.approval_id,
        fallback=None,
        escalate=(),
        agreed=(),
        question="",
        decided_by=SERVER.name,
        decided_ns=now_ns,
        use_by_ns=now_ns + approval.use_within_s * 1_000_000_000,
        changed_ns=now_ns,
    )
    over = replace(approval, state="fallback", instead=instead, feedback=told)
    step = _step(over, "fallback", SERVER, now_ns, text=told, instead=instead)
    return replace(step, made=made)


# -- what people do --------------------------------------------------------------------------------------------------


def approve(approval: Approval, who: Actor, digest: str, now_ns: int, *, note: str = "") -> Step:
    """One person's yes to this digest. The last one that is needed makes it approved."""
    _check_reviewer(approval, who)
    _check_digest(approval, digest)
    name = person(who)
    if name in approval.agreed and approval.state in ("pending", "approved", "reserved", "executed", "failed"):
        return Step(approval=approval)
    _check_pending(approval)
    if approval.question:
        raise BadRequest(
            "a question about it is not answered yet",
            got=approval.question,
            fix=command("approvals", "answer", approval.approval_id, "--text", "…"),
        )
    return _agree(approval, who, now_ns, "approved", text=note)


def edit(
    approval: Approval, who: Actor, digest: str, action: Action, signed: str, now_ns: int, *, note: str = ""
) -> Step:
    """Yes to something else: the arguments are changed, and whoever agreed to the old ones has not agreed to these."""
    _check_reviewer(approval, who)
    _check_pending(approval)
    _check_digest(approval, digest)
    if approval.edit == "forbid":
        raise Forbidden("the rule does not let reviewers change it", got=approval.rule, fix="reject it and say why")
    if same(signed, approval.digest):
        raise BadRequest("nothing was changed", fix=command("approvals", "approve", approval.approval_id))
    changed = replace(approval, action=action, digest=signed, agreed=(), question="")
    return _agree(changed, who, now_ns, "edited", text=note, before=dict(approval.action.arguments))


def _agree(approval: Approval, who: Actor, now_ns: int, kind: Literal["approved", "edited"], **detail: Any) -> Step:
    agreed = (*approval.agreed, person(who))
    found = replace(approval, agreed=agreed)
    if len(agreed) >= approval.needs:
        found = replace(
            found,
            state="approved",
            decided_by=who.name,
            decided_ns=now_ns,
            use_by_ns=now_ns + approval.use_within_s * 1_000_000_000,
        )
    return _step(found, kind, who, now_ns, digest=approval.digest, **detail)


def reject(approval: Approval, who: Actor, why: str, now_ns: int) -> Step:
    """One person's no; it ends it, however many agreed. The agent is told why."""
    _check_reviewer(approval, who)
    if approval.state == "rejected" and approval.decided_by == who.name:
        return Step(approval=approval)
    if approval.state not in ("pending", "approved"):
        raise _over(approval)
    _check_text(why, "why it is rejected")
    found = replace(approval, state="rejected", feedback=why, decided_by=who.name, decided_ns=now_ns, question="")
    return _step(found, "rejected", who, now_ns, text=why)


def ask_back(approval: Approval, who: Actor, question: str, now_ns: int, asked_before: int) -> Step:
    """A reviewer wants to know something; it stays pending."""
    _check_reviewer(approval, who)
    _check_pending(approval)
    _check_text(question, "the question")
    if asked_before >= QUESTIONS_MAX:
        raise BadRequest("too many questions about one action", allowed=QUESTIONS_MAX, fix="reject it and say why")
    return _step(replace(approval, question=question), "question", who, now_ns, text=question)


def answer(approval: Approval, who: Actor, text: str, now_ns: int) -> Step:
    """What the asker, or whoever knows, says to the question."""
    _check_pending(approval)
    if not approval.question:
        raise BadRequest("nobody has asked anything", fix=command("approvals", "show", approval.approval_id))
    _check_text(text, "the answer")
    return _step(replace(approval, question=""), "answer", who, now_ns, text=text, question=approval.question)


def delegate(approval: Approval, who: Actor, to: str, now_ns: int) -> Step:
    """A reviewer hands it to somebody else, who may decide in their place."""
    _check_reviewer(approval, who)
    _check_pending(approval)
    to = to.strip()
    if not 0 < len(to) <= 200 or not to.isprintable():
        raise BadRequest("it is handed to somebody by name", got=to[:200])
    mine = who.name.strip().casefold()
    others = tuple(name for name in approval.reviewers if name.casefold() != mine)
    # Where anybody may decide it stays so: who is named is told, and nobody is shut out.
    reviewers = _with(others, (to,)) if approval.reviewers else ()
    return _step(replace(approval, reviewers=reviewers), "delegated", who, now_ns, to=[to])


def cancel(approval: Approval, who: Actor, why: str, now_ns: int) -> Step:
    """It is no longer wanted: by who asked, or by who may decide."""
    if approval.state == "cancelled":
        return Step(approval=approval)
    if approval.state not in ("pending", "approved"):
        raise _over(approval)
    if who.id != approval.asker.id:
        _check_reviewer(approval, who)
    told = why or "it was called off"
    return _step(replace(approval, state="cancelled", feedback=told, question=""), "cancelled", who, now_ns, text=told)


def see(approval: Approval, who: Actor, now_ns: int) -> Step:
    """Somebody looked at it."""
    return _step(approval, "seen", who, now_ns)


# -- what runs -------------------------------------------------------------------------------------------------------


def reserve(
    approval: Approval,
    who: Actor,
    digest: str,
    holder: str,
    reservation_id: str,
    now_ns: int,
    *,
    judge: Judge,
    sign: Sign,
    lease_s: int = LEASE_S_DEFAULT,
) -> Step:
    """Leave to run it, for one of all who ask. Every doubt is a no.

    Raises:
        NeedsApproval: it is not decided yet.
        NotApproved: it was decided otherwise, is used, is late, is another action, or the policy has become stricter.
    """
    if approval.state == "pending":
        raise NeedsApproval(
            "nobody has approved this yet",
            got=approval.approval_id,
            allowed=f"until {iso(approval.deadline_ns)}",
            fix=command("approvals", "approve", approval.approval_id),
        )
    if approval.state != "approved":
        raise _over(approval)
    if not same(digest, approval.digest):
        raise NotApproved("another action was approved, not this one", got=digest[:12], allowed=approval.digest[:12])
    if not same(sign(approval.action), approval.digest):
        raise NotApproved(
            "the record and its digest do not belong together: it was changed, or another key signed it",
            got=approval.approval_id,
            fix="ask again",
        )
    if not 0 < now_ns < approval.use_by_ns:
        raise NotApproved("its time is over", got=iso(approval.use_by_ns), fix="ask again")
    _check_policy(approval, judge(approval.action))
    until_ns = now_ns + max(1, lease_s) * 1_000_000_000
    held = Reservation(reservation_id=reservation_id, holder=holder, until_ns=until_ns)
    right = Right(
        approval_id=approval.approval_id,
        reservation_id=reservation_id,
        tool=approval.action.tool,
        arguments=approval.action.arguments,
        digest=approval.digest,
        until_ns=until_ns,
    )
    step = _step(replace(approval, state="reserved", reservation=held), "reserved", who, now_ns, holder=holder)
    return replace(step, right=right)


def _check_policy(approval: Approval, demand: Demand) -> None:
    named = demand.rule.name
    if demand.do == "forbid":
        raise NotApproved("the policy forbids this now", got=named, fix="ask again")
    if demand.do == "allow":
        return
    if demand.rule.needs > len(approval.agreed):
        raise NotApproved(f"the policy now needs {demand.rule.needs} people to agree", got=named, fix="ask again")
    if demand.rule.name != approval.rule and demand.rule.reviewers:
        # Another rule speaks now: its reviewers must be among those who agreed.
        reviewers = {name.casefold() for name in demand.rule.reviewers}
        reviewers |= {name.casefold() for rung in demand.rule.escalate for name in rung.to}
        if len(reviewers & set(approval.agreed)) < demand.rule.needs:
            raise NotApproved("the policy now names other reviewers for this", got=named, fix="ask again")


def done(
    approval: Approval,
    who: Actor,
    reservation_id: str,
    outcome: Literal["executed", "failed"],
    text: str,
    now_ns: int,
) -> Step:
    """How it went, by whoever holds the reservation; it is used up either way."""
    held = approval.reservation
    if held is None or not same(reservation_id, held.reservation_id):
        raise NotApproved("this reservation is not known", got=approval.approval_id, fix="reserve it first")
    if approval.state == outcome:
        return Step(approval=approval)
    if approval.state not in ("reserved", "unknown"):
        raise _over(approval)
    return _step(replace(approval, state=outcome, outcome=text), outcome, who, now_ns, text=text)


def lost(approval: Approval, who: Actor, holder: str, now_ns: int) -> Step:
    """Whoever held the reservation has come back without knowing how it went: nobody does."""
    held = approval.reservation
    if approval.state == "unknown":
        return Step(approval=approval)
    if approval.state != "reserved" or held is None or held.holder != holder:
        raise _over(approval)
    return _step(replace(approval, state="unknown"), "unknown", who, now_ns, text="its process ended in the middle")


def settle(
    approval: Approval, who: Actor, happened: bool | None, text: str, now_ns: int, *, may_decide: bool, holder: str = ""
) -> Step:
    """Whether an action of which nobody knows did happen: by the tool's own answer, or by a person.

    ``False`` gives it back: it may be reserved once more, in its time. ``None`` changes nothing: a person is needed.
    """
    if approval.state in ("executed", "failed"):
        return Step(approval=approval)
    if approval.state != "unknown":
        raise _over(approval)
    mine = approval.reservation is not None and bool(holder) and approval.reservation.holder == holder
    if not mine:
        if not may_decide:
            raise Forbidden("who did not run it cannot say how it went", got=who.name, fix="a person settles it")
        _check_reviewer(approval, who)
    if happened is None:
        return Step(approval=approval)
    if happened:
        found = replace(approval, state="executed", outcome=text or "it did happen")
        return _step(found, "executed", who, now_ns, text=found.outcome)
    found = replace(approval, state="approved", reservation=None)
    return _step(found, "released", who, now_ns, text=text or "it did not happen")


# -- checks ----------------------------------------------------------------------------------------------------------


def _check_reviewer(approval: Approval, who: Actor) -> None:
    if who.kind != "person":
        raise Forbidden(
            "only a person decides", got=f"{who.name} ({who.kind})", fix="pilothouse keys new --for person --name NAME"
        )
    if who.id == approval.asker.id or (approval.asker.kind == "person" and person(who) == person(approval.asker)):
        raise Forbidden("who asked for it cannot decide it", got=who.name, fix="somebody else decides")
    mine = who.name.strip().casefold()
    if approval.reviewers and mine not in {name.casefold() for name in approval.reviewers}:
        raise Forbidden("others decide this", got=who.name, allowed=list(approval.reviewers))


def _check_pending(approval: Approval) -> None:
    if approval.state != "pending":
        raise _over(approval)


def _check_digest(approval: Approval, digest: str) -> None:
    if not same(digest, approval.digest):
        raise NotApproved(
            "it has changed since you looked at it",
            got=digest[:12],
            allowed=approval.digest[:12],
            fix=command("approvals", "show", approval.approval_id),
        )


def _check_text(text: str, what: str) -> None:
    if not text.strip() or len(text) > TEXT_CHARS_MAX:
        raise BadRequest(f"{what} has 1 to {TEXT_CHARS_MAX:,} characters", got=f"{len(text):,} characters")


_OVER: Final[Mapping[State, str]] = {
    "pending": "it waits for a decision",
    "approved": "it is approved",
    "reserved": "it is being run",
    "executed": "it has been run: an approval is used once",
    "failed": "it has been run, and failed: an approval is used once",
    "unknown": "nobody knows whether it ran: it must be settled first",
    "rejected": "it was rejected",
    "expired": "its time is over",
    "cancelled": "it was called off",
    "fallback": "nobody decided in time, and something else is done",
}


def _over(approval: Approval) -> NotApproved:
    said = (
        f": {approval.feedback}" if approval.feedback and approval.state in ("rejected", "expired", "cancelled") else ""
    )
    return NotApproved(
        _OVER[approval.state] + said,
        got=f"{approval.approval_id} ({approval.state})",
        fix=command("approvals", "show", approval.approval_id),
    )


def _with(names: tuple[str, ...], more: tuple[str, ...]) -> tuple[str, ...]:
    known = {name.casefold() for name in names}
    return (*names, *(name for name in dict.fromkeys(more) if name.casefold() not in known))


def _step(approval: Approval, kind: Any, who: Actor, now_ns: int, **detail: Any) -> Step:
    said = {name: value for name, value in detail.items() if value != ""}
    event = Event(kind=kind, at_ns=now_ns, who=who.name, who_kind=who.kind, detail=said)
    return Step(approval=replace(approval, changed_ns=now_ns), events=(event,))
