"""Captured OTLP/JSON request bodies as raw spans and logs: just enough of a decoder for the tests here."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from pilothouse.records import Emitter, RawEvent, RawLink, RawLog, RawSpan

CAPTURES = Path(__file__).parent / "captures"


def bodies(path: Path) -> list[dict[str, Any]]:
    """The request bodies in a capture file: one, or a list of them."""
    found = json.loads(path.read_text())
    return found if isinstance(found, list) else [found]


def value(any_value: dict[str, Any]) -> Any:
    """The plain value of an OTLP AnyValue."""
    if not any_value:
        return None
    ((kind, inner),) = any_value.items()
    if kind == "intValue":
        return int(inner)
    if kind == "arrayValue":
        return [value(item) for item in inner.get("values", [])]
    if kind == "kvlistValue":
        return attributes(inner.get("values", []))
    if kind == "bytesValue":
        return base64.b64decode(inner)
    return inner


def attributes(pairs: list[dict[str, Any]]) -> dict[str, Any]:
    """The attributes of a key-value list."""
    return {pair["key"]: value(pair.get("value", {})) for pair in pairs}


def emitter(resource: dict[str, Any], scope: dict[str, Any]) -> Emitter:
    return Emitter(
        resource=attributes(resource.get("attributes", [])),
        scope_name=scope.get("name", ""),
        scope_version=scope.get("version", ""),
        scope_attributes=attributes(scope.get("attributes", [])),
    )


def spans(body: dict[str, Any]) -> list[RawSpan]:
    """The spans of a trace request, in the order sent."""
    found: list[RawSpan] = []
    for block in body.get("resourceSpans", []):
        for scoped in block.get("scopeSpans", []):
            sender = emitter(block.get("resource", {}), scoped.get("scope", {}))
            found.extend(_span(span, sender) for span in scoped.get("spans", []))
    return found


def _span(span: dict[str, Any], sender: Emitter) -> RawSpan:
    return RawSpan(
        trace_id=span["traceId"].lower(),
        span_id=span["spanId"].lower(),
        parent_span_id=span.get("parentSpanId", "").lower(),
        name=span.get("name", ""),
        start_ns=int(span.get("startTimeUnixNano", 0)),
        end_ns=int(span.get("endTimeUnixNano", 0)),
        status_code={"STATUS_CODE_OK": 1, "STATUS_CODE_ERROR": 2}.get(
            span.get("status", {}).get("code", 0), span.get("status", {}).get("code", 0)
        ),
        status_message=span.get("status", {}).get("message", ""),
        attributes=attributes(span.get("attributes", [])),
        events=tuple(
            RawEvent(
                time_ns=int(event.get("timeUnixNano", 0)),
                name=event.get("name", ""),
                attributes=attributes(event.get("attributes", [])),
            )
            for event in span.get("events", [])
        ),
        links=tuple(
            RawLink(
                trace_id=link["traceId"].lower(),
                span_id=link["spanId"].lower(),
                attributes=attributes(link.get("attributes", [])),
            )
            for link in span.get("links", [])
        ),
        emitter=sender,
    )


def logs(body: dict[str, Any]) -> list[RawLog]:
    """The log records of a logs request, in the order sent."""
    found: list[RawLog] = []
    for block in body.get("resourceLogs", []):
        for scoped in block.get("scopeLogs", []):
            sender = emitter(block.get("resource", {}), scoped.get("scope", {}))
            for record in scoped.get("logRecords", []):
                found.append(
                    RawLog(
                        time_ns=int(record.get("timeUnixNano", 0)),
                        observed_ns=int(record.get("observedTimeUnixNano", 0)),
                        body=value(record.get("body", {})),
                        event_name=record.get("eventName", ""),
                        trace_id=record.get("traceId", "").lower(),
                        span_id=record.get("spanId", "").lower(),
                        attributes=attributes(record.get("attributes", [])),
                        emitter=sender,
                    )
                )
    return found
