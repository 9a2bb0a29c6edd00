"""For the OpenAI Agents SDK: ``guarded = Approvals(agent="refunds"); agent = guarded.agent(agent)``.

A call that needs a person interrupts the run: ``result.to_state()`` is JSON to keep, and no process waits.
``guarded.settle(state)`` says yes or no to what has been decided, and gives what still waits. The tool itself asks for
leave once more when it runs: an interruption that somebody approves by hand runs nothing that a person has not.
"""

# The SDK lives in an environment of its own (tests/clients): here its types are not known.
# pyright: basic, reportMissingImports=false
from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import replace
from inspect import isawaitable
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from pilothouse.runtime.approval_desk import ApprovalDesk, Waiting
from pilothouse.runtime.approved_calls import ApprovedCalls

try:
    from agents import Agent, FunctionTool
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "the OpenAI Agents SDK is not installed: pip install openai-agents", name=error.name
    ) from error

if TYPE_CHECKING:
    from agents import RunState


class Approvals:
    """Calls that the policy wants a person for."""

    def __init__(
        self,
        desk: ApprovalDesk | None = None,
        *,
        agent: str = "",
        agent_version: str = "",
        environment: str = "",
        conversation: str = "",
        wait_s: float = 0.0,
    ) -> None:
        """``conversation``: what the calls belong to; a run that is gone on with elsewhere needs the same one."""
        calls = ApprovedCalls(agent=agent, agent_version=agent_version, environment=environment, wait_s=wait_s)
        self.calls = calls if desk is None else replace(calls, desk=desk)
        self.conversation = conversation or f"agents-{uuid4().hex[:12]}"
        self._theirs: set[str] = set()
        """Tools with a rule of the user's own."""

    def agent(self, agent: Agent[Any]) -> Agent[Any]:
        """The agent with its function tools guarded; tools that the provider runs itself are left as they are."""
        return agent.clone(tools=[self.tool(one) if isinstance(one, FunctionTool) else one for one in agent.tools])

    def tool(self, tool: FunctionTool) -> FunctionTool:
        """A tool that asks first."""
        run, own = tool.on_invoke_tool, tool.needs_approval
        if own is not False:
            self._theirs.add(tool.name)

        async def needed(context: Any, arguments: dict[str, Any], call_id: str) -> bool:
            theirs: Any = own(context, arguments, call_id) if callable(own) else own
            theirs = await theirs if isawaitable(theirs) else theirs
            begun = await asyncio.to_thread(self._look, call_id, tool.name, arguments)
            return bool(theirs) or (begun is not None and begun.open)

        async def asked(context: Any, arguments: str) -> Any:
            try:
                given = json.loads(arguments or "{}")
            except ValueError as problem:
                return f"error: the arguments are no JSON: {problem}"
            if not isinstance(given, Mapping):
                return "error: the arguments are no object"
            key = self._key(str(context.tool_call_id))
            begun = await asyncio.to_thread(self.calls.begin, key, tool.name, dict(given))
            if begun.may in ("wait", "no"):
                return begun.told
            text = arguments if begun.may == "free" else json.dumps(dict(begun.arguments))
            try:
                result = await run(context, text)
            except BaseException as error:
                await asyncio.to_thread(self.calls.end, begun, "failed", type(error).__name__)
                raise
            await asyncio.to_thread(self.calls.end, begun, "executed")
            return result

        return replace(tool, on_invoke_tool=asked, needs_approval=needed)

    async def settle(self, state: RunState[Any, Any], *, wait_s: float = 0.0) -> list[Waiting]:
        """Answer the interruptions of a run that have been decided; gives those that still wait.

        Where none waits the run goes on: ``Runner.run(agent, state)``. Interruptions of a tool that had a rule of its
        own (``needs_approval``) are left to whoever wrote that rule.
        """
        left: list[Waiting] = []
        for item in state.get_interruptions():
            raw: Any = item.raw_item
            call_id = str(raw["call_id"] if isinstance(raw, Mapping) else raw.call_id)
            text = raw["arguments"] if isinstance(raw, Mapping) else raw.arguments
            found = await asyncio.to_thread(
                self._look, call_id, str(item.tool_name), json.loads(text or "{}"), wait_s=wait_s
            )
            if found is not None and found.open:
                left.append(found)
                continue
            if found is not None and item.tool_name not in self._theirs:
                # Also what was refused: the tool asks again, gets its no, and tells the model why.
                state.approve(item)
        return left

    def _look(self, call_id: str, tool: str, arguments: Mapping[str, Any], *, wait_s: float = 0.0) -> Waiting | None:
        """How a call stands, asked for where nobody has; None where it may be made, or cannot be asked about."""
        return replace(self.calls, wait_s=wait_s or self.calls.wait_s).look(self._key(call_id), tool, dict(arguments))

    def _key(self, call_id: str) -> str:
        return f"{self.conversation}\x1f{call_id}"
