"""What our recorder adds is read whatever instrumentation made the span."""

from __future__ import annotations

import pytest

from pilothouse import conventions
from pilothouse.records import Emitter, RawSpan
from pilothouse.records.names import KIND, RUNNING


@pytest.mark.parametrize("scope", ["pilothouse", "openinference.instrumentation.openai", "my.tracer", "logfire"])
def test_an_open_span_is_running_in_every_dialect(scope: str) -> None:
    attributes = {RUNNING: True, KIND: "waiting"}
    raw = RawSpan(
        trace_id="a" * 32,
        span_id="b" * 16,
        name="approval",
        start_ns=1,
        end_ns=0,
        attributes=attributes,
        emitter=Emitter(scope_name=scope),
    )
    reading = conventions.read(raw)
    assert (reading.running, reading.kind) == (True, "waiting")


@pytest.mark.parametrize("kind", ["nonsense", "", 3, None, ["tool"]])
def test_a_kind_that_is_none_changes_nothing(kind: object) -> None:
    attributes = {KIND: kind, RUNNING: "yes"}
    raw = RawSpan(trace_id="a" * 32, span_id="b" * 16, name="x", start_ns=1, end_ns=2, attributes=attributes)
    reading = conventions.read(raw)
    assert (reading.running, reading.kind) == (False, "other")
