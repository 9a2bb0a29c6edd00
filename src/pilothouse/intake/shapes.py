"""How the three OTLP requests are built: the same three levels under other names."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

from .check import Signal


class Shape(NamedTuple):
    """The names of one signal's levels, in protobuf; the JSON names follow by rule."""

    package: str
    request: str
    resources: str
    scopes: str
    items: str
    scope_message: str
    item_message: str
    noun: str


_SHAPES: dict[Signal, Shape] = {
    "traces": Shape(
        "trace", "ExportTraceServiceRequest", "resource_spans", "scope_spans", "spans", "ScopeSpans", "Span", "spans"
    ),
    "logs": Shape(
        "logs",
        "ExportLogsServiceRequest",
        "resource_logs",
        "scope_logs",
        "log_records",
        "ScopeLogs",
        "LogRecord",
        "log records",
    ),
    "metrics": Shape(
        "metrics",
        "ExportMetricsServiceRequest",
        "resource_metrics",
        "scope_metrics",
        "metrics",
        "ScopeMetrics",
        "Metric",
        "data points",
    ),
}


def shape(signal: Signal) -> Shape:
    """The names of ``signal``'s levels."""
    return _SHAPES[signal]


@cache
def request_class(signal: Signal) -> Any:
    """The generated class of ``signal``'s request. Any: the class is built at run time."""
    # Imported on first use: each of the three costs some 10 ms, and a receiver may serve only one.
    if signal == "traces":
        from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

        return trace_service_pb2.ExportTraceServiceRequest
    if signal == "logs":
        from opentelemetry.proto.collector.logs.v1 import logs_service_pb2

        return logs_service_pb2.ExportLogsServiceRequest
    from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2

    return metrics_service_pb2.ExportMetricsServiceRequest


def camel(name: str) -> str:
    """The JSON name of a protobuf field: ``resource_spans`` → ``resourceSpans``."""
    head, *rest = name.split("_")
    return head + "".join(word.capitalize() for word in rest)
