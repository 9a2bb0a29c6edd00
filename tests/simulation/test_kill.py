"""Killed at random moments under load, again and again: every acknowledged span is there afterwards, once."""

from __future__ import annotations

import gzip
import http.client
import json
import os
import random
import signal
import threading
import time
from pathlib import Path

import pytest

from tests.live_server import LiveServer, start_server

STORED = """
SELECT s.trace_id, groupArray(s.span_id), any(t.spans) FROM spans AS s JOIN traces AS t ON s.trace_id = t.trace_id
WHERE startsWith(s.trace_id, '{digit}') GROUP BY s.trace_id LIMIT 1000
"""
SPANS = 7
"""Spans in each request."""


@pytest.mark.parametrize("rounds", [2, pytest.param(12, marks=pytest.mark.slow)])
@pytest.mark.timeout(1500)
def test_every_acknowledged_span_is_there_once_after_kills(tmp_path: Path, rounds: int) -> None:
    seed = int(os.environ.get("PILOTHOUSE_SEED", random.randrange(10**6)))
    print("seed", seed)
    rng = random.Random(seed)
    acknowledged: set[tuple[str, str]] = set()
    sent: set[tuple[str, str]] = set()
    key = ""
    killed: dict[str, int] = {}
    for number in range(rounds):
        server = start_server(tmp_path / "data", key=key)
        key = server.key
        loads = [Load(server, random.Random(rng.randrange(10**9)), f"{number}-{n}", sent) for n in range(3)]
        for load in loads:
            load.start()
        time.sleep(rng.uniform(0.1, 2.5))
        victim = rng.choice(["server", "server", "worker", "storage"])
        killed[victim] = killed.get(victim, 0) + 1
        if victim != "server":
            kill_part(server, victim)
            time.sleep(rng.uniform(0.1, 2.0))
        server.kill()
        for load in loads:
            load.join()
            acknowledged |= load.acknowledged
    server = start_server(tmp_path / "data", key=key)
    try:
        server.wait_until_stored()
        # By the first digit of the trace: an answer has at most so many rows.
        rows = [row for digit in "0123456789abcdef" for row in server.sql(STORED.format(digit=digit))]
        found = [(trace_id, span_id) for trace_id, span_ids, _ in rows for span_id in span_ids]
        print(f"acknowledged {len(acknowledged)}, found {len(found)}, killed {killed}")
        assert len(acknowledged) > rounds * SPANS, "there was hardly any load"
        assert acknowledged - set(found) == set(), "acknowledged and lost"
        assert len(found) == len(set(found)), "stored twice"
        assert set(found) <= sent, "stored and never sent"
        assert all(len(span_ids) == spans for _, span_ids, spans in rows), "a summary that disagrees with its spans"
    finally:
        server.stop()


class Load(threading.Thread):
    """Sends requests one after the other until the server is gone, and remembers what was acknowledged."""

    def __init__(self, server: LiveServer, rng: random.Random, name: str, sent: set[tuple[str, str]]) -> None:
        super().__init__(daemon=True)
        self.server = server
        self.rng = rng
        self.name = name
        self.sent = sent
        self.acknowledged: set[tuple[str, str]] = set()

    def run(self) -> None:
        trace_ids = [f"{self.rng.getrandbits(128) | 1:032x}" for _ in range(40)]
        while True:
            ids = [(self.rng.choice(trace_ids), f"{self.rng.getrandbits(64) | 1:016x}") for _ in range(SPANS)]
            self.sent.update(ids)
            try:
                status, _ = self.server.post("/v1/traces", request(ids), HEADERS, timeout=10)
            except (OSError, http.client.HTTPException):
                return
            if status == 200:
                self.acknowledged.update(ids)
            elif status != 503:
                raise AssertionError(f"answered {status}")


HEADERS = {"content-type": "application/json", "content-encoding": "gzip"}


def request(ids: list[tuple[str, str]]) -> bytes:
    now = time.time_ns()
    spans = [
        {
            "traceId": trace_id,
            "spanId": span_id,
            "name": "work",
            "startTimeUnixNano": str(now),
            "endTimeUnixNano": str(now + 1_000_000),
            "attributes": [{"key": "text", "value": {"stringValue": span_id * 40}}],
        }
        for trace_id, span_id in ids
    ]
    return gzip.compress(json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}).encode(), 1)


def kill_part(server: LiveServer, part: str) -> None:
    """kill -9 one of the server's own processes."""
    if pid := part_pid(server, part):
        os.kill(pid, signal.SIGKILL)


def part_pid(server: LiveServer, part: str) -> int:
    """The process id of one of the server's own processes, 0 while it is being started."""
    module = {
        "worker": "pilothouse.intake.worker",
        "storage": "pilothouse.store.chdb_process",
        "forwarder": "pilothouse.intake.forwarder",
    }[part]
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            command = (entry / "cmdline").read_bytes().decode().split("\0")
            parent = (entry / "stat").read_text().rsplit(")", 1)[1].split()[1]
        except OSError:
            continue
        if module in command and parent == str(server.process.pid):
            return int(entry.name)
    return 0
