"""200 parallel calls against one dollar: never a cent over, and not a cent lost."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import threading
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from pilothouse.budgets import Ask, OverBudget
from pilothouse.store.budget_store import BudgetStore

from .racing import HELD, SECTION, race
from .support import budgets

HERE = Path(__file__).parent


def check(url: str, spent: Decimal) -> None:
    store = BudgetStore(url)
    balances = {(row.budget, row.subject): row for row in store.balances("p", limit=1_000)}
    store.close()
    for row in balances.values():
        assert row.held_nano == 0, row
        assert row.spent_nano <= 10**9, row
    company = balances["company", "system"]
    assert company.spent_nano == int(spent * 10**9)
    # Nobody was refused while there was room: at most one call's worth is left.
    assert company.spent_nano + int(HELD * 10**9) > 10**9
    assert sum(row.spent_nano for row in balances.values() if row.budget == "user") == company.spent_nano


def test_200_threads_at_once_on_sqlite(make_url: Callable[[str], str]) -> None:
    """All 200 hold a reservation at the same time, or are refused: none is settled before all have asked."""
    url = make_url("sqlite")
    store = BudgetStore(url)
    spending = budgets(store, company={"level": "system", "usd": 1})
    gate, asked = threading.Barrier(200), threading.Barrier(200)
    granted: list[str] = []
    refused: list[OverBudget] = []

    def call() -> None:
        gate.wait()
        try:
            held = spending.reserve("p", Ask(usd=Decimal("0.03")))
        except OverBudget as error:
            refused.append(error)
            asked.wait()
            return
        asked.wait()
        spending.settle("p", held.reservation_id, usd=Decimal("0.03"))
        granted.append(held.reservation_id)

    threads = [threading.Thread(target=call) for _ in range(200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(granted), len(refused)) == (33, 167)
    [row] = store.balances("p", limit=10)
    assert (row.spent_nano, row.held_nano, row.refused) == (990_000_000, 0, 167)
    store.close()


def test_threads_that_reserve_settle_and_release_on_sqlite(make_url: Callable[[str], str]) -> None:
    seed = random.randrange(2**31)
    print("seed", seed)
    url = make_url("sqlite")
    BudgetStore(url).close()
    done = race(url, "t", calls=15, threads=10, seed=seed)
    assert int(done["refused"]) > 0
    check(url, Decimal(str(done["spent"])))


@pytest.mark.parametrize("kind", ["postgresql", pytest.param("sqlite", marks=pytest.mark.slow)])
def test_processes(make_url: Callable[[str], str], kind: str) -> None:
    seed = random.randrange(2**31)
    print("seed", seed)
    url = make_url(kind)
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.budgets.racing", url, f"p{number}", "8", "6", str(seed + 100 * number)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=HERE.parents[1],
            text=True,
        )
        for number in range(3)
    ]
    spent, refused = Decimal(0), 0
    for process in processes:
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err[-2_000:]
        told = json.loads(out)
        spent += Decimal(told["spent"])
        refused += told["refused"]
    assert refused > 0
    check(url, spent)


def test_the_race_has_a_budget_of_every_sort() -> None:
    assert {row["level"] for row in SECTION.values()} == {"system", "user", "feature"}
