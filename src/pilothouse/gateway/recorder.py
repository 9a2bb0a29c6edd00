"""Calls into traces, beside the calls: a bounded queue, one thread that encodes, and the journal.

A call never waits for its trace. Where the queue is full the span is kept without prompt and answer; where even the
journal takes nothing (its disk is full, say), the span is tried again for a while, then lost and counted.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final

from pilothouse.records import PilothouseError

from .call import Call
from .spans import request_of

LOG: Final = logging.getLogger("pilothouse.gateway")

Sink = Callable[[str, bytes, int], Awaitable[None]]
"""Makes one OTLP request of a project, with so many spans, durable. Raises PilothouseError where it cannot now."""

QUEUE_BYTES_MAX: Final = 64 * 1024 * 1024
QUEUE_CALLS_MAX: Final = 20_000
_GATHER_S: Final = 0.1
"""Calls that end within it share a request, a sync of the journal and the work of storing it. Waking the thread for each
would cost the event loop more than the rest of a call."""
_BATCH_CALLS: Final = 32
_BATCH_BYTES: Final = 4 * 1024 * 1024
_TRIES_S: Final = (0.5, 2.0, 5.0, 10.0)


class CallRecorder:
    """Takes calls from the event loop; use between :meth:`start` and :meth:`stop`."""

    def __init__(self, sink: Sink) -> None:
        self.recorded = 0
        """Calls whose span is durable."""
        self.without_content = 0
        """Calls that were kept without prompt and answer, since the queue was full."""
        self.lost = 0
        """Calls without a trace."""
        self._sink = sink
        self._queue: deque[Call] = deque()
        self._ready = threading.Semaphore(0)
        self._waking = False
        self._ended = False
        self._lock = threading.Lock()
        self._bytes = 0
        self._calls = 0
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Begin; called on the event loop that the sink belongs to."""
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, name="gateway-recorder", daemon=True)
        self._thread.start()

    async def stop(self) -> None:
        """Write what waits, for half a minute at most."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._ended = True
            self._ready.release()
            await asyncio.to_thread(thread.join, 30.0)

    def put(self, call: Call) -> None:
        """Take a call that ended. Never blocks."""
        with self._lock:
            if self._calls >= QUEUE_CALLS_MAX:
                self.lost += 1
                return
            if self._bytes + call.size > QUEUE_BYTES_MAX:
                self.without_content += 1
                call = replace(call, request=b"", pieces=[], kept_bytes=0, cut=True)
            self._bytes += call.size
            self._calls += 1
        self._queue.append(call)
        if not self._waking and self._loop is not None:
            self._waking = True
            self._loop.call_later(_GATHER_S, self._wake)

    def _wake(self) -> None:
        self._waking = False
        self._ready.release()

    def _run(self) -> None:
        while self._queue or not self._ended:
            if not self._queue:
                self._ready.acquire()
            batch: list[Call] = []
            size = 0
            while self._queue and len(batch) < _BATCH_CALLS and size < _BATCH_BYTES:
                batch.append(self._queue.popleft())
                size += batch[-1].size
            if not batch:
                continue
            try:
                self._write(batch)
            except Exception:
                # The thread outlives whatever one batch brings.
                LOG.exception("calls of the gateway could not be recorded")
                self.lost += len(batch)
            finally:
                with self._lock:
                    self._bytes -= size
                    self._calls -= len(batch)

    def _write(self, batch: list[Call]) -> None:
        by_project: dict[str, list[Call]] = {}
        for call in batch:
            by_project.setdefault(call.project_id, []).append(call)
        for project_id, calls in by_project.items():
            for body, count in self._encoded(calls):
                self._send(project_id, body, count)

    def _encoded(self, calls: list[Call]) -> list[tuple[bytes, int]]:
        """The calls as one request; one by one where one of them cannot be encoded, so that only it is lost."""
        try:
            return [(request_of(calls), len(calls))]
        except Exception:
            if len(calls) > 1:
                LOG.warning("calls could not be encoded together", exc_info=True)
        bodies: list[tuple[bytes, int]] = []
        for call in calls:
            try:
                bodies.append((request_of([call]), 1))
            except Exception:
                LOG.exception("a call could not be encoded; it is kept without its content")
                bare = replace(call, request=b"", pieces=[], kept_bytes=0)
                bodies.append((request_of([bare]), 1))
        return bodies

    def _send(self, project_id: str, body: bytes, count: int) -> None:
        for pause in (*_TRIES_S, None):
            try:
                self._hand_over(project_id, body, count)
                self.recorded += count
                return
            except PilothouseError as error:
                if pause is None or self._thread is None:
                    LOG.warning("%d calls of the gateway have no trace: %s", count, error.message)
                    break
                time.sleep(pause)
            except Exception:
                LOG.exception("calls of the gateway could not be handed to the journal")
                break
        self.lost += count

    def _hand_over(self, project_id: str, body: bytes, count: int) -> None:
        loop = self._loop
        assert loop is not None

        async def write() -> None:
            await self._sink(project_id, body, count)

        asyncio.run_coroutine_threadsafe(write(), loop).result(timeout=60)
