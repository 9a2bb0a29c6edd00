"""Money for calls through the gateway: held back before, settled by the usage of the answer, and never a cent over."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from pilothouse.budgets import Budgets, read_budgets
from pilothouse.costs import PriceBook
from pilothouse.store.budget_store import budgets_of
from pilothouse.survival import FakeTimer

from .chaos import Chaos
from .harness import KEY, Running, running_gateway

# A thousandth of a dollar for a token in, two for one out: the answer of the model ``good`` (3 and 5) costs 0.013.
ROWS = [
    {"model": model, "input": 1000.0, "output": 2000.0}
    for model in ("good", "broken", "hang", "half", "slow-first", "not-http")
]
QUESTION = [{"role": "user", "content": "hello?"}]
COST = Decimal("0.013")


class Setup:
    """A gateway with budgets in a database of their own."""

    def __init__(self, folder: Path) -> None:
        self.rules: dict[str, Any] = {}
        self.budgets = Budgets(
            budgets_of("", folder), lambda: read_budgets(self.rules.get("budgets")), prices=PriceBook(ROWS)
        )
        self.client = httpx.Client(limits=httpx.Limits(max_connections=100), timeout=30)
        self.running: Running
        self.chaos: Chaos

    def limit(self, **budgets: Any) -> None:
        self.rules.clear()
        self.rules["budgets"] = budgets

    def post(self, model: str = "good", **more: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {KEY}", **more.pop("headers", {})}
        body = {"model": model, "messages": QUESTION, **more}
        return self.client.post(f"{self.running.openai_url}/chat/completions", json=body, headers=headers)

    def standing(self, budget: str) -> tuple[Decimal, Decimal]:
        """Spent and held, once every call is settled."""
        self.running.idle()
        deadline = time.monotonic() + 30
        while True:
            rows = self.budgets.overview("prj_tests", budget=budget).standing
            spent, held = (
                sum((row.spent_usd for row in rows), Decimal(0)),
                sum((row.held_usd for row in rows), Decimal(0)),
            )
            if not held or time.monotonic() > deadline:
                return spent, held
            time.sleep(0.02)


@pytest.fixture(scope="module")
def module_setup(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setup]:
    setup = Setup(tmp_path_factory.mktemp("budgets"))
    with Chaos() as chaos:
        upstreams = {
            "chaos": {"wire": "openai", "url": chaos.url, "answer_s": 1.0},
            "gone": {"wire": "openai", "url": "http://127.0.0.1:9/v1"},
        }
        section = {
            "upstreams": upstreams,
            "routes": [{"model": "half", "upstream": "gone"}, {"model": "*", "upstream": "chaos"}],
        }
        setup.chaos = chaos
        with running_gateway(section, rules=setup.rules, timer=FakeTimer(), budgets=setup.budgets) as setup.running:
            yield setup


@pytest.fixture
def setup(module_setup: Setup) -> Setup:
    module_setup.chaos.seen.clear()
    return module_setup


def test_a_call_is_settled_by_the_usage_of_its_answer(setup: Setup) -> None:
    setup.limit(exact={"level": "user", "usd": 100})
    assert setup.post(headers={"x-pilothouse-user": "ada"}).status_code == 200
    assert setup.standing("exact") == (COST, 0)


def test_a_call_that_does_not_fit_is_refused_before_it_leaves(setup: Setup) -> None:
    setup.limit(tight={"level": "system", "usd": 0.5})
    answer = setup.post(max_tokens=1_000)
    assert answer.status_code == 402
    assert "budget tight has 0.5 USD left" in answer.json()["error"]["message"]
    assert not setup.chaos.seen


def test_a_call_without_a_bound_is_given_the_one_that_was_held_back(setup: Setup) -> None:
    setup.limit(one={"level": "request", "usd": 100, "output_tokens": 40})
    assert setup.post().status_code == 200
    body = setup.chaos.seen[-1].body
    assert json.loads(body)["max_completion_tokens"] == 40
    assert (
        body.replace(b'"max_completion_tokens": 40, ', b"")
        == json.dumps({"model": "good", "messages": QUESTION}, separators=(",", ":")).encode()
    )
    setup.post(max_completion_tokens=None)
    assert json.loads(setup.chaos.seen[-1].body)["max_completion_tokens"] == 40
    setup.post(max_tokens=7)
    assert json.loads(setup.chaos.seen[-1].body) == {"model": "good", "messages": QUESTION, "max_tokens": 7}


def test_what_fails_without_cost_is_given_back_and_what_may_have_cost_is_booked(setup: Setup) -> None:
    setup.limit(failures={"level": "system", "usd": 1000})
    assert setup.post("broken", max_tokens=5).status_code == 500
    assert setup.post("half", max_tokens=5).status_code == 502, "its route leads nowhere"
    assert setup.standing("failures") == (0, 0)
    assert setup.post("hang", max_tokens=5).status_code == 504
    spent, held = setup.standing("failures")
    assert spent > Decimal("0.01") and held == 0, "the upstream may have worked until it was given up"


def test_a_stream_without_usage_is_booked_by_its_bytes_which_are_never_too_few(setup: Setup) -> None:
    setup.limit(streams={"level": "system", "usd": 10_000})
    answer = setup.post("slow-first", stream=True)
    assert answer.status_code == 200
    spent, held = setup.standing("streams")
    assert held == 0
    assert Decimal("0.002") * len("late but here") < spent < Decimal("0.002") * (len(answer.content) + 500)


def test_a_model_without_a_price_is_refused_by_a_budget_in_dollars(setup: Setup) -> None:
    setup.limit(dollars={"level": "system", "usd": 10})
    answer = setup.post("gzip")
    assert (answer.status_code, "no price is known" in answer.json()["error"]["message"]) == (400, True)


def test_a_full_budget_is_a_reason_to_ask_a_cheaper_model(setup: Setup) -> None:
    setup.limit(cheap={"level": "request", "usd": 0.2, "at_limit": "cheaper"})
    chain = [{"model": "broken"}, {"template": "Ask again tomorrow.", "on": ["budget"]}]
    setup.rules["survival"] = {"retries": {"tries": 1}, "fallbacks": {"default": chain}}
    answer = setup.post("broken", max_tokens=10_000)
    assert answer.json()["choices"][0]["message"]["content"] == "Ask again tomorrow."
    assert not setup.chaos.seen


def test_each_try_is_a_reservation_of_its_own_and_told_apart(setup: Setup) -> None:
    setup.limit(tries={"level": "system", "usd": 1000})
    chain = [{"model": "broken"}, {"model": "good"}]
    setup.rules["survival"] = {"retries": {"tries_before_fallback": 2}, "fallbacks": {"default": chain}}
    assert setup.post("broken", max_tokens=5).status_code == 200
    assert setup.standing("tries") == (COST, 0)
    assert {row.purpose for row in setup.budgets.overview("prj_tests").purposes} >= {"call", "fallback"}


def test_a_hundred_calls_at_once_never_spend_a_cent_too_much(setup: Setup) -> None:
    # Each may take at most some 0.09: a bound of five tokens and the bytes of the request.
    setup.limit(race={"level": "system", "usd": 1})
    with ThreadPoolExecutor(32) as threads:
        statuses = list(threads.map(lambda _: setup.post(max_tokens=5).status_code, range(100)))
    assert set(statuses) <= {200, 402} and 200 in statuses
    spent, held = setup.standing("race")
    assert held == 0
    assert spent == COST * statuses.count(200) <= 1
