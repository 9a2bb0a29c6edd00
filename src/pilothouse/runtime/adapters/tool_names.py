"""A capability for pydantic-ai: tools called by another name. ``Agent(model, capabilities=[ToolNaming()])``."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from pydantic_ai.capabilities import AbstractCapability
from pydantic_ai.messages import ModelResponse, ToolCallPart
from pydantic_ai.models import ModelRequestContext
from pydantic_ai.tools import RunContext

from pilothouse.runtime.tool_names import NamedCall, ToolNames


@dataclass
class ToolNaming(AbstractCapability[Any]):
    """A call of ``refundOrder`` is one of ``refund_order``, and what a model put right once stays right: no retry is lost.

    Without it, a name that no tool has costs a retry each time, and pydantic-ai ends the run at the second one.
    """

    id: str | None = "pilothouse_tool_naming"
    _names: ToolNames = field(default_factory=ToolNames, init=False, repr=False)

    async def for_run(self, ctx: RunContext[Any]) -> ToolNaming:
        """What is learned is learned of one run's model."""
        return replace(self)

    async def after_model_request(
        self, ctx: RunContext[Any], *, request_context: ModelRequestContext, response: ModelResponse
    ) -> ModelResponse:
        """Put names right before tools are looked up; the history has the right ones too."""
        calls = [part for part in response.parts if isinstance(part, ToolCallPart)]
        if not calls:
            return response
        asked = request_context.model_request_parameters
        known = {tool.name for tool in (*asked.function_tools, *asked.output_tools)}
        named = [NamedCall(tool=call.tool_name, arguments=call.args_as_json_str()) for call in calls]
        tools = self._names.tools_of(named, known)
        right = {
            id(call): replace(call, tool_name=tool)
            for call, tool in zip(calls, tools, strict=True)
            if call.tool_name != tool
        }
        return replace(response, parts=[right.get(id(part), part) for part in response.parts]) if right else response
