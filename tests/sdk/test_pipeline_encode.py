"""What the recorder writes by hand is what the generated protobuf classes write, for every kind of value."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from pilothouse.sdk import encode
from pilothouse.sdk.log_entry import LogEntry
from pilothouse.sdk.packing import Packer
from pilothouse.sdk.split import halves, items_in
from pilothouse.sdk.stats import Counters

reference = pytest.importorskip("opentelemetry.exporter.otlp.proto.common.trace_encoder")
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest  # noqa: E402
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest  # noqa: E402
from opentelemetry.proto.common.v1.common_pb2 import AnyValue  # noqa: E402

RESOURCE = Resource({"service.name": "agent", "service.instance.id": "one", "process.pid": 7})
SCOPE = InstrumentationScope("pilothouse", "0.1", "", {"x": 1})

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
SCALAR = (
    TEXT
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.binary(max_size=40)
    | st.sampled_from(["x" * n for n in (117, 118, 119, 126, 127, 128, 3_999, 4_000, 4_001, 16_383, 16_384, 70_000)])
)
VALUE = st.recursive(
    SCALAR,
    lambda inner: st.lists(inner, max_size=4).map(tuple) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=8,
)
ATTRIBUTES = st.dictionaries(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20), VALUE, max_size=6
)
CONTEXT = st.builds(
    SpanContext,
    trace_id=st.integers(1, 2**128 - 1),
    span_id=st.integers(1, 2**64 - 1),
    is_remote=st.booleans(),
    trace_flags=st.just(TraceFlags(1)),
    trace_state=st.sampled_from([TraceState(), TraceState([("a", "b"), ("vendor", "x=y")])]),
)
TIME = st.integers(0, 2**63 - 1)
SPAN = st.builds(
    ReadableSpan,
    name=TEXT,
    context=CONTEXT,
    parent=st.none() | CONTEXT,
    resource=st.just(RESOURCE),
    attributes=ATTRIBUTES,
    events=st.lists(st.builds(Event, TEXT, ATTRIBUTES, TIME), max_size=2),
    # The reference leaves a link's trace state out.
    links=st.lists(
        st.builds(Link, CONTEXT.map(lambda c: SpanContext(c.trace_id, c.span_id, c.is_remote)), ATTRIBUTES), max_size=2
    ),
    kind=st.sampled_from(SpanKind),
    status=st.just(Status(StatusCode.UNSET))
    | st.just(Status(StatusCode.OK))
    | TEXT.map(lambda t: Status(StatusCode.ERROR, t)),
    start_time=TIME,
    end_time=TIME,
    instrumentation_scope=st.sampled_from([SCOPE, InstrumentationScope("other")]),
)


def packed(*spans: ReadableSpan, mask: Any = None) -> ExportTraceServiceRequest:
    counters = Counters()
    packer = Packer(RESOURCE, "one", mask, counters)
    (batch,) = packer.pack("traces", [(span, True) for span in spans], 1 << 30, compress=False)
    assert counters.dropped == {}
    assert batch.count == len(spans)
    return ExportTraceServiceRequest.FromString(batch.body)


@given(st.lists(SPAN, min_size=1, max_size=4))
@settings(deadline=None)
def test_spans_are_written_as_the_generated_classes_write_them(spans: list[ReadableSpan]) -> None:
    ours, theirs = packed(*spans), reference.encode_spans(spans)
    assert ours == theirs


def made(**given: Any) -> ReadableSpan:
    context = SpanContext(1, 2, False, TraceFlags(1))
    return ReadableSpan("a", context=context, resource=RESOURCE, start_time=1, end_time=2, **given)


def test_what_otlp_has_no_type_for_becomes_text() -> None:
    class Awkward:
        def __str__(self) -> str:
            raise RuntimeError("no")

    values = {
        "big": 2**70,
        "lone": "a\ud800b",
        "none": None,
        "odd": Awkward(),
        "set": {1},
        "own": type("S", (str,), {})("t"),
    }
    found = {
        a.key: a.value for a in packed(made(attributes=values)).resource_spans[0].scope_spans[0].spans[0].attributes
    }
    assert found["big"].string_value == str(2**70)
    assert found["lone"].string_value == "a?b"
    assert found["none"].WhichOneof("value") is None
    assert found["odd"].string_value == "[Awkward]"
    assert [v.int_value for v in found["set"].array_value.values] == [1]
    assert found["own"].string_value == "t"


def test_a_value_nested_without_end_becomes_text_and_not_a_crash() -> None:
    endless: dict[str, Any] = {}
    endless["again"] = endless
    assert len(packed(made(attributes={"e": endless})).SerializeToString()) < 10_000


def test_the_mask_sees_every_text_of_a_span() -> None:
    span = made(
        attributes={"a": "secret", "l": ("secret",), "m": {"secret": {"k": "secret"}}, "b": b"secret"},
        events=[Event("e", {"x": "secret"}, 1)],
        links=[Link(SpanContext(1, 2, False), {"y": "secret"})],
        status=Status(StatusCode.ERROR, "secret"),
    )
    wire = packed(span, mask=lambda text: text.replace("secret", "[gone]")).SerializeToString()
    assert b"secret" not in wire
    assert wire.count(b"[gone]") == 8


def test_a_span_that_cannot_be_encoded_is_counted_and_the_others_go_on() -> None:
    counters = Counters()
    packer = Packer(RESOURCE, "one", None, counters)
    broken = ReadableSpan(
        "b", context=SpanContext(1, 3, False), attributes={"x" * 5000: "y"}, start_time="now", end_time=2
    )  # type: ignore[arg-type]
    (batch,) = packer.pack("traces", [(made(), True), (broken, True), (made(), True)], 1 << 30, compress=False)
    assert (batch.count, counters.dropped) == (2, {"not_encodable": 1})
    assert items_in(batch.body) == 2


@given(TEXT, ATTRIBUTES, st.sampled_from(["", "ab" * 16]), st.sampled_from(["", "cd" * 8]), VALUE)
@settings(deadline=None)
def test_log_records_say_what_they_were_given(
    event: str, attributes: dict[str, Any], trace_id: str, span_id: str, body: Any
) -> None:
    entry = LogEntry(
        time_ns=5, severity_number=17, severity_text="ERROR", body=body, event_name=event,
        trace_id=trace_id, span_id=span_id, attributes=attributes,
    )  # fmt: skip
    (batch,) = Packer(RESOURCE, "one", None, Counters()).pack("logs", [(entry, True)], 1 << 30, compress=False)
    (block,) = ExportLogsServiceRequest.FromString(batch.body).resource_logs
    (record,) = block.scope_logs[0].log_records
    assert {a.key: a.value.string_value for a in block.resource.attributes}["service.instance.id"] == "one"
    assert (record.time_unix_nano, record.severity_number, record.severity_text, record.event_name) == (
        5,
        17,
        "ERROR",
        event,
    )
    assert (record.trace_id.hex(), record.span_id.hex()) == (trace_id, span_id)
    assert record.body == AnyValue.FromString(encode.any_value(body, None))
    assert {a.key for a in record.attributes} == set(attributes)


@given(st.lists(SPAN, min_size=1, max_size=6))
@settings(deadline=None, max_examples=50)
def test_halves_hold_every_span_once_with_its_resource_and_scope(spans: list[ReadableSpan]) -> None:
    whole = packed(*spans)
    parts = [ExportTraceServiceRequest.FromString(part) for part in halves(whole.SerializeToString())]
    assert len(parts) == min(len(spans), 2)

    def content(requests: list[ExportTraceServiceRequest]) -> list[bytes]:
        return sorted(
            r.resource.SerializeToString() + s.scope.SerializeToString() + x.SerializeToString(deterministic=True)
            for q in requests for r in q.resource_spans for s in r.scope_spans for x in s.spans
        )  # fmt: skip

    assert content(parts) == content([whole])
    assert len(content(parts[:1])) == (len(spans) + (len(spans) == 1)) // 2


@given(st.binary(max_size=60))
def test_a_damaged_body_is_an_error_and_nothing_worse(body: bytes) -> None:
    with contextlib.suppress(ValueError):
        halves(body)
