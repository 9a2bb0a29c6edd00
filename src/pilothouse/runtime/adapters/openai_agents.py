"""For the OpenAI Agents SDK: ``kept = KeptToTask(); await kept.run(agent, "Refund order 4411", conversation="c1")``.

Thin: what is decided is decided in the cores. The agent gets the tools, each model call the request and the plan at its
tail, a result that is too large a preview and an id, and a final answer with open tasks sends it back to work.
"""

# The SDK lives in an environment of its own (tests/clients): here its types are not known.
# pyright: basic, reportMissingImports=false
from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from inspect import isawaitable
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from pilothouse.runtime.finish_gate import PersonNeeded
from pilothouse.runtime.toolbox import Tool
from pilothouse.sdk.tool_playback import inner

from .shared_tools import Keeping

try:
    from agents import Agent, FunctionTool, RunConfig, Runner
    from agents.run import CallModelData, ModelInputData
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "the OpenAI Agents SDK is not installed: pip install openai-agents", name=error.name
    ) from error

if TYPE_CHECKING:
    from agents import RunResult


class Paused(PersonNeeded):
    """The run pauses; ``result.to_input_list()`` is its history, to go on with."""

    def __init__(self, needed: PersonNeeded, result: RunResult) -> None:
        super().__init__(needed.questions, plan_key=needed.plan_key, open_tasks=needed.open_tasks)
        self.result = result


class KeptToTask:
    """Runs agents of the SDK with a plan, a finish gate and large data. One may serve many conversations."""

    def __init__(self, keeping: Keeping | None = None) -> None:
        self.keeping = keeping or Keeping()

    async def run(
        self, agent: Agent[Any], input: str | list[Any], *, conversation: str = "", **options: Any
    ) -> RunResult:
        """``Runner.run`` until the answer is one: pushes go on in the same history, each with ``max_turns`` of its own.

        ``conversation`` names the plan: it is there again in the next turn. ``options`` are those of ``Runner.run``.
        Agents that are handed off to are run as they are.

        Raises:
            Paused: what is open waits for a person; ``answer()``, then run on with the same conversation.
        """
        key = conversation or f"agents-{uuid4().hex[:12]}"
        request = request_of(input)
        ready = self._ready(agent, key)
        config = self._config(options.pop("run_config", None), key, request)
        asked = input
        while True:
            result = await Runner.run(ready, asked, run_config=config, **options)
            try:
                verdict = await asyncio.to_thread(self.keeping.verdict, key, request)
            except PersonNeeded as needed:
                raise Paused(needed, result) from needed
            if verdict is None or verdict.action == "allow":
                return result
            push = {"role": "user", "content": verdict.message}
            # With a session the history is kept there; else it goes along.
            asked = [push] if options.get("session") is not None else [*result.to_input_list(), push]

    def answer(self, conversation: str, task: str, text: str) -> None:
        """A person's answer to a blocked task.

        Raises:
            PlanError: the task waits for nobody.
        """
        self.keeping.answer(conversation, task, text)

    def _ready(self, agent: Agent[Any], key: str) -> Agent[Any]:
        """The agent with our tools, and its own so that their results stay small."""
        own = [self._shortening(tool, key) if isinstance(tool, FunctionTool) else tool for tool in agent.tools]
        return agent.clone(tools=[*own, *(self._tool(tool, key) for tool in self.keeping.tools)])

    def _tool(self, tool: Tool, key: str) -> FunctionTool:
        @inner
        async def call(_: Any, arguments: str) -> str:
            try:
                given = json.loads(arguments or "{}")
            except ValueError as problem:
                return f"error: the arguments are no JSON: {problem}"
            if not isinstance(given, Mapping):
                return "error: the arguments are no object"
            said = await asyncio.to_thread(self.keeping.box(key).call, tool.name, given)
            return said.text

        return FunctionTool(
            name=tool.name,
            description=tool.help,
            params_json_schema=tool.schema,
            on_invoke_tool=call,
            strict_json_schema=False,
        )

    def _shortening(self, tool: FunctionTool, key: str) -> FunctionTool:
        call = tool.on_invoke_tool

        async def shortened(context: Any, arguments: str) -> Any:
            result = await call(context, arguments)
            text = await asyncio.to_thread(self.keeping.shortened, key, tool.name, result)
            return result if text is None else text

        return replace(tool, on_invoke_tool=shortened)

    def _config(self, given: Any, key: str, request: str) -> RunConfig:
        config = given if isinstance(given, RunConfig) else RunConfig(**(given or {}))
        if not self.keeping.plan:
            return config
        theirs: Callable[[Any], Any] | None = config.call_model_input_filter

        async def with_plan(data: CallModelData[Any]) -> ModelInputData:
            found = data.model_data
            if theirs is not None:
                changed = theirs(data)
                found = await changed if isawaitable(changed) else changed
            text = await asyncio.to_thread(self.keeping.plan_text, key, request)
            # For this call only: the history stays as it was.
            return ModelInputData(
                input=[*found.input, {"role": "user", "content": text}], instructions=found.instructions
            )

        return replace(config, call_model_input_filter=with_plan)


def request_of(input: str | list[Any]) -> str:
    """What the user asked last."""
    if isinstance(input, str):
        return input
    for item in reversed(input):
        if isinstance(item, Mapping) and item.get("role") == "user":
            content = item.get("content")
            if isinstance(content, str):
                return content
            texts = [str(part.get("text", "")) for part in content or () if isinstance(part, Mapping)]
            return " ".join(text for text in texts if text)
    return ""
