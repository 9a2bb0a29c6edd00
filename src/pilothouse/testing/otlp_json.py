"""OTLP bodies as OTLP/JSON: the readable form with hexadecimal identifiers."""

import base64
import importlib
import json
from typing import Any

from pilothouse.testing.jsons import JsonObject, as_list, as_object

_REQUESTS = {
    "traces": (
        "opentelemetry.proto.collector.trace.v1.trace_service_pb2",
        "ExportTraceServiceRequest",
        "resourceSpans",
    ),
    "logs": ("opentelemetry.proto.collector.logs.v1.logs_service_pb2", "ExportLogsServiceRequest", "resourceLogs"),
    "metrics": (
        "opentelemetry.proto.collector.metrics.v1.metrics_service_pb2",
        "ExportMetricsServiceRequest",
        "resourceMetrics",
    ),
}
_IDENTIFIERS = ("traceId", "spanId", "parentSpanId")


def as_otlp_json(signal: str, body: bytes, content_type: str) -> JsonObject:
    """Return a request body as OTLP/JSON; protobuf is decoded with the package opentelemetry-proto."""
    if content_type.startswith("application/json"):
        return as_object(json.loads(body))
    module, name, _ = _REQUESTS[signal]
    try:
        json_format: Any = importlib.import_module("google.protobuf.json_format")
        # Generated protobuf modules have no types.
        request: Any = getattr(importlib.import_module(module), name)()
    except ImportError as error:
        raise RuntimeError("decoding protobuf needs more packages: pip install opentelemetry-proto") from error
    request.ParseFromString(body)
    return as_object(_with_hex(json_format.MessageToDict(request, use_integers_for_enums=True)))


def merged(signal: str, bodies: list[JsonObject]) -> JsonObject:
    """Return several OTLP/JSON bodies as one; an empty list gives an empty object."""
    field = _REQUESTS[signal][2]
    entries = [entry for body in bodies for entry in as_list(body.get(field))]
    return {field: entries} if entries else {}


def _with_hex(value: Any, name: str = "") -> Any:
    if isinstance(value, dict):
        return {key: _with_hex(item, key) for key, item in as_object(value).items()}
    if isinstance(value, list):
        return [_with_hex(item) for item in as_list(value)]
    if name in _IDENTIFIERS and isinstance(value, str):
        return base64.b64decode(value).hex()
    return value
