"""Decoding: what a sender meant is what is stored, in protobuf and in JSON alike."""

from __future__ import annotations

import base64
import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilothouse.intake import decode, validate
from pilothouse.records import BadRequest
from tests.intake.otlp_requests import (
    JSON,
    PROTOBUF,
    SPAN_ID,
    TRACE_ID,
    fill,
    fill_attributes,
    fixtures,
    json_attributes,
    json_double,
    json_span,
    json_traces,
    json_value,
    logs,
    metrics,
    spans,
    traces,
)


def from_protobuf(request: Any, signal: Any = "traces") -> Any:
    return decode(signal, PROTOBUF, "", request.SerializeToString())


def from_json(body: Any, signal: Any = "traces") -> Any:
    return decode(signal, JSON, "", body if isinstance(body, bytes) else json.dumps(body).encode())


def one_attribute(value: Any) -> Any:
    """The attribute as decoded from a JSON span that has only this one."""
    (span,) = from_json(json_traces(json_span(attributes=[{"key": "k", "value": value}]))).spans
    return span.attributes.get("k")


# ── protobuf and JSON mean the same ──────────────────────────────────────────

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
int64s = st.integers(-(2**63), 2**63 - 1)
uint64s = st.integers(0, 2**64 - 1)
doubles = st.floats(allow_nan=False)
scalars = st.none() | st.booleans() | texts | int64s | doubles | st.binary(max_size=8)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=6
)
attribute_sets = st.dictionaries(texts, values, max_size=4)
ids = st.sampled_from([b"", b"\1", b"\1" * 8, b"\2" * 16, bytes(8), bytes(16), b"\3" * 17, b"\4" * 9])


@st.composite
def span_fields(draw: st.DrawFn) -> dict[str, Any]:
    return {
        "trace_id": draw(st.just(TRACE_ID) | ids),
        "span_id": draw(st.just(SPAN_ID) | ids),
        "parent_span_id": draw(ids),
        "name": draw(texts),
        "kind": draw(st.integers(0, 7)),
        "start_time_unix_nano": draw(uint64s),
        "end_time_unix_nano": draw(uint64s),
        "trace_state": draw(texts),
        "attributes": draw(attribute_sets),
        "code": draw(st.integers(0, 4)),
        "message": draw(texts),
        "events": draw(st.lists(st.tuples(uint64s, texts, attribute_sets), max_size=2)),
        "links": draw(st.lists(st.tuples(ids, ids, attribute_sets), max_size=2)),
    }


def protobuf_spans(resource: dict[str, Any], drawn: list[dict[str, Any]]) -> bytes:
    request = traces(resource=resource)
    for fields in drawn:
        fields = dict(fields)
        attributes, code, message = fields.pop("attributes"), fields.pop("code"), fields.pop("message")
        events, links = fields.pop("events"), fields.pop("links")
        span = request.resource_spans[0].scope_spans[0].spans.add(**fields)
        fill_attributes(span.attributes, attributes)
        span.status.code = code
        span.status.message = message
        for time_ns, name, event_attributes in events:
            fill_attributes(span.events.add(time_unix_nano=time_ns, name=name).attributes, event_attributes)
        for trace_id, span_id, link_attributes in links:
            fill_attributes(span.links.add(trace_id=trace_id, span_id=span_id).attributes, link_attributes)
    return request.SerializeToString()


def json_spans(resource: dict[str, Any], drawn: list[dict[str, Any]]) -> bytes:
    written = [
        {
            "traceId": fields["trace_id"].hex().upper(),
            "spanId": fields["span_id"].hex(),
            "parentSpanId": fields["parent_span_id"].hex(),
            "name": fields["name"],
            "kind": fields["kind"],
            "startTimeUnixNano": str(fields["start_time_unix_nano"]),
            "endTimeUnixNano": fields["end_time_unix_nano"],
            "traceState": fields["trace_state"],
            "attributes": json_attributes(fields["attributes"]),
            "status": {"code": fields["code"], "message": fields["message"]},
            "events": [
                {"timeUnixNano": str(time_ns), "name": name, "attributes": json_attributes(event_attributes)}
                for time_ns, name, event_attributes in fields["events"]
            ],
            "links": [
                {"traceId": trace_id.hex(), "spanId": span_id.hex(), "attributes": json_attributes(link_attributes)}
                for trace_id, span_id, link_attributes in fields["links"]
            ],
            "unknownField": [1, {}],
        }
        for fields in drawn
    ]
    document = {
        "resourceSpans": [
            {
                "resource": {"attributes": json_attributes(resource)},
                "scopeSpans": [{"scope": {"name": "test"}, "spans": written}],
            }
        ]
    }
    return json.dumps(document).encode()


@settings(deadline=None)
@given(resource=attribute_sets, drawn=st.lists(span_fields(), max_size=3))
def test_the_same_spans_in_protobuf_and_json_decode_equal(resource, drawn):
    left = decode("traces", PROTOBUF, "", protobuf_spans(resource or {"a": 1}, drawn))
    right = decode("traces", JSON, "", json_spans(resource or {"a": 1}, drawn))
    assert left.spans == right.spans
    assert [(one.index, one.id, one.reason) for one in left.refused] == [
        (one.index, one.id, one.reason) for one in right.refused
    ]
    assert left.items == right.items == len(drawn)


@settings(deadline=None)
@given(
    body=values,
    attributes=attribute_sets,
    trace_id=ids,
    span_id=ids,
    time_ns=uint64s,
    severity=st.integers(0, 24),
    name=texts,
)
def test_the_same_log_record_in_protobuf_and_json_decodes_equal(
    body, attributes, trace_id, span_id, time_ns, severity, name
):
    request = logs(
        {
            "time_unix_nano": time_ns,
            "observed_time_unix_nano": 5,
            "severity_number": severity,
            "severity_text": name,
            "event_name": name,
            "trace_id": trace_id,
            "span_id": span_id,
            "attributes": attributes,
            "body": body,
        }
    )
    record = {
        "timeUnixNano": str(time_ns),
        "observedTimeUnixNano": 5,
        "severityNumber": severity,
        "severityText": name,
        "eventName": name,
        "traceId": trace_id.hex(),
        "spanId": span_id.hex(),
        "attributes": json_attributes(attributes),
        "body": json_value(body),
    }
    right = from_json({"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]}, "logs")
    assert from_protobuf(request, "logs").logs == right.logs
    assert len(right.logs) == 1


@settings(deadline=None)
@given(number=doubles, whole=int64s, counts=st.lists(uint64s, max_size=3), attributes=attribute_sets, name=texts)
def test_the_same_points_in_protobuf_and_json_decode_equal(number, whole, counts, attributes, name):
    request, scope = metrics()
    gauge = scope.metrics.add(name=name, unit="1").gauge.data_points.add(as_double=number, time_unix_nano=7)
    fill_attributes(gauge.attributes, attributes)
    total = scope.metrics.add(name="b").sum
    total.aggregation_temporality, total.is_monotonic = 2, True
    total.data_points.add(as_int=whole, flags=1)
    histogram = scope.metrics.add(name="c").histogram
    histogram.aggregation_temporality = 1
    point = histogram.data_points.add(count=3, sum=number, bucket_counts=counts, explicit_bounds=[1.5], max=number)
    fill_attributes(point.exemplars.add(as_int=1, trace_id=TRACE_ID, span_id=b"1").filtered_attributes, attributes)
    exponential = scope.metrics.add(name="d").exponential_histogram.data_points.add(count=1, scale=-3, zero_count=2)
    exponential.positive.offset = -1
    exponential.positive.bucket_counts.extend(counts)
    summary = scope.metrics.add(name="e").summary.data_points.add(count=9, sum=number)
    summary.quantile_values.add(quantile=0.5, value=number)
    document = [
        {
            "name": name,
            "unit": "1",
            "gauge": {
                "dataPoints": [
                    {"asDouble": json_double(number), "timeUnixNano": "7", "attributes": json_attributes(attributes)}
                ]
            },
        },
        {
            "name": "b",
            "sum": {
                "aggregationTemporality": "AGGREGATION_TEMPORALITY_CUMULATIVE",
                "isMonotonic": True,
                "dataPoints": [{"asInt": str(whole), "flags": 1}],
            },
        },
        {
            "name": "c",
            "histogram": {
                "aggregationTemporality": 1,
                "dataPoints": [
                    {
                        "count": "3",
                        "sum": json_double(number),
                        "bucketCounts": [str(one) for one in counts],
                        "explicitBounds": [1.5],
                        "max": json_double(number),
                        "exemplars": [
                            {
                                "asInt": 1,
                                "traceId": TRACE_ID.hex(),
                                "spanId": b"1".hex(),
                                "filteredAttributes": json_attributes(attributes),
                            }
                        ],
                    }
                ],
            },
        },
        {
            "name": "d",
            "exponentialHistogram": {
                "dataPoints": [
                    {
                        "count": 1,
                        "scale": -3,
                        "zeroCount": "2",
                        "positive": {"offset": -1, "bucketCounts": counts},
                    }
                ]
            },
        },
        {
            "name": "e",
            "summary": {
                "dataPoints": [
                    {
                        "count": "9",
                        "sum": json_double(number),
                        "quantileValues": [{"quantile": 0.5, "value": json_double(number)}],
                    }
                ]
            },
        },
    ]
    left = from_protobuf(request, "metrics")
    right = from_json({"resourceMetrics": [{"scopeMetrics": [{"metrics": document}]}]}, "metrics")
    assert left.points == right.points
    assert left.refused == right.refused
    assert left.items == 5


# ── the official examples ────────────────────────────────────────────────────


def test_the_official_trace_example_is_read():
    (span,) = from_json((fixtures() / "otlp_examples" / "trace.json").read_bytes()).spans
    assert (span.trace_id, span.span_id) == ("5b8efff798038103d269b633813fc60c", "eee19b7ec3c1b174")
    assert (span.name, span.otel_kind) == ("I'm a server span", 2)
    assert span.emitter.resource == {"service.name": "my.service"}
    assert span.emitter.scope_attributes == {"my.scope.attribute": "some scope attribute"}


def test_the_official_log_example_is_read():
    (log,) = from_json((fixtures() / "otlp_examples" / "logs.json").read_bytes(), "logs").logs
    assert log.body == "Example log record"
    assert log.attributes["array.attribute"] == ["many", "values"]
    assert log.attributes["map.attribute"] == {"some.map.key": "some value"}
    assert log.attributes["double.attribute"] == 637.704


def test_the_official_metric_example_is_read():
    points = from_json((fixtures() / "otlp_examples" / "metrics.json").read_bytes(), "metrics").points
    assert {point.type for point in points} >= {"sum", "gauge", "histogram"}
    assert points[0].monotonic
    assert points[0].temporality == "delta"
    histogram = next(point for point in points if point.type == "histogram")
    assert histogram.detail["buckets"] == [1, 1, 1]


# ── what JSON senders do ─────────────────────────────────────────────────────


def test_upper_case_hex_ids_are_taken_as_the_same_ids():
    (span,) = from_json(json_traces(json_span(traceId="AB" * 16, spanId="CD" * 8, parentSpanId="EF" * 8))).spans
    assert (span.trace_id, span.span_id, span.parent_span_id) == ("ab" * 16, "cd" * 8, "ef" * 8)


def test_base64_ids_are_taken_where_their_length_says_so():
    trace_id, span_id = base64.b64encode(TRACE_ID).decode(), base64.urlsafe_b64encode(b"\xff" * 8).decode()
    (span,) = from_json(json_traces(json_span(traceId=trace_id, spanId=span_id))).spans
    assert (span.trace_id, span.span_id) == (TRACE_ID.hex(), "ff" * 8)


@pytest.mark.parametrize("bad", ["12", "zz" * 16, "1 " * 16, "é" * 32, 5, "0x" + "1" * 30, "1" * 31, ["1"], True])
def test_an_id_that_is_none_is_refused_and_named(bad):
    done = from_json(json_traces(json_span(traceId=bad)))
    assert not done.spans
    assert "trace id" in done.refused[0].reason


@pytest.mark.parametrize("sent", [3, "3", "SPAN_KIND_CLIENT", "CLIENT", "span_kind_client", 3.0])
def test_enums_are_numbers_or_names(sent):
    (span,) = from_json(json_traces(json_span(kind=sent, status={"code": "STATUS_CODE_ERROR"}))).spans
    assert (span.otel_kind, span.status_code) == (3, 2)


@pytest.mark.parametrize("sent", [99, -1, "WHATEVER", None, {}, 10**30])
def test_an_unknown_kind_is_unspecified(sent):
    (span,) = from_json(json_traces(json_span(kind=sent))).spans
    assert span.otel_kind == 0


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"intValue": 5}, 5),
        ({"intValue": "5"}, 5),
        ({"intValue": "-9223372036854775808"}, -(2**63)),
        ({"intValue": 5.0}, 5),
        ({"intValue": "5e3"}, 5000),
        ({"intValue": "five"}, "five"),
        ({"doubleValue": "1.5"}, 1.5),
        ({"doubleValue": 2}, 2.0),
        ({"doubleValue": "-Infinity"}, -math.inf),
        ({"doubleValue": "many"}, "many"),
        ({"boolValue": "true"}, True),
        ({"boolValue": 0}, False),
        ({"stringValue": 5}, "5"),
        ({"stringValue": True}, "true"),
        ({"stringValue": {"a": 1}}, '{"a": 1}'),
        ({"stringValue": ""}, ""),
        ({"bytesValue": "AQI="}, b"\1\2"),
        ({"bytesValue": "AQI"}, b"\1\2"),
        ({"bytesValue": "-_8="}, b"\xfb\xff"),
        ({"bytesValue": "*"}, "*"),
        ({"string_value": "snake"}, "snake"),
        ({"arrayValue": {}}, []),
        ({"arrayValue": {"values": [{}, {"intValue": "1"}]}}, [None, 1]),
        ({"kvlistValue": {"values": [{"key": "a", "value": {"intValue": 1}}, {"key": "b"}]}}, {"a": 1, "b": None}),
        ({"somethingNew": 1}, None),
        ("plain", "plain"),
        (None, None),
        ({}, None),
    ],
)
def test_numbers_as_strings_and_strings_as_numbers_are_read(value, expected):
    found = one_attribute(value)
    assert found == expected
    assert type(found) is type(expected)


def test_nan_is_read_as_a_string_and_bare():
    assert math.isnan(one_attribute({"doubleValue": "NaN"}))
    body = json_traces(json_span(attributes=[{"key": "k", "value": {"doubleValue": math.nan}}]))
    assert b": NaN" in body
    assert math.isnan(from_json(body).spans[0].attributes["k"])


def test_numbers_out_of_the_int64_range_keep_their_digits():
    assert one_attribute({"intValue": "99999999999999999999"}) == "99999999999999999999"
    assert one_attribute({"intValue": 2**63}) == str(2**63)
    assert one_attribute({"intValue": "9" * 10_000}) == "9" * 10_000


def test_a_time_that_is_no_time_costs_only_its_span():
    for bad in ("soon", -1, 2**64, "1.5", [], {"a": 1}):
        done = from_json(json_traces(json_span(), json_span(startTimeUnixNano=bad)))
        assert len(done.spans) == 1
        assert "startTimeUnixNano" in done.refused[0].reason


def test_snake_case_field_names_are_read():
    span = {"trace_id": TRACE_ID.hex(), "span_id": SPAN_ID.hex(), "start_time_unix_nano": 5, "name": "x"}
    (found,) = from_json({"resource_spans": [{"scope_spans": [{"spans": [span]}]}]}).spans
    assert (found.start_ns, found.name) == (5, "x")


def test_json_nulls_count_as_absent():
    span = json_span(attributes=None, events=None, links=None, status=None, parentSpanId=None, kind=None, name=None)
    (found,) = from_json(json_traces(span)).spans
    assert (found.attributes, found.events, found.links, found.parent_span_id, found.name) == ({}, (), (), "", "")


@pytest.mark.parametrize(
    "broken",
    [
        {"attributes": 5},
        {"attributes": [5]},
        {"attributes": {"key": "a"}},
        {"events": {}},
        {"events": [None]},
        {"links": "x"},
        {"status": []},
        {"attributes": [{"key": "a", "value": {"arrayValue": {"values": 5}}}]},
        {"attributes": [{"key": "a", "value": {"kvlistValue": {"values": [5]}}}]},
        {"events": [{"timeUnixNano": "x"}]},
    ],
)
def test_a_field_of_the_wrong_shape_costs_only_its_span(broken):
    done = from_json(json_traces(json_span(name="good"), json_span(**broken), json_span(name="also good")))
    assert [span.name for span in done.spans] == ["good", "also good"]
    assert [one.index for one in done.refused] == [1]
    assert done.refused[0].id == SPAN_ID.hex()


@pytest.mark.parametrize("item", [5, None, "x", [], True])
def test_a_span_that_is_no_object_costs_only_itself(item):
    done = from_json(json_traces(json_span(), item))
    assert len(done.spans) == 1
    assert done.refused_count == 1


def test_a_block_of_the_wrong_shape_costs_only_itself():
    good = json.loads(json_traces(json_span()))["resourceSpans"][0]
    for bad in (5, {"resource": 5}, {"scopeSpans": 5}, {"scopeSpans": [{"spans": 5}]}, {"scopeSpans": [{"scope": 1}]}):
        done = from_json({"resourceSpans": [bad, good]})
        assert len(done.spans) == 1
        assert done.refused_count == 1


@pytest.mark.parametrize("body", [b"[]", b"5", b"null", b'{"resourceSpans": 5}', b'{"a":', b"{'a':1}", b"\x00"])
def test_a_body_that_is_no_request_is_refused(body):
    with pytest.raises(BadRequest):
        from_json(body)


@pytest.mark.parametrize("body", [b"", b"  ", b"{}", b'{"other": 1}', b'{"resourceSpans": []}', b"\xef\xbb\xbf{}"])
def test_an_empty_request_is_no_error(body):
    assert from_json(body).items == 0


def test_half_a_surrogate_pair_becomes_a_replacement_character():
    body = json_traces(json_span(name="NAME")).replace(b"NAME", rb"a\ud800b\\ud800 \ud83d\ude00")
    (span,) = from_json(body).spans
    assert span.name == "a\ufffdb\\ud800 \U0001f600"


def test_duplicate_json_fields_the_last_wins():
    body = json_traces(json_span()).replace(b'"name": "step"', b'"name": "first", "name": "last"')
    assert from_json(body).spans[0].name == "last"


# ── protobuf that the parser refuses as a whole ──────────────────────────────


def with_bad_utf8(request: Any) -> bytes:
    """Replace each ``§`` (two bytes) by two bytes that are not UTF-8."""
    return request.SerializeToString().replace("§".encode(), b"\xff\xfe")


def test_invalid_utf8_costs_no_span():
    request = traces(*spans(3))
    request.resource_spans[0].scope_spans[0].spans[1].name = "bad § name"
    done = decode("traces", PROTOBUF, "", with_bad_utf8(request))
    assert [span.name for span in done.spans] == ["step 0", "bad \ufffd\ufffd name", "step 2"]
    assert done.refused_count == 0


def test_invalid_utf8_anywhere_in_a_span_is_mended():
    request = traces({"attributes": {"k§": {"deep": ["v§"]}}}, resource={"r": "§"}, scope="s§")
    span = request.resource_spans[0].scope_spans[0].spans[0]
    span.status.message = "§"
    fill_attributes(span.events.add(name="e§").attributes, {"a": "§"})
    (found,) = decode("traces", PROTOBUF, "", with_bad_utf8(request)).spans
    bad = "\ufffd\ufffd"
    assert found.attributes == {f"k{bad}": {"deep": [f"v{bad}"]}}
    assert (found.status_message, found.events[0].name, found.events[0].attributes) == (bad, f"e{bad}", {"a": bad})
    assert (found.emitter.resource, found.emitter.scope_name) == ({"r": bad}, f"s{bad}")


def test_invalid_utf8_in_logs_and_metrics_is_mended():
    done = decode("logs", PROTOBUF, "", with_bad_utf8(logs({"body": "x§"}, {"body": "fine"})))
    assert [log.body for log in done.logs] == ["x\ufffd\ufffd", "fine"]
    request, scope = metrics()
    scope.metrics.add(name="§").gauge.data_points.add(as_int=1)
    scope.metrics.add(name="fine").sum.data_points.add(as_int=2)
    done = decode("metrics", PROTOBUF, "", with_bad_utf8(request))
    assert [point.metric for point in done.points] == ["\ufffd\ufffd", "fine"]


def nested(levels: int, kind: str) -> Any:
    plain: Any = 1
    for _ in range(levels):
        plain = {"k": plain} if kind == "object" else [plain]
    return plain


@pytest.mark.parametrize("kind", ["object", "list"])
@pytest.mark.parametrize("levels", [1, 20, 28])
def test_nested_values_are_plain_data_in_both_formats(kind, levels):
    plain = nested(levels, kind)
    assert from_protobuf(traces({"attributes": {"k": plain}})).spans[0].attributes["k"] == plain
    body = json_traces(json_span(attributes=json_attributes({"k": plain})))
    assert from_json(body).spans[0].attributes["k"] == plain


@pytest.mark.parametrize("kind", ["object", "list"])
@pytest.mark.parametrize("levels", [60, 120])
def test_a_value_nested_too_deep_costs_only_its_span(kind, levels):
    request = traces(*spans(3))
    deep = request.resource_spans[0].scope_spans[0].spans[1].attributes.add(key="k")
    fill(deep.value, nested(levels, kind))
    done = from_protobuf(request)
    assert [span.name for span in done.spans] == ["step 0", "step 2"]
    assert done.refused[0].id == (2).to_bytes(8, "big").hex()
    assert "nested" in done.refused[0].reason
    body = json_traces(json_span(), json_span(attributes=json_attributes({"k": nested(levels, kind)})))
    done = from_json(body)
    assert len(done.spans) == 1
    assert "nested" in done.refused[0].reason


def test_a_damaged_span_in_whole_frames_costs_only_itself():
    request = traces(*spans(3))
    marker = request.resource_spans[0].scope_spans[0].spans[1]
    marker.attributes.add(key="KEY")
    body = request.SerializeToString().replace(b"\x0a\x03KEY", b"\x0a\x7fKEY")
    done = decode("traces", PROTOBUF, "", body)
    assert [span.name for span in done.spans] == ["step 0", "step 2"]
    assert "damaged" in done.refused[0].reason
    assert validate("traces", PROTOBUF, "", body).refused == done.refused


def test_a_damaged_resource_costs_only_its_own_spans():
    request = traces(*spans(2), resource={"KEY": 1})
    other = traces({"name": "neighbour"})
    body = request.SerializeToString().replace(b"\x0a\x03KEY", b"\x0a\x7fKEY") + other.SerializeToString()
    done = decode("traces", PROTOBUF, "", body)
    assert [span.name for span in done.spans] == ["neighbour"]
    assert [one.reason.startswith("its resource is damaged") for one in done.refused] == [True, True]


def test_an_attribute_without_a_value_counts_as_absent():
    plain = {"a": 1, "b": None, "c": [None, 1], "d": {"e": None}}
    expected = {"a": 1, "c": [None, 1], "d": {"e": None}}
    assert from_protobuf(traces({"attributes": plain})).spans[0].attributes == expected
    assert from_json(json_traces(json_span(attributes=json_attributes(plain)))).spans[0].attributes == expected


def test_duplicate_keys_the_last_wins_in_both_formats():
    request = traces({})
    pairs = [("a", 1), ("b", "x"), ("a", 2), ("b", None)]
    for key, plain in pairs:
        fill_attributes(request.resource_spans[0].scope_spans[0].spans[0].attributes, {key: plain})
    expected = {"a": 2, "b": "x"}
    assert from_protobuf(request).spans[0].attributes == expected
    written = [{"key": key, "value": json_value(plain)} for key, plain in pairs]
    assert from_json(json_traces(json_span(attributes=written))).spans[0].attributes == expected


def test_a_parent_id_that_is_none_makes_a_root_that_keeps_what_was_sent():
    done = from_protobuf(traces({"parent_span_id": b"\1\2\3"}, {"parent_span_id": bytes(8)}, {"parent_span_id": b""}))
    assert [span.parent_span_id for span in done.spans] == ["", "", ""]
    assert done.spans[0].attributes == {"pilothouse.bad_parent_span_id": "010203"}
    assert done.spans[1].attributes == done.spans[2].attributes == {}
    (span,) = from_json(json_traces(json_span(parentSpanId="not hex"))).spans
    assert span.parent_span_id == ""
    assert span.attributes == {"pilothouse.bad_parent_span_id": "not hex"}


def test_a_log_with_bad_ids_is_kept_with_what_was_sent():
    (log,) = from_protobuf(logs({"trace_id": b"\1\2", "span_id": b"\3", "body": "x"}), "logs").logs
    assert (log.trace_id, log.span_id) == ("", "")
    assert log.attributes == {"pilothouse.bad_trace_id": "0102", "pilothouse.bad_span_id": "03"}


def test_a_link_to_nowhere_is_left_out():
    request = traces({})
    span = request.resource_spans[0].scope_spans[0].spans[0]
    span.links.add(trace_id=TRACE_ID, span_id=SPAN_ID)
    span.links.add(trace_id=b"1", span_id=SPAN_ID)
    assert [link.span_id for link in from_protobuf(request).spans[0].links] == [SPAN_ID.hex()]


def test_spans_of_one_block_share_their_emitter():
    found = from_protobuf(traces(*spans(3))).spans
    assert found[0].emitter is found[1].emitter is found[2].emitter
    body = json_traces(json_span(), json_span())
    found = from_json(body).spans
    assert found[0].emitter is found[1].emitter


def test_very_many_refusals_are_counted_but_not_all_described():
    done = from_protobuf(traces(*[{"span_id": b""}] * 1500, {"name": "good"}))
    assert done.items == 1501
    assert done.refused_count == 1500
    assert len(done.refused) == 1000
    assert [span.name for span in done.spans] == ["good"]
