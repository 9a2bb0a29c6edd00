"""Durable runs of real pydantic-ai agents, in one process: pausing, failing, trying again, cancelling, time, children."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic_ai import Agent, BinaryContent, ModelRetry, ToolReturn
from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.messages import (
    ModelMessage,
    ModelResponse,
    PartDeltaEvent,
    PartStartEvent,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
)
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.usage import RequestUsage

from pilothouse.records import BadRequest, NotFound
from pilothouse.runtime.adapters.durable import Durable
from pilothouse.runtime.adapters.durable_agents import DurableAgents
from pilothouse.runtime.adapters.pydantic_ai import FinishGate, Planning
from pilothouse.runtime.adapters.sub_agents import SubAgents
from pilothouse.runtime.budget import Budget, BudgetSpent
from pilothouse.store.plan_store import plans_in

Turn = ModelResponse | Callable[[list[ModelMessage]], ModelResponse]
DONE: Counter[str] = Counter()
"""What was really done, by name: requests and calls."""


def says(text: str) -> ModelResponse:
    return ModelResponse(parts=[TextPart(text)])


def calls(*wanted: tuple[str, dict[str, Any]]) -> ModelResponse:
    return ModelResponse(parts=[ToolCallPart(name, arguments) for name, arguments in wanted])


def scripted(name: str, *turns: Turn) -> FunctionModel:
    """A model whose turn hangs on the messages alone, as a real one's does, and which counts its requests."""

    def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        turn = turns[min(sum(isinstance(one, ModelResponse) for one in messages), len(turns) - 1)]
        DONE[f"{name} request"] += 1
        return turn(messages) if callable(turn) else turn

    return FunctionModel(answer, model_name=name)


def last_result(messages: list[ModelMessage]) -> Any:
    (part,) = [part for part in messages[-1].parts if isinstance(part, ToolReturnPart)]
    return part.content


def count(name: str) -> int:
    DONE[name] += 1
    return DONE[name]


def asking(folder: Path) -> Agent[None, str]:
    """An agent that pushes its luck with the gate, then needs a person."""
    plans = plans_in(folder)
    model = scripted(
        "asking",
        calls(("todo_write", {"tasks": ["refund"]})),
        says("All done!"),
        calls(("todo_update", {"id": "1", "state": "blocked", "note": "may I refund $900?"})),
        says("I asked."),
        calls(("pay", {"usd": 500})),
        calls(("todo_update", {"id": "1", "state": "completed", "note": "paid"})),
        lambda messages: says(f"Paid. {messages[-1].instructions or ''}".strip()),
    )
    agent = Agent(model, capabilities=[Planning(plans=plans), FinishGate(plans=plans), Durable()])

    @agent.tool_plain
    def pay(usd: int) -> str:
        return f"paid {usd}, time {count('pay')}"

    return agent


class Refund(BaseModel):
    id: int


def results() -> Agent[None, Refund]:
    """Tools that give what tools give."""
    model = scripted(
        "results",
        calls(("record", {}), ("picture", {}), ("both", {}), ("wrong", {})),
        lambda messages: calls(("final_result", {"id": len(messages[-1].parts)})),
    )
    agent = Agent(model, output_type=Refund, capabilities=[Durable()])

    @agent.tool_plain
    def record() -> Refund:
        return Refund(id=7)

    @agent.tool_plain
    def picture() -> BinaryContent:
        return BinaryContent(b"\x00\x01", media_type="image/png")

    @agent.tool_plain
    def both() -> ToolReturn:
        return ToolReturn({"a": 1}, content=["look:", BinaryContent(b"\x02", media_type="image/png")])

    @agent.tool_plain
    def wrong() -> str:
        raise ModelRetry("not like this")

    return agent


def failing() -> Agent[None, str]:
    """A provider that refuses the second request until it is told otherwise."""

    def second(messages: list[ModelMessage]) -> ModelResponse:
        if not DONE["failing may go on"]:
            raise ModelHTTPError(400, "failing", {"error": "no credit"})
        return says("done")

    agent = Agent(scripted("failing", calls(("note", {})), second), capabilities=[Durable()])

    @agent.tool_plain
    def note() -> int:
        return count("note")

    return agent


def passing() -> Agent[None, str]:
    """A provider that is overloaded twice."""

    def first(messages: list[ModelMessage]) -> ModelResponse:
        if count("passing") < 3:
            raise ModelHTTPError(529, "passing")
        return says("third time")

    return Agent(scripted("passing", first), capabilities=[Durable(model_wait_s=0.01)])


def slow() -> Agent[None, str]:
    """A tool that hangs."""

    def told(messages: list[ModelMessage]) -> ModelResponse:
        return says(str(last_result(messages)))

    agent = Agent(scripted("slow", calls(("hang", {})), told), capabilities=[Durable()])

    @agent.tool_plain
    async def hang() -> str:
        count("hang begun")
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            count("hang cancelled")
            raise
        return "at last"

    return agent


def hurried() -> Agent[None, str]:
    agent = slow()
    return Agent(
        agent.model,
        tools=list(agent._function_toolset.tools.values()),
        capabilities=[Durable(tool_timeout_s=0.1)],
    )  # type: ignore[attr-defined]


def streaming() -> Agent[None, str]:
    """A model that speaks in pieces."""

    async def pieces(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[Any]:
        count("streaming request")
        for piece in ("one ", "two ", "three"):
            yield piece

    plain = FunctionModel(stream_function=pieces)
    return Agent(plain, capabilities=[Durable()])


def parent() -> Agent[None, str]:
    """Gives two tasks at once to a worker that needs three requests each, then one that is refused for want of budget."""
    usage = RequestUsage(input_tokens=90, output_tokens=10)

    def spends(response: ModelResponse) -> ModelResponse:
        response.usage = usage
        return response

    worker_model = scripted(
        "worker",
        lambda messages: spends(calls(("look", {}))),
        lambda messages: spends(calls(("look", {}))),
        lambda messages: spends(says(f"found {len(messages)}")),
    )
    worker = Agent(worker_model, capabilities=[Durable()])

    @worker.tool_plain
    def look() -> int:
        return count("look")

    def told(messages: list[ModelMessage]) -> ModelResponse:
        parts = [part for message in messages for part in message.parts if isinstance(part, ToolReturnPart)]
        return spends(says(" | ".join(str(part.content) for part in parts)))

    model = scripted(
        "parent",
        lambda messages: spends(
            calls(("delegate", {"agent": "worker", "task": "a"}), ("delegate", {"agent": "worker", "task": "b"}))
        ),
        lambda messages: spends(calls(("delegate", {"agent": "worker", "task": "c"}))),
        told,
    )
    return Agent(
        model, capabilities=[SubAgents(agents={"worker": worker}, about={"worker": "looks things up"}), Durable()]
    )


def long() -> Agent[None, str]:
    """As many steps of ten kilobytes as its prompt says."""

    def next_turn(messages: list[ModelMessage]) -> ModelResponse:
        turn = sum(isinstance(one, ModelResponse) for one in messages)
        pages = int(str(messages[0].parts[0].content))  # type: ignore[union-attr]
        return calls(("read", {"page": turn})) if turn < pages else says("read")

    agent = Agent(scripted("long", next_turn), capabilities=[Durable()])

    @agent.tool_plain
    def read(page: int) -> str:
        return (f"{page} " * 10_000)[:10_000]

    return agent


EVENTS: dict[str, list[str]] = {}


async def heard(run_id: str, event: Any) -> None:
    if isinstance(event, PartStartEvent) and isinstance(event.part, TextPart):
        EVENTS.setdefault(run_id, []).append(event.part.content)
    if isinstance(event, PartDeltaEvent):
        EVENTS.setdefault(run_id, []).append(event.delta.content_delta)  # type: ignore[union-attr]


def made(folder: Path) -> dict[str, Agent[None, Any]]:
    return {
        "asking": asking(folder),
        "results": results(),
        "failing": failing(),
        "passing": passing(),
        "slow": slow(),
        "hurried": hurried(),
        "parent": parent(),
        "long": long(),
    }


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DurableAgents]:
    folder = tmp_path_factory.mktemp("runs")
    with DurableAgents(made(folder), folder=folder) as opened:
        yield opened


def kept(runs: DurableAgents, run_id: str) -> list[str]:
    return [name for _, name, _ in runs.jobs.kept(run_id)]


def test_a_run_waits_for_a_person_and_goes_on_without_repeating_anything(runs: DurableAgents) -> None:
    runs.start("asking", "Refund 4411", run_id="ask-1")
    paused = runs.wait("ask-1", timeout_s=60)
    assert (paused.state, paused.questions, paused.tasks) == ("paused", ("1. refund: may I refund $900?",), ("1",))
    before = DONE["asking request"]
    with pytest.raises(BadRequest, match="an answer has words"):
        runs.answer("ask-1")
    with pytest.raises(BadRequest, match="no task of this id"):
        runs.answer("ask-1", tasks={"9": "yes"})
    runs.answer("ask-1", "yes, $500 at most")
    # The same answer again is no second answer.
    runs.answer("ask-1", "yes, $500 at most")
    done = runs.wait("ask-1", timeout_s=60)
    assert (done.state, done.output, done.legs) == ("done", "Paid.", 2)
    assert (DONE["asking request"] - before, DONE["pay"]) == (3, 1)
    with pytest.raises(BadRequest, match="waits for nobody"):
        runs.answer("ask-1", "something else")


def test_starting_again_under_an_id_starts_nothing_and_other_words_are_refused(runs: DurableAgents) -> None:
    assert runs.start("passing", "Go", run_id="again-1") == runs.start("passing", "Go", run_id="again-1") == "again-1"
    assert runs.wait("again-1", timeout_s=60).output == "third time"
    assert runs.start("passing", "Go", run_id="again-1") == "again-1"
    assert DONE["passing"] == 3
    with pytest.raises(BadRequest, match="another run's"):
        runs.start("passing", "Go elsewhere", run_id="again-1")
    with pytest.raises(BadRequest, match="no id for a run"):
        runs.start("passing", "Go", run_id="a.b")
    with pytest.raises(NotFound, match="no such agent"):
        runs.start("nobody", "Go")
    with pytest.raises(NotFound, match="no such run"):
        # A beginning of an id is no id.
        runs.show("again-")


def test_whatever_a_tool_gives_is_recorded_and_typed_output_is_json(runs: DurableAgents) -> None:
    runs.start("results", "Go", run_id="results-1")
    done = runs.wait("results-1", timeout_s=60)
    # Three results, one retry, and the words beside the second picture.
    assert (done.state, done.output, done.error) == ("done", {"id": 5}, "")
    by_name = {name.split()[2]: one.value for _, name, one in runs.jobs.kept("results-1") if " tool " in name}
    assert by_name["record"] == {"value": {"id": 7}} and by_name["wrong"] == {"retry": "not like this"}
    assert by_name["picture"]["value"]["kind"] == "binary" and by_name["both"]["content"]["parts"]


def test_a_run_that_failed_is_tried_again_from_where_it_failed(runs: DurableAgents) -> None:
    runs.start("failing", "Go", run_id="fail-1")
    failed = runs.wait("fail-1", timeout_s=60)
    assert failed.state == "failed" and "no credit" in failed.error and failed.error_type == "ModelHTTPError"
    assert failed.spent.calls == 2
    DONE["failing may go on"] += 1
    runs.retry("fail-1")
    done = runs.wait("fail-1", timeout_s=60)
    assert (done.state, done.output, DONE["note"]) == ("done", "done", 1)
    # The first turn's request was not made again, the second's was.
    assert DONE["failing request"] == 3
    with pytest.raises(BadRequest, match="only one that failed"):
        runs.retry("fail-1")


def test_a_tool_that_hangs_ends_in_time_and_the_model_is_told(runs: DurableAgents) -> None:
    runs.start("hurried", "Go", run_id="hurried-1")
    done = runs.wait("hurried-1", timeout_s=60)
    assert done.state == "done" and "hang did not end within 0.1 s. It may have happened" in done.output


def test_cancelling_ends_what_is_in_flight(runs: DurableAgents) -> None:
    begun, cancelled = DONE["hang begun"], DONE["hang cancelled"]
    runs.start("slow", "Go", run_id="slow-1")
    while DONE["hang begun"] == begun:
        time.sleep(0.01)
    assert runs.cancel("slow-1").state == "cancelled"
    while DONE["hang cancelled"] == cancelled:
        time.sleep(0.01)
    assert runs.wait("slow-1", timeout_s=10).state == "cancelled"
    assert "1.2 model" not in kept(runs, "slow-1")


def test_a_run_has_a_deadline_and_says_that_it_passed(runs: DurableAgents) -> None:
    runs.start("slow", "Go", run_id="slow-2", deadline_s=0.5)
    failed = runs.wait("slow-2", timeout_s=60)
    assert (failed.state, failed.error_type) == ("failed", "DeadlinePassed") and "in time" in failed.error


def test_children_work_side_by_side_within_what_their_parent_has(runs: DurableAgents) -> None:
    runs.start("parent", "Go", run_id="family-1")
    done = runs.wait("family-1", timeout_s=90)
    assert (done.state, done.output) == ("done", "found 5 | found 5 | found 5")
    # Three of the parent's own, and three times three.
    assert (done.spent.calls, done.spent.tokens, DONE["look"]) == (12, 1_200, 6)
    children = [run.run_id for run in runs.jobs.ls().items if run.run_id.startswith("family-1.")]
    assert len(children) == 3


def test_a_child_gets_its_share_and_the_whole_family_stays_within_the_budget(runs: DurableAgents) -> None:
    before = DONE["worker request"]
    runs.start("parent", "Go", run_id="family-2", budget=Budget(calls=5))
    failed = runs.wait("family-2", timeout_s=90)
    # One for the parent, two for each of the children, who needed three; and then nothing is left.
    assert DONE["worker request"] - before == 4
    assert (failed.state, failed.error_type, failed.spent.calls) == ("failed", "BudgetSpent", 5)
    runs.retry("family-2", budget=Budget(calls=50))
    done = runs.wait("family-2", timeout_s=90)
    assert done.state == "done" and done.output.count("BudgetSpent") == 2 and "found 5" in done.output


@pytest.mark.parametrize("pages", [15, pytest.param(100, marks=pytest.mark.slow)])
def test_state_grows_by_what_is_new(runs: DurableAgents, pages: int) -> None:
    database = runs.folder / "jobs.db"

    def size() -> int:
        with runs.store.engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        return database.stat().st_size

    before = size()
    run = runs.start("long", str(pages), budget=Budget(calls=200))
    done = runs.wait(run, timeout_s=200)
    grown = size() - before
    print(f"{grown:,} bytes for {pages} calls of 10,000 characters and {pages + 1} requests")
    assert (done.state, len(kept(runs, run))) == ("done", 1 + pages + pages + 1)
    # A hundred steps of ten kilobytes stay under two megabytes; a history recorded at each would be fifty.
    assert pages * 10_000 < grown < pages * 20_000


def test_outside_of_durable_agents_the_capability_is_transparent_but_for_its_budget() -> None:
    family = parent()
    assert family.run_sync("Go").output == "found 5 | found 5 | found 5"
    small = Agent(scripted("small", calls(("no", {}))), capabilities=[Durable(budget=Budget(calls=2))], retries=9)
    with pytest.raises(BudgetSpent, match="2 calls"):
        small.run_sync("Go")


def test_what_streams_is_heard_as_it_comes_and_recorded_once_whole(tmp_path: Path, runs: DurableAgents) -> None:
    runs.close()
    with DurableAgents({"streaming": streaming()}, folder=tmp_path, on_event=heard) as opened:
        opened.start("streaming", "Go", run_id="stream-1")
        assert opened.wait("stream-1", timeout_s=60).output == "one two three"
        assert EVENTS["stream-1"] == ["one ", "two ", "three"]
        assert kept(opened, "stream-1") == ["leg 1 begun", "1.1 model"]
        # A run that has done its first step already and goes on from there.
        EVENTS.clear()
        again = opened.jobs.fork("stream-1", 3)
        opened.jobs.wait(again, timeout_s=60)
        assert EVENTS["stream-1"] == ["one two three"] and DONE["streaming request"] == 1
