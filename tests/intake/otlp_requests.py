"""Requests for the intake's tests: one plain description, built as protobuf and as JSON by separate hands."""

from __future__ import annotations

import base64
import json
import math
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from starlette.applications import Starlette

from pilothouse.intake import Batch, Counters, Intake, Journal, JournalReader, Settings, decode
from pilothouse.intake.http import routes
from pilothouse.records import NotAllowed

PROTOBUF = "application/x-protobuf"
JSON = "application/json"
KEY = "ph_test"
TRACE_ID = bytes(range(1, 17))
SPAN_ID = bytes(range(1, 9))


def fixtures() -> Path:
    """The shared fixtures; the test is skipped where they are absent."""
    folder = Path(os.environ.get("PILOTHOUSE_FIXTURES", Path(__file__).parents[3] / "shared" / "fixtures"))
    if not folder.is_dir():
        pytest.skip(f"no fixtures in {folder}: set PILOTHOUSE_FIXTURES")
    return folder


# ── protobuf ─────────────────────────────────────────────────────────────────


def fill(value: Any, plain: Any) -> None:
    """Set an AnyValue."""
    if plain is None:
        return
    if isinstance(plain, bool):
        value.bool_value = plain
    elif isinstance(plain, str):
        value.string_value = plain
    elif isinstance(plain, int):
        value.int_value = plain
    elif isinstance(plain, float):
        value.double_value = plain
    elif isinstance(plain, bytes):
        value.bytes_value = plain
    elif isinstance(plain, list):
        value.array_value.SetInParent()
        for one in plain:
            fill(value.array_value.values.add(), one)
    else:
        value.kvlist_value.SetInParent()
        for key, one in plain.items():
            fill(value.kvlist_value.values.add(key=key).value, one)


def fill_attributes(holder: Any, attributes: dict[str, Any]) -> None:
    """Add attributes to a span, resource or the like."""
    for key, plain in attributes.items():
        pair = holder.add(key=key)
        pair.value.SetInParent()
        fill(pair.value, plain)


def traces(*spans: dict[str, Any], resource: dict[str, Any] | None = None, scope: str = "test") -> Any:
    """An ExportTraceServiceRequest. A span is a dict of its fields; ``attributes`` are plain data."""
    request = ExportTraceServiceRequest()
    outer = request.resource_spans.add()
    fill_attributes(outer.resource.attributes, resource or {"service.name": "test"})
    inner = outer.scope_spans.add()
    inner.scope.name = scope
    for span in spans:
        fields = {"trace_id": TRACE_ID, "span_id": SPAN_ID, "name": "step", **span}
        attributes = fields.pop("attributes", {})
        fill_attributes(inner.spans.add(**fields).attributes, attributes)
    return request


def spans(count: int, **fields: Any) -> list[dict[str, Any]]:
    """Sound spans with different ids."""
    return [{"span_id": (number + 1).to_bytes(8, "big"), "name": f"step {number}", **fields} for number in range(count)]


def logs(*records: dict[str, Any]) -> Any:
    """An ExportLogsServiceRequest; ``attributes`` and ``body`` are plain data."""
    request = ExportLogsServiceRequest()
    inner = request.resource_logs.add().scope_logs.add()
    for record in records:
        fields = dict(record)
        attributes, body = fields.pop("attributes", {}), fields.pop("body", None)
        added = inner.log_records.add(**fields)
        fill_attributes(added.attributes, attributes)
        if body is not None:
            fill(added.body, body)
    return request


def metrics() -> Any:
    """An empty ExportMetricsServiceRequest with one scope, and that scope."""
    request = ExportMetricsServiceRequest()
    return request, request.resource_metrics.add().scope_metrics.add()


# ── JSON ─────────────────────────────────────────────────────────────────────


def json_value(plain: Any) -> dict[str, Any]:
    """An AnyValue as OTLP/JSON."""
    if plain is None:
        return {}
    if isinstance(plain, bool):
        return {"boolValue": plain}
    if isinstance(plain, str):
        return {"stringValue": plain}
    if isinstance(plain, int):
        return {"intValue": str(plain)}
    if isinstance(plain, float):
        return {"doubleValue": json_double(plain)}
    if isinstance(plain, bytes):
        return {"bytesValue": base64.b64encode(plain).decode()}
    if isinstance(plain, list):
        return {"arrayValue": {"values": [json_value(one) for one in plain]}}
    return {"kvlistValue": {"values": json_attributes(plain)}}


def json_double(number: float) -> Any:
    """A double as protobuf's JSON has it."""
    if math.isnan(number):
        return "NaN"
    if math.isinf(number):
        return "Infinity" if number > 0 else "-Infinity"
    return number


def json_attributes(attributes: dict[str, Any]) -> list[dict[str, Any]]:
    """Attributes as OTLP/JSON."""
    return [{"key": key, "value": json_value(plain)} for key, plain in attributes.items()]


def json_span(**fields: Any) -> dict[str, Any]:
    """A sound span as OTLP/JSON, with fields replaced."""
    return {"traceId": TRACE_ID.hex(), "spanId": SPAN_ID.hex(), "name": "step", **fields}


def json_traces(*spans: Any) -> bytes:
    """An OTLP/JSON request of these spans."""
    document = {"resourceSpans": [{"resource": {"attributes": []}, "scopeSpans": [{"scope": {}, "spans": spans}]}]}
    return json.dumps(document).encode()


# ── a running intake ─────────────────────────────────────────────────────────


def authorise(key: str | None) -> str:
    """One key, one project."""
    if key != KEY:
        raise NotAllowed("the key is missing or wrong")
    return "project"


class Running:
    """An intake behind an HTTP client that needs no socket."""

    def __init__(self, intake: Intake, client: httpx.AsyncClient, root: Path) -> None:
        self.intake = intake
        self.client = client
        self.root = root

    @property
    def counters(self) -> Counters:
        return self.intake.counters

    async def post(self, body: Any, *, signal: str = "traces", **headers: str) -> httpx.Response:
        """Post with the key, as protobuf unless the headers say otherwise (``content_type=…``)."""
        sent = {"content-type": PROTOBUF, "authorization": f"Bearer {KEY}"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.client.post(f"/v1/{signal}", content=body, headers=sent)

    def stored(self) -> Batch:
        """All that is in the journal."""
        return JournalReader(self.root).read(JournalReader(self.root).load(), bytes_max=1 << 40, records_max=1 << 40)

    def names(self) -> list[str]:
        """The names of all spans in the journal."""
        return [
            span.name
            for _, record in self.stored()
            for span in decode(record.signal, record.content_type, record.encoding, record.body).spans
        ]


@asynccontextmanager
async def running(folder: Path, settings: Settings | None = None, **options: Any) -> AsyncIterator[Running]:
    """An intake on a journal in ``folder``; ``options`` go to the intake, ``disk`` to its journal."""
    settings = settings or Settings()
    root = folder / "journal"
    journal = Journal(root / "r0", settings, disk=options.pop("disk", None))
    intake = Intake(journal, options.pop("authorise", authorise), settings, **options)
    await intake.start()
    transport = httpx.ASGITransport(Starlette(routes=routes(intake)))
    try:
        async with httpx.AsyncClient(transport=transport, base_url="http://intake") as client:
            yield Running(intake, client, root)
    finally:
        await intake.stop()
