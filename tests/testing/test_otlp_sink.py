"""The OTLP sink keeps what a client sends, and decodes it."""

import gzip
import json
import urllib.error
import urllib.request

import pytest

from pilothouse.testing import OtlpSink

trace_service = pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2")

SPAN = {"traceId": "ab" * 16, "spanId": "cd" * 8, "name": "a span", "kind": 1}
BODY = {"resourceSpans": [{"scopeSpans": [{"spans": [SPAN]}]}]}


def post(url: str, body: bytes, **headers: str) -> tuple[int, bytes]:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    with urllib.request.urlopen(urllib.request.Request(url, data=body, headers=names), timeout=10) as response:
        return response.status, response.read()


def protobuf() -> bytes:
    request = trace_service.ExportTraceServiceRequest()
    span = request.resource_spans.add().scope_spans.add().spans.add()
    span.trace_id, span.span_id, span.name, span.kind = bytes.fromhex("ab" * 16), bytes.fromhex("cd" * 8), "a span", 1
    return request.SerializeToString()


def test_json_and_compressed_protobuf_read_the_same() -> None:
    with OtlpSink() as sink:
        url = f"{sink.address}/v1/traces"
        assert post(url, json.dumps(BODY).encode(), Content_Type="application/json") == (200, b"{}")
        packed = gzip.compress(protobuf())
        assert post(url, packed, Content_Type="application/x-protobuf", Content_Encoding="gzip") == (200, b"")
        first, second = sink.wait_for("traces", count=2)
        assert first.as_json() == second.as_json() == BODY
        assert sink.spans() == [SPAN, SPAN]
        assert first.headers["content-type"] == "application/json"


def test_a_longer_address_counts_by_its_end() -> None:
    with OtlpSink() as sink:
        post(f"{sink.address}/api/public/otel/v1/logs", b'{"resourceLogs": []}', Content_Type="application/json")
        assert [request.signal for request in sink.requests] == ["logs"]
        assert sink.as_json("metrics") == {}


def test_a_refusal_is_sent_on_demand_and_keeps_nothing() -> None:
    with OtlpSink() as sink:
        sink.status, sink.retry_after_s = 503, 2
        with pytest.raises(urllib.error.HTTPError) as raised:
            post(f"{sink.address}/v1/traces", b"{}", Content_Type="application/json")
        assert raised.value.headers["Retry-After"] == "2"
        assert sink.requests == ()


def test_waiting_for_what_never_comes_says_how_much_came() -> None:
    with OtlpSink() as sink, pytest.raises(TimeoutError, match="0 of 1 exports of traces"):
        sink.wait_for("traces", timeout_s=0.01)


def test_a_server_that_is_not_running_has_no_address() -> None:
    with pytest.raises(RuntimeError, match="with statement"):
        _ = OtlpSink().address
