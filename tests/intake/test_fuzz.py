"""Fuzz: whatever bytes come, the decoders raise nothing but our own errors, and receiver and worker agree."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilothouse.intake import SIGNALS, decode, validate
from pilothouse.records import PilothouseError
from tests.intake.otlp_requests import (
    JSON,
    PROTOBUF,
    json_attributes,
    json_span,
    json_traces,
    logs,
    metrics,
    spans,
    traces,
)


def check(signal: Any, content_type: str, body: bytes) -> None:
    """Both decoders end in the same way, and what they return can be written down."""
    try:
        checked = validate(signal, content_type, "", body)
    except PilothouseError as error:
        with pytest.raises(type(error)) as caught:
            decode(signal, content_type, "", body)
        assert caught.value.message == error.message
        return
    decoded = decode(signal, content_type, "", body)
    assert (checked.items, checked.refused_count) == (decoded.items, decoded.refused_count)
    assert checked.refused == decoded.refused
    assert len(decoded.spans) + len(decoded.logs) + len(decoded.points) == checked.accepted
    for span in decoded.spans:
        assert len(bytes.fromhex(span.trace_id)) == 16
        assert len(bytes.fromhex(span.span_id)) == 8
        assert 0 <= span.start_ns < 2**64
        orjson.dumps(plain(span.attributes))
    for log in decoded.logs:
        orjson.dumps(plain([log.body, log.attributes]))
    for point in decoded.points:
        assert isinstance(point.value, float)
        orjson.dumps(plain([point.detail, point.attributes]))


def plain(value: Any) -> Any:
    """The value with bytes as text: all else must already be what JSON and UTF-8 can hold."""
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [plain(one) for one in value]
    if isinstance(value, int) and not isinstance(value, bool):
        assert -(2**63) <= value < 2**64
    return value.hex() if isinstance(value, bytes) else value


def sample_metrics() -> Any:
    request, scope = metrics()
    scope.metrics.add(name="a").gauge.data_points.add(as_double=1.5)
    scope.metrics.add(name="b").histogram.data_points.add(count=3, sum=2.0, bucket_counts=[1, 2], explicit_bounds=[1])
    scope.metrics.add(name="c").exponential_histogram.data_points.add(count=1, scale=3)
    scope.metrics.add(name="d").summary.data_points.add(count=2).quantile_values.add(quantile=0.5, value=3)
    return request


ATTRIBUTES = {"a": "text", "b": [1, {"c": None}], "d": 1.5, "e": b"\1\2", "f": True}
SAMPLES = {
    "traces": traces(*spans(3, attributes=ATTRIBUTES)),
    "logs": logs({"body": {"a": ["b"]}, "attributes": ATTRIBUTES, "trace_id": b"1" * 16}, {"body": "x"}),
    "metrics": sample_metrics(),
}
PROTOBUF_SAMPLES = {signal: request.SerializeToString() for signal, request in SAMPLES.items()}
signals = st.sampled_from(SIGNALS)


@settings(max_examples=300, deadline=None)
@given(signal=signals, body=st.binary(max_size=200))
def test_random_bytes_as_protobuf(signal, body):
    check(signal, PROTOBUF, body)


@st.composite
def mutated(draw: st.DrawFn, whole: bytes) -> bytes:
    """The bytes with some changed, removed, doubled or inserted."""
    body = bytearray(whole)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(body)))
        action = draw(st.integers(0, 3))
        if action == 0 and at < len(body):
            body[at] = draw(st.integers(0, 255))
        elif action == 1:
            del body[at : at + draw(st.integers(1, 20))]
        elif action == 2:
            body[at:at] = body[at : at + draw(st.integers(1, 40))]
        else:
            body[at:at] = draw(st.binary(min_size=1, max_size=8))
    return bytes(body)


@settings(max_examples=600, deadline=None)
@given(data=st.data(), signal=signals)
def test_mutated_protobuf(data, signal):
    check(signal, PROTOBUF, data.draw(mutated(PROTOBUF_SAMPLES[signal])))


@settings(max_examples=200, deadline=None)
@given(signal=signals, other=signals)
def test_a_request_sent_to_the_wrong_signal(signal, other):
    check(signal, PROTOBUF, PROTOBUF_SAMPLES[other])


JSON_SAMPLES = {
    "traces": json_traces(
        json_span(
            attributes=json_attributes(ATTRIBUTES),
            kind=3,
            startTimeUnixNano="5",
            events=[{"timeUnixNano": "1", "name": "e", "attributes": []}],
            links=[{"traceId": "1" * 32, "spanId": "2" * 16}],
            status={"code": 2},
        )
    ),
    "logs": json.dumps(
        {"resourceLogs": [{"scopeLogs": [{"logRecords": [{"body": {"stringValue": "x"}, "severityNumber": 9}]}]}]}
    ).encode(),
    "metrics": json.dumps(
        {
            "resourceMetrics": [
                {
                    "scopeMetrics": [
                        {
                            "metrics": [
                                {"name": "a", "gauge": {"dataPoints": [{"asInt": "5", "flags": 0}]}},
                                {
                                    "name": "b",
                                    "histogram": {
                                        "dataPoints": [{"count": "1", "bucketCounts": ["1"], "explicitBounds": [1]}]
                                    },
                                },
                            ]
                        }
                    ]
                }
            ]
        }
    ).encode(),
}


@settings(max_examples=400, deadline=None)
@given(data=st.data(), signal=signals)
def test_mutated_json(data, signal):
    check(signal, JSON, data.draw(mutated(JSON_SAMPLES[signal])))


# Names that the decoders look for, so that random documents reach them.
names = st.sampled_from(
    [
        "resourceSpans",
        "scopeSpans",
        "spans",
        "resource",
        "scope",
        "attributes",
        "key",
        "value",
        "traceId",
        "spanId",
        "parentSpanId",
        "name",
        "kind",
        "startTimeUnixNano",
        "status",
        "code",
        "message",
        "events",
        "links",
        "timeUnixNano",
        "resourceLogs",
        "scopeLogs",
        "logRecords",
        "body",
        "severityNumber",
        "resourceMetrics",
        "scopeMetrics",
        "metrics",
        "gauge",
        "sum",
        "histogram",
        "exponentialHistogram",
        "summary",
        "dataPoints",
        "asInt",
        "asDouble",
        "count",
        "bucketCounts",
        "explicitBounds",
        "quantileValues",
        "positive",
        "offset",
        "exemplars",
        "flags",
        "min",
        "stringValue",
        "intValue",
        "doubleValue",
        "boolValue",
        "arrayValue",
        "kvlistValue",
        "bytesValue",
        "values",
    ]
)
atoms = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=6)
    | st.sampled_from(["1" * 32, "2" * 16, "NaN", "-1", "1e400", "\ud800"])
)
documents = st.recursive(
    atoms, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4), max_leaves=20
)


@settings(max_examples=400, deadline=None)
@given(signal=signals, document=documents, depth=st.integers(0, 4))
def test_random_documents_as_json(signal, document, depth):
    from pilothouse.intake.shapes import camel, shape

    levels = [shape(signal).resources, shape(signal).scopes, shape(signal).items]
    for name in reversed(levels[:depth]):
        document = {camel(name): document if isinstance(document, list) else [document]}
    check(signal, JSON, json.dumps(document).encode())


@settings(deadline=None)
@given(signal=signals, body=st.text(max_size=60) | st.binary(max_size=60))
def test_random_text_as_json(signal, body):
    check(signal, JSON, body if isinstance(body, bytes) else body.encode("utf-8", "surrogatepass"))


@pytest.mark.parametrize("name", ["x" * 70_000, "\0", "\u2028\ud7ff\ue000"])
def test_odd_names_are_kept(name):
    check("traces", PROTOBUF, traces({"name": name}).SerializeToString())
    (span,) = decode("traces", PROTOBUF, "", traces({"name": name}).SerializeToString()).spans
    assert span.name == name
