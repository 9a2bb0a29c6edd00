"""A budget that is full asks a person for more: once, and no more than was allowed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from pilothouse.approvals import Approvals, Moment, read_approvals
from pilothouse.budgets import Ask, Budgets, OverBudget, read_budgets
from pilothouse.costs import PriceBook
from pilothouse.records import Actor, BadRequest, Forbidden
from pilothouse.server.budget_raises import BudgetRaiser
from pilothouse.store.approval_store import approvals_of
from pilothouse.store.budget_store import BudgetStore, budgets_of

PROJECT = "p1"
PAT = Actor(id="key-pat", name="Pat", kind="person")
USER = {"each-user": {"level": "user", "usd": 1, "per": "day", "at_limit": "ask", "raise_usd": 0.5}}
CALL = Ask(usd=Decimal("0.3"), user="ann", model="gpt-5")


class Desk:
    """Budgets and approvals over databases of their own."""

    def __init__(self, folder: Path, budgets: dict[str, Any], approvals: dict[str, Any] | None = None) -> None:
        rules, policy = read_budgets(budgets), read_approvals(approvals or {})
        self.later_s = 0
        self.approvals = Approvals(approvals_of("", folder), lambda: ("v1", policy), key=b"k" * 32, moment=Moment(self))
        self.budgets = Budgets(budgets_of("", folder), lambda: rules, prices=PriceBook([]))
        self.budgets.raiser = BudgetRaiser(self.approvals)

    def now_ns(self) -> int:
        return time.time_ns() + self.later_s * 1_000_000_000

    def spend(self, times: int = 1, ask: Ask = CALL) -> None:
        for _ in range(times):
            held = self.budgets.reserve(PROJECT, ask)
            self.budgets.settle(PROJECT, held.reservation_id, usd=ask.usd)

    def refused(self, ask: Ask = CALL) -> OverBudget:
        with pytest.raises(OverBudget) as caught:
            self.budgets.reserve(PROJECT, ask)
        return caught.value

    def approve(self, id: str, **edited: Any) -> None:
        found = self.approvals.find(PROJECT, id)
        if edited:
            arguments = {**found.action.arguments, **edited}
            self.approvals.edit(PROJECT, id, PAT, digest=found.digest, arguments=arguments)
        else:
            self.approvals.approve(PROJECT, id, PAT, digest=found.digest)


@pytest.fixture
def desk(tmp_path: Path) -> Callable[..., Desk]:
    return lambda *sections: Desk(tmp_path, *sections)


def test_a_person_is_asked_once_and_a_yes_lets_calls_go_on(desk: Callable[..., Desk]) -> None:
    mine = desk(USER)
    mine.spend(3)
    error = mine.refused()
    assert "has 0.1 USD left of 1 USD" in error.message and "a person was asked" in error.message
    id = error.allowed["approval_id"]
    assert error.fix == f"pilothouse approvals approve {id}" and error.at_limit == "ask"
    assert mine.refused(Ask(usd=Decimal("0.2"), user="ann")).allowed["approval_id"] == id, "one question, not two"
    asked = mine.approvals.find(PROJECT, id)
    assert asked.sentence.startswith("Let budget each-user of user ann spend 0.5 USD more in ")
    assert asked.action.money_usd == 0.5 and "0.1 USD are left" in asked.reason
    mine.approve(id)
    mine.spend(2)
    [row] = mine.budgets.overview(PROJECT).standing
    assert (row.spent_usd, row.usd, row.raised_usd, row.left_usd) == (Decimal("1.5"), Decimal("1.5"), Decimal("0.5"), 0)
    assert mine.approvals.find(PROJECT, id).state == "executed"
    second = mine.refused()
    assert second.allowed["approval_id"] != id, "what was allowed is spent: another question"


def test_a_no_is_a_no_for_the_period_and_is_told(desk: Callable[..., Desk]) -> None:
    mine = desk(USER)
    mine.spend(3)
    id = mine.refused().allowed["approval_id"]
    mine.approvals.reject(PROJECT, id, PAT, why="Ann has had enough.")
    for _ in range(2):
        assert "a person said no: Ann has had enough." in mine.refused().message
    assert len(mine.approvals.list(PROJECT).items) == 1


def test_what_a_reviewer_writes_instead_is_what_is_allowed(desk: Callable[..., Desk]) -> None:
    mine = desk(USER)
    mine.spend(3)
    mine.approve(mine.refused().allowed["approval_id"], usd="0.2")
    mine.spend()
    [row] = mine.budgets.overview(PROJECT).standing
    assert (row.raised_usd, row.left_usd) == (Decimal("0.2"), 0)
    mine.approve(mine.refused().allowed["approval_id"], usd="-5")
    assert "no amount" in mine.refused().message
    assert mine.budgets.overview(PROJECT).standing[0].raised_usd == Decimal("0.2")


def test_the_policy_says_who_decides(desk: Callable[..., Desk]) -> None:
    mine = desk(USER, {"rules": [{"name": "money", "tool": "raise_budget", "reviewers": ["Lea"]}]})
    mine.spend(3)
    id = mine.refused().allowed["approval_id"]
    assert mine.approvals.find(PROJECT, id).reviewers == ("Lea",)
    with pytest.raises(Forbidden):
        mine.approve(id)


def test_what_the_policy_forbids_is_refused_without_asking(desk: Callable[..., Desk]) -> None:
    mine = desk(USER, {"rules": [{"name": "never", "tool": "raise_budget", "do": "forbid"}]})
    mine.spend(3)
    assert "the policy forbids this" in mine.refused().message
    assert mine.approvals.list(PROJECT).items == ()


def test_a_strict_budget_beside_it_refuses_without_asking(desk: Callable[..., Desk]) -> None:
    mine = desk({**USER, "company": {"level": "system", "usd": 1}})
    mine.spend(3)
    assert "approval_id" not in mine.refused().allowed
    assert mine.approvals.list(PROJECT).items == ()


def test_nobody_decides_in_time(desk: Callable[..., Desk]) -> None:
    mine = desk(USER)
    mine.spend(3)
    id = mine.refused().allowed["approval_id"]
    mine.later_s = 30 * 86_400
    assert mine.approvals.find(PROJECT, id).state == "expired"
    assert "nobody decided in time" in mine.refused().message


def test_calls_at_once_raise_it_once_and_never_pass_it(desk: Callable[..., Desk]) -> None:
    mine = desk(USER)
    mine.spend(3)
    mine.approve(mine.refused().allowed["approval_id"])
    granted: list[int] = []

    def call() -> None:
        try:
            mine.budgets.reserve(PROJECT, Ask(usd=Decimal("0.1"), user="ann"))
            granted.append(1)
        except OverBudget:
            pass

    threads = [threading.Thread(target=call) for _ in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    [row] = mine.budgets.overview(PROJECT).standing
    assert row.raised_usd == Decimal("0.5") and row.spent_usd + row.held_usd <= Decimal("1.5")
    assert 1 <= len(granted) <= 6


def test_a_server_that_died_between_the_yes_and_the_raise_raises_once(desk: Callable[..., Desk]) -> None:
    mine = desk(USER)
    mine.spend(3)
    id = mine.refused().allowed["approval_id"]
    mine.approve(id)
    found = mine.approvals.find(PROJECT, id)
    server = Actor(id="budgets", name="budgets", kind="evaluator")
    mine.approvals.reserve(PROJECT, id, server, digest=found.digest, holder="budgets", lease_s=5)
    assert "a person was asked" in mine.refused().message, "held by a process that may live"
    mine.later_s = 60
    mine.spend(2)
    assert mine.budgets.overview(PROJECT).standing[0].raised_usd == Decimal("0.5")
    assert mine.approvals.find(PROJECT, id).state == "executed"


def test_tokens_are_raised_too(desk: Callable[..., Desk]) -> None:
    mine = desk({"run": {"level": "run", "tokens": 1_000, "at_limit": "ask"}})
    call = Ask(usd=Decimal(0), run="r1", input_tokens=700, output_tokens=0)
    held = mine.budgets.reserve(PROJECT, call)
    error = mine.refused(call)
    assert mine.approvals.find(PROJECT, error.allowed["approval_id"]).action.arguments["tokens"] == 500
    mine.approve(error.allowed["approval_id"])
    mine.budgets.reserve(PROJECT, call)
    mine.budgets.release(PROJECT, held.reservation_id)
    assert mine.budgets.overview(PROJECT).standing[0].tokens == 1_500


@pytest.mark.parametrize(
    "row",
    [
        {"level": "user", "usd": 1, "raise_usd": 1},
        {"level": "request", "usd": 1, "at_limit": "ask", "raise_usd": 1},
        {"level": "user", "usd": 1, "at_limit": "ask", "raise_tokens": 5},
    ],
)
def test_a_raise_that_can_never_be_asked_for_is_an_error(row: dict[str, Any]) -> None:
    with pytest.raises(BadRequest, match=r"budgets.b.raise_"):
        read_budgets({"b": row})


def test_a_database_of_before_gets_what_it_lacks(tmp_path: Path) -> None:
    path = tmp_path / "budgets.db"
    budgets_of("", tmp_path).close()
    engine = sa.create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        for column in ("raised_nano", "raised_tokens"):
            connection.execute(sa.text(f"ALTER TABLE budget_account DROP COLUMN {column}"))
    engine.dispose()
    store = BudgetStore(f"sqlite:///{path}")
    assert store.balances(PROJECT, limit=1) == []
    store.close()
