"""For LangGraph: ``create_agent(model, tools, middleware=[KeptToTask()])`` (langchain's agent on langgraph).

Thin: what is decided is decided in the cores. The agent gets the tools, each model call the request and the plan at its
tail, a result that is too large a preview and an id, and a final answer with open tasks sends it back to work.
"""

# langchain lives in an environment of its own (tests/clients): here its types are not known.
# pyright: basic, reportMissingImports=false
from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal
from uuid import uuid4

from pilothouse.runtime.finish_gate import PersonNeeded
from pilothouse.runtime.toolbox import Tool
from pilothouse.sdk.tool_playback import inner

from .shared_tools import Keeping

try:
    from langchain.agents.middleware import AgentMiddleware, hook_config
    from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
    from langchain_core.tools import StructuredTool
    from langgraph.config import get_config
    from langgraph.types import interrupt
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "LangGraph agents are not installed: pip install langchain langgraph", name=error.name
    ) from error

_PUSHED = "pilothouse_finish_gate"
"""Marks messages of ours, which are not what the user asked."""


class KeptToTask(AgentMiddleware):
    """Plan, finish gate and large data. A plan belongs to the thread (``thread_id``), and is there again in the next turn."""

    def __init__(
        self, keeping: Keeping | None = None, *, when_blocked: Literal["raise", "interrupt"] = "raise"
    ) -> None:
        """``when_blocked``: raise :class:`PersonNeeded`, or pause the graph with ``interrupt``, which wants a checkpointer.

        It is resumed with ``Command(resume={"TASK": "what the person said", …})``.
        """
        super().__init__()
        self.keeping = keeping or Keeping()
        self.when_blocked = when_blocked
        self.tools = [self._tool(tool) for tool in self.keeping.tools]
        self._alone = f"langgraph-{uuid4().hex[:12]}"

    def answer(self, thread_id: str, task: str, text: str) -> None:
        """A person's answer to a blocked task.

        Raises:
            PlanError: the task waits for nobody.
        """
        self.keeping.answer(thread_id, task, text)

    # -- every model call ----------------------------------------------------------------------------------------

    def wrap_model_call(self, request: Any, handler: Callable[[Any], Any]) -> Any:
        """Put the plan at the tail, for this call only."""
        return handler(self._with_plan(request))

    async def awrap_model_call(self, request: Any, handler: Callable[[Any], Awaitable[Any]]) -> Any:
        """The same, awaited."""
        return await handler(await asyncio.to_thread(self._with_plan, request))

    def _with_plan(self, request: Any) -> Any:
        text = self.keeping.plan_text(self._key(), request_of(request.messages))
        return request.override(messages=[*request.messages, HumanMessage(text)]) if text else request

    # -- every tool call -----------------------------------------------------------------------------------------

    def wrap_tool_call(self, request: Any, handler: Callable[[Any], Any]) -> Any:
        """Keep a result that is too large."""
        return self._shortened(request, handler(request))

    async def awrap_tool_call(self, request: Any, handler: Callable[[Any], Awaitable[Any]]) -> Any:
        """The same, awaited."""
        return await asyncio.to_thread(self._shortened, request, await handler(request))

    def _shortened(self, request: Any, result: Any) -> Any:
        if not isinstance(result, ToolMessage):
            return result
        text = self.keeping.shortened(self._key(), str(request.tool_call["name"]), result.content)
        return result if text is None else result.model_copy(update={"content": text})

    # -- the final answer ----------------------------------------------------------------------------------------

    @hook_config(can_jump_to=["model"])
    def after_model(self, state: Any, runtime: Any) -> dict[str, Any] | None:
        """Send the agent back to work where it would end with open tasks.

        Raises:
            PersonNeeded: what is open waits for a person.
        """
        messages = state["messages"]
        last = next((one for one in reversed(messages) if isinstance(one, AIMessage)), None)
        structured = state.get("structured_response") is not None
        if last is None or (last.tool_calls and not structured):
            return None
        key, request = self._key(), request_of(messages)
        try:
            verdict = self.keeping.verdict(key, request)
        except PersonNeeded as needed:
            if self.when_blocked == "raise":
                raise
            return self._asked(key, needed, structured)
        if verdict is None or verdict.action == "allow":
            return None
        return _back(verdict.message, structured)

    @hook_config(can_jump_to=["model"])
    async def aafter_model(self, state: Any, runtime: Any) -> dict[str, Any] | None:
        """The same; a few milliseconds of a local database."""
        return self.after_model(state, runtime)

    def _asked(self, key: str, needed: PersonNeeded, structured: bool) -> dict[str, Any]:
        open_tasks = [{"id": task.id, "text": task.text, "question": task.note} for task in needed.open_tasks]
        said = interrupt({"plan": key, "questions": list(needed.questions), "open_tasks": open_tasks})
        answers = said if isinstance(said, Mapping) else {task["id"]: str(said) for task in open_tasks}
        told: list[str] = []
        for task in needed.open_tasks:
            text = str(answers.get(task.id, "")).strip()
            if text and task.state == "blocked":
                self.keeping.answer(key, task.id, text)
            if text:
                told.append(f"{task.id}. {task.text}: {text}")
        return _back("A person has answered:\n" + "\n".join(told) + "\nGo on.", structured)

    def _tool(self, tool: Tool) -> StructuredTool:
        @inner
        def call(**arguments: Any) -> str:
            return self.keeping.box(self._key()).call(tool.name, arguments).text

        @inner
        async def acall(**arguments: Any) -> str:
            return await asyncio.to_thread(call, **arguments)

        return StructuredTool(
            name=tool.name, description=tool.help, args_schema=tool.schema, func=call, coroutine=acall
        )

    def _key(self) -> str:
        try:
            thread = get_config().get("configurable", {}).get("thread_id")
        except RuntimeError:
            thread = None
        return str(thread or self._alone)


def _back(text: str, structured: bool) -> dict[str, Any]:
    update: dict[str, Any] = {"messages": [HumanMessage(text, name=_PUSHED)], "jump_to": "model"}
    return {**update, "structured_response": None} if structured else update


def request_of(messages: list[Any]) -> str:
    """What the user asked last."""
    for message in reversed(messages):
        if isinstance(message, HumanMessage) and message.name != _PUSHED:
            return message.text if isinstance(message.text, str) else message.text()
    return ""
