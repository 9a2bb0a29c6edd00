"""A process of ours that is started, and started again when it dies, for as long as the server runs."""

from __future__ import annotations

import contextlib
import json
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

LOG = logging.getLogger("pilothouse.server")


class SupervisedProcess:
    """One child process. It gets its configuration as the first line on standard input, and ends when that closes."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        config: Mapping[str, Any],
        *,
        heard: Callable[[dict[str, Any]], None] = lambda _: None,
    ) -> None:
        """``command`` are the arguments of our Python; ``heard`` gets each JSON object that it prints."""
        self.name = name
        self._command = [sys.executable, *command]
        self._config = json.dumps(config)
        self._heard = heard
        self._closing = threading.Event()
        self.running: subprocess.Popen[str] | None = None
        """The process, None while it is being started."""
        self.restarts = 0
        """How often it had to be started again."""
        self._thread = threading.Thread(target=self._supervise, name=f"{name}-supervisor", daemon=True)
        self._thread.start()

    @property
    def process_id(self) -> int:
        """Its process id, 0 while it is being started."""
        process = self.running
        return process.pid if process is not None and process.poll() is None else 0

    def close(self) -> None:
        """End it; what it was at is taken up again at the next start."""
        self._closing.set()
        process = self.running
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
            self.running = process
            for line in process.stdout:
                if line.startswith("{"):
                    with contextlib.suppress(ValueError):
                        self._heard(json.loads(line))
            code = process.wait()
            self.running = None
            if self._closing.is_set():
                return
            self.restarts += 1
            LOG.error("the %s ended with code %s; it is started again, nothing is lost", self.name, code)
            pause = 0.1 if time.monotonic() - started > 10 else min(pause * 2, 5.0)
            self._closing.wait(pause)
