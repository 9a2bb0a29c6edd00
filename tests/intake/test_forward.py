"""Passing on to another backend: masked, in order, nothing left out, and neither side waits for the other."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pilothouse.guards import masker
from pilothouse.intake import Journal, JournalReader, Settings
from pilothouse.intake.checkpoint import Spot
from pilothouse.intake.forward import Upstream, headers_of, masked_body, read_upstreams
from pilothouse.intake.forwarder import Forwarder
from pilothouse.intake.segment import Record
from pilothouse.records import BadRequest
from pilothouse.testing import OtlpSink

from .otlp_requests import JSON, PROTOBUF, json_span, json_traces, logs, metrics, spans, traces

SECRET = "sk-ant-api03-" + "a1B2" * 24
SECRETS = masker(("secrets",))


def record(
    body: bytes, *, kind: str = PROTOBUF, encoding: str = "", project: str = "p", signal: Any = "traces"
) -> Record:
    return Record(
        project_id=project,
        signal=signal,
        content_type=kind,
        encoding=encoding,
        received_ns=time.time_ns(),
        body=body,
    )


def named(*names: str) -> bytes:
    return traces(
        *(span | {"name": name} for span, name in zip(spans(len(names)), names, strict=True))
    ).SerializeToString()


# ── masking ──────────────────────────────────────────────────────────────────


def test_every_text_is_masked_in_protobuf() -> None:
    request = traces(
        spans(1)[0] | {"name": f"call {SECRET}", "attributes": {"input": f"key {SECRET}", "deep": [{"a": SECRET}]}},
        resource={"env": SECRET},
    )
    span = request.resource_spans[0].scope_spans[0].spans[0]
    span.status.message = SECRET
    event = span.events.add()
    event.name = "exception"
    event.attributes.add(key="raw").value.bytes_value = SECRET.encode()
    sent = record(gzip.compress(request.SerializeToString()), encoding="gzip")

    body = masked_body(sent, SECRETS)

    assert SECRET.encode() not in body
    assert body.count(b"[masked: ") == 6
    assert b"key [masked: " in body


@pytest.mark.parametrize(("signal", "message"), [("logs", logs({"body": f"with {SECRET}"})), ("metrics", metrics()[0])])
def test_logs_and_metrics_are_masked_too(signal: str, message: Any) -> None:
    body = masked_body(record(message.SerializeToString(), signal=signal), SECRETS)
    assert SECRET.encode() not in body
    again = type(message)()
    again.ParseFromString(body)
    assert (b"[masked: " in body) == (signal == "logs")


def test_every_text_is_masked_in_json() -> None:
    sent = json_traces(json_span(name=f"call {SECRET}", attributes=[{"key": "k", "value": {"stringValue": SECRET}}]))
    body = masked_body(record(sent, kind=JSON), SECRETS)
    assert SECRET.encode() not in body
    assert json.loads(body)["resourceSpans"]


def test_without_rules_the_bytes_stay_as_they_are() -> None:
    body = named("a")
    assert masked_body(record(gzip.compress(body), encoding="gzip"), masker(())) == body


@pytest.mark.parametrize(("body", "kind"), [(b"\xff\xff\xff", PROTOBUF), (b"{", JSON), (b"[" * 100_000, JSON)])
def test_what_cannot_be_masked_is_not_passed_on(body: bytes, kind: str) -> None:
    with pytest.raises(BadRequest):
        masked_body(record(body, kind=kind), SECRETS)


# ── passing on ───────────────────────────────────────────────────────────────


@contextmanager
def journal(folder: Path, **settings: Any) -> Iterator[Callable[..., None]]:
    """A journal, and a function that appends records to it."""
    writer = Journal(folder / "journal" / "r0", Settings(**settings))

    def append(*records: Record) -> None:
        async def all_of_them() -> None:
            for one in records:
                await writer.append(one)

        asyncio.run(all_of_them())

    try:
        yield append
    finally:
        writer.close()


@contextmanager
def forwarding(folder: Path, sink: OtlpSink, **about: Any) -> Iterator[Forwarder]:
    upstream = Upstream(name="sink", url=sink.address, **about)
    forwarder = Forwarder(folder / "journal", upstream, {"": SECRETS})
    stop = threading.Event()
    thread = threading.Thread(target=forwarder.run, args=(stop,))
    thread.start()
    try:
        yield forwarder
    finally:
        stop.set()
        thread.join()


def wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def arrived(sink: OtlpSink) -> list[str]:
    return [span["name"] for span in sink.spans()]


def test_what_arrives_is_passed_on_in_order(tmp_path: Path) -> None:
    with OtlpSink() as sink, journal(tmp_path) as append:
        append(record(named("before")))
        reader = JournalReader(tmp_path / "journal")
        reader.save(reader.read(reader.load()).after)
        with forwarding(tmp_path, sink, headers={"x-key": "k"}) as forwarder:
            append(*(record(named(f"span-{number}")) for number in range(50)))
            wait(lambda: forwarder.progress.sent == 50)
        assert arrived(sink) == [f"span-{number}" for number in range(50)]
        assert {request.headers["x-key"] for request in sink.requests} == {"k"}


def test_only_what_is_wanted_is_passed_on(tmp_path: Path) -> None:
    with OtlpSink() as sink, journal(tmp_path) as append:
        with forwarding(tmp_path, sink, signals=("traces",), projects=("p",)) as forwarder:
            append(
                record(named("theirs"), project="q"),
                record(logs({"body": "x"}).SerializeToString(), signal="logs"),
                record(named("ours")),
            )
            wait(lambda: forwarder.progress.sent == 1)
        assert arrived(sink) == ["ours"]
        assert len(sink.requests) == 1


def test_a_backend_that_is_down_gets_everything_when_it_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pilothouse.intake.forwarder._PAUSE_MAX_S", 0.2)
    with OtlpSink() as sink, journal(tmp_path) as append:
        sink.status, sink.retry_after_s = 503, 0
        with forwarding(tmp_path, sink) as forwarder:
            append(*(record(named(f"span-{number}")) for number in range(20)))
            wait(lambda: forwarder.progress.failing_since > 0)
            assert forwarder.progress.pending_bytes > 0
            sink.status = 200
            wait(lambda: forwarder.progress.sent == 20)
            assert forwarder.progress.failing_since == 0
        assert arrived(sink) == [f"span-{number}" for number in range(20)]


def test_a_new_process_goes_on_where_the_last_one_stopped(tmp_path: Path) -> None:
    with OtlpSink() as sink, journal(tmp_path) as append:
        for turn in range(3):
            with forwarding(tmp_path, sink) as forwarder:
                append(record(named(f"span-{turn}")))
                wait(lambda forwarder=forwarder: forwarder.progress.sent == 1)
                wait(lambda forwarder=forwarder: forwarder.progress.pending_bytes == 0)
        assert arrived(sink) == ["span-0", "span-1", "span-2"]


def test_what_it_refuses_does_not_hold_up_the_rest(tmp_path: Path) -> None:
    with OtlpSink() as sink, journal(tmp_path) as append:
        sink.status = 400
        with forwarding(tmp_path, sink) as forwarder:
            append(record(named("bad")), record(b"\xff\xff\xff"))
            wait(lambda: forwarder.progress.refused == 1 and forwarder.progress.undecodable == 1)
            sink.status = 200
            append(record(named("good")))
            wait(lambda: forwarder.progress.sent == 1)
        assert arrived(sink) == ["good"]


def test_the_journal_is_kept_for_it_within_a_bound(tmp_path: Path) -> None:
    with OtlpSink() as sink, journal(tmp_path, segment_bytes=1) as append:
        with forwarding(tmp_path, sink):
            pass
        append(*(record(named(f"span-{number}")) for number in range(10)))
        reader = JournalReader(tmp_path / "journal")
        stored = reader.read(reader.load()).after
        held = reader.held(stored, ["sink", "not-there"], 1 << 20)
        assert held.spots.get("r0", Spot(0, 0)) < stored.spots["r0"]
        assert reader.release(held) == 0
        assert reader.held(stored, ["sink"], 10) == stored
        assert reader.release(stored) > 0
        with forwarding(tmp_path, sink) as forwarder:
            append(record(named("last")))
            wait(lambda: "last" in arrived(sink))
        assert len(arrived(sink)) < 11
        assert forwarder.progress.skipped <= 1


# ── configuration ────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("row", "named_there"),
    [
        ({}, "name"),
        ({"name": "a b", "url": "http://x"}, "a b"),
        ({"name": "a", "url": "ftp://x"}, "ftp"),
        ({"name": "a", "url": "http://x", "header": {}}, "header"),
        ({"name": "a", "url": "http://x", "headers": {"k": 1}}, "headers"),
        ({"name": "a", "url": "http://x", "signals": ["spans"]}, "spans"),
        ({"name": "a", "url": "http://x", "projects": "p"}, "projects"),
        ({"name": "a", "url": "http://x", "timeout_s": 0}, "timeout_s"),
        ("a", "forward"),
    ],
)
def test_every_mistake_is_named(row: Any, named_there: str) -> None:
    with pytest.raises(BadRequest) as raised:
        list(read_upstreams([row]))
    assert named_there in f"{raised.value.message} {raised.value.got} {raised.value.fix}"


def test_names_are_unique() -> None:
    row = {"name": "a", "url": "http://x"}
    with pytest.raises(BadRequest, match="one name"):
        list(read_upstreams([row, row]))


def test_keys_come_from_the_environment() -> None:
    upstream = Upstream(name="a", url="http://x", headers={"api-key": "env:THE_KEY", "plain": "p"})
    assert headers_of(upstream, {**os.environ, "THE_KEY": "s3cret"}) == {"api-key": "s3cret", "plain": "p"}
    with pytest.raises(BadRequest, match="THE_KEY"):
        headers_of(upstream, {})
