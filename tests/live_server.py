"""A real server as a user starts it, for tests that need the whole of it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from tests import preloaded


@dataclass
class LiveServer:
    """A running ``pilothouse up``."""

    data: Path
    process: subprocess.Popen[str] | preloaded.Forked
    url: str
    grpc: str
    sign_in: str
    key: str
    stdout: IO[str]
    """What it prints; whoever closes it has the server's next words fail."""

    def post(
        self, path: str, body: bytes, headers: Mapping[str, str] | None = None, timeout: float = 30
    ) -> tuple[int, bytes]:
        """POST and give status and body; errors of HTTP are answers, a dead connection raises OSError."""
        return self.call("POST", path, body, headers, timeout)

    def get(self, path: str, headers: Mapping[str, str] | None = None, timeout: float = 30) -> tuple[int, bytes]:
        """GET and give status and body."""
        return self.call("GET", path, None, headers, timeout)

    def call(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str] | None = None, timeout: float = 30
    ) -> tuple[int, bytes]:
        """Any request, with the key."""
        given = {"authorization": f"Bearer {self.key}", **(headers or {})}
        request = urllib.request.Request(self.url + path, data=body, headers=given, method=method)
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def sql(self, query: str) -> list[list[Any]]:
        """Rows of a query."""
        status, body = self.post(
            "/api/v1/sql", json.dumps({"query": query}).encode(), {"content-type": "application/json"}
        )
        assert status == 200, body
        return json.loads(body)["data"]["rows"]

    def wait_for(self, query: str, rows: list[list[Any]], seconds: float = 60) -> None:
        """Wait until a query gives these rows."""
        deadline = time.monotonic() + seconds
        while (found := self.sql(query)) != rows:
            assert time.monotonic() < deadline, f"{query}: {found}, not {rows}"
            time.sleep(0.05)

    def wait_until_stored(self, seconds: float = 120) -> None:
        """Wait until nothing that was acknowledged is still to be stored."""
        deadline = time.monotonic() + seconds
        # A worker in the middle of a long batch reports nothing: what it said before does not count.
        idle: set[str] = set()
        before = self.worker_status().get("time")
        while len(idle) < 2:
            status = self.worker_status()
            if status.get("pending_bytes") != 0:
                idle.clear()
            elif status["time"] != before:
                idle.add(status["time"])
            assert time.monotonic() < deadline, status
            time.sleep(0.1)

    def worker_status(self) -> dict[str, Any]:
        """The worker's report."""
        with contextlib.suppress(OSError, ValueError):
            return json.loads((self.data / "worker.json").read_text())
        return {}

    def kill(self) -> None:
        """kill -9, and wait until it is dead."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        """End it as a user would."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                self.kill()


def start_server(
    data: Path, *arguments: str, key: str = "", env: Mapping[str, str] | None = None, anew: bool = False
) -> LiveServer:
    """Start a server on free ports and wait until it is ready. ``key`` is needed from the second start on.

    It starts with its modules loaded; ``anew`` starts it as a user does.
    """
    data.mkdir(parents=True, exist_ok=True)
    words = ["up", "--data", str(data), "--port", "0", "--grpc-port", "0", "--json", *arguments]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PILOTHOUSE_")} | dict(env or {})
    process: subprocess.Popen[str] | preloaded.Forked
    with open(data.with_name(data.name + ".log"), "ab") as log:
        if anew or sys.platform != "linux":
            command = [sys.executable, "-m", "pilothouse.cli", *words]
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment)
            assert process.stdout is not None
            stdout = process.stdout
        else:
            process, stdout = preloaded.start(words, env=environment, stderr=log)
    line = stdout.readline()
    if '"ready"' not in line:
        process.kill()
        raise AssertionError(f"the server did not start: {line!r} {Path(log.name).read_text()[-3000:]}")
    ready = json.loads(line)
    return LiveServer(
        data=data,
        process=process,
        url=ready["url"],
        grpc=ready["grpc"],
        stdout=stdout,
        sign_in=ready["sign_in"],
        key=key or ready["new_key"],
    )


@contextlib.contextmanager
def running_server(data: Path, *arguments: str, **options: Any) -> Iterator[LiveServer]:
    """A server for the length of a block."""
    server = start_server(data, *arguments, **options)
    try:
        yield server
    finally:
        server.stop()
