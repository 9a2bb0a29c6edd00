"""What an agent's record says, read as the server would read it, for the checks of ``pilothouse verify``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from pilothouse.records import BadRequest, Emitter, RawEvent, RawSpan, Reading

_SERVER_EXTRA = "pip install 'pilothouse[server]'"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedSpan:
    """One span that arrived."""

    raw: RawSpan
    reading: Reading

    @property
    def id(self) -> str:
        """The span's id."""
        return self.raw.span_id

    @property
    def ended(self) -> bool:
        """False for one that only its early copy tells of."""
        return self.raw.end_ns > 0 and not self.reading.running

    @property
    def failed(self) -> bool:
        """True where the span or what it returned says so."""
        return self.raw.status_code == 2 or bool(self.reading.error_message or self.reading.tool_error)

    @property
    def error_text(self) -> str:
        """All that was recorded of what went wrong."""
        reading = self.reading
        return "\n".join(filter(None, (reading.error_type, reading.error_message, reading.tool_error)))

    @property
    def input_text(self) -> str:
        """All that went in, as text."""
        return "\n".join([*(part.text for item in self.reading.input for part in item.parts), self.reading.input_value])

    @property
    def title(self) -> str:
        """How evidence names it."""
        return f"{self.raw.name} (span {self.raw.span_id})"


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """One call through the tool wrapper, as the fault point counted it."""

    tool: str
    start_ns: int
    end_ns: int
    raised: str
    """Class of what it raised; empty where it returned."""
    injected: bool
    """True for the call that was made to fail."""


def read_tool_calls(path: Path) -> tuple[ToolCall, ...]:
    """The tool calls that the fault point wrote down, oldest first."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return ()
    calls = [ToolCall(**json.loads(line)) for line in lines if line]
    return tuple(sorted(calls, key=lambda call: call.start_ns))


def read_spans(bodies: Mapping[str, Any]) -> tuple[RecordedSpan, ...]:
    """The spans of an OTLP/JSON body, oldest first; of several copies of a span the one that has ended."""
    from pilothouse.conventions import read

    found: dict[tuple[str, str], RecordedSpan] = {}
    for block in bodies.get("resourceSpans", []):
        resource = _attributes(block.get("resource", {}).get("attributes"))
        for scoped in block.get("scopeSpans", []):
            scope = scoped.get("scope", {})
            emitter = Emitter(
                resource=resource, scope_name=scope.get("name", ""), scope_version=scope.get("version", "")
            )
            for data in scoped.get("spans", []):
                raw = _span(data, emitter)
                span = RecordedSpan(raw=raw, reading=read(raw))
                known = found.get((raw.trace_id, raw.span_id))
                if known is None or span.ended or not known.ended:
                    found[raw.trace_id, raw.span_id] = span
    return tuple(sorted(found.values(), key=lambda span: span.raw.start_ns))


def check_decoder() -> None:
    """Make sure that protobuf can be read here.

    Raises:
        BadRequest: the package for it is not installed.
    """
    from importlib.util import find_spec

    if find_spec("google") is None or find_spec("opentelemetry.proto") is None:
        raise BadRequest("reading what was recorded needs opentelemetry-proto", got="verify", fix=_SERVER_EXTRA)


def _span(data: Mapping[str, Any], emitter: Emitter) -> RawSpan:
    status = data.get("status", {})
    return RawSpan(
        trace_id=data["traceId"],
        span_id=data["spanId"],
        parent_span_id=data.get("parentSpanId", ""),
        name=data.get("name", ""),
        otel_kind=int(data.get("kind", 1)),
        start_ns=int(data.get("startTimeUnixNano", 0)),
        end_ns=int(data.get("endTimeUnixNano", 0)),
        status_code=int(status.get("code", 0)),
        status_message=status.get("message", ""),
        attributes=_attributes(data.get("attributes")),
        events=tuple(
            RawEvent(
                time_ns=int(event.get("timeUnixNano", 0)),
                name=event.get("name", ""),
                attributes=_attributes(event.get("attributes")),
            )
            for event in data.get("events", [])
        ),
        emitter=emitter,
    )


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair["key"]: _value(pair.get("value", {})) for pair in pairs or ()}


def _value(value: Mapping[str, Any]) -> Any:
    for kind, held in value.items():
        if kind == "intValue":
            return int(held)
        if kind == "arrayValue":
            return [_value(item) for item in cast("Mapping[str, Any]", held).get("values", [])]
        if kind == "kvlistValue":
            return _attributes(cast("Mapping[str, Any]", held).get("values"))
        return held
    return None
