"""Budgets: what is granted to children is never more than the parent has left, however they work."""

from __future__ import annotations

import random
from decimal import Decimal

import pytest

from pilothouse.records import BadRequest
from pilothouse.runtime.budget import Budget, BudgetSpent, Purse, Spent


def test_a_call_is_refused_when_nothing_is_left_and_the_error_names_what() -> None:
    purse = Purse(Budget(calls=2, tokens=100))
    for _ in range(2):
        purse.check()
        purse.charge(Spent(calls=1, tokens=10))
    with pytest.raises(BudgetSpent, match="the budget of 2 calls is spent") as caught:
        purse.check()
    assert caught.value.allowed == "2" and "Budget(calls=" in str(caught.value.fix)


def test_money_and_time_are_bounds_too() -> None:
    now = [0.0]
    purse = Purse(Budget(usd=0.5, seconds=10), clock=lambda: now[0])
    purse.charge(Spent(usd=Decimal("0.5")))
    with pytest.raises(BudgetSpent, match=r"\$0\.5"):
        purse.check()
    now[0] = 10.0
    late = Purse(Budget(seconds=3), clock=lambda: now[0])
    with pytest.raises(BudgetSpent, match="3 seconds"):
        Purse(Budget(seconds=3), elapsed_s=3.5).check()
    now[0] = 13.0
    with pytest.raises(BudgetSpent, match="3 seconds"):
        late.check()


def test_a_grant_is_held_back_until_it_is_settled() -> None:
    purse = Purse(Budget(calls=10, tokens=1_000))
    first = purse.grant("a", Budget(calls=4))
    assert (first.calls, first.tokens) == (4, 1_000)
    # All tokens are held for the first: the second may not begin.
    with pytest.raises(BudgetSpent, match="tokens"):
        purse.grant("b")
    purse.settle("a", Spent(calls=3, tokens=200))
    assert (purse.left().calls, purse.left().tokens) == (7, 800)
    purse.expect(2)
    assert purse.grant("b") == Budget(calls=3, tokens=400) == purse.grant("b")
    assert purse.grant("c") == Budget(calls=4, tokens=400)


def test_what_has_no_bound_stays_without() -> None:
    assert Purse(Budget()).grant("a") == Budget() and Purse(Budget()).left() == Budget()
    assert Budget.from_dict(Budget(usd=Decimal("0.10"), seconds=2.5).as_dict()) == Budget(
        usd=Decimal("0.10"), seconds=2.5
    )


@pytest.mark.parametrize("wrong", [-1, float("nan")])
def test_a_bound_that_is_none_is_refused(wrong: float) -> None:
    with pytest.raises(BadRequest, match="budget's tokens"):
        Budget(tokens=wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", range(20))
def test_a_tree_of_children_never_spends_more_than_its_root_had(seed: int) -> None:
    print(f"seed {seed}")
    dice = random.Random(seed)
    root = Purse(Budget(calls=60, tokens=5_000, usd=Decimal(2)))
    made = [(root, None, "")]
    total = Spent()
    for step in range(400):
        purse, parent, key = dice.choice(made)
        action = dice.random()
        try:
            if action < 0.25:
                wanted = Budget(calls=dice.choice([None, 5]), tokens=dice.choice([None, 700]))
                purse.expect(dice.randint(0, 3))
                granted = purse.grant(f"{step}", wanted)
                made.append((Purse(granted), purse, f"{step}"))
            elif action < 0.8:
                purse.check()
                left = purse.left()
                cost = Spent(
                    calls=1,
                    tokens=dice.randint(0, min(300, left.tokens or 0)),
                    usd=Decimal(left.usd or 0) * Decimal("0.1"),
                )
                purse.charge(cost)
                total += cost
            elif parent is not None and not any(of is purse for _, of, _ in made):
                parent.settle(key, purse.spent)
                made.remove((purse, parent, key))
        except BudgetSpent:
            continue
    assert total.calls <= 60 and total.tokens <= 5_000 and total.usd <= 2
    assert total.calls > 5
