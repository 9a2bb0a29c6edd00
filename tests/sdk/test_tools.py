"""The one tool wrapper: outcome, annotations, and tools that others made."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest

import pilothouse
from pilothouse.records import BadRequest

from .conftest import Recorded


@dataclass
class Answer:
    """Like the response of an HTTP client."""

    status_code: int


@dataclass
class McpResult:
    """Like MCP's CallToolResult."""

    isError: bool  # the protocol's name
    content: list[Any] = field(default_factory=list[Any])


@pytest.mark.parametrize(
    ("result", "outcome", "reason"),
    [
        ({"rows": 3}, "ok", None),
        ("Error handling is a large subject", "ok", None),
        ({"error": None, "data": 1}, "ok", None),
        ({"status": "open"}, "ok", None),
        ({"status": 200, "error": ""}, "ok", None),
        ({"error": "not found"}, "soft_error", "not found"),
        ({"ok": False, "message": "closed"}, "soft_error", "closed"),
        ({"success": False, "error": {"message": "denied"}}, "soft_error", "denied"),
        ({"status": 404, "detail": "no such order"}, "soft_error", "status 404: no such order"),
        ({"is_error": True, "content": "boom"}, "soft_error", "boom"),
        (Answer(200), "ok", None),
        (Answer(503), "soft_error", "status 503"),
        (McpResult(True, [{"type": "text", "text": "no such file"}]), "soft_error", "no such file"),
        (McpResult(False), "ok", None),
        (None, "ok", None),
    ],
)
def test_a_result_says_whether_it_is_one(recorded: Recorded, result: Any, outcome: str, reason: str | None) -> None:
    assert pilothouse.wrap_tool(lambda: result, name="ask")() is result
    attributes = recorded.attributes("execute_tool ask")
    assert attributes["pilothouse.tool.outcome"] == outcome
    assert attributes.get("pilothouse.tool.error") == reason


def test_side_effects_are_annotated(recorded: Recorded) -> None:
    @pilothouse.tool(name="refund", effect="external", idempotency_key=lambda order: order, reversible_by="charge")
    def pay_back(order: str, amount: float) -> None:
        """Pay back."""

    pay_back("o-1", amount=2.5)
    attributes = recorded.attributes("execute_tool refund")
    assert attributes["pilothouse.tool.effect"] == "external"
    assert attributes["pilothouse.tool.idempotency_key"] == "o-1"
    assert attributes["pilothouse.tool.reversible_by"] == "charge"


def test_an_unknown_effect_is_refused() -> None:
    with pytest.raises(BadRequest, match="effect"):
        pilothouse.tool(effect="magic")  # type: ignore[call-overload]
    with pytest.raises(BadRequest, match="no tool that can be wrapped"):
        pilothouse.wrap_tool(42)


def test_the_id_of_the_models_call_is_found(recorded: Recorded) -> None:
    calls = [
        {"id": "c-1", "type": "function", "function": {"name": "look", "arguments": '{"at": "a"}'}},
        {"id": "c-2", "type": "function", "function": {"name": "look", "arguments": '{"at": "b"}'}},
    ]

    @pilothouse.tool
    def look(at: str) -> str:
        return at

    @pilothouse.agent
    def agent() -> None:
        with pilothouse.model_call(model="m", messages="hi") as call:
            call.response({"choices": [{"message": {"role": "assistant", "tool_calls": calls}}]})
        look("b")
        look("a")

    agent()
    found = {
        (span.attributes or {})["gen_ai.tool.call.result"]: (span.attributes or {})["gen_ai.tool.call.id"]
        for span in recorded.spans
        if span.name == "execute_tool look"
    }
    assert found == {"a": "c-1", "b": "c-2"}


class StructuredTool:
    """As LangChain has them: fields that hold the functions."""

    def __init__(self) -> None:
        self.name = "multiply"
        self.func = lambda a, b: a * b
        self.coroutine = None

    def invoke(self, arguments: dict[str, Any]) -> Any:
        return self.func(**arguments)


class BaseTool:
    """As LangChain has them: methods to override, and fields that cannot be set."""

    name = "divide"

    def __setattr__(self, name: str, value: Any) -> None:
        raise ValueError(name)

    def invoke(self, arguments: dict[str, Any]) -> Any:
        return self._run(**arguments)

    async def ainvoke(self, arguments: dict[str, Any]) -> Any:
        return await self._arun(**arguments)

    def _run(self, a: float, b: float) -> float:
        return a / b

    async def _arun(self, a: float, b: float) -> float:
        return a / b


def test_tools_of_langchain_are_changed_in_place(recorded: Recorded) -> None:
    structured, derived = StructuredTool(), BaseTool()
    assert pilothouse.wrap_tool(structured, effect="read") is structured
    assert pilothouse.wrap_tool(derived) is derived
    assert pilothouse.wrap_tool(derived) is derived
    assert structured.invoke({"a": 2, "b": 3}) == 6
    assert derived.invoke({"a": 6, "b": 3}) == 2
    assert asyncio.run(derived.ainvoke({"a": 9, "b": 3})) == 3
    assert [span.name for span in recorded.spans] == [
        "execute_tool multiply",
        "execute_tool divide",
        "execute_tool divide",
    ]
    assert recorded.json("execute_tool multiply", "gen_ai.tool.call.arguments") == {"a": 2, "b": 3}


@dataclass
class FunctionSchema:
    function: Any


class PydanticTool:
    """As pydantic-ai has them."""

    def __init__(self, function: Any) -> None:
        self.name = "greet"
        self.takes_ctx = True
        self.function = function
        self.function_schema = FunctionSchema(function)


@dataclass
class RunContext:
    tool_call_id: str


def test_tools_of_pydantic_ai_leave_out_their_context(recorded: Recorded) -> None:
    async def greet(ctx: RunContext, name: str) -> str:
        return f"hello {name}"

    tool = pilothouse.wrap_tool(PydanticTool(greet))
    assert asyncio.run(tool.function_schema.function(RunContext("call-9"), name="Ada")) == "hello Ada"
    attributes = recorded.attributes("execute_tool greet")
    assert attributes["gen_ai.tool.call.id"] == "call-9"
    assert recorded.json("execute_tool greet", "gen_ai.tool.call.arguments") == {"name": "Ada"}


class ClientSession:
    """As MCP has them."""

    async def list_tools(self) -> list[str]:
        return ["search"]

    async def call_tool(self, name: str, arguments: dict[str, Any] | None = None) -> McpResult:
        return McpResult(name != "search")


def test_calls_through_an_mcp_session_carry_the_tools_name(recorded: Recorded) -> None:
    session = pilothouse.wrap_tool(ClientSession(), effect="read")
    assert not asyncio.run(session.call_tool("search", {"q": "x"})).isError
    assert asyncio.run(session.call_tool("fly")).isError
    assert recorded.json("execute_tool search", "gen_ai.tool.call.arguments") == {"q": "x"}
    assert recorded.attributes("execute_tool search")["pilothouse.tool.effect"] == "read"
    assert recorded.attributes("execute_tool fly")["pilothouse.tool.outcome"] == "soft_error"


def test_callables_of_any_kind_can_be_wrapped(recorded: Recorded) -> None:
    class Shop:
        def __call__(self, item: str) -> str:
            return f"bought {item}"

        def price(self, item: str) -> int:
            return len(item)

    assert pilothouse.wrap_tool(Shop())("tea") == "bought tea"
    assert pilothouse.wrap_tool(Shop().price)("tea") == 3
    assert recorded.json("execute_tool Shop", "gen_ai.tool.call.arguments") == {"item": "tea"}
    assert recorded.json("execute_tool price", "gen_ai.tool.call.arguments") == {"item": "tea"}
