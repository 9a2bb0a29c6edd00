"""The process that scores is killed with -9 in the middle: every trace gets its score once, and little is asked twice."""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pilothouse.testing.model_server import ModelServer
from pilothouse.testing.script import Script
from tests.live import LiveServer

REPLY = {"text": json.dumps({"reason": "it helps", "verdict": "pass"}), "latency": {"median_s": 0.3}}
SCORES = "SELECT trace_id, count() FROM scores WHERE name = 'killed' GROUP BY trace_id"
TRACES = 12


def test_killed_in_the_middle_every_trace_is_scored_once(live_server: LiveServer) -> None:
    send_traces(live_server)
    with ModelServer(script=Script.from_data({"rules": [{"reply": REPLY}]})) as model:
        judge = f"{{model: gpt-4.1-mini, url: '{model.openai_url}'}}"
        policy = live_server.data / "pilothouse.yaml"
        policy.write_text(
            f"online:\n  killed: {{judge: {judge}, criterion: It helps, filter: 'agent:killed', quiet_s: 0, per_minute: 600}}\n"
        )
        try:
            wait(lambda: len(model.requests) >= 4, "the judge is asked")
            first = process_of(live_server)
            os.kill(first, signal.SIGKILL)
            wait(lambda: len(live_server.sql(SCORES)) == TRACES, "every trace has a score")
            wait(lambda: process_of(live_server) not in (0, first), "another process goes on")
        finally:
            # A file that is only taken away leaves what it said in force.
            policy.write_text("online: {}\n")
            wait(lambda: process_of(live_server) == 0, "without a scorer there is no process")
            policy.unlink()
        rows = live_server.sql(SCORES)
        assert [count for _, count in rows] == [1] * TRACES
        asked = Counter(number_of(json.dumps(one.body)) for one in model.requests)
        # Asked again: only what was under way when it died.
        assert set(asked) == set(range(TRACES)) and max(asked.values()) <= 2 and len(model.requests) <= TRACES + 4
    report = json.loads(get(live_server, "/api/v1/evals/online"))["data"]
    assert report["scorers"] == []


def send_traces(server: LiveServer) -> None:
    """A dozen short traces that have ended."""
    now = time.time_ns()
    spans: list[dict[str, Any]] = []
    for number in range(TRACES):
        attributes = {
            "openinference.span.kind": "AGENT",
            "agent.name": "killed",
            "input.value": f"question number {number}.",
            "output.value": "an answer",
        }
        spans.append(
            {
                "traceId": f"{0xC0FFEE00 + number:032x}",
                "spanId": f"{number + 1:016x}",
                "name": "invoke_agent killed",
                "startTimeUnixNano": str(now - 5_000_000_000),
                "endTimeUnixNano": str(now - 4_000_000_000),
                "attributes": [{"key": key, "value": {"stringValue": value}} for key, value in attributes.items()],
            }
        )
    server.post("/v1/traces", {"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]})
    server.wait_for("SELECT count() FROM traces WHERE agent = 'killed'", TRACES)


def number_of(body: str) -> int:
    """Which trace a question is about."""
    return int(body.partition("question number ")[2].partition(".")[0])


def process_of(server: LiveServer) -> int:
    """The process that scores for a server; 0 where there is none."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode("utf-8", "replace").split("\0")
        except OSError:
            continue
        if "pilothouse.server.online_process" in words and str(server.data) in words:
            return int(path.parent.name)
    return 0


def get(server: LiveServer, path: str) -> bytes:
    """Ask with the key."""
    import urllib.request

    request = urllib.request.Request(server.url + path, headers={"Authorization": f"Bearer {server.key}"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return answer.read()


def wait(until: Callable[[], bool], what: str) -> None:
    """Wait for a state."""
    deadline = time.monotonic() + 90
    while not until():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)
