"""The ingest worker as the server sees it: a supervised process that takes commands between two batches."""

from __future__ import annotations

import contextlib
import json
import queue
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pilothouse.records import Overloaded, PilothouseError, Unreachable

from .supervised import SupervisedProcess


class WorkerProcess(SupervisedProcess):
    """The one worker of a data folder."""

    def __init__(self, data: Path, store_url: str, config: Mapping[str, Any], *, database: str = "pilothouse") -> None:
        self._answers: queue.Queue[dict[str, Any]] = queue.Queue()
        self._asking = threading.Lock()
        command = ["-m", "pilothouse.intake.worker", "--data", str(data), "--store", store_url, "--database", database]
        super().__init__("ingest worker", command, config, heard=self._answers.put)

    def ask(self, command: Mapping[str, Any], timeout_s: float = 3600.0) -> Any:
        """Have the worker do something between two batches, and return its result.

        Raises:
            Overloaded: it is doing something for somebody else.
            Unreachable: it died, or took too long.
        """
        if not self._asking.acquire(blocking=False):
            raise Overloaded("the worker is busy with another command", retry_after_s=10)
        try:
            process = self.running
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
                if self.running is not process:
                    raise Unreachable("the ingest worker died on this command", fix="see the server's log")
            raise Unreachable(f"the ingest worker did not answer within {timeout_s:.0f} s")
        finally:
            self._asking.release()
