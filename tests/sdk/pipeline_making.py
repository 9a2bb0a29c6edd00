"""Pipelines for tests: made on a sink, and waited for by state."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Tracer

from pilothouse.sdk.pipeline import Pipeline
from pilothouse.sdk.settings import read_settings
from pilothouse.testing import OtlpSink


class Made:
    """A pipeline with a tracer of its own."""

    def __init__(self, endpoint: str, spill: Path, **options: Any) -> None:
        given = {"key": "ph_key", "flush_interval_s": 0.05, "exit_timeout_s": 1.5, "variables": {}, **options}
        self.pipeline = Pipeline(
            read_settings(endpoint=endpoint, spill_dir=spill, **given), Resource({"service.name": "t"})
        )
        provider = TracerProvider(resource=self.pipeline.resource, shutdown_on_exit=False)
        provider.add_span_processor(self.pipeline.processor)
        self.tracer: Tracer = provider.get_tracer("pilothouse")

    def record(self, count: int = 1, name: str = "step", **attributes: Any) -> None:
        """Spans that begin and end."""
        for number in range(count):
            with self.tracer.start_as_current_span(f"{name} {number}") as span:
                span.set_attributes({"number": number, **attributes})


@contextmanager
def recording(endpoint: str, spill: Path, **options: Any) -> Iterator[Made]:
    """A pipeline for a block, closed after it."""
    made = Made(endpoint, spill, **options)
    try:
        yield made
    finally:
        made.pipeline.close()
    if made.pipeline._delivery._flight is None:
        assert made.pipeline.queue.held == 0, "memory that is counted and not there"


def ended(sink: OtlpSink) -> list[str]:
    """Names of the spans that arrived and have ended, each once however often it was sent."""
    found = {span["spanId"]: span for span in sink.spans() if span.get("endTimeUnixNano", "0") != "0"}
    return [span["name"] for span in sorted(found.values(), key=lambda span: int(span["startTimeUnixNano"]))]


def until(true: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait for a state."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)


def log_records(sink: OtlpSink, event: str = "") -> list[dict[str, Any]]:
    """Log records that arrived, of one event where it is named."""
    blocks = sink.as_json("logs").get("resourceLogs", [])
    records = [record for block in blocks for scope in block["scopeLogs"] for record in scope["logRecords"]]
    return [record for record in records if not event or record.get("eventName") == event]
