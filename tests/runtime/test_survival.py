"""Budgets and survival in real pydantic-ai agents, with models that fail as told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic_ai import Agent
from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.usage import RequestUsage

from pilothouse.budgets import Budgets, OverBudget, read_budgets
from pilothouse.costs import PriceBook
from pilothouse.records import Unreachable
from pilothouse.runtime.adapters.budget import Budget
from pilothouse.runtime.adapters.survival import Survival
from pilothouse.runtime.budget_desk import OwnDesk, ServerDesk
from pilothouse.store.budget_store import BudgetStore, budgets_of
from pilothouse.survival import FakeTimer, GaveUp, Survivor, fixed, read_survival

PRICES = PriceBook([{"model": "large", "input": 10.0, "output": 40.0}, {"model": "small", "input": 1.0, "output": 4.0}])
Turn = Exception | str


class Model:
    """A model that answers or fails in turn, the last one for ever, and notes what it was asked with."""

    def __init__(self, name: str, *turns: Turn) -> None:
        self.turns, self.settings = list(turns), list[Any]()
        self.model = FunctionModel(self._answer, stream_function=self._stream, model_name=name)

    def _answer(self, messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        turn = self._turn(info)
        usage = RequestUsage(input_tokens=1_000, cache_read_tokens=200, output_tokens=100)
        return ModelResponse(parts=[TextPart(content=turn)], usage=usage)

    async def _stream(self, messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[str]:
        yield self._turn(info)

    def _turn(self, info: AgentInfo) -> str:
        self.settings.append(info.model_settings)
        turn = self.turns.pop(0) if len(self.turns) > 1 else self.turns[0]
        if isinstance(turn, Exception):
            raise turn
        return turn


def busy(status: int = 503) -> ModelHTTPError:
    return ModelHTTPError(status, "large", {"error": {"code": "busy"}})


def survivor(**section: Any) -> Survivor:
    return Survivor(timer=FakeTimer(), dice=fixed([0.0]), chains=read_survival(section).fallbacks)


def waits(given: Survivor) -> list[float]:
    assert isinstance(given.timer, FakeTimer)
    return given.timer.waits


@pytest.fixture
def store(tmp_path: Path) -> BudgetStore:
    return budgets_of("", tmp_path)


@pytest.fixture
def desk(store: BudgetStore) -> Callable[..., OwnDesk]:
    def make(**section: Any) -> OwnDesk:
        rules = read_budgets(section)
        return OwnDesk(Budgets(store, lambda: rules, prices=PRICES))

    return make


def test_a_model_that_recovers_is_tried_again() -> None:
    model, given = Model("large", busy(), busy(), "hello"), survivor()
    agent = Agent(model.model, capabilities=[Survival(survivor=given)])
    assert agent.run_sync("hi").output == "hello"
    assert waits(given) == [1, 2]


def test_another_model_stands_in_and_the_next_run_begins_with_the_first() -> None:
    large, small, given = Model("large", busy(), busy(), "back"), Model("small", "cheap"), survivor()
    agent = Agent(large.model, capabilities=[Survival(survivor=given, fallbacks=[small.model])])
    assert agent.run_sync("hi").output == "cheap"
    assert agent.run_sync("hi").output == "back"
    assert given.events.counts()[("fallback", "default", "overloaded")] == 1


def test_the_chain_of_the_policy_file_holds() -> None:
    given = survivor(
        fallbacks={"triage": [{"model": "large"}, {"model": "small"}, {"template": "Later.", "on": ["unavailable"]}]}
    )
    large, small = Model("large", busy()), Model("small", busy(), "cheap")
    capability = Survival(survivor=given, task="triage", models={"small": small.model})
    assert Agent(large.model, capabilities=[capability]).run_sync("hi").output == "cheap"
    small.turns = [busy()]
    assert Agent(large.model, capabilities=[capability]).run_sync("hi").output == "Later."


def test_in_the_end_there_is_a_text_or_an_error_that_says_it_all() -> None:
    given = survivor()
    agent = Agent(Model("large", busy()).model, capabilities=[Survival(survivor=given, text="Try later.")])
    assert agent.run_sync("hi").output == "Try later."
    agent = Agent(Model("large", busy(400)).model, capabilities=[Survival(survivor=given)])
    with pytest.raises(GaveUp, match=r"last bad request \(400\)") as caught:
        agent.run_sync("hi")
    assert isinstance(caught.value.__cause__, ModelHTTPError)


def test_an_open_breaker_spares_the_next_agent_the_wait() -> None:
    given = survivor()
    large, small = Model("large", busy()), Model("small", "cheap")
    capability = Survival(survivor=given, fallbacks=[small.model])
    for _ in range(5):
        assert Agent(large.model, capabilities=[capability]).run_sync("hi").output == "cheap"
    asked, waited = len(large.settings), len(waits(given))
    assert Agent(large.model, capabilities=[capability]).run_sync("hi").output == "cheap"
    assert (len(large.settings), len(waits(given))) == (asked, waited)


def test_a_streamed_answer_survives_too() -> None:
    large, small, given = Model("large", busy()), Model("small", "cheap"), survivor()
    agent = Agent(large.model, capabilities=[Survival(survivor=given, fallbacks=[small.model])])

    async def run() -> str:
        async with agent.run_stream("hi") as result:
            return await result.get_output()

    assert asyncio.run(run()) == "cheap"


def test_an_error_of_the_agents_own_code_is_not_tried_again() -> None:
    model, given = Model("large", KeyError("mine")), survivor()
    with pytest.raises(KeyError):
        Agent(model.model, capabilities=[Survival(survivor=given)]).run_sync("hi")
    assert len(model.settings) == 1


def test_a_call_is_held_back_at_worst_and_settled_by_its_usage(desk: Callable[..., OwnDesk]) -> None:
    mine = desk(user={"level": "user", "usd": 1}, one={"level": "request", "output_tokens": 500})
    model = Model("large", "hello")
    agent = Agent(model.model, capabilities=[Budget(desk=mine, user="ann", feature="chat")])
    assert agent.run_sync("hi").output == "hello"
    assert model.settings[0]["max_tokens"] == 500
    [row] = mine.budgets.overview("local").standing
    # 800 tokens at 10, 200 from the cache at a tenth of it or as the book says, 100 at 40 dollars a million.
    usd = PRICES.price(_usage(), model="large", provider="function", at_ns=1_795_953_600_000_000_000).usd
    assert (row.subject, row.spent_usd, row.held_usd, row.calls) == ("ann", usd, 0, 1)


def _usage() -> Any:
    from pilothouse.records import Usage

    return Usage(input_uncached=800, cache_read=200, output_text=100)


def test_a_budget_that_is_spent_ends_the_run_before_the_call(desk: Callable[..., OwnDesk]) -> None:
    mine = desk(run={"level": "run", "usd": 0.0001})
    model = Model("large", "hello")
    with pytest.raises(OverBudget, match="budget run of run"):
        Agent(model.model, capabilities=[Budget(desk=mine)]).run_sync("hi")
    assert model.settings == []
    assert all(row.held_usd == 0 for row in mine.budgets.overview("local").standing)


def test_at_the_limit_a_cheaper_model_is_asked_once(desk: Callable[..., OwnDesk]) -> None:
    mine = desk(
        user={"level": "user", "usd": 0.05, "at_limit": "cheaper"}, one={"level": "request", "output_tokens": 2_000}
    )
    large, small = Model("large", "dear"), Model("small", "cheap")
    agent = Agent(large.model, capabilities=[Budget(desk=mine, user="ann", cheaper=small.model)])
    assert agent.run_sync("hi").output == "cheap"
    assert large.settings == []
    assert [one.purpose for one in mine.budgets.overview("local").purposes] == ["fallback"]
    with pytest.raises(OverBudget):
        for _ in range(200):
            agent.run_sync("hi")


def test_retries_and_fallbacks_count_and_what_failed_for_nothing_is_given_back(desk: Callable[..., OwnDesk]) -> None:
    mine, given = desk(company={"level": "system", "usd": 10}), survivor()
    large, small = Model("large", busy(), busy(), "late"), Model("small", "cheap")
    budget = Budget(desk=mine)
    for capabilities in ([Survival(survivor=given), budget], [budget, Survival(survivor=given)]):
        large.turns = [busy(), "late"]
        assert Agent(large.model, capabilities=capabilities).run_sync("hi").output == "late"
    large.turns = [busy()]
    stand_in = Survival(survivor=given, fallbacks=[small.model])
    assert Agent(large.model, capabilities=[budget, stand_in]).run_sync("hi").output == "cheap"
    overview = mine.budgets.overview("local")
    assert {one.purpose: one.calls for one in overview.purposes} == {"retry": 2, "fallback": 1}
    assert overview.standing[0].held_usd == 0


def test_a_spent_budget_goes_down_the_chain_to_a_cheaper_model_and_then_to_a_text(
    desk: Callable[..., OwnDesk],
) -> None:
    """0.012 dollars hold no worst case of the large model (0.083), and a few of the small one (0.0083, then 0.0014)."""
    mine = desk(user={"level": "user", "usd": 0.012}, one={"level": "request", "output_tokens": 2_000})
    large, small = Model("large", "dear"), Model("small", "cheap")
    budget, given = Budget(desk=mine, user="ann"), survivor()
    stand_in = Survival(survivor=given, fallbacks=[small.model], text="No more today.")
    for capabilities in ([stand_in, budget], [budget, stand_in]):
        agent = Agent(large.model, capabilities=capabilities)
        assert agent.run_sync("hi").output == "cheap"
    assert large.settings == []
    said = {agent.run_sync("hi").output for _ in range(12)}
    assert said == {"cheap", "No more today."}
    assert waits(given) == [], "a budget does not grow by waiting"
    overview = mine.budgets.overview("local")
    assert [one.purpose for one in overview.purposes] == ["fallback"] and overview.standing[0].held_usd == 0
    alone = Survival(survivor=survivor())
    with pytest.raises(GaveUp, match="budget"):
        Agent(large.model, capabilities=[alone, budget]).run_sync("hi")


def test_a_call_that_timed_out_may_have_been_billed_and_is_booked(desk: Callable[..., OwnDesk]) -> None:
    mine = desk(company={"level": "system", "usd": 10})
    with pytest.raises(TimeoutError):
        Agent(Model("large", TimeoutError()).model, capabilities=[Budget(desk=mine)]).run_sync("hi")
    [row] = mine.budgets.overview("local").standing
    assert row.spent_usd > 0 and row.held_usd == 0


@pytest.mark.parametrize("cancels", [1, 3])
def test_a_cancelled_call_is_booked_as_it_was_held_back(desk: Callable[..., OwnDesk], cancels: int) -> None:
    mine, begun = desk(company={"level": "system", "usd": 10}), asyncio.Event()

    async def hang(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        begun.set()
        await asyncio.sleep(60)
        raise AssertionError("cancelled before")

    async def run() -> None:
        agent = Agent(FunctionModel(hang, model_name="large"), capabilities=[Budget(desk=mine)])
        task = asyncio.create_task(agent.run("hi"))
        await begun.wait()
        for _ in range(cancels):
            task.cancel()
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())
    [row] = mine.budgets.overview("local").standing
    assert row.spent_usd > 0 and row.held_usd == Decimal(0)


def test_without_an_answer_from_the_budgets_no_call_is_made_unless_told() -> None:
    away = ServerDesk("http://127.0.0.1:1", "none")
    model = Model("large", "hello")
    with pytest.raises(Unreachable, match="do not answer"):
        Agent(model.model, capabilities=[Budget(desk=away)]).run_sync("hi")
    assert model.settings == []
    agent = Agent(model.model, capabilities=[Budget(desk=away, when_away="call")])
    assert agent.run_sync("hi").output == "hello"
