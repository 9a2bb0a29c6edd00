"""Plays a scripted bad model in a pydantic-ai agent with any capabilities. Runs where Pilothouse is not installed too."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pydantic_ai import Agent
from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse, TextPart, ToolCallPart, UserPromptPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.usage import UsageLimits

from .bad_models import BadModel, Message, Reply, World, scripted

SYSTEM = "You work at the order desk. Do what is asked, with the tools that you have."


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """How one run went."""

    fault: str
    setup: str
    finished: int
    """Asks that are done in the world."""
    wanted: int
    calls: int
    tokens_in: int
    """A quarter of the characters of every prompt and of the tools' descriptions, over all calls."""
    tokens_out: int
    twice: int
    """Orders that were done a second time."""
    ended: str
    """``answered``, or what ended the run instead."""

    def as_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self))


def played(fault: str, setup: str, model: BadModel, world: World, ended: str) -> Played:
    """What is recorded of a run that is over."""
    return Played(
        fault=fault,
        setup=setup,
        finished=world.finished,
        wanted=world.wanted,
        calls=model.calls,
        tokens_in=model.tokens_in,
        tokens_out=model.tokens_out,
        twice=world.twice,
        ended=ended,
    )


def play(fault: str, setup: str, capabilities: Sequence[Any], *, watch: Callable[[], None] = lambda: None) -> Played:
    """One run of one fault with these capabilities."""
    model, world, request = scripted(fault)

    def respond(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        watch()
        described = [
            json.dumps([tool.name, tool.description, tool.parameters_json_schema]) for tool in info.function_tools
        ]
        seen = [*_instructions(info), *(message for one in messages for message in _plain(one))]
        reply = model.reply(seen, [tool.name for tool in info.function_tools], sum(map(len, described)))
        return _response(reply)

    agent = Agent(FunctionModel(respond), capabilities=list(capabilities), system_prompt=SYSTEM)
    for tool in desk(world):
        agent.tool_plain(tool)
    try:
        # The script itself stops a run that goes on for too long, the same everywhere.
        result = agent.run_sync(request, usage_limits=UsageLimits(request_limit=None))
    except Exception as error:
        return played(fault, setup, model, world, f"{type(error).__name__}: {error}"[:200])
    world.answered = str(result.output)
    return played(fault, setup, model, world, "answered")


def desk(world: World) -> list[Callable[..., str]]:
    """The tools of the order desk."""

    def refund_order(order: int) -> str:
        """Refund what was overpaid for an order."""
        return world.act("refund", order)

    def cancel_order(order: int) -> str:
        """Cancel an order."""
        return world.act("cancel", order)

    def flag_order(order: int) -> str:
        """Flag an order for review."""
        return world.act("flag", order)

    def look_up(order: int) -> str:
        """Look an order up."""
        return world.look_up(order)

    def list_payments() -> str:
        """All payments as JSON."""
        return world.payments()

    return [refund_order, cancel_order, flag_order, look_up, list_payments]


def _instructions(info: AgentInfo) -> list[Message]:
    return [Message(role="system", text=info.instructions)] if info.instructions else []


def _plain(message: ModelMessage) -> list[Message]:
    if isinstance(message, ModelResponse):
        text = "".join(
            part.content
            if isinstance(part, TextPart)
            else part.args_as_json_str()
            if isinstance(part, ToolCallPart)
            else ""
            for part in message.parts
        )
        return [Message(role="assistant", text=text)]
    assert isinstance(message, ModelRequest)
    return [Message(role=_role(part), text=_text(part)) for part in message.parts]


def _role(part: Any) -> Any:
    return {"system-prompt": "system", "user-prompt": "user"}.get(part.part_kind, "tool")


def _text(part: Any) -> str:
    if hasattr(part, "model_response_str"):
        return part.model_response_str()
    if hasattr(part, "model_response"):
        return part.model_response()
    if isinstance(part, UserPromptPart) and not isinstance(part.content, str):
        return "".join(item for item in part.content if isinstance(item, str))
    return str(part.content)


def _response(reply: Reply) -> ModelResponse:
    if reply.calls:
        return ModelResponse(parts=[ToolCallPart(tool_name=call.tool, args=call.arguments) for call in reply.calls])
    return ModelResponse(parts=[TextPart(content=reply.text)])
