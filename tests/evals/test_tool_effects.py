"""What a tool declares that it does to the world decides whether it may run itself where others are played back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic_ai import Agent
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

import pilothouse
from pilothouse.evals.case_text import read_case
from pilothouse.evals.playback import NotRecorded
from pilothouse.evals.pytest_plugin import EvalCase, decide
from pilothouse.evals.runner import Options, attempt
from pilothouse.evals.runs import Result
from pilothouse.evals.settings import read_settings
from pilothouse.evals.targets.resolve import resolve
from pilothouse.records import BadRequest
from pilothouse.runtime.adapters.pydantic_ai import Planning
from pilothouse.runtime.data_tools import DataTools
from pilothouse.runtime.folders import plans_at
from pilothouse.runtime.handles import HandleStore
from pilothouse.runtime.plan_tools import PlanTools
from pilothouse.sdk.tool_playback import effect_of

DONE: list[str] = []


@pytest.fixture(autouse=True)
def nothing_done() -> Iterator[None]:
    DONE.clear()
    yield
    DONE.clear()


@pilothouse.tool(effect="read")
def look(id: int) -> str:
    """Look an order up."""
    DONE.append("look")
    return "late"


@pilothouse.tool(effect="write")
def note(text: str) -> str:
    """Keep a note."""
    DONE.append("note")
    return "kept"


@pilothouse.tool(effect="external")
async def pay(amount: int) -> str:
    """Pay money."""
    DONE.append("pay")
    return "paid"


@pilothouse.tool(effect="write")
def stream(text: str) -> Iterator[str]:
    """Write piece by piece."""
    DONE.append("stream")
    yield text


@pilothouse.tool(effect="external")
async def send(text: str) -> AsyncIterator[str]:
    """Send piece by piece."""
    DONE.append("send")
    yield text


@pilothouse.tool
def plain(id: int) -> str:
    """Nobody says what it does."""
    DONE.append("plain")
    return "x"


def through(id: int) -> str:
    """A tool that says nothing, and writes within."""
    return note(f"order {id}")


CALLS: dict[str, tuple[Any, dict[str, Any]]] = {
    "look": (look, {"id": 1}),
    "note": (note, {"text": "a"}),
    "pay": (pay, {"amount": 1}),
    "plain": (plain, {"id": 1}),
}


def function_agent(name: str) -> Any:
    tool, arguments = CALLS[name]

    async def agent(messages: list[dict[str, Any]]) -> str:
        found = tool(**arguments)
        return str(await found if asyncio.iscoroutine(found) else found)

    return agent


def framework_agent(name: str) -> Any:
    tool, arguments = CALLS.get(name, (through, {"id": 1}))

    def model(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        said = any(isinstance(one, ModelResponse) for one in messages)
        return ModelResponse(parts=[TextPart("ok") if said else ToolCallPart(tool_name=name, args=arguments)])

    return Agent(FunctionModel(model), tools=[tool])


AGENTS = [function_agent, framework_agent]


def tried(agent: Any, stubs: Mapping[str, Any], *, captured: bool = False, **options: Any) -> Result:
    about = {"provenance": {"captured": "2026-11-29"}} if captured else {}
    case = read_case(
        {"id": "c", "input": "go", "stubs": dict(stubs), "metadata": about, "checks": [{"excludes": "never"}]}
    )
    return asyncio.run(attempt(case, 1, resolve(agent), Options(**options)))


OTHER = {"calls": [{"name": "other", "arguments": {}, "result": 1}]}
READS = frozenset({"effect:read"})


@pytest.mark.parametrize("make", AGENTS)
@pytest.mark.parametrize("name", ["note", "pay"])
def test_a_tool_that_declares_that_it_writes_runs_only_where_the_case_says_it_is_safe(make: Any, name: str) -> None:
    for stubs in ({}, {"live": [name]}, {"live": ["*"]}):
        found = tried(make(name), stubs)
        assert (found.outcome, DONE) == ("fail", []), stubs
        assert f"{name} writes" in found.why
    assert tried(make(name), {"live": [name], "safe": [name]}).outcome == "pass"
    assert [name] == DONE


@pytest.mark.parametrize("make", AGENTS)
def test_a_tool_that_only_reads_runs_unnamed_where_the_suite_says_so(make: Any) -> None:
    assert (tried(make("look"), OTHER).outcome, DONE) == ("fail", [])
    assert (tried(make("look"), OTHER, live=READS, captured=True).outcome, DONE) == ("pass", ["look"])
    assert (tried(make("look"), {**OTHER, "live": ["effect:read"]}).outcome, DONE) == ("pass", ["look"] * 2)
    stubbed = {"calls": [{"name": "look", "arguments": {"id": 1}, "result": "early"}]}
    assert (tried(make("look"), stubbed, live=READS).outcome, len(DONE)) == ("pass", 2)
    # Who says nothing of itself, and whom the suite says to write, is not meant.
    assert tried(make("plain"), OTHER, live=READS).outcome == "fail"
    assert tried(make("note"), OTHER, live=READS).outcome == "fail"
    refused = tried(make("look"), OTHER, live=READS, writing=frozenset({"look"}))
    assert (refused.outcome, "look writes" in refused.why, len(DONE)) == ("fail", True, 2)


def test_what_a_tool_calls_within_does_not_write_either() -> None:
    found = tried(framework_agent("through"), {"live": ["through"]})
    assert (found.outcome, "note writes" in found.why, DONE) == ("fail", True, [])
    assert tried(framework_agent("through"), {"live": ["through"], "safe": ["note"]}).outcome == "pass"
    assert DONE == ["note"]


def test_a_generator_that_writes_does_not_begin() -> None:
    async def agent(messages: list[dict[str, Any]]) -> str:
        pieces = list(stream("a"))
        return "".join([*pieces, *[piece async for piece in send("b")]])

    found = tried(agent, {})
    assert (found.outcome, "stream writes" in found.why, DONE) == ("fail", True, [])
    found = tried(agent, {"live": ["*"], "safe": ["stream"]})
    assert (found.outcome, "send writes" in found.why, DONE) == ("fail", True, ["stream"])
    assert tried(agent, {"live": ["*"], "safe": ["stream", "send"]}).text == "ab"


def test_a_session_of_mcp_that_writes_is_not_called() -> None:
    class Session:
        async def list_tools(self) -> list[str]:
            return []

        async def call_tool(self, name: str, arguments: dict[str, Any] | None = None) -> str:
            DONE.append(name)
            return "done"

    session = pilothouse.wrap_tool(Session(), effect="write")

    async def agent(messages: list[dict[str, Any]]) -> str:
        return await session.call_tool("delete_order", {"id": 1})

    found = tried(agent, {})
    assert (found.outcome, "delete_order writes" in found.why, DONE) == ("fail", True, [])
    assert tried(agent, {"safe": ["delete_order"]}).outcome == "pass"
    assert asyncio.run(session.call_tool("delete_order")) == "done", "outside of an evaluation nothing changes"


def test_outside_of_an_evaluation_nothing_is_asked() -> None:
    assert (note("a"), list(stream("a")), look(1)) == ("kept", ["a"], "late")
    assert (effect_of(look), effect_of(note), effect_of(plain)) == ("read", "write", "")


def test_the_suites_tools_are_read_and_reach_pytest(tmp_path: Path) -> None:
    settings = read_settings({"tools": {"writing": ["refund"], "live": ["effect:read", "search"]}})
    assert settings.options.live == {"effect:read", "search"}
    with pytest.raises(BadRequest, match=r"tools\.live is a list of names"):
        read_settings({"tools": {"live": 1}})
    (tmp_path / "suite.yaml").write_text("tools: {live: ['effect:read']}\n")
    case = read_case({"id": "c", "input": "go", "stubs": OTHER, "checks": [{"contains": "late"}]})
    EvalCase(case=case, folder=tmp_path).passes(function_agent("look"))
    with pytest.raises(pytest.fail.Exception, match="no call look"):
        EvalCase(case=case).passes(function_agent("look"))
    with pytest.raises(NotRecorded, match="note writes"):
        decide(function_agent("note"), "go", whole=True)
    decide(function_agent("note"), "go", whole=True, live=["note"], safe=["note"]).says(contains="kept")


# -- the agent's own tools -------------------------------------------------------------------------------------------


def planner(keeper: Any) -> Agent[None, str]:
    """Plans, then answers with what its plan tool said."""

    def model(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        results = [part for one in messages for part in one.parts if part.part_kind == "tool-return"]
        if not results:
            return ModelResponse(parts=[ToolCallPart(tool_name="todo_write", args={"tasks": ["refund order 7"]})])
        return ModelResponse(parts=[TextPart(str(results[-1].content))])

    return Agent(FunctionModel(model), capabilities=[Planning(plans=keeper)])


def test_an_agents_own_plan_runs_itself_unless_the_case_stubs_it(tmp_path: Path) -> None:
    agent = planner(plans_at(tmp_path))
    own = tried(agent, OTHER)
    assert (own.outcome, own.text != "stubbed", own.tools) == (
        "pass",
        True,
        ['todo_write({"tasks":["refund order 7"]})'],
    )
    stubbed = {"calls": [{"name": "todo_write", "result": "stubbed"}]}
    assert tried(agent, stubbed).text == "stubbed"
    # What was recorded in production is of a plan that is not there: it makes its own, and the recorded call is used up.
    recorded = {
        "calls": [{"name": "todo_write", "arguments": {"tasks": ["refund order 7"]}, "result": "stubbed"}],
        "mode": "strict",
    }
    captured = tried(agent, recorded, captured=True)
    assert (captured.outcome, captured.text) == ("pass", own.text)


def test_plan_and_data_tools_of_a_function_run_themselves(tmp_path: Path) -> None:
    plans = PlanTools(keeper=plans_at(tmp_path), key="k")
    todo_write = pilothouse.tool(plans.todo_write)
    data = DataTools(store=HandleStore(tmp_path / "values"))
    schema = pilothouse.tool(data.schema)

    def agent(messages: list[dict[str, Any]]) -> str:
        todo_write(["refund order 7"])
        return str(schema("h1"))

    found = tried(agent, OTHER)
    assert (found.outcome, len(plans.plan().tasks), len(found.tools)) == ("pass", 1, 2)


def test_a_tool_of_the_same_name_that_is_not_ours_is_played_back() -> None:
    @pilothouse.tool
    def schema(id: str) -> str:
        DONE.append("schema")
        return "x"

    found = tried(lambda messages: schema("h1"), OTHER)
    assert (found.outcome, DONE) == ("fail", [])
