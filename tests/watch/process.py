"""An agent's process as the store hears of it: running copies of spans, spans that end, heartbeats, a goodbye."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pilothouse.intake.segment import Record
from pilothouse.records.names import GOODBYE_EVENT, HEARTBEAT_EVENT, INSTANCE, KIND, RUNNING, SCOPE

SECOND = 1_000_000_000
_KINDS = {"agent": "invoke_agent", "model": "chat", "tool": "execute_tool"}
_numbers = itertools.count(1)


@dataclass
class Step:
    """A span of the process."""

    span_id: str
    parent: str
    kind: str
    name: str
    start_ns: int
    attributes: dict[str, Any]
    end_ns: int = 0
    error: str = ""


@dataclass
class Agent:
    """One process that works on one trace. Bodies are OTLP/JSON."""

    name: str = "refunds"
    environment: str = "production"
    start_ns: int = field(default_factory=time.time_ns)
    steps: list[Step] = field(default_factory=list[Step])
    number: int = field(default_factory=lambda: next(_numbers))
    beats: bool = True
    """False for a foreign SDK."""

    @property
    def trace_id(self) -> str:
        return f"{self.number:08x}{self.start_ns:016x}".ljust(32, "e")

    @property
    def instance(self) -> str:
        return f"process-{self.number}"

    @property
    def resource(self) -> dict[str, str]:
        shared = {"service.name": "desk", "deployment.environment.name": self.environment}
        return {**shared, INSTANCE: self.instance} if self.beats else shared

    def begin(self, kind: str, name: str = "", *, at_s: float = 0.0, **attributes: Any) -> Step:
        """Open a span below the innermost one."""
        open_ = self.open
        step = Step(
            span_id=f"{self.number:06x}{len(self.steps) + 1:010x}",
            parent=open_[-1].span_id if open_ else "",
            kind=kind,
            name=name or kind,
            start_ns=self.start_ns + int(at_s * SECOND),
            attributes=attributes,
        )
        self.steps.append(step)
        return step

    def end(self, step: Step, *, at_s: float, error: str = "") -> Step:
        """Close a span."""
        step.end_ns, step.error = self.start_ns + int(at_s * SECOND), error
        return step

    @property
    def open(self) -> list[Step]:
        return [step for step in self.steps if not step.end_ns]

    def spans(self, *steps: Step) -> dict[str, Any]:
        """An export of some spans: those that are open as running copies."""
        block = {"scope": {"name": SCOPE if self.beats else "my.tracer"}, "spans": [self._span(s) for s in steps]}
        return {"resourceSpans": [{"resource": {"attributes": attributes(self.resource)}, "scopeSpans": [block]}]}

    def _span(self, step: Step) -> dict[str, Any]:
        given: dict[str, Any] = {"gen_ai.operation.name": _KINDS.get(step.kind, step.kind), KIND: step.kind}
        if step.kind == "agent":
            given["gen_ai.agent.name"] = step.name
        if step.kind == "tool":
            given["gen_ai.tool.name"] = step.name
        if step.kind == "model":
            given["gen_ai.request.model"] = step.name
        if not step.end_ns:
            given[RUNNING] = True
        return {
            "traceId": self.trace_id,
            "spanId": step.span_id,
            "parentSpanId": step.parent,
            "name": step.name,
            "kind": 1,
            "startTimeUnixNano": str(step.start_ns),
            "endTimeUnixNano": str(step.end_ns),
            "attributes": attributes({**given, **step.attributes}),
            "status": {"code": 2, "message": step.error} if step.error else {},
        }

    def beat(self, *, goodbye: bool = False, state: str = "executing", wait_for: str = "") -> dict[str, Any]:
        """A heartbeat (or the goodbye) that names what is open."""
        body = {
            "interval_s": 5,
            "instance": self.instance,
            "open": [
                {
                    "trace_id": self.trace_id,
                    "span_id": step.span_id,
                    "name": step.name,
                    "kind": step.kind,
                    "state": state,
                    "wait_for": wait_for if step is self.open[-1] else "",
                    "since_ns": step.start_ns,
                }
                for step in self.open
            ],
        }
        entry = {
            "timeUnixNano": str(time.time_ns()),
            "eventName": GOODBYE_EVENT if goodbye else HEARTBEAT_EVENT,
            "body": {"stringValue": json.dumps(body)},
        }
        block = {"scope": {"name": SCOPE}, "logRecords": [entry]}
        return {"resourceLogs": [{"resource": {"attributes": attributes(self.resource)}, "scopeLogs": [block]}]}


def attributes(values: dict[str, Any]) -> list[dict[str, Any]]:
    """OTLP/JSON attributes."""
    kinds = {bool: "boolValue", str: "stringValue"}
    return [{"key": k, "value": {kinds.get(type(v), "intValue"): v}} for k, v in values.items()]


def record(body: dict[str, Any], project: str = "p", received_ns: int = 0) -> Record:
    """An export as the journal holds it."""
    return Record(
        project_id=project,
        signal="logs" if "resourceLogs" in body else "traces",
        content_type="application/json",
        encoding="",
        received_ns=received_ns or time.time_ns(),
        body=json.dumps(body).encode(),
    )


def records(bodies: Sequence[dict[str, Any]], project: str = "p") -> list[Record]:
    """Several."""
    return [record(body, project) for body in bodies]
