"""What is asked of a budget, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final, Literal, get_args

from pilothouse.records import PilothouseError

from .rules import AtLimit, Level

Purpose = Literal["call", "retry", "fallback", "hedge", "judge"]
PURPOSES: Final[tuple[Purpose, ...]] = get_args(Purpose)

NANO: Final = Decimal(1_000_000_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A call that is about to be made."""

    usd: Decimal | None = None
    """What it may cost at worst, where the caller knows; None: worked out from the model and the tokens."""
    model: str = ""
    provider: str = ""
    input_tokens: int = 0
    """At most so many. Where they are not counted: the bytes of the request, which no tokenizer passes."""
    output_tokens: int | None = None
    """At most so many; None: the bound of level ``request``, else 16,384. The caller MUST hold the model to it."""
    run: str = ""
    user: str = ""
    feature: str = ""
    tenant: str = ""
    purpose: Purpose = "call"
    """Retries, fallbacks, hedges and judges count like any call, and are told apart afterwards."""
    lease_s: float = 600.0
    """Held back for so long, unless it is renewed: then its process counts as dead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A budget that a reservation takes from."""

    budget: str
    level: Level
    subject: str
    period: str
    """Such as ``2026-11-29``, or ``ever``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """Money and tokens held back for one call."""

    reservation_id: str
    state: Literal["held", "settled", "released", "expired"]
    usd: Decimal
    """Held back."""
    tokens: int
    """Held back."""
    output_tokens: int | None
    """The model must be held to so many; None: known only when it was made."""
    spent_usd: Decimal
    """Booked when it was settled."""
    spent_tokens: int
    late: bool
    """True where it was settled after it had expired: others may have had its room."""
    purpose: str
    places: tuple[Place, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One account: a budget of one name in one period."""

    budget: str
    subject: str
    period: str
    usd: Decimal | None
    """The limit as it is now, with what was allowed beyond it; None: none, or the budget is no longer in the file."""
    tokens: int | None
    """The same of tokens."""
    spent_usd: Decimal
    held_usd: Decimal
    left_usd: Decimal | None
    spent_tokens: int
    held_tokens: int
    calls: int
    """Settled."""
    refused: int
    """Calls that did not fit."""
    raised_usd: Decimal
    """What a person allowed beyond the limit in this period; part of ``usd``."""
    raised_tokens: int
    """The same of tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PurposeSum:
    """What calls of one purpose cost in the last days."""

    purpose: str
    calls: int
    usd: Decimal
    tokens: int
    share: Decimal
    """Of everything that was spent, from 0 to 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetOverview:
    """Budgets, how they stand, and which of them holds when."""

    rules: tuple[Mapping[str, Any], ...]
    standing: tuple[Standing, ...]
    purposes: tuple[PurposeSum, ...]
    """What calls cost by purpose, so that one sees what retries and judges add."""
    multiplied: Decimal | None
    """All calls for each first call: 1 where nothing was tried twice; None where nothing was settled."""
    precedence: tuple[str, ...]
    policy: str
    """The version of the policy file; ``none`` where there is none."""
    error: str
    """What is wrong with the policy file as it is now, while the one before holds; empty: nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """A budget that has too little left for a call."""

    budget: str
    level: Level
    subject: str
    period: str
    at_limit: AtLimit
    asked: str
    """With its unit, such as ``0.03 USD`` or ``9,000 tokens``."""
    left: str
    limit: str
    ends_in_s: int | None = field(default=None)
    """Until the period ends; None: never."""
    raise_usd: Decimal = field(default=Decimal(0))
    """What a person is asked for beyond the limit, where the budget says so."""
    raise_tokens: int = 0
    raised: str = ""
    """What was allowed before in this period: the same question is not asked again after a yes."""


class OverBudget(PilothouseError):
    """A call would pass a budget: nothing was spent. It says which one, what is left and what may be done."""

    kind = "over_budget"
    exit_code = 8
    http_status = 402

    def __init__(self, message: str, *, at_limit: AtLimit, limit: Limit | None = None, **told: Any) -> None:
        super().__init__(message, **told)
        self.at_limit: AtLimit = at_limit
        self.limit = limit
        """The budget; None where a server told only the message."""

    @classmethod
    def of(cls, limit: Limit, others: int, *, told: str = "", fix: str = "", approval_id: str = "") -> OverBudget:
        """The error for a budget, and for so many others that are full too; ``told``: what a person said to it."""
        whose = "" if limit.level in ("request", "system") else f" of {limit.level} {limit.subject}"
        when = "" if limit.period in ("ever", "") else f" in {limit.period}"
        more = f" ({others} more budgets are full too)" if others else ""
        return cls(
            f"budget {limit.budget}{whose} has {limit.left} left of {limit.limit}{when}, "
            f"the call may take {limit.asked}{more}{f'; {told}' if told else ''}",
            at_limit=limit.at_limit,
            limit=limit,
            got=limit.asked,
            allowed={
                "at_limit": limit.at_limit,
                "left": limit.left,
                "limit": limit.limit,
                "budget": limit.budget,
                **({"approval_id": approval_id} if approval_id else {}),
            },
            fix=fix or _FIX[limit.at_limit].format(budget=limit.budget),
            retry_after_s=limit.ends_in_s,
        )


_FIX: Final[Mapping[AtLimit, str]] = {
    "refuse": "wait for the next period, ask for less, or raise budgets.{budget} in the policy file",
    "cheaper": "call a cheaper model or ask for fewer tokens; or raise budgets.{budget} in the policy file",
    "ask": "a person decides: have budgets.{budget} raised in the policy file, then try again",
}


def amount_text(value: Decimal | int, unit: str) -> str:
    """An amount with its unit, such as ``0.03 USD`` or ``9,000 tokens``."""
    if isinstance(value, int):
        return f"{value:,} {unit}"
    text = f"{value:f}"
    return f"{text.rstrip('0').rstrip('.') if '.' in text else text} {unit}"
