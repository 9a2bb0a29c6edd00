"""A real server for tests, fed with what real clients sent; ``live_server`` starts and stops it."""

from __future__ import annotations

import json
import os
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.live_server import start_server

CAPTURES = Path(__file__).parent / "conventions/captures"


@dataclass(frozen=True, kw_only=True)
class LiveServer:
    """A running server and how to reach it."""

    url: str
    key: str
    """A key of mode admin."""
    data: Path

    @property
    def environment(self) -> dict[str, str]:
        """The environment for commands that should find it."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith("PILOTHOUSE_")}
        return {**clean, "PILOTHOUSE_DATA": str(self.data)}

    def post(self, path: str, body: Any, method: str = "POST") -> Any:
        """Send JSON with the key."""
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self.key}"}
        request = urllib.request.Request(
            self.url + path, data=json.dumps(body).encode(), headers=headers, method=method
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read() or b"{}")

    def sql(self, query: str) -> list[list[Any]]:
        """The rows of a statement."""
        return self.post("/api/v1/sql", {"query": query})["data"]["rows"]

    def wait_for(self, query: str, at_least: int, timeout_s: float = 60.0) -> None:
        """Wait until a count has reached a number."""
        deadline = time.monotonic() + timeout_s
        while self.sql(query)[0][0] < at_least:
            assert time.monotonic() < deadline, f"{query}: fewer than {at_least}"
            time.sleep(0.05)


@contextmanager
def running_server(data: Path, *, traffic: bool = True) -> Iterator[LiveServer]:
    """Start ``pilothouse up`` on free ports, and record the captured traffic of real clients where asked."""
    started = start_server(data)
    try:
        server = LiveServer(url=started.url, key=started.key, data=data)
        if traffic:
            record_captures(server)
            started.wait_until_stored()
        yield server
    finally:
        started.stop()


def record_captures(server: LiveServer) -> None:
    """Send what real clients sent once, with their clocks set to now."""
    for file in sorted(CAPTURES.glob("*.json")):
        signal = file.name.split(".")[-2]
        content = json.loads(file.read_text())
        for body in content if isinstance(content, list) else [content]:
            server.post(f"/v1/{signal}", _moved(body, time.time_ns() - _latest(body) - 60_000_000_000))


_TIMES = ("startTimeUnixNano", "endTimeUnixNano", "timeUnixNano", "observedTimeUnixNano")


def _find(value: Any, key: str) -> list[Any]:
    if isinstance(value, dict):
        return [v for k, v in value.items() if k == key] + [found for v in value.values() for found in _find(v, key)]
    return [found for item in value for found in _find(item, key)] if isinstance(value, list) else []


def _latest(body: Any) -> int:
    return max((int(moment) for name in _TIMES for moment in _find(body, name)), default=time.time_ns())


def _moved(value: Any, delta: int) -> Any:
    if isinstance(value, dict):
        return {k: str(int(v) + delta) if k in _TIMES and int(v) > 0 else _moved(v, delta) for k, v in value.items()}
    return [_moved(item, delta) for item in value] if isinstance(value, list) else value
