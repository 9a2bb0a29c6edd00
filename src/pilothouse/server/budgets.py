"""The server's budgets: those of the policy file, over the database of small records."""

from __future__ import annotations

from pathlib import Path

from pilothouse.budgets import Budgets, Rule, read_budgets
from pilothouse.costs import PriceBook
from pilothouse.policy import Policy, Watch
from pilothouse.store.budget_store import budgets_of

from .config import Config


def open_budgets(control: str, data: Path, config: Config, policy: Watch) -> Budgets:
    """Budgets as the policy file says at the moment of each call.

    Raises:
        Unreachable: the database does not open.
    """
    read: dict[str, tuple[Rule, ...]] = {}

    def rules() -> tuple[Rule, ...]:
        return made(policy.policy)

    def made(wanted: Policy) -> tuple[Rule, ...]:
        found = read.get(wanted.version)
        if found is None:
            # The one in force, and the one that is about to be.
            for old in list(read)[:-1]:
                read.pop(old, None)
            found = read[wanted.version] = read_budgets(wanted.section("budgets"))
        return found

    policy.ahead(lambda new: (made(new), None)[1])

    return Budgets(
        budgets_of(control, data),
        rules,
        prices=PriceBook(config.prices),
        policy=lambda: (policy.policy.version, policy.error.message if policy.error else ""),
    )
