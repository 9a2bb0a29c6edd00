"""A budget that is full asks a person for more: the question is an approval like any other."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from pilothouse.approvals import Action, Approval, Approvals, State
from pilothouse.approvals import Ask as Question
from pilothouse.budgets import Ask, Asked, Limit, RaiseIt, sentence
from pilothouse.records import Actor, NeedsApproval, NotApproved, command

TOOL: Final = "raise_budget"
"""What rules of ``approvals`` call it, where they name who decides."""
BUDGETS: Final = Actor(id="budgets", name="budgets", kind="evaluator")
_HOLDER: Final = "budgets"
_SAID: Final[Mapping[State, str]] = {
    "rejected": "a person said no",
    "expired": "nobody decided in time whether it may be raised",
    "cancelled": "raising it was called off",
    "failed": "raising it failed",
    "fallback": "nobody decided in time whether it may be raised",
}


class BudgetRaiser:
    """Asks the reviewers of the policy; the same question is asked once in a period, and again only after a yes."""

    def __init__(self, approvals: Approvals) -> None:
        self._approvals = approvals

    def __call__(self, project_id: str, limit: Limit, ask: Ask, raise_it: RaiseIt, /) -> Asked:
        """See what is said to the question, which is asked where nobody has."""
        arguments: dict[str, Any] = {
            "budget": limit.budget,
            "level": limit.level,
            "subject": limit.subject,
            "period": limit.period,
        }
        if limit.raise_usd:
            arguments["usd"] = f"{limit.raise_usd:f}"
        if limit.raise_tokens:
            arguments["tokens"] = limit.raise_tokens
        # What the call needs differs from call to call: the question is one all the same.
        named = "\x1f".join((TOOL, limit.budget, limit.subject, limit.period, limit.raised))
        key = f"{TOOL}-{hashlib.sha256(named.encode('utf-8', 'surrogatepass')).hexdigest()[:40]}"
        found = self._approvals.by_key(project_id, key)
        if found is None:
            action = Action(tool=TOOL, arguments=arguments, money_usd=float(limit.raise_usd), user=ask.user)
            question = Question(
                action=action,
                reason=f"A call{f' of {ask.model}' if ask.model else ''} may take {limit.asked}; {limit.left} are left.",
                expected="Calls go on until that is spent too.",
                rollback="What is spent stays spent; the rest ends with the period.",
                run=ask.run,
                ask_key=key,
                say=sentence(limit),
            )
            found = self._approvals.ask(project_id, question, BUDGETS)
        return self._seen(project_id, found, raise_it)

    def _seen(self, project_id: str, found: Approval, raise_it: RaiseIt) -> Asked:
        id = found.approval_id
        if found.state == "approved":
            try:
                right = self._approvals.reserve(project_id, id, BUDGETS, digest=found.digest, holder=_HOLDER)
            except (NeedsApproval, NotApproved):
                # Another call was quicker, or the policy has changed: the next look says which.
                return Asked(state="pending", told="it is being raised", approval_id=id)
            raise_it(id, *_amounts(right.arguments))
            self._approvals.done(
                project_id, id, BUDGETS, reservation_id=right.reservation_id, outcome="executed", text="raised"
            )
            return Asked(state="raised", approval_id=id)
        if found.state == "unknown":
            # A server that died in between: raising is done once for each id, so doing it again is safe.
            raise_it(id, *_amounts(found.action.arguments))
            self._approvals.settle(project_id, id, BUDGETS, happened=True, text="raised", holder=_HOLDER)
            return Asked(state="raised", approval_id=id)
        if found.state == "executed":
            return Asked(state="raised", approval_id=id)
        if found.state in ("pending", "reserved"):
            return Asked(
                state="pending",
                told="a person was asked whether it may be raised",
                fix=command("approvals", "approve", id),
                approval_id=id,
            )
        said = _SAID.get(found.state, found.state)
        return Asked(state="refused", told=f"{said}: {found.feedback}" if found.feedback else said, approval_id=id)


def _amounts(arguments: Mapping[str, Any]) -> tuple[Decimal, int]:
    """What was approved, which a reviewer may have changed.

    Raises:
        NotApproved: it is no amount.
    """
    tokens = arguments.get("tokens", 0)
    try:
        usd = Decimal(str(arguments.get("usd", "0")))
    except InvalidOperation:
        usd = Decimal("NaN")
    if not usd.is_finite() or not 0 <= usd <= 1_000_000_000 or not isinstance(tokens, int) or not 0 <= tokens <= 10**15:
        raise NotApproved("what was approved is no amount", got=str(dict(arguments))[:200], fix="ask again")
    return usd, tokens
