"""The spans that an SDK's instrumentor does not make: agents and their tools, in the dialect of the running service."""

import contextlib
import json
import threading
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any, Literal

from openinference.instrumentation import get_attributes_from_context
from opentelemetry import trace

from pilothouse.testing.demo.services import Dialect

Kind = Literal["agent", "tool"]


@dataclass(kw_only=True)
class Tally:
    """What one run did; shared by its threads."""

    model_calls: int = 0
    tool_calls: int = 0
    trace_id: str = ""
    """Hexadecimal; empty before the first span."""
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def count_model_call(self) -> None:
        """Count a call of a model."""
        with self.lock:
            self.model_calls += 1

    def count_tool_call(self) -> None:
        """Count a call of a tool."""
        with self.lock:
            self.tool_calls += 1


@dataclass(frozen=True, kw_only=True)
class Recorder:
    """Writes the spans of one run."""

    tracer: trace.Tracer
    dialect: Dialect
    tally: Tally

    @contextlib.contextmanager
    def agent(self, name: str, question: str) -> Generator[Callable[[str], None], None, None]:
        """Record what an agent does inside the block; gives a function that takes its answer."""
        attributes = {"agent.name": name} if self.dialect == "openinference" else {"gen_ai.agent.name": name}
        with self._span("agent", name, question, attributes) as answer:
            yield answer

    @contextlib.contextmanager
    def tool(self, name: str, call_id: str, arguments: dict[str, Any]) -> Generator[Callable[[str], None], None, None]:
        """Record a tool that runs inside the block; gives a function that takes its result."""
        self.tally.count_tool_call()
        given = json.dumps(arguments)
        attributes = {"gen_ai.tool.name": name}
        if self.dialect == "openinference":
            attributes = {"tool.name": name, "tool.id": call_id, "tool.parameters": given}
        with self._span("tool", name, given, attributes) as result:
            yield result

    @contextlib.contextmanager
    def _span(
        self, kind: Kind, name: str, given: str, attributes: dict[str, str]
    ) -> Generator[Callable[[str], None], None, None]:
        title = name if self.dialect == "openinference" else f"{name}.{kind}"
        with self.tracer.start_as_current_span(title) as span:
            self.tally.trace_id = trace.format_trace_id(span.get_span_context().trace_id)
            span.set_attributes({**_given(self.dialect, kind, name, given), **attributes})
            yield lambda output: span.set_attributes(_output(self.dialect, output))
            span.set_status(trace.StatusCode.OK)


def _given(dialect: Dialect, kind: Kind, name: str, given: str) -> dict[str, str]:
    if dialect == "openinference":
        mime = "application/json" if kind == "tool" else "text/plain"
        shared = {key: str(value) for key, value in get_attributes_from_context()}
        return {"openinference.span.kind": kind.upper(), "input.value": given, "input.mime_type": mime, **shared}
    # OpenLLMetry records the arguments of a decorated function.
    call: dict[str, Any] = (
        {"args": [given], "kwargs": {}} if kind == "agent" else {"args": [], "kwargs": json.loads(given)}
    )
    return {
        "traceloop.span.kind": kind,
        "traceloop.entity.name": name,
        "traceloop.entity.input": json.dumps(call),
    }


def _output(dialect: Dialect, output: str) -> dict[str, str]:
    if dialect == "openinference":
        return {"output.value": output, "output.mime_type": "text/plain"}
    return {"traceloop.entity.output": json.dumps(output)}
