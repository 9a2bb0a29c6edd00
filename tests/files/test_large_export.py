"""Thousands of traces stream: neither the server nor the command line holds them, and a kill in the middle costs little."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.live import LiveServer, running_server

TRACES = int(os.environ.get("PILOTHOUSE_TRACES", "4000"))
_A_REQUEST = 250


def _spans(number: int) -> list[dict[str, Any]]:
    trace, start = f"{number:032x}", time.time_ns() - 3_600_000_000_000 + number * 1_000_000

    def span(place: int, name: str, attributes: dict[str, str]) -> dict[str, Any]:
        return {
            "traceId": trace,
            "spanId": f"{number * 10 + place:016x}",
            "parentSpanId": f"{number * 10 + 1:016x}" if place > 1 else "",
            "name": name,
            "startTimeUnixNano": str(start + place),
            "endTimeUnixNano": str(start + place + 1_000_000),
            "attributes": [{"key": key, "value": {"stringValue": value}} for key, value in attributes.items()],
        }

    words = f"question {number} of many " * 40
    wire = json.dumps([{"role": "user", "parts": [{"type": "text", "content": words}]}])
    return [
        span(1, "invoke_agent crowd", {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "crowd"}),
        span(2, "chat m", {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m", "gen_ai.input.messages": wire}),
        span(3, "execute_tool look", {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "look", "gen_ai.tool.call.result": words}),
    ]  # fmt: skip


def _record(server: LiveServer) -> None:
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "crowd"}}]}
    for first in range(1, TRACES + 1, _A_REQUEST):
        spans = [span for number in range(first, first + _A_REQUEST) for span in _spans(number)]
        scope = {"scope": {"name": "crowd"}, "spans": spans}
        server.post("/v1/traces", {"resourceSpans": [{"resource": resource, "scopeSpans": [scope]}]})
    server.wait_for("SELECT count() FROM traces WHERE service = 'crowd' AND spans = 3", TRACES, timeout_s=600)


def _held_mb(pid: int) -> float:
    """Memory of a process that is its own: libraries that are mapped from files do not count."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("RssAnon:")), 0.0)


def _server_pids(server: LiveServer) -> dict[int, str]:
    """The processes that work on the server's folder, with what each is."""
    found: dict[int, str] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if str(server.data) in " ".join(words) and "pilothouse" in " ".join(words):
            found[int(folder.name)] = next((word for word in words if word.startswith("pilothouse.")), words[0])
    return found


def _watched(
    process: subprocess.Popen[bytes], pids: dict[int, str], until: Callable[[], bool]
) -> tuple[float, dict[str, float]]:
    client, peaks = 0.0, dict.fromkeys(pids.values(), 0.0)
    while process.poll() is None and not until():
        client = max(client, _held_mb(process.pid))
        for pid, name in pids.items():
            peaks[name] = max(peaks[name], _held_mb(pid))
        time.sleep(0.2)
    return client, peaks


def _arrived(folder: Path) -> int:
    """Folders of traces; names alone, since looking into each would slow down what is measured."""
    days = (folder / "traces").iterdir() if (folder / "traces").is_dir() else ()
    return sum(sum(1 for _ in os.scandir(day)) for day in days)


@pytest.mark.slow
@pytest.mark.timeout(1_800)
def test_thousands_of_traces_stream_with_bounded_memory(tmp_path: Path) -> None:
    with running_server(tmp_path / "data", traffic=False) as server:
        _record(server)
        pids = _server_pids(server)
        before = {name: _held_mb(pid) for pid, name in pids.items()}
        command = [sys.executable, "-m", "pilothouse.cli", "pull", "service:crowd", "out", "--since", "2020-01-01"]
        began = time.monotonic()

        # Killed in the middle: what came whole stays.
        process = subprocess.Popen(command, cwd=tmp_path, env=server.environment, stdout=subprocess.DEVNULL)
        first_client, first = _watched(process, pids, lambda: _arrived(tmp_path / "out") > TRACES // 3)
        assert process.poll() is None, "it was done before it could be killed"
        process.kill()
        process.wait()

        process = subprocess.Popen(command, cwd=tmp_path, env=server.environment, stdout=subprocess.PIPE)
        client, peaks = _watched(process, pids, lambda: False)
        answer = json.loads(process.communicate()[0])["data"]
        took_s = time.monotonic() - began
        grown = {name: round(max(peaks[name], first[name]) - before[name]) for name in before}
        print(
            f"{TRACES} traces in {took_s:.0f} s, client {max(client, first_client):.0f} MB at the peak, server grew by {grown} MB"
        )
        assert process.returncode == 0 and answer["complete"]
        assert answer["counts"]["traces"] == TRACES and answer["counts"]["spans"] == 3 * TRACES
        # The second run goes on where the first was killed, at most one commit back.
        assert answer["traces"] < TRACES * 0.75
        assert max(client, first_client) < 150
        assert sum(grown.values()) < 500
        verify = [sys.executable, "-m", "pilothouse.cli", "pull", "verify", "out"]
        assert subprocess.run(verify, cwd=tmp_path, env=server.environment, stdout=subprocess.DEVNULL).returncode == 0
