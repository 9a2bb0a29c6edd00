"""Real runs for the tests of reading: what real clients sent, and a scripted agent on the real openai SDK."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import openai
from openinference.instrumentation.openai import OpenAIInstrumentor
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from pilothouse.intake.ingest import Ingest
from pilothouse.intake.masking import read_maskers
from pilothouse.intake.segment import Record
from pilothouse.records import SystemClock
from pilothouse.store import TraceStore
from pilothouse.testing import ModelServer

CAPTURES = Path(__file__).parents[1] / "conventions/captures"


def ingest_captures(store: TraceStore) -> list[tuple[str, str]]:
    """Store what real clients sent, a project for each client; gives project and trace of each trace."""
    ingest = Ingest(store, SystemClock(), read_maskers({}))
    for path in sorted(CAPTURES.glob("*.json")):
        name, signal = path.name.split(".")[0], path.name.split(".")[-2]
        content = json.loads(path.read_text())
        bodies = content if isinstance(content, list) else [content]
        ingest.run([_record(name, signal, "application/json", json.dumps(body).encode()) for body in bodies])
    found = store.query("SELECT project_id, trace_id FROM {db}.trace FINAL ORDER BY project_id, trace_id").rows
    return [(row[0], row[1]) for row in found]


def _record(project: str, signal: str, content_type: str, body: bytes) -> Record:
    return Record(
        project_id=project,
        signal=signal,  # pyright: ignore[reportArgumentType]  # file names are signals
        content_type=content_type,
        encoding="",
        received_ns=time.time_ns(),
        body=body,
    )


Tool = Callable[..., str]


class ScriptedAgent:
    """A tool loop on the openai SDK, instrumented by OpenInference, against the scripted model server.

    ``trim`` is what frameworks do to a history before each call.
    """

    def __init__(self, server: ModelServer, exporter: InMemorySpanExporter, provider: TracerProvider) -> None:
        self._client = openai.OpenAI(base_url=server.openai_url, api_key="none", max_retries=0)
        self._exporter = exporter
        self._tracer = provider.get_tracer("openinference.instrumentation.scripted")

    def run(
        self,
        question: str,
        tools: dict[str, Tool],
        *,
        system: str,
        trim: Callable[[list[dict[str, Any]]], list[dict[str, Any]]] = lambda messages: messages,
        model: str = "gpt-4o",
        name: str = "clerk",
    ) -> list[list[dict[str, Any]]]:
        """One question; returns the window of each call as it was sent."""
        messages: list[dict[str, Any]] = [{"role": "user", "content": question}]
        windows: list[list[dict[str, Any]]] = []
        schema = {"type": "object", "properties": {}}
        offered: Any = [{"type": "function", "function": {"name": name, "parameters": schema}} for name in tools]
        with self._tracer.start_as_current_span(
            name, attributes={"openinference.span.kind": "AGENT", "agent.name": name, "input.value": question}
        ):
            while True:
                window: Any = [{"role": "system", "content": system}, *trim(messages)]
                windows.append(window)
                answer = self._client.chat.completions.create(model=model, messages=window, tools=offered)
                said = answer.choices[0].message
                messages.append(said.model_dump(exclude_none=True))
                if not said.tool_calls:
                    return windows
                for call in said.tool_calls:
                    messages.append(self._use(tools, call))

    def _use(self, tools: dict[str, Tool], call: Any) -> dict[str, Any]:
        given = call.function.arguments
        kind = {"openinference.span.kind": "TOOL", "tool.name": call.function.name, "input.value": given}
        with self._tracer.start_as_current_span(call.function.name, attributes=kind) as span:
            result = tools[call.function.name](**json.loads(given))
            span.set_attribute("output.value", result)
        return {"role": "tool", "tool_call_id": call.id, "content": result}

    def finished(self) -> tuple[ReadableSpan, ...]:
        """What was recorded since the last time one asked."""
        spans = self._exporter.get_finished_spans()
        self._exporter.clear()
        return spans

    def store(self, store: TraceStore, project: str) -> list[str]:
        """Store what was recorded so far; gives the traces' ids, oldest first."""
        spans = self.finished()
        body = encode_spans(spans).SerializeToString()
        Ingest(store, SystemClock(), read_maskers({})).run([_record(project, "traces", "application/x-protobuf", body)])
        roots = sorted((span for span in spans if span.parent is None), key=lambda span: span.start_time or 0)
        return [f"{span.context.trace_id:032x}" for span in roots]


@contextmanager
def scripted_agent(script: dict[str, Any]) -> Iterator[ScriptedAgent]:
    """An agent whose model plays a script."""
    # Each message is several attributes: the default of 128 would cut a long window.
    exporter, provider = InMemorySpanExporter(), TracerProvider(span_limits=SpanLimits(max_attributes=100_000))
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    instrumentor = OpenAIInstrumentor()
    instrumentor.instrument(tracer_provider=provider)
    try:
        with ModelServer(script) as server:
            yield ScriptedAgent(server, exporter, provider)
    finally:
        instrumentor.uninstrument()
        provider.shutdown()
