"""Durable ingest over HTTP: a real server, real requests, until every span answers a query."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles
from typing import Any

from .agent_load import Request, Writer

CONNECTIONS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What was measured."""

    spans: int
    span_bytes: float
    acked_per_s: float
    stored_per_s: float
    ack_p50_ms: float
    ack_p99_ms: float
    paced_ack_p50_ms: float
    paced_ack_p99_ms: float
    visible_p50_ms: float
    visible_p95_ms: float
    disk_bytes: float
    long_disk_bytes: float
    long_span_bytes: float
    cpu_us: float
    peak_mb: float
    ready_s: float


@dataclass(frozen=True, slots=True)
class Server:
    """A running server."""

    host: str
    key: str
    data: Path
    pids: tuple[int, ...]
    ready_s: float

    def post(
        self, connection: http.client.HTTPConnection, path: str, body: bytes, kind: str, encoding: str = ""
    ) -> Any:
        """POST and give the body of the answer."""
        headers = {"content-type": kind, "authorization": f"Bearer {self.key}"}
        if encoding:
            headers["content-encoding"] = encoding
        connection.request("POST", path, body=body, headers=headers)
        answer = connection.getresponse()
        data = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{path} answered {answer.status}: {data[:300]!r}")
        return data

    def sql(self, query: str) -> list[list[Any]]:
        """Rows of a query."""
        connection = http.client.HTTPConnection(self.host)
        data = self.post(connection, "/api/v1/sql", json.dumps({"query": query}).encode(), "application/json")
        connection.close()
        return json.loads(data)["data"]["rows"]


@contextmanager
def server(data: Path) -> Iterator[Server]:
    """A server of its own processes."""
    started = time.monotonic()
    command = [
        sys.executable,
        "-m",
        "pilothouse.cli",
        "up",
        "--data",
        str(data),
        "--port",
        "0",
        "--grpc-port",
        "0",
        "--json",
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    ready = json.loads(process.stdout.readline())
    ready_s = time.monotonic() - started
    time.sleep(1)
    children = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(process.pid)], capture_output=True, text=True, check=False
    )
    pids = (process.pid, *map(int, children.stdout.split()))
    try:
        yield Server(ready["url"].split("//")[1], ready["new_key"], data, pids, ready_s)
    finally:
        process.terminate()
        process.wait(timeout=60)


def measure(data: Path, *, requests: int) -> Result:
    """Run it."""
    writer = Writer()
    warm = writer.requests(4)
    body = writer.requests(requests)
    spans = sum(request.spans for request in body)
    paced = writer.requests(max(requests // 6, 4), traces_each=1)
    with server(data) as under_test:
        send(under_test, warm)
        stored = sum(request.spans for request in warm)
        wait_until_stored(under_test, stored)
        probe = PeakMemory(under_test.pids)
        cpu = cpu_seconds(under_test.pids)
        begun = time.monotonic()
        latencies = send(under_test, body)
        acked_s = time.monotonic() - begun
        wait_until_stored(under_test, stored + spans)
        stored_s = time.monotonic() - begun
        cpu = cpu_seconds(under_test.pids) - cpu
        peak = probe.stop()
        slow = send(under_test, paced, spans_per_s=1000)
        ready_s = under_test.ready_s
        visible = [time_to_visible(under_test, writer) for _ in range(20)]
        wait_until_stored(under_test, stored + spans)
        disk = disk_bytes(under_test)
    with server(data.with_name("long")) as under_test:
        # Long conversations as measured when the engine was chosen: 30 turns, a span around each, results to 8 kB.
        long = Writer(turns=30, steps=True, result_chars=8000).requests(max(requests // 4, 2), traces_each=2)
        send(under_test, long)
        wait_until_stored(under_test, sum(request.spans for request in long))
        long_disk = disk_bytes(under_test)
        return Result(
            long_disk_bytes=long_disk,
            long_span_bytes=sum(request.raw_bytes for request in long) / sum(request.spans for request in long),
            spans=spans,
            span_bytes=sum(request.raw_bytes for request in body) / spans,
            acked_per_s=spans / acked_s,
            stored_per_s=spans / stored_s,
            ack_p50_ms=percentile(latencies, 50) * 1000,
            ack_p99_ms=percentile(latencies, 99) * 1000,
            paced_ack_p50_ms=percentile(slow, 50) * 1000,
            paced_ack_p99_ms=percentile(slow, 99) * 1000,
            visible_p50_ms=percentile(visible, 50) * 1000,
            visible_p95_ms=percentile(visible, 95) * 1000,
            disk_bytes=disk,
            cpu_us=cpu / spans * 1e6,
            peak_mb=peak,
            ready_s=ready_s,
        )


def send(under_test: Server, requests: list[Request], spans_per_s: float = 0) -> list[float]:
    """Send requests over some connections, at full speed or paced; give the latencies in seconds."""
    latencies: list[float] = []
    waiting = iter(requests)
    lock = threading.Lock()
    begun = time.monotonic()
    sent = [0]

    def work() -> None:
        connection = http.client.HTTPConnection(under_test.host)
        while True:
            with lock:
                request = next(waiting, None)
                if request is None:
                    break
                due = begun + sent[0] / spans_per_s if spans_per_s else 0.0
                sent[0] += request.spans
            time.sleep(max(0.0, due - time.monotonic()))
            at = time.monotonic()
            under_test.post(connection, "/v1/traces", request.body, "application/x-protobuf", "gzip")
            latencies.append(time.monotonic() - at)
        connection.close()

    threads = [threading.Thread(target=work) for _ in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return latencies


def wait_until_stored(under_test: Server, spans: int) -> None:
    """Wait until so many spans answer a query. Asked seldom: the question costs the server more than a batch."""
    while under_test.sql("SELECT sum(spans) FROM traces")[0][0] < spans:
        time.sleep(0.25)


def time_to_visible(under_test: Server, writer: Writer) -> float:
    """Seconds from sending one trace to finding it in the list of traces."""
    request = writer.requests(1, traces_each=1)[0]
    before = under_test.sql("SELECT count() FROM traces")[0][0]
    begun = time.monotonic()
    send(under_test, [request])
    while under_test.sql("SELECT count() FROM traces")[0][0] == before:
        time.sleep(0.01)
    return time.monotonic() - begun


def disk_bytes(under_test: Server) -> float:
    """Bytes on disk a span, in the parts in use; after the engine had a few seconds to merge."""
    time.sleep(10)
    connection = http.client.HTTPConnection(under_test.host)
    connection.request("GET", "/api/v1/store/stats", headers={"authorization": f"Bearer {under_test.key}"})
    data = json.loads(connection.getresponse().read())["data"]
    connection.close()
    return float(data["bytes_per_span"])


class PeakMemory:
    """The most memory some processes held at once; what they share is counted once each."""

    def __init__(self, pids: tuple[int, ...]) -> None:
        self._pids = pids
        self._peak = 0.0
        self._on = True
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def stop(self) -> float:
        """The peak in MB."""
        self._on = False
        self._thread.join()
        return self._peak

    def _watch(self) -> None:
        while self._on:
            self._peak = max(self._peak, sum(resident_mb(pid) for pid in self._pids))
            time.sleep(0.1)


def resident_mb(pid: int) -> float:
    """Proportional set size in MB: shared pages are divided among those who share them."""
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1000
    except OSError:
        pass
    return 0.0


def cpu_seconds(pids: tuple[int, ...]) -> float:
    """CPU that some processes have used."""
    total = 0.0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return total


def percentile(values: list[float], percent: int) -> float:
    """A percentile of a list."""
    return quantiles(values, n=100, method="inclusive")[percent - 1] if len(values) > 1 else values[0]
