"""Bad input over HTTP, one test per kind: it is refused or kept by a stated rule, and costs nobody else anything."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from pathlib import Path
from typing import Any

import pytest
import zstandard
from google.protobuf.message import Message
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from pilothouse.intake import Settings, decode
from pilothouse.records import RawSpan
from tests.intake.otlp_requests import (
    JSON,
    KEY,
    PROTOBUF,
    SPAN_ID,
    TRACE_ID,
    Running,
    json_attributes,
    json_span,
    json_traces,
    running,
    spans,
    traces,
)

MIB = 1 << 20


class Sent:
    """What came of one post."""

    def __init__(self, response: Any, found: Running) -> None:
        self.status = response.status_code
        self.headers = response.headers
        self.body = response.content
        self.spans: list[RawSpan] = []
        for _, record in found.stored():
            self.spans += decode(record.signal, record.content_type, record.encoding, record.body).spans
        self.counters = found.counters.snapshot()

    @property
    def names(self) -> list[str]:
        return [span.name for span in self.spans]

    @property
    def message(self) -> str:
        """The error's message, from JSON or protobuf."""
        if self.headers["content-type"] == JSON:
            return json.loads(self.body)["message"]
        return self.body.decode("utf-8", "replace")

    @property
    def partial(self) -> Any:
        if self.headers["content-type"] == JSON:
            return json.loads(self.body).get("partialSuccess")
        return ExportTraceServiceResponse.FromString(self.body).partial_success


def send(folder: Path, body: Any, *, settings: Settings | None = None, signal: str = "traces", **headers: str) -> Sent:
    """Post one body to a fresh intake."""

    async def run() -> Sent:
        async with running(folder, settings) as found:
            content = body.SerializeToString() if isinstance(body, Message) else body
            response = await found.post(content, signal=signal, **headers)
            return Sent(response, found)

    return asyncio.run(run())


def test_truncated_protobuf_is_refused_with_a_clear_message(tmp_path):
    whole = traces(*spans(3, attributes={"a": "b"})).SerializeToString()
    sent = send(tmp_path, whole[:-7])
    assert sent.status == 400
    assert "cut off" in sent.message
    assert not sent.spans


def test_protobuf_truncated_anywhere_never_crashes(tmp_path):
    whole = traces(*spans(2, attributes={"a": {"b": [1, "c"]}})).SerializeToString()

    async def run() -> list[int]:
        async with running(tmp_path) as found:
            return [(await found.post(whole[:length])).status_code for length in range(1, len(whole))]

    # Cut between two blocks it would be a shorter request; this one has a single block.
    assert set(asyncio.run(run())) == {400}


def test_wrong_content_type_is_415(tmp_path):
    sent = send(tmp_path, traces({}), content_type="text/plain")
    assert sent.status == 415
    assert "http/protobuf" in sent.message


def test_protobuf_called_json_and_json_called_protobuf_are_refused(tmp_path):
    assert send(tmp_path / "a", traces({}), content_type=JSON).status == 400
    assert send(tmp_path / "b", json_traces(json_span())).status == 400


def test_unknown_encoding_is_refused_by_name(tmp_path):
    sent = send(tmp_path, traces({}), content_encoding="br")
    assert sent.status == 400
    assert "'br'" in sent.message


def test_wrong_encoding_header_is_refused_by_name(tmp_path):
    sent = send(tmp_path, traces({}), content_encoding="gzip")
    assert sent.status == 400
    assert "Content-Encoding: gzip" in sent.message


def test_compressed_body_without_its_header_is_refused(tmp_path):
    assert send(tmp_path, gzip.compress(traces({}).SerializeToString())).status == 400


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [("gzip", gzip.compress), ("deflate", zlib.compress), ("zstd", zstandard.ZstdCompressor().compress)],
)
def test_every_encoding_is_taken_and_kept_as_received(tmp_path, encoding, pack):
    body = pack(traces({"name": "packed"}).SerializeToString())
    sent = send(tmp_path, body, content_encoding=encoding)
    assert sent.status == 200
    assert sent.names == ["packed"]


def test_body_over_the_limit_is_413_by_its_declared_length(tmp_path):
    sent = send(tmp_path, bytes(2 * MIB), settings=Settings(body_bytes_max=MIB))
    assert sent.status == 413
    assert "batch size" in sent.message
    assert sent.headers["connection"] == "close"


def test_body_over_the_limit_is_413_without_a_declared_length(tmp_path):
    read = 0

    async def endless() -> Any:
        nonlocal read
        while True:
            read += 1
            yield bytes(65536)

    sent = send(tmp_path, endless(), settings=Settings(body_bytes_max=MIB))
    assert sent.status == 413


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [("gzip", gzip.compress), ("deflate", zlib.compress), ("zstd", zstandard.ZstdCompressor().compress)],
)
def test_decompression_bomb_is_413(tmp_path, encoding, pack):
    sent = send(tmp_path, pack(bytes(100 * MIB)), content_encoding=encoding)
    assert sent.status == 413
    assert "once decompressed" in sent.message


@pytest.mark.parametrize("tag", [b"\x12", b"\x4a"], ids=["empty spans", "empty attributes"])
def test_bomb_of_empty_messages_is_413_before_it_is_parsed(tmp_path, tag):
    def frame(field: int, content: bytes) -> bytes:
        length = bytearray()
        left = len(content)
        while left > 127:
            length.append(left & 127 | 128)
            left >>= 7
        return bytes([field << 3 | 2, *length, left]) + content

    many = (tag + b"\0") * (8 * MIB)
    body = frame(1, frame(2, many if tag == b"\x12" else frame(2, many)))
    sent = send(tmp_path, gzip.compress(body, 1), settings=Settings(parsed_bytes_max=64 * MIB), content_encoding="gzip")
    assert sent.status == 413
    assert "so many items" in sent.message


def test_bomb_of_empty_json_objects_is_413_before_it_is_parsed(tmp_path):
    body = b'{"resourceSpans":[' + b"{}," * (7 * MIB) + b"{}]}"
    sent = send(tmp_path, gzip.compress(body, 1), content_type=JSON, content_encoding="gzip")
    assert sent.status == 413


def test_invalid_utf8_is_kept_with_replacement_characters(tmp_path):
    body = traces(*spans(3)).SerializeToString().replace(b"step 1", b"step\xff\xfe")
    sent = send(tmp_path, body)
    assert sent.status == 200
    assert sent.names == ["step 0", "step\ufffd\ufffd", "step 2"]
    sent = send(tmp_path / "json", json_traces(json_span(name="NAME")).replace(b"NAME", b"\xff"), content_type=JSON)
    assert sent.names == ["\ufffd"]


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'{"resourceSpans":[{"scopeSpans":['])
def test_json_nested_100_000_deep_is_refused(tmp_path, opening):
    sent = send(tmp_path, opening * 100_000, content_type=JSON)
    assert sent.status == 400
    assert "JSON" in sent.message


def test_json_nested_100_000_deep_and_closed_is_refused(tmp_path):
    body = b'{"resourceSpans":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    assert send(tmp_path, body, content_type=JSON).status == 400
    assert send(tmp_path / "bad utf-8", body + b"\xff", content_type=JSON).status == 400


def test_ids_of_wrong_length_or_all_zero_cost_only_their_spans(tmp_path):
    sent = send(
        tmp_path,
        traces(
            {"name": "good"},
            {"trace_id": b"\1" * 15},
            {"trace_id": bytes(16)},
            {"trace_id": b""},
            {"span_id": b"\1" * 16},
            {"span_id": bytes(8)},
            {"span_id": b""},
            {"name": "also good"},
        ),
    )
    assert sent.status == 200
    assert sent.names == ["good", "also good"]
    assert sent.partial.rejected_spans == 6
    for reason in ("#1", "15 bytes long, not 16", "trace id is all zero", "span id is missing"):
        assert reason in sent.partial.error_message
    (row,) = sent.counters.accepted
    assert (row.items, row.items_refused) == (2, 6)


def test_partial_success_is_told_in_json_to_a_json_sender(tmp_path):
    sent = send(tmp_path, json_traces(json_span(), json_span(spanId="0" * 16)), content_type=JSON)
    assert sent.status == 200
    assert sent.headers["content-type"] == JSON
    assert sent.partial["rejectedSpans"] == "1"
    assert "all zero" in sent.partial["errorMessage"]


def test_a_request_of_only_bad_spans_is_answered_and_not_stored(tmp_path):
    sent = send(tmp_path, traces({"span_id": b""}))
    assert sent.status == 200
    assert sent.partial.rejected_spans == 1
    assert not sent.spans


def test_partial_success_stays_short_for_many_refusals(tmp_path):
    sent = send(tmp_path, traces(*[{"span_id": b""}] * 5000))
    assert sent.partial.rejected_spans == 5000
    assert len(sent.partial.error_message) <= 2000
    assert "and 4990 more" in sent.partial.error_message


def test_upper_case_hex_ids_in_json_are_the_same_ids(tmp_path):
    sent = send(tmp_path, json_traces(json_span(traceId="AB" * 16, spanId="CD" * 8)), content_type=JSON)
    assert (sent.spans[0].trace_id, sent.spans[0].span_id) == ("ab" * 16, "cd" * 8)


def test_numbers_as_strings_and_strings_as_numbers_are_read(tmp_path):
    span = json_span(
        startTimeUnixNano="5",
        endTimeUnixNano=6,
        kind="3",
        name=7,
        attributes=[{"key": "n", "value": {"intValue": "8"}}, {"key": "d", "value": {"doubleValue": "1.5"}}],
    )
    (found,) = send(tmp_path, json_traces(span), content_type=JSON).spans
    assert (found.start_ns, found.end_ns, found.otel_kind, found.name) == (5, 6, 3, "7")
    assert found.attributes == {"n": 8, "d": 1.5}


def test_end_before_start_is_kept_as_sent(tmp_path):
    (found,) = send(tmp_path, traces({"start_time_unix_nano": 9, "end_time_unix_nano": 5})).spans
    assert (found.start_ns, found.end_ns) == (9, 5)


@pytest.mark.parametrize("time_ns", [0, 1, 2**63, 2**64 - 1])
def test_times_far_in_the_future_or_0_are_kept_as_sent(tmp_path, time_ns):
    (found,) = send(tmp_path, traces({"start_time_unix_nano": time_ns, "end_time_unix_nano": time_ns})).spans
    assert (found.start_ns, found.end_ns) == (time_ns, time_ns)


def test_a_10_mb_attribute_is_kept_whole(tmp_path):
    text = "agent " * (10 * MIB // 6)
    sent = send(tmp_path, traces({"attributes": {"big": text}}, {"name": "neighbour"}))
    assert sent.status == 200
    assert sent.spans[0].attributes == {"big": text}
    assert sent.names == ["step", "neighbour"]


def test_5_000_attributes_are_kept(tmp_path):
    attributes = {f"key {number}": number for number in range(5000)}
    assert send(tmp_path, traces({"attributes": attributes})).spans[0].attributes == attributes
    span = json_span(attributes=json_attributes(attributes))
    sent = send(tmp_path / "json", json_traces(span), content_type=JSON)
    assert sent.spans[0].attributes == attributes


def test_duplicate_keys_the_last_wins(tmp_path):
    request = traces({"attributes": {"a": "first"}})
    request.resource_spans[0].scope_spans[0].spans[0].attributes.add(key="a").value.string_value = "last"
    assert send(tmp_path, request).spans[0].attributes == {"a": "last"}


def test_other_signals_are_404_in_otlps_form(tmp_path):
    async def run() -> Any:
        async with running(tmp_path) as found:
            headers = {"content-type": JSON, "authorization": f"Bearer {KEY}"}
            profiles = await found.client.post("/v1development/profiles", content=b"{}", headers=headers)
            arrow = await found.client.post("/v1/arrow", content=b"{}", headers=headers)
            core = await found.intake.receive("arrow", headers, b"{}")
            return profiles, arrow, core, found.counters.snapshot()

    profiles, arrow, core, counted = asyncio.run(run())
    assert (profiles.status_code, arrow.status_code, core.status) == (404, 404, 404)
    assert profiles.json()["code"] == 5
    assert counted.refused_by_reason == {"not_found": 2}


def test_an_empty_body_is_an_empty_request(tmp_path):
    assert send(tmp_path / "protobuf", b"").status == 200
    sent = send(tmp_path / "json", b"", content_type=JSON)
    assert (sent.status, sent.body) == (200, b"{}")


def test_success_is_an_empty_message(tmp_path):
    sent = send(tmp_path, traces({}))
    assert (sent.status, sent.body, sent.headers["content-type"]) == (200, b"", PROTOBUF)
    assert (sent.spans[0].trace_id, sent.spans[0].span_id) == (TRACE_ID.hex(), SPAN_ID.hex())
