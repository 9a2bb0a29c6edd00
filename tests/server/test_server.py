"""The server as a user runs it: start, keys, every way in, restarts of its parts, a full disk, the end."""

from __future__ import annotations

import gzip
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub

from tests.live_server import LiveServer, running_server, start_server
from tests.simulation.test_kill import kill_part, part_pid

LONG_BODY = b'{"x":"' + b"a" * 12_000_000 + b'"}'


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with running_server(tmp_path_factory.mktemp("server") / "data", anew=True) as running:
        yield running


def test_a_span_over_http_protobuf_is_visible_within_moments(server: LiveServer) -> None:
    body = gzip.compress(request("http", 1).SerializeToString())
    status, answer = server.post(
        "/v1/traces", body, {"content-type": "application/x-protobuf", "content-encoding": "gzip"}
    )
    assert (status, answer) == (200, b"")
    server.wait_for("SELECT count() FROM spans WHERE name = 'http'", [[1]], seconds=20)


@pytest.mark.parametrize(
    ("path", "key", "status"),
    [
        ("/mcp", True, 413),
        ("/mcp", False, 401),
        ("/api/v1/guard/check", False, 401),
        ("/gateway/openai/v1/chat/completions", False, 401),
        ("/api/v1/nothing", True, 404),
    ],
)
def test_a_refusal_arrives_after_a_long_body(server: LiveServer, path: str, key: bool, status: int) -> None:
    headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {server.key}"} if key else {})
    for _ in range(3):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(urllib.request.Request(server.url + path, LONG_BODY, headers), timeout=30)
        assert refused.value.code == status
        assert refused.value.read()


def test_a_caller_that_waits_for_the_word_is_refused_without_its_body(server: LiveServer) -> None:
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as caller:
        caller.sendall(
            b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Expect: 100-continue\r\nContent-Length: 5000000\r\n\r\n"
        )
        assert caller.recv(65536).startswith(b"HTTP/1.1 401")


def test_what_stores_gives_way_to_what_answers(server: LiveServer) -> None:
    own = os.getpriority(os.PRIO_PROCESS, server.process.pid)
    for part in ("worker", "storage"):
        threads = Path(f"/proc/{part_pid(server, part)}/task")
        found = {os.getpriority(os.PRIO_PROCESS, int(thread.name)) for thread in threads.iterdir()}
        assert found == {min(own + 5, 19)}, part


def test_a_span_over_grpc_is_visible_within_moments(server: LiveServer) -> None:
    with grpc.insecure_channel(server.grpc.removeprefix("http://")) as channel:
        TraceServiceStub(channel).Export(request("grpc", 2), metadata=[("authorization", f"Bearer {server.key}")])
        with pytest.raises(grpc.RpcError) as raised:
            TraceServiceStub(channel).Export(request("grpc", 3), metadata=[("authorization", "Bearer wrong")])
        assert raised.value.code() == grpc.StatusCode.UNAUTHENTICATED
    server.wait_for("SELECT count() FROM spans WHERE name = 'grpc'", [[1]], seconds=20)


def test_one_bad_span_does_not_cost_its_neighbours(server: LiveServer) -> None:
    bad = request("neighbours", 4, 5, 6)
    bad.resource_spans[0].scope_spans[0].spans[1].trace_id = b"short"
    status, answer = server.post("/v1/traces", bad.SerializeToString(), {"content-type": "application/x-protobuf"})
    assert status == 200
    assert b"trace" in answer
    server.wait_for("SELECT count() FROM spans WHERE name = 'neighbours'", [[2]], seconds=20)


def test_writes_with_a_wrong_key_are_refused_counted_and_shown(server: LiveServer) -> None:
    for _ in range(3):
        status, _ = server.post(
            "/v1/traces", b"{}", {"content-type": "application/json", "authorization": "Bearer nope"}
        )
        assert status == 401
    deadline = time.monotonic() + 20
    while True:
        findings = json.loads(server.get("/api/v1/doctor")[1])["data"]["findings"]
        refused = next(finding for finding in findings if finding["check"] == "refused")
        if refused["count"] >= 3:
            break
        assert time.monotonic() < deadline, refused
        time.sleep(0.2)
    assert refused["level"] == "bad"
    assert b"pilothouse_intake_refused_total" in server.get("/metrics")[1]


def test_reads_need_a_key_and_health_does_not(server: LiveServer) -> None:
    for path in ("/api/v1/traces", "/api/v1/sql?query=SELECT+1", "/traces.json", "/overview.md", "/api/v1/keys"):
        assert server.get(path, {"authorization": "Bearer nope"})[0] == 401, path
    assert server.get("/healthz", {"authorization": ""})[0] == 200
    assert server.get("/readyz", {"authorization": ""})[0] == 200


def test_a_second_server_on_the_folder_is_refused_by_name(server: LiveServer) -> None:
    command = [sys.executable, "-m", "pilothouse.cli", "up", "--data", str(server.data), "--port", "0"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert result.returncode == 2
    assert server.url in result.stderr


def test_a_taken_port_is_named(server: LiveServer, tmp_path: Path) -> None:
    port = server.url.rsplit(":", 1)[1]
    command = [sys.executable, "-m", "pilothouse.cli", "up", "--data", str(tmp_path), "--port", port]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert result.returncode == 2
    assert port in result.stderr


def test_the_key_is_printed_once_and_kept_as_a_hash(tmp_path: Path) -> None:
    first = start_server(tmp_path / "data")
    first.stop()
    second = start_server(tmp_path / "data", key=first.key)
    try:
        assert second.process.poll() is None
        assert second.get("/api/v1/keys")[0] == 200
        kept = b"".join(
            path.read_bytes()
            for path in second.data.rglob("*")
            if path.is_file() and path.suffix in (".db", ".json", "")
        )
        assert first.key.encode() not in kept
        assert not (second.data / "server.json").stat().st_mode & 0o077
    finally:
        second.stop()
    assert not (tmp_path / "data/server.json").exists()


def test_parts_that_die_come_back_and_nothing_is_lost(tmp_path: Path) -> None:
    with running_server(tmp_path / "data") as server:
        for number, part in enumerate(("worker", "storage", "worker", "storage"), 10):
            kill_part(server, part)
            body = request("after", number).SerializeToString()
            assert server.post("/v1/traces", body, {"content-type": "application/x-protobuf"})[0] == 200
        deadline = time.monotonic() + 60
        while True:
            status, answer = server.post(
                "/api/v1/sql", b'{"query": "SELECT count() FROM spans"}', {"content-type": "application/json"}
            )
            if status == 200 and json.loads(answer)["data"]["rows"] == [[4]]:
                break
            assert status in (200, 503), answer
            assert time.monotonic() < deadline, answer
            time.sleep(0.2)


@pytest.mark.skipif(os.getuid() != 0, reason="a small disk is mounted for it")
def test_a_full_disk_refuses_and_recovers_by_itself(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200m", "tmpfs", str(disk)], capture_output=True).returncode:
        pytest.skip("no disk can be mounted here")
    config = tmp_path / "pilothouse.toml"
    config.write_text("[limits]\ndisk_free_mb = 20\n")
    try:
        with running_server(disk / "data", "--config", str(config)) as server:
            assert server.post("/v1/traces", request("before", 20).SerializeToString(), PROTOBUF)[0] == 200
            filler = disk / "filler"
            with filler.open("wb") as file, pytest.raises(OSError, match="No space"):
                while True:
                    file.write(b"x" * 1_000_000)
                    file.flush()
            _, answer = wait_for_status(server, request("full", 21), 503)
            assert b"disk" in answer.lower() or b"space" in answer.lower()
            filler.unlink()
            wait_for_status(server, request("after", 22), 200)
            server.wait_for(
                "SELECT name, count() FROM spans WHERE name != 'full' GROUP BY name ORDER BY name",
                [["after", 1], ["before", 1]],
            )
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=False)


PROTOBUF = {"content-type": "application/x-protobuf"}


def wait_for_status(server: LiveServer, body: ExportTraceServiceRequest, wanted: int) -> tuple[int, bytes]:
    deadline = time.monotonic() + 30
    while True:
        status, answer = server.post("/v1/traces", body.SerializeToString(), PROTOBUF)
        if status == wanted:
            return status, answer
        assert time.monotonic() < deadline, (status, answer)
        time.sleep(0.3)


def request(name: str, *numbers: int) -> ExportTraceServiceRequest:
    """An export of one span for each number, all of one trace."""
    made = ExportTraceServiceRequest()
    scope = made.resource_spans.add().scope_spans.add()
    now = time.time_ns()
    for number in numbers:
        span = scope.spans.add()
        span.name, span.trace_id, span.span_id = name, numbers[0].to_bytes(16, "big"), number.to_bytes(8, "big")
        span.start_time_unix_nano, span.end_time_unix_nano = now, now + 1_000_000
    return made
