"""The server's budgets: those of the policy file, over the database of small records."""

from __future__ import annotations

from pathlib import Path

from pilothouse.budgets import Budgets, Rule, read_budgets
from pilothouse.costs import PriceBook
from pilothouse.policy import Watch
from pilothouse.store.budget_store import budgets_of

from .config import Config


def open_budgets(control: str, data: Path, config: Config, policy: Watch) -> Budgets:
    """Budgets as the policy file says at the moment of each call.

    Raises:
        Unreachable: the database does not open.
    """
    read: dict[str, tuple[Rule, ...]] = {}

    def rules() -> tuple[Rule, ...]:
        now = policy.policy
        found = read.get(now.version)
        if found is None:
            read.clear()
            found = read[now.version] = read_budgets(now.section("budgets"))
        return found

    return Budgets(
        budgets_of(control, data),
        rules,
        prices=PriceBook(config.prices),
        policy=lambda: (policy.policy.version, policy.error.message if policy.error else ""),
    )
