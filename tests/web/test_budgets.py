"""The page of budgets: what is spent, what is held back, when it runs out as things go, and nothing without a budget."""

from __future__ import annotations

from decimal import Decimal

import pytest
from starlette.testclient import TestClient

from pilothouse.budgets import Per, lasts_s
from pilothouse.web.pages.budgets import _runs_out_s

from .markup import Markup

DAY = 86_400
NOON = 1_795_176_000_000_000_000  # 2026-11-20 12:00 UTC


def test_budgets_say_how_far_they_are_and_what_happens_at_the_limit(full: TestClient) -> None:
    page = Markup.read(full.get("/budgets").text)
    assert page.wrong == []
    text = " ".join(page.text.split())
    assert "$1.21 of $1.50" in text and "raised" in text and "asks a person" in text
    assert "31.0k of 200k tokens" in text and "a cheaper model" in text
    assert "no such budget now" in text and "The policy file is wrong" in text
    assert "each call became 1.073" in text
    # 212.40 of 500 dollars by the 20th of 30 days.
    assert "lasts" in text
    bars = [one.attributes["aria-label"] for one in page.named("svg") if one.attributes.get("class") == "budget-bar"]
    assert bars[0] == "81 % spent, 16 % held back" and len(bars) == 5


def test_without_a_budget_the_page_says_how_to_write_one(empty: TestClient) -> None:
    page = Markup.read(empty.get("/budgets").text)
    assert "Nothing bounds what may be spent" in page.text and "at_limit: ask" in page.text


def test_the_same_as_json_and_markdown(full: TestClient) -> None:
    rows = full.get("/budgets.json").json()["rows"]
    assert [row["standing"]["budget"] for row in rows] == ["each-user", "company", "each-run"]
    assert "each-user" in full.get("/budgets.md").text


@pytest.mark.parametrize(
    ("spent", "ends", "left"),
    [
        ("0.5", DAY // 2, None),  # half at noon: it lasts
        ("0.75", DAY // 2, DAY // 6),  # three quarters at noon: the rest in a third of that time
        ("0.9", DAY - 60, None),  # a minute past midnight nothing is foretold
        ("1", DAY // 2, None),  # spent
        ("0", DAY // 2, None),
    ],
)
def test_when_it_runs_out_is_a_straight_line(spent: str, ends: int, left: int | None) -> None:
    assert _runs_out_s(Decimal(spent), DAY, ends) == left


@pytest.mark.parametrize(("per", "days"), [("hour", 1 / 24), ("day", 1), ("week", 7), ("month", 30), ("ever", None)])
def test_how_long_a_period_lasts(per: Per, days: float | None) -> None:
    assert lasts_s(per, NOON) == (None if days is None else days * DAY)
