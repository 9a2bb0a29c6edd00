"""A small agent loop on the genuine anthropic SDK, with prompt caching and tools that run side by side."""

import contextvars
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import anthropic

from pilothouse.testing.demo.spans import Recorder
from pilothouse.testing.demo.tools import Tool, ToolOutcome, use_tool

STEPS_MAX = 8
ANSWER_TOKENS_MAX = 1_024
RETRIES_MAX = 2
WAIT_S_MAX = 1.0


@dataclass(kw_only=True)
class AnthropicAgent:
    """An agent with a memory of its conversation."""

    name: str
    model: str
    instructions: str
    client: anthropic.Anthropic
    recorder: Recorder
    tools: Sequence[Tool] = ()
    # The SDK's own message types are unions of dozens of shapes.
    messages: list[Any] = field(default_factory=list[Any])

    def ask(self, question: str) -> str:
        """Answer a question, calling tools on the way; an empty answer means that the steps ran out."""
        with self.recorder.agent(self.name, question) as answer:
            self.messages.append({"role": "user", "content": question})
            for _ in range(STEPS_MAX):
                content = self._step()
                self.messages.append({"role": "assistant", "content": content})
                calls = [block for block in content if block["type"] == "tool_use"]
                if not calls:
                    text = "".join(block["text"] for block in content if block["type"] == "text")
                    answer(text)
                    return text
                self.messages.append({"role": "user", "content": self._use_tools(calls)})
            return ""

    def _step(self) -> list[dict[str, Any]]:
        system = {"type": "text", "text": self.instructions, "cache_control": {"type": "ephemeral"}}
        request: dict[str, Any] = {"model": self.model, "max_tokens": ANSWER_TOKENS_MAX, "system": [system]}
        if self.tools:
            request["tools"] = [_offer(tool) for tool in self.tools]
        message: Any = self._patiently({**request, "messages": self.messages})
        return [block.model_dump(exclude_none=True) for block in message.content]

    def _patiently(self, request: dict[str, Any]) -> Any:
        """Call the model, and once more after a rate limit; every attempt is a span of its own."""
        for _ in range(RETRIES_MAX):
            try:
                return self._create(request)
            except anthropic.RateLimitError as error:
                time.sleep(min(float(error.response.headers.get("retry-after", 0)), WAIT_S_MAX))
        return self._create(request)

    def _create(self, request: dict[str, Any]) -> Any:
        self.recorder.tally.count_model_call()
        # The overloads of the SDK do not fit a request that is built up as data.
        create: Any = self.client.messages.create
        return create(**request)

    def _use_tools(self, calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
        def run(call: dict[str, Any]) -> ToolOutcome:
            return use_tool(self.recorder, self.tools, call["name"], call["id"], call["input"])

        with ThreadPoolExecutor(max_workers=len(calls)) as pool:
            # Each thread gets the context of the agent's span, so that the tools become its children.
            waiting = [pool.submit(contextvars.copy_context().run, run, call) for call in calls]
            outcomes = [future.result() for future in waiting]
        return [
            {"type": "tool_result", "tool_use_id": call["id"], "content": outcome.text, "is_error": outcome.failed}
            for call, outcome in zip(calls, outcomes, strict=True)
        ]


def _offer(tool: Tool) -> dict[str, Any]:
    return {"name": tool.name, "description": tool.description, "input_schema": tool.schema}
