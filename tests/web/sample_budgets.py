"""Budgets to look at: one that is nearly spent, one that lasts, one of tokens, one of a period that is over."""

from __future__ import annotations

from decimal import Decimal

from pilothouse.budgets import PRECEDENCE, BudgetOverview, PurposeSum, Standing

from .sample import HOSTILE


def sample_budgets(*, empty: bool = False) -> BudgetOverview:
    """Several budgets, of which one is nearly spent."""
    rules = (
        {"name": "each-user", "level": "user", "match": "*", "per": "day", "usd": Decimal(1), "at_limit": "ask"},
        {"name": "company", "level": "system", "match": "*", "per": "month", "usd": Decimal(500), "at_limit": "refuse"},
        {"name": "each-run", "level": "run", "match": "*", "per": "ever", "tokens": 200_000, "at_limit": "cheaper"},
    )
    standing = (
        _standing("each-user", HOSTILE, "2026-11-20", usd="1.50", spent="1.21", held="0.24", refused=3, raised="0.50"),
        _standing("company", "system", "2026-11", usd="500", spent="212.40", held="0.24"),
        _standing("each-run", "run-7", "ever", tokens=200_000, spent="0.40", spent_tokens=31_000),
        _standing("each-user", "ann", "2026-11-19", usd="1", spent="0.93"),
        _standing("forgotten", "ann", "2026-11", spent="3.20"),
    )
    purposes = (
        PurposeSum(purpose="call", calls=840, usd=Decimal("190.2"), tokens=9_000_000, share=Decimal("0.8955")),
        PurposeSum(purpose="retry", calls=61, usd=Decimal("22.2"), tokens=410_000, share=Decimal("0.1045")),
    )
    return BudgetOverview(
        rules=() if empty else rules,
        standing=() if empty else standing,
        purposes=() if empty else purposes,
        multiplied=None if empty else Decimal("1.073"),
        precedence=PRECEDENCE,
        policy="none" if empty else "5f4e3d2c1b0a",
        error="" if empty else f"budgets.b.level says whose budget it is {HOSTILE}",
    )


def _standing(
    budget: str,
    subject: str,
    period: str,
    *,
    usd: str | None = None,
    tokens: int | None = None,
    spent: str = "0",
    held: str = "0",
    spent_tokens: int = 0,
    refused: int = 0,
    raised: str = "0",
) -> Standing:
    limit = None if usd is None else Decimal(usd)
    return Standing(
        budget=budget,
        subject=subject,
        period=period,
        usd=limit,
        tokens=tokens,
        spent_usd=Decimal(spent),
        held_usd=Decimal(held),
        left_usd=None if limit is None else limit - Decimal(spent) - Decimal(held),
        spent_tokens=spent_tokens,
        held_tokens=0,
        calls=12,
        refused=refused,
        raised_usd=Decimal(raised),
        raised_tokens=0,
    )
