"""An agent of the OpenAI Agents SDK as a target: its own instructions and tools, with the tools' answers played back.

Agents that are handed off to are played too. What an agent has as a tool (``as_tool``) is one tool: its answer is played back.
Tools that the provider runs are its own affair, and nothing is known of them here.
"""

# The SDK lives in an environment of its own (tests/clients): here its types are not known.
# pyright: basic, reportMissingImports=false
from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pilothouse.evals.case import Case
from pilothouse.evals.conversation import Turn, parsed, turns
from pilothouse.evals.observed import Observed
from pilothouse.evals.plain import data_of, mapping_of
from pilothouse.evals.playback import NotRecorded, Playback, ToolFailed
from pilothouse.records import BadRequest
from pilothouse.sdk.tool_playback import effect_of

from .attempt import Attempt, Target

try:
    from agents import Agent, FunctionTool, Handoff, RunConfig, RunContextWrapper, RunHooks, Runner
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "the OpenAI Agents SDK is not installed: pip install openai-agents", name=error.name
    ) from error


class _Decided(Exception):
    """The agent has decided; nothing further runs."""


class _Watched(RunHooks):
    """Notes which tools there are and what the model decides."""

    def __init__(self, playback: Playback, decision_only: bool) -> None:
        self.playback, self.decision_only = playback, decision_only
        self.model_calls = 0
        self.text = ""
        self._handoffs: set[str] = set()

    async def on_llm_start(self, context: Any, agent: Any, system_prompt: Any, input_items: Any) -> None:
        """Today's tools are known here and nowhere else."""
        self._handoffs = {_handoff_name(one) for one in agent.handoffs}
        named = {str(getattr(one, "name", "")) for one in await agent.get_all_tools(context)}
        self.playback.knows(named | self._handoffs)

    async def on_llm_end(self, context: Any, agent: Any, response: Any) -> None:
        """Note what was decided."""
        self.model_calls += 1
        self.text = ""
        for item in response.output:
            if item.type == "function_call":
                # The framework answers calls of unknown tools itself: they are noted here.
                if self.decision_only or not self.playback.exists(item.name):
                    self.playback.called(item.name, parsed(item.arguments))
            elif item.type == "message":
                self.text += "".join(getattr(part, "text", "") for part in item.content)
        if self.decision_only:
            raise _Decided


def openai_agents_target(agent: Any, *, context: Any = None, max_turns: int = 30) -> Target:
    """An agent as a target; ``context``: what its tools are given by the run."""

    async def run(attempt: Attempt) -> Observed:
        played = await _played(agent, attempt.playback, {})
        watch = _Watched(attempt.playback, attempt.decision_only)
        config = RunConfig(tracing_disabled=True, tool_not_found_behavior="return_error_to_model")
        history, prompts = _messages(attempt.case)
        tokens, result = 0, None
        for prompt in prompts:
            given = [*history, *([{"role": "user", "content": prompt}] if prompt is not None else [])]
            try:
                result = await Runner.run(
                    played, given, context=context, max_turns=max_turns, hooks=watch, run_config=config
                )
            except _Decided:
                return Observed(text=watch.text, tools=attempt.playback.uses, model_calls=watch.model_calls)
            for one in result.interruptions:
                # It waits for a person: the call was decided and is not run.
                attempt.playback.called(one.raw_item.name, parsed(one.raw_item.arguments))
            history = result.to_input_list()
            tokens += result.context_wrapper.usage.total_tokens
        output = result.final_output if result is not None else None
        return Observed(
            text=output if isinstance(output, str) else json.dumps(data_of(output), ensure_ascii=False),
            output=None if isinstance(output, str) else data_of(output),
            tools=attempt.playback.uses,
            model_calls=watch.model_calls,
            tokens=tokens,
        )

    return run


# -- tools played back -----------------------------------------------------------------------------------------------


async def _played(agent: Agent[Any], playback: Playback, made: dict[int, Agent[Any]]) -> Agent[Any]:
    """A copy of an agent, and of those it hands off to, whose tools are answered from the recording."""
    if id(agent) in made:
        return made[id(agent)]
    served = await agent.get_mcp_tools(RunContextWrapper(None)) if agent.mcp_servers else []
    tools = [_tool(one, playback) for one in [*agent.tools, *served]]
    copy = made[id(agent)] = agent.clone(tools=tools, mcp_servers=[], handoffs=[])
    for one in agent.handoffs:
        copy.handoffs.append(
            _handoff(one, playback, made) if isinstance(one, Handoff) else await _played(one, playback, made)
        )
    return copy


def _handoff(handoff: Any, playback: Playback, made: dict[int, Agent[Any]]) -> Any:
    own = handoff.on_invoke_handoff

    async def invoke(context: Any, arguments: Any = None) -> Any:
        return await _played(await own(context, arguments), playback, made)

    return replace(handoff, on_invoke_handoff=invoke)


def _handoff_name(one: Any) -> str:
    return one.tool_name if isinstance(one, Handoff) else Handoff.default_tool_name(one)


def _tool(tool: Any, playback: Playback) -> Any:
    if not isinstance(tool, FunctionTool):
        return tool
    own, name = tool.on_invoke_tool, tool.name

    async def invoke(context: Any, arguments: str) -> Any:
        given = mapping_of(parsed(arguments)) or {}
        try:
            answer = playback.answer(name, given, effect_of(tool))
        except (ToolFailed, NotRecorded) as error:
            return f"error: {error}"
        if answer is not None:
            value = answer.value
            return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        try:
            with playback.within():
                value = await own(context, arguments)
        except BaseException as error:
            playback.ran(name, given, None, error)
            raise
        playback.ran(name, given, value, None)
        return value

    return replace(tool, on_invoke_tool=invoke)


# -- the history -----------------------------------------------------------------------------------------------------


def _messages(case: Case) -> tuple[list[Any], list[str | None]]:
    """The history, and what is asked then; None goes on with a history that ends in a tool's answer."""
    if case.input.turns:
        return [], list(case.input.turns)
    if not case.input.messages:
        return [], [case.input.text]
    found = [turn for turn in turns(case.input.messages) if turn.role not in ("system", "developer")]
    if not found:
        raise BadRequest("the case has no message for the agent", got=case.id)
    return _items(found), [None]


def _items(found: Sequence[Turn]) -> list[Any]:
    items: list[Any] = []
    for turn in found:
        for one in turn.results:
            content = one.content if isinstance(one.content, str) else json.dumps(one.content, ensure_ascii=False)
            items.append({"type": "function_call_output", "call_id": one.id, "output": content})
        if turn.text:
            items.append({"role": "assistant" if turn.role == "assistant" else "user", "content": turn.text})
        for call in turn.calls:
            written = call.arguments if isinstance(call.arguments, str) else json.dumps(call.arguments)
            items.append({"type": "function_call", "call_id": call.id, "name": call.name, "arguments": written})
    return items
