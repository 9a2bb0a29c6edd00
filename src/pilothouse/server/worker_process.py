"""Starts the ingest worker, restarts it when it dies, and passes commands to it."""

from __future__ import annotations

import contextlib
import json
import logging
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pilothouse.records import Overloaded, PilothouseError, Unreachable

LOG = logging.getLogger("pilothouse.server")


class WorkerProcess:
    """One supervised worker process."""

    def __init__(self, data: Path, store_url: str, config: Mapping[str, Any], *, database: str = "pilothouse") -> None:
        self._command = [sys.executable, "-m", "pilothouse.intake.worker", "--data", str(data), "--store", store_url]
        self._command += ["--database", database]
        self._config = json.dumps(config)
        self._process: subprocess.Popen[str] | None = None
        self._closing = threading.Event()
        self._answers: queue.Queue[dict[str, Any]] = queue.Queue()
        self._asking = threading.Lock()
        self.restarts = 0
        """How often it had to be started again."""
        self._thread = threading.Thread(target=self._supervise, name="worker-supervisor", daemon=True)
        self._thread.start()

    @property
    def process_id(self) -> int:
        """The worker's process id, 0 while it is being started."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else 0

    def ask(self, command: Mapping[str, Any], timeout_s: float = 3600.0) -> Any:
        """Have the worker do something between two batches, and return its result.

        Raises:
            Overloaded: it is doing something for somebody else.
            Unreachable: it died, or took too long.
        """
        if not self._asking.acquire(blocking=False):
            raise Overloaded("the worker is busy with another command", retry_after_s=10)
        try:
            process = self._process
            if process is None or process.stdin is None:
                raise Unreachable("the ingest worker is being started", retry_after_s=2)
            number = time.time_ns()
            try:
                process.stdin.write(json.dumps({**command, "id": number}) + "\n")
                process.stdin.flush()
            except OSError as error:
                raise Unreachable("the ingest worker is being restarted", retry_after_s=2) from error
            deadline = time.monotonic() + timeout_s
            while time.monotonic() < deadline:
                with contextlib.suppress(queue.Empty):
                    answer = self._answers.get(timeout=0.5)
                    if answer.get("id") != number:
                        continue
                    if "error" in answer:
                        raise PilothouseError(f"the worker could not do it: {answer['error']}")
                    return answer["result"]
                if self._process is not process:
                    raise Unreachable("the ingest worker died on this command", fix="see the server's log")
            raise Unreachable(f"the ingest worker did not answer within {timeout_s:.0f} s")
        finally:
            self._asking.release()

    def close(self) -> None:
        """End the worker; the batch it is at is taken again at the next start."""
        self._closing.set()
        process = self._process
        if process is not None and process.stdin is not None:
            with contextlib.suppress(OSError):
                process.stdin.close()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
        self._thread.join(timeout=10)

    def _supervise(self) -> None:
        pause = 0.1
        while not self._closing.is_set():
            started = time.monotonic()
            process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            assert process.stdin is not None and process.stdout is not None
            with contextlib.suppress(OSError):
                process.stdin.write(self._config + "\n")
                process.stdin.flush()
            self._process = process
            for line in process.stdout:
                if line.startswith("{"):
                    with contextlib.suppress(ValueError):
                        self._answers.put(json.loads(line))
            code = process.wait()
            self._process = None
            if self._closing.is_set():
                return
            self.restarts += 1
            LOG.error("the ingest worker ended with code %s; it is started again, nothing is lost", code)
            pause = 0.1 if time.monotonic() - started > 10 else min(pause * 2, 5.0)
            self._closing.wait(pause)
