"""One of several processes that spend from the same budget; run by test_race.py.

Told on its command line: the database, who it is, how many calls, by how many threads. Prints what it spent and how
often it was refused, as JSON.
"""

from __future__ import annotations

import json
import random
import sys
import threading
from decimal import Decimal

from pilothouse.budgets import Ask, Budgets, OverBudget, read_budgets
from pilothouse.costs import PriceBook
from pilothouse.store.budget_store import BudgetStore

SECTION = {
    "company": {"level": "system", "usd": 1},
    "user": {"level": "user", "usd": 1, "per": "day"},
    "feature": {"level": "feature", "usd": 1, "per": "month"},
}
HELD = Decimal("0.03")


def spend(budgets: Budgets, name: str, calls: int, seed: int) -> tuple[Decimal, int]:
    """Make so many calls, each held back at 3 cents and costing less."""
    dice, spent, refused = random.Random(seed), Decimal(0), 0
    for _ in range(calls):
        # Different users and one user: accounts are taken in different mixes, in one order.
        user = dice.choice(["ann", "bob", name])
        try:
            held = budgets.reserve("p", Ask(usd=HELD, user=user, feature="chat"))
        except OverBudget:
            refused += 1
            continue
        if dice.random() < 0.2:
            budgets.release("p", held.reservation_id)
            continue
        cost = HELD * dice.randint(10, 100) / 100
        budgets.settle("p", held.reservation_id, usd=cost)
        spent += cost
    return spent, refused


def race(url: str, name: str, calls: int, threads: int, seed: int) -> dict[str, str | int]:
    """Spend from several threads and add it up."""
    rules = read_budgets(SECTION)
    budgets = Budgets(BudgetStore(url), lambda: rules, prices=PriceBook())
    results: list[tuple[Decimal, int]] = []
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            results.append(spend(budgets, f"{name}-{number}", calls, seed + number))
        except BaseException as error:
            failures.append(error)

    workers = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    budgets.close()
    if failures:
        raise failures[0]
    total = sum((one[0] for one in results), Decimal(0))
    return {"spent": str(total), "refused": sum(one[1] for one in results)}


if __name__ == "__main__":
    url, name, calls, threads, seed = sys.argv[1:6]
    print(json.dumps(race(url, name, int(calls), int(threads), int(seed))))
