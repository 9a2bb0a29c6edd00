"""Budgets with a clock that a test sets and prices that do not change."""

from __future__ import annotations

from typing import Any

from pilothouse.budgets import Budgets, read_budgets
from pilothouse.costs import PriceBook
from pilothouse.store.budget_store import BudgetStore

DAY_NS = 86_400_000_000_000
NOON_NS = 1_795_953_600_000_000_000
"""2026-11-29T12:00:00 UTC, a Sunday."""

PRICES = PriceBook([{"model": "large", "input": 10.0, "output": 40.0}, {"model": "small", "input": 1.0, "output": 4.0}])


class SetClock:
    """A wall clock that stands where it is put."""

    def __init__(self, now_ns: int = NOON_NS) -> None:
        self.ns = now_ns

    def now_ns(self) -> int:
        return self.ns


def budgets(store: BudgetStore, clock: SetClock | None = None, **section: Any) -> Budgets:
    rules = read_budgets(section)
    return Budgets(store, lambda: rules, prices=PRICES, clock=clock or SetClock())
