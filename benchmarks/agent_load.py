"""Agent traffic as it is: conversations that grow, tools that answer at length, each model call with its whole history.

A trace is one run of an agent: a root, then turns of a model call and a tool call. Text is cut out of Python's own
library, prose and code as agents read them. Spans average some 16 KB. The same seed gives the same text; ids are new
each time.
"""

from __future__ import annotations

import gzip
import json
import os
import random
import time
from dataclasses import dataclass
from pathlib import Path

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass(frozen=True, slots=True)
class Request:
    """One export."""

    body: bytes
    """Gzip-compressed protobuf."""
    spans: int
    raw_bytes: int


class Writer:
    """Makes text and requests."""

    def __init__(self, seed: int = 7, *, turns: int = 14, steps: bool = False, result_chars: int = 4000) -> None:
        """``steps`` adds a span around each turn; tool results have 1,000 to ``result_chars`` characters."""
        self.turns = turns
        self.steps = steps
        self.result_chars = result_chars
        self.spans_a_trace = 1 + turns * (3 if steps else 2)
        self.dice = random.Random(seed)
        self._pool = _library_text(12_000_000)
        self.system = self.text(4000)
        self.tools = json.dumps(
            [{"type": "function", "name": f"tool_{n}", "description": self.text(400)} for n in range(8)]
        )

    def text(self, chars: int) -> str:
        """A piece of real text of so many characters."""
        at = self.dice.randrange(len(self._pool) - chars)
        return self._pool[at : at + chars]

    def requests(self, count: int, traces_each: int = 4) -> list[Request]:
        """So many exports, of some traces each."""
        return [self._request(traces_each) for _ in range(count)]

    def _request(self, traces: int) -> Request:
        request = ExportTraceServiceRequest()
        block = request.resource_spans.add()
        _set(block.resource.attributes, {"service.name": "bench-agent", "deployment.environment.name": "bench"})
        scope = block.scope_spans.add()
        scope.scope.name, scope.scope.version = "opentelemetry.instrumentation.genai.openai", "1.0"
        for _ in range(traces):
            self._trace(scope)
        raw = request.SerializeToString()
        return Request(gzip.compress(raw, 6), traces * self.spans_a_trace, len(raw))

    def _trace(self, scope) -> None:
        trace_id, root = os.urandom(16), os.urandom(8)
        start = time.time_ns() - 60_000_000_000
        session = f"session-{self.dice.randrange(10**6)}"
        history = [message("system", self.system), message("user", self.text(400))]
        at = start
        for turn in range(self.turns):
            answer, result = self.text(300), self.text(self.dice.randrange(1000, self.result_chars))
            call = {
                "type": "tool_call",
                "id": f"call_{turn}",
                "name": f"tool_{turn % 8}",
                "arguments": {"q": self.text(60)},
            }
            output = {
                "role": "assistant",
                "parts": [{"type": "text", "content": answer}, call],
                "finish_reason": "tool_call",
            }
            parent = root
            if self.steps:
                step = _span(scope, trace_id, root, f"turn {turn}", at, at + 900_000_000)
                parent = step.span_id
            span = _span(scope, trace_id, parent, "chat gpt-5-mini", at, at + 800_000_000)
            _set(
                span.attributes,
                {
                    "gen_ai.operation.name": "chat",
                    "gen_ai.provider.name": "openai",
                    "gen_ai.request.model": "gpt-5-mini",
                    "gen_ai.response.model": "gpt-5-mini",
                    "gen_ai.response.id": os.urandom(8).hex(),
                    "gen_ai.conversation.id": session,
                    "gen_ai.usage.input_tokens": 1000 + 900 * turn,
                    "gen_ai.usage.cache_read.input_tokens": 800 * turn,
                    "gen_ai.usage.output_tokens": 90,
                    "gen_ai.input.messages": json.dumps(history),
                    "gen_ai.output.messages": json.dumps([output]),
                    "gen_ai.tool.definitions": self.tools,
                },
            )
            tool = _span(scope, trace_id, parent, f"execute_tool tool_{turn % 8}", at + 800_000_000, at + 900_000_000)
            _set(
                tool.attributes,
                {
                    "gen_ai.operation.name": "execute_tool",
                    "gen_ai.tool.name": f"tool_{turn % 8}",
                    "gen_ai.tool.call.id": f"call_{turn}",
                    "gen_ai.tool.call.arguments": json.dumps(call["arguments"]),
                    "gen_ai.tool.call.result": result,
                },
            )
            history.append({"role": "assistant", "parts": output["parts"]})
            history.append(
                {"role": "tool", "parts": [{"type": "tool_call_response", "id": f"call_{turn}", "response": result}]}
            )
            at += 1_000_000_000
        agent = _span(scope, trace_id, b"", "invoke_agent worker", start, at)
        agent.span_id = root
        _set(
            agent.attributes,
            {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "worker", "gen_ai.conversation.id": session},
        )


def _library_text(chars: int) -> str:
    pieces: list[str] = []
    size = 0
    for path in sorted(Path(os.__file__).parent.rglob("*.py")):
        if "site-packages" in path.parts or "test" in path.parts or size > chars:
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        pieces.append(text)
        size += len(text)
    return "\n".join(pieces)


def message(role: str, text: str) -> dict[str, object]:
    """A message of one text part, as GenAI spans carry it."""
    return {"role": role, "parts": [{"type": "text", "content": text}]}


def _span(scope, trace_id: bytes, parent: bytes, name: str, start: int, end: int):
    span = scope.spans.add()
    span.trace_id, span.span_id, span.parent_span_id, span.name = trace_id, os.urandom(8), parent, name
    span.start_time_unix_nano, span.end_time_unix_nano, span.kind = start, end, 3
    return span


def _set(attributes, values: dict[str, object]) -> None:
    for key, value in values.items():
        attribute = attributes.add()
        attribute.key = key
        if isinstance(value, int):
            attribute.value.int_value = value
        else:
            attribute.value.string_value = str(value)
