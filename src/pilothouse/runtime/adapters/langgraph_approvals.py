"""For LangGraph: ``create_agent(model, tools, middleware=[Approvals(agent="refunds")], checkpointer=…)``.

A call that needs a person pauses the graph with ``interrupt``: its state is in the checkpointer, and no process waits.
Whatever the graph is resumed with, the approval itself is asked again: ``Command(resume=…)`` from anywhere allows
nothing. The node runs again when it is resumed, and finds the same question by the thread and the call's id.
"""

# langchain lives in an environment of its own (tests/clients): here its types are not known.
# pyright: basic, reportMissingImports=false
from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any
from uuid import uuid4

from pilothouse.runtime.approval_desk import ApprovalDesk
from pilothouse.runtime.approved_calls import ApprovedCalls, Begun

try:
    from langchain.agents.middleware import AgentMiddleware
    from langchain_core.messages import ToolMessage
    from langgraph.config import get_config
    from langgraph.types import Command, interrupt
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "LangGraph agents are not installed: pip install langchain langgraph", name=error.name
    ) from error


class Approvals(AgentMiddleware):
    """Calls that the policy wants a person for."""

    def __init__(
        self,
        desk: ApprovalDesk | None = None,
        *,
        agent: str = "",
        agent_version: str = "",
        environment: str = "",
        wait_s: float = 0.0,
        pause: bool = True,
    ) -> None:
        """``pause``: the graph pauses, which wants a checkpointer; else the model is told that the call waits."""
        super().__init__()
        calls = ApprovedCalls(agent=agent, agent_version=agent_version, environment=environment, wait_s=wait_s)
        self.calls = calls if desk is None else replace(calls, desk=desk)
        self.pause = pause
        self._alone = f"langgraph-{uuid4().hex[:12]}"

    def wrap_tool_call(self, request: Any, handler: Callable[[Any], Any]) -> Any:
        """Ask, and run it where it may."""
        begun = self._begun(request)
        if begun.may in ("wait", "no"):
            return _told(request, begun)
        try:
            result = handler(_with(request, begun))
        except BaseException as error:
            self.calls.end(begun, "failed", type(error).__name__)
            raise
        self.calls.end(begun, *_outcome(result))
        return result

    async def awrap_tool_call(self, request: Any, handler: Callable[[Any], Awaitable[Any]]) -> Any:
        """The same, awaited."""
        # The pause is an exception of the task itself: only what blocks is done in a thread.
        thread = self._thread()
        begun = await asyncio.to_thread(self._asked, request, thread)
        while self._paused(begun):
            begun = await asyncio.to_thread(self._asked, request, thread)
        if begun.may in ("wait", "no"):
            return _told(request, begun)
        try:
            result = await handler(_with(request, begun))
        except BaseException as error:
            await asyncio.to_thread(self.calls.end, begun, "failed", type(error).__name__)
            raise
        await asyncio.to_thread(self.calls.end, begun, *_outcome(result))
        return result

    def _begun(self, request: Any) -> Begun:
        thread = self._thread()
        begun = self._asked(request, thread)
        while self._paused(begun):
            begun = self._asked(request, thread)
        return begun

    def _asked(self, request: Any, thread: str) -> Begun:
        call = request.tool_call
        return self.calls.begin(f"{thread}\x1f{call['id']}", str(call["name"]), dict(call["args"]))

    def _paused(self, begun: Begun) -> bool:
        """Pause while it waits; True where the graph was resumed. What it was resumed with is looked at by nobody."""
        waiting = begun.waiting
        if begun.may != "wait" or not self.pause or waiting is None:
            return False
        interrupt(
            {
                "approval_id": waiting.approval_id,
                "sentence": waiting.sentence,
                "action": {"tool": waiting.tool, "arguments": dict(waiting.arguments)},
                "question": waiting.question,
                "deadline": waiting.deadline,
                "command": f"pilothouse approvals show {waiting.approval_id}",
            }
        )
        return True

    def _thread(self) -> str:
        try:
            thread = get_config().get("configurable", {}).get("thread_id")
        except RuntimeError:
            thread = None
        return str(thread or self._alone)


def resuming(result: Mapping[str, Any]) -> Command:
    """What a graph that paused is invoked with to look again: each of its interrupts, saying nothing."""
    return Command(resume={one.id: None for one in result.get("__interrupt__", ())})


def _with(request: Any, begun: Begun) -> Any:
    if begun.may != "leave":
        return request
    return request.override(tool_call={**request.tool_call, "args": dict(begun.arguments)})


def _outcome(result: Any) -> tuple[Any, str]:
    failed = isinstance(result, ToolMessage) and result.status == "error"
    return ("failed", "the tool said so") if failed else ("executed", "")


def _told(request: Any, begun: Begun) -> Any:
    call = request.tool_call
    return ToolMessage(content=begun.told, tool_call_id=call["id"], name=call["name"], status="error")
