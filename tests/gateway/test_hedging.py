"""A second call beside a slow one: who answers, what becomes of the other, and who pays for both."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Iterator
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
from .harness import running_gateway
from .test_budgets import COST, ROWS
from .test_budgets import Setup as Paid

QUESTION = [{"role": "user", "content": "hello?"}]


class Overdue(FakeTimer):
    """Time that only passes when somebody waits for it, and not before a call has reached the provider."""

    def __init__(self, chaos: Chaos) -> None:
        super().__init__()
        self.chaos = chaos

    async def sleep_async(self, seconds: float) -> None:
        while not self.chaos.seen:
            await asyncio.sleep(0.005)
        await super().sleep_async(seconds)


@pytest.fixture(scope="module")
def module_setup(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Paid]:
    folder: Path = tmp_path_factory.mktemp("hedges")
    setup = Paid(folder)
    setup.budgets = Budgets(
        budgets_of("", folder), lambda: read_budgets(setup.rules.get("budgets")), prices=PriceBook(ROWS)
    )
    with Chaos() as chaos:
        upstreams = {
            "chaos": {"wire": "openai", "url": chaos.url, "answer_s": 5.0},
            "other": {"wire": "openai", "url": chaos.url, "calls_max": 1},
        }
        section = {"upstreams": upstreams, "routes": [{"model": "*", "upstream": "chaos"}]}
        setup.chaos = chaos
        timer = Overdue(chaos)
        with running_gateway(section, rules=setup.rules, timer=timer, budgets=setup.budgets) as setup.running:
            yield setup


@pytest.fixture
def setup(module_setup: Paid) -> Paid:
    module_setup.running.forget()
    module_setup.rules.clear()
    module_setup.chaos.seen.clear()
    module_setup.chaos.closed_by_gateway.clear()
    return module_setup


def hedge(setup: Paid, budgets: dict[str, Any] | None = None, **hedge: Any) -> None:
    setup.rules["survival"] = {"hedge": {"default": {"after": "800ms", **hedge}}, "retries": {"tries": 1}}
    if budgets:
        setup.rules["budgets"] = budgets


def counts(setup: Paid) -> dict[str, int]:
    # The caller has its answer before the course of the call has ended.
    setup.running.idle()
    survivor = setup.running.gateway.rules.survivor
    assert survivor is not None
    return {what: count for (what, _, _), count in survivor.events.counts().items()}


def test_the_second_call_answers_and_the_first_is_ended_and_paid(setup: Paid) -> None:
    hedge(setup, budgets={"all": {"level": "system", "usd": 1_000}}, model="good")
    answer = setup.post("hang", max_tokens=5, headers={"x-pilothouse-run": "one"})
    assert (answer.status_code, answer.json()["choices"][0]["message"]["content"]) == (200, "hello")
    assert setup.chaos.closed_by_gateway.wait(10), "the call that lost is ended"
    lost, won = sorted(setup.running.raw(2), key=lambda span: "pilothouse.gateway.aside" not in span.attributes)
    assert lost.attributes["pilothouse.gateway.aside"] == "hedge"
    assert (won.attributes["gen_ai.request.model"], won.attributes["gen_ai.usage.input_tokens"]) == ("good", 3)
    assert lost.trace_id == won.trace_id and lost.parent_span_id == won.span_id
    assert "asked beside it" in str(won.attributes["pilothouse.gateway.tried"])
    assert counts(setup) == {"answer": 1, "hedge": 1, "hedge_won": 1}
    # The winner by its usage; the other as it was held back, since the upstream may have worked: a token for each byte.
    spent, held = setup.standing("all")
    size = Decimal(len(setup.chaos.seen[0].body)) / 1_000
    assert held == 0 and spent == COST + size + Decimal("0.01"), f"{spent} of {size} bytes"


def test_a_fast_second_error_does_not_take_the_place_of_a_slow_answer(setup: Paid) -> None:
    hedge(setup, model="broken")
    answer = setup.post("slow")
    assert (answer.status_code, answer.json()["model"]) == (200, "chaos-1")
    assert counts(setup) == {"answer": 1, "hedge": 1}


def test_a_stream_is_taken_from_whoever_begins_first(setup: Paid) -> None:
    hedge(setup, model="slow-first", upstream="other")
    answer = setup.post("hang", stream=True)
    assert answer.status_code == 200 and "but here" in answer.text and answer.text.rstrip().endswith("[DONE]")


def test_what_may_not_be_hedged_is_asked_once(setup: Paid) -> None:
    """A full budget, a rate limit: the first call goes on alone."""
    hedge(setup)
    setup.rules["limits"] = {"all": {"per": "system", "requests_per_minute": 1, "burst_s": 60}}
    assert setup.post("slow").status_code == 200
    assert len(setup.chaos.seen) == 1 and "hedge" not in counts(setup)
    setup.rules.clear()
    hedge(setup, budgets={"tight": {"level": "system", "usd": 0.15, "per": "day"}})
    assert setup.post("slow-first", max_tokens=5, stream=True).status_code == 200
    assert len(setup.chaos.seen) == 2, "one call's worst case fits, and not two"


def test_a_share_bounds_how_many_are_made_twice(setup: Paid) -> None:
    hedge(setup, model="good", share_max=0.01)
    for _ in range(4):
        assert setup.post("slow").status_code == 200
    assert counts(setup)["hedge"] == 1


def test_both_fail_and_the_error_is_the_first_ones(setup: Paid) -> None:
    hedge(setup, model="wrong")
    setup.chaos.good_after = 10**6
    answer = setup.post("slow-broken")
    assert answer.status_code == 500


def test_a_caller_that_leaves_ends_both(setup: Paid) -> None:
    hedge(setup, upstream="other")
    url = httpx.URL(setup.running.openai_url)
    body = json.dumps({"model": "hang", "messages": QUESTION}).encode()
    head = f"POST {url.path}/chat/completions HTTP/1.1\r\nhost: {url.host}\r\ncontent-length: {len(body)}\r\n"
    with socket.create_connection((url.host, url.port or 80), timeout=10) as caller:
        caller.sendall(f"{head}authorization: Bearer ph_a_key_of_the_tests\r\n\r\n".encode() + body)
        deadline = time.monotonic() + 20
        while len(setup.chaos.seen) < 2:
            assert time.monotonic() < deadline, "both calls reach the provider"
            time.sleep(0.01)
    setup.running.idle()
    assert not setup.running.gateway.under_way and len(setup.chaos.seen) == 2
