"""A model that makes its turns in order, for tests of capabilities."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pydantic_ai import Agent
from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

Turn = Callable[[Sequence[ModelMessage]], ModelResponse]


class Scripted:
    """Makes its turns in order, the last one again and again, and keeps what it was shown."""

    def __init__(self, *turns: ModelResponse | Turn) -> None:
        self.turns = list(turns)
        self.seen: list[list[ModelMessage]] = []
        self.infos: list[AgentInfo] = []

    def __call__(self, messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        self.seen.append(messages)
        self.infos.append(info)
        turn = self.turns.pop(0) if len(self.turns) > 1 else self.turns[0]
        return turn if isinstance(turn, ModelResponse) else turn(messages)

    def shown(self, call: int) -> str:
        """Every text the model was shown at a call, in order."""
        texts = [self.infos[call].instructions or ""]
        for message in self.seen[call]:
            if isinstance(message, ModelRequest):
                texts += [str(part.content) for part in message.parts]
        return "\n".join(texts)

    def offered(self, call: int) -> list[str]:
        """The tools that were offered at a call."""
        return sorted(tool.name for tool in self.infos[call].function_tools)


def says(text: str) -> ModelResponse:
    return ModelResponse(parts=[TextPart(content=text)])


def calls(tool: str, /, **arguments: Any) -> ModelResponse:
    return ModelResponse(parts=[ToolCallPart(tool_name=tool, args=arguments)])


def agent_of(model: Scripted, *capabilities: Any, **options: Any) -> Agent[None, Any]:
    return Agent(FunctionModel(model), capabilities=list(capabilities), **options)
