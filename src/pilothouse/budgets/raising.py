"""At the limit a person may be asked for more: what is asked, and what came of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Literal, Protocol

from .model import Ask, Limit, amount_text
from .rules import Rule

RaiseIt = Callable[[str, Decimal, int], None]
"""Given an id, and dollars and tokens beyond the limit: allows them, once for each id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What came of asking."""

    state: Literal["raised", "pending", "refused"]
    told: str = ""
    """Where it was not raised: why, for who made the call."""
    fix: str = ""
    approval_id: str = ""


class Raiser(Protocol):
    """Asks a person."""

    def __call__(self, project_id: str, limit: Limit, ask: Ask, raise_it: RaiseIt, /) -> Asked:
        """Ask, or see what was said to the same question; where the answer is yes, ``raise_it``. Never waits."""
        ...


_SHARE: Final = 2
"""Half the limit more, where the budget does not say how much is asked for."""


def wanted_usd(rule: Rule, missing: Decimal) -> Decimal:
    """How many dollars more a person is asked for: what the budget says, and enough for the call."""
    usual = rule.raise_usd if rule.raise_usd is not None else (rule.usd or Decimal(0)) / _SHARE
    return max(usual, missing)


def wanted_tokens(rule: Rule, missing: int) -> int:
    """How many tokens more a person is asked for."""
    usual = rule.raise_tokens if rule.raise_tokens is not None else (rule.tokens or 0) // _SHARE
    return max(usual, missing)


def sentence(limit: Limit) -> str:
    """What a yes does."""
    more = " and ".join(
        text
        for text in (
            amount_text(limit.raise_usd, "USD") if limit.raise_usd else "",
            amount_text(limit.raise_tokens, "tokens") if limit.raise_tokens else "",
        )
        if text
    )
    whose = "" if limit.level == "system" else f" of {limit.level} {limit.subject}"
    when = "" if limit.period in ("ever", "") else f" in {limit.period}"
    return f"Let budget {limit.budget}{whose} spend {more} more{when}, beyond its limit of {limit.limit}."
