"""Calls into traces, beside the calls: a bounded queue, one thread that encodes, and the journal.

A call never waits for its trace. Where the queue is full the span is kept without prompt and answer; where even the
journal takes nothing (its disk is full, say), the span is tried again for a while, then lost and counted.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
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
_GATHER_S: Final = 0.025
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
        self._queue: queue.SimpleQueue[Call | None] = queue.SimpleQueue()
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
            self._queue.put(None)
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
        self._queue.put(call)

    def _run(self) -> None:
        ended = False
        while not ended:
            batch: list[Call] = []
            size = 0
            waiting = self._queue.get()
            if waiting is not None:
                # Calls that end soon after share a request, a sync of the journal and the work of storing it.
                time.sleep(_GATHER_S)
            while waiting is not None:
                batch.append(waiting)
                size += waiting.size
                if len(batch) >= _BATCH_CALLS or size >= _BATCH_BYTES:
                    break
                try:
                    waiting = self._queue.get_nowait()
                except queue.Empty:
                    break
            ended = waiting is None
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
