"""An agent of pydantic-ai as a target: its own instructions and tools, with the tools' answers played back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic_ai import Agent
from pydantic_ai.capabilities import AbstractCapability
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models import ModelRequestContext
from pydantic_ai.tools import RunContext, ToolDefinition

from pilothouse.evals.case import Case
from pilothouse.evals.conversation import Turn, turns
from pilothouse.evals.observed import Observed
from pilothouse.evals.plain import data_of, mapping_of
from pilothouse.evals.playback import NotRecorded, Playback, ToolFailed
from pilothouse.records import BadRequest
from pilothouse.sdk.tool_playback import effect_of

from .attempt import Attempt, Target


class _Decided(Exception):
    """The agent has decided; nothing further runs."""


@dataclass
class _Played(AbstractCapability[Any]):
    """Tools answered from the recording; with ``decision_only`` the run ends at the model's first answer."""

    playback: Playback
    decision_only: bool = False
    model_calls: int = 0
    text: str = ""
    unknown: dict[str, tuple[str, Any]] = field(default_factory=dict[str, tuple[str, Any]])
    """Calls of tools there are not, by the calls' ids."""

    async def prepare_tools(self, ctx: RunContext[Any], tool_defs: list[ToolDefinition]) -> list[ToolDefinition]:
        """Today's tools are known here and nowhere else."""
        self.playback.knows({one.name for one in tool_defs})
        return tool_defs

    async def after_model_request(
        self, ctx: RunContext[Any], *, request_context: ModelRequestContext, response: ModelResponse
    ) -> ModelResponse:
        """Note what was decided."""
        self.model_calls += 1
        self.settle()
        # What looks like a call of one of these is the answer, as data.
        answers = {one.name for one in request_context.model_request_parameters.output_tools}
        called = [one for one in response.parts if isinstance(one, ToolCallPart)]
        if self.decision_only:
            words = [part.content for part in response.parts if isinstance(part, TextPart)]
            for part in called:
                if part.tool_name in answers:
                    words.append(part.args_as_json_str())
                else:
                    self.playback.called(part.tool_name, part.args_as_dict())
            self.text = "".join(words)
            raise _Decided
        for part in called:
            # The framework answers calls of unknown tools itself, before any hook: they are noted here. Another capability
            # may still put a name right, and then the call is run.
            if part.tool_name not in answers and not self.playback.exists(part.tool_name):
                self.unknown[part.tool_call_id] = part.tool_name, part.args_as_dict()
        return response

    def settle(self) -> None:
        """Note the calls of unknown tools that nothing has put right."""
        for name, arguments in self.unknown.values():
            self.playback.called(name, arguments)
        self.unknown.clear()

    async def wrap_tool_execute(
        self, ctx: RunContext[Any], *, call: ToolCallPart, tool_def: ToolDefinition, args: Any, handler: Any
    ) -> Any:
        """The recorded answer, or the tool's own."""
        if tool_def.kind == "output":
            return await handler(args)
        given = mapping_of(args) or {}
        self.unknown.pop(call.tool_call_id, None)
        try:
            answer = self.playback.answer(call.tool_name, given, _effect(ctx, call.tool_name))
        except (ToolFailed, NotRecorded) as error:
            return f"error: {error}"
        if answer is not None:
            return answer.value
        try:
            with self.playback.within():
                value = await handler(args)
        except NotRecorded as error:
            # Noted already: the tool, or one that it called, writes.
            return f"error: {error}"
        except BaseException as error:
            self.playback.ran(call.tool_name, given, None, error)
            raise
        self.playback.ran(call.tool_name, given, value, None)
        return value


def _effect(ctx: RunContext[Any], name: str) -> str:
    """What a tool's function declares; empty where the tool is none of a function."""
    tools: Any = getattr(ctx.tool_manager, "tools", None) or {}
    tool: Any = tools.get(name)
    while (source := getattr(tool, "source_tool", None)) is not None:
        tool = source
    return effect_of(getattr(getattr(tool, "call_func", None), "__self__", None))


def pydantic_ai_target(agent: Agent[Any, Any], *, deps: Any = None, model: Any = None) -> Target:
    """An agent as a target; ``model``: instead of its own."""

    async def run(attempt: Attempt) -> Observed:
        history, prompts = _messages(attempt.case)
        played = _Played(attempt.playback, attempt.decision_only)
        seen, tokens, output = [*history], 0, None
        for prompt in prompts:
            try:
                result = await agent.run(
                    prompt, message_history=seen or None, capabilities=[played], deps=deps, model=model
                )
            except _Decided:
                return Observed(text=played.text, tools=attempt.playback.uses, model_calls=played.model_calls)
            finally:
                played.settle()
            seen, output = [*result.all_messages()], result.output
            tokens += result.usage.total_tokens
        return Observed(
            text=output if isinstance(output, str) else json.dumps(data_of(output), ensure_ascii=False),
            output=None if isinstance(output, str) else data_of(output),
            tools=attempt.playback.uses,
            model_calls=played.model_calls,
            tokens=tokens,
        )

    return run


def _messages(case: Case) -> tuple[list[ModelMessage], list[str | None]]:
    """The history, and what is asked then; None goes on with a history that ends in a tool's answer."""
    if case.input.turns:
        return [], list(case.input.turns)
    if not case.input.messages:
        return [], [case.input.text]
    found = [turn for turn in turns(case.input.messages) if turn.role not in ("system", "developer")]
    if not found:
        raise BadRequest("the case has no message for the agent", got=case.id)
    if found[-1].role == "user" and not found[-1].results:
        return _history(found[:-1]), [found[-1].text]
    return _history(found), [None]


def _history(found: Sequence[Turn]) -> list[ModelMessage]:
    history: list[ModelMessage] = []
    for turn in found:
        if turn.role == "assistant":
            parts: list[Any] = [TextPart(content=turn.text)] if turn.text else []
            parts += [ToolCallPart(tool_name=one.name, args=one.arguments, tool_call_id=one.id) for one in turn.calls]
            history.append(ModelResponse(parts=parts))
            continue
        requests: list[Any] = [
            ToolReturnPart(tool_name=one.name, content=one.content, tool_call_id=one.id) for one in turn.results
        ]
        if turn.text:
            requests.append(UserPromptPart(content=turn.text))
        if history and isinstance(history[-1], ModelRequest):
            # Answers of several tools stand in one request.
            requests = [*history.pop().parts, *requests]
        history.append(ModelRequest(parts=requests))
    return history
