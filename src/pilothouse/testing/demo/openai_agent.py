"""A small agent loop on the genuine openai SDK."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import openai

from pilothouse.testing.demo.spans import Recorder
from pilothouse.testing.demo.tools import Tool, use_tool

STEPS_MAX = 8


class StepLimitReached(RuntimeError):
    """An agent still called tools after its last allowed step."""


@dataclass(kw_only=True)
class OpenAIAgent:
    """An agent with a memory of its conversation."""

    name: str
    model: str
    instructions: str
    client: openai.OpenAI
    recorder: Recorder
    tools: Sequence[Tool] = ()
    streaming: bool = False
    # The SDK's own message types are unions of dozens of shapes.
    messages: list[Any] = field(default_factory=list[Any])

    def ask(self, question: str) -> str:
        """Answer a question, calling tools on the way; raises StepLimitReached."""
        with self.recorder.agent(self.name, question) as answer:
            if not self.messages:
                self.messages.append({"role": "system", "content": self.instructions})
            self.messages.append({"role": "user", "content": question})
            for _ in range(STEPS_MAX):
                message = self._step()
                self.messages.append(message)
                if not message.get("tool_calls"):
                    text = str(message["content"])
                    answer(text)
                    return text
                for call in message["tool_calls"]:
                    self._use_tool(call)
            raise StepLimitReached(f"{self.name} stopped after {STEPS_MAX} steps without an answer")

    def _use_tool(self, call: dict[str, Any]) -> None:
        function = call["function"]
        arguments = json.loads(function["arguments"])
        outcome = use_tool(self.recorder, self.tools, function["name"], call["id"], arguments)
        self.messages.append({"role": "tool", "tool_call_id": call["id"], "content": outcome.text})

    def _step(self) -> dict[str, Any]:
        request: dict[str, Any] = {"model": self.model, "messages": self.messages}
        if self.tools:
            request["tools"] = [_offer(tool) for tool in self.tools]
        if self.streaming:
            return self._streamed(request)
        message = self._create(request).choices[0].message
        return message.model_dump(exclude_none=True, include={"role", "content", "tool_calls"})

    def _streamed(self, request: dict[str, Any]) -> dict[str, Any]:
        text, calls = "", list[dict[str, Any]]()
        stream = self._create({**request, "stream": True, "stream_options": {"include_usage": True}})
        for chunk in stream:
            if not chunk.choices:
                continue
            delta = chunk.choices[0].delta
            text += delta.content or ""
            parts: list[Any] = delta.tool_calls or []
            for part in parts:
                if part.id:
                    function = {"name": part.function.name, "arguments": ""}
                    calls.append({"id": part.id, "type": "function", "function": function})
                calls[-1]["function"]["arguments"] += part.function.arguments or ""
        message: dict[str, Any] = {"role": "assistant", "content": text or None}
        return {**message, "tool_calls": calls} if calls else message

    def _create(self, request: dict[str, Any]) -> Any:
        self.recorder.tally.count_model_call()
        # The overloads of the SDK do not fit a request that is built up as data.
        create: Any = self.client.chat.completions.create
        return create(**request)


def _offer(tool: Tool) -> dict[str, Any]:
    function = {"name": tool.name, "description": tool.description, "parameters": tool.schema}
    return {"type": "function", "function": function}
