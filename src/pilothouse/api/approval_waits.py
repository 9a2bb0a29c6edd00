"""Who waits for a decision: woken by the change of the record here, and looking again now and then for those elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable, Generator
from typing import Final

LOOK_AGAIN_S: Final = 2.0
"""So late at most is noticed what another server over the same database has changed, or a deadline that passed."""


class Waits:
    """Those who wait on this server. :meth:`changed` may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[tuple[str, str], list[tuple[asyncio.AbstractEventLoop, asyncio.Event]]] = {}

    @contextlib.contextmanager
    def waiting(self, project_id: str, approval_id: str) -> Generator[Callable[[float], Awaitable[None]]]:
        """Gives what waits for the next change, or for so many seconds."""
        event, key = asyncio.Event(), (project_id, approval_id)
        entry = (asyncio.get_running_loop(), event)
        with self._lock:
            self._waiting.setdefault(key, []).append(entry)

        async def changed(seconds: float) -> None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(event.wait(), min(seconds, LOOK_AGAIN_S))
            event.clear()

        try:
            yield changed
        finally:
            with self._lock:
                self._waiting[key].remove(entry)
                if not self._waiting[key]:
                    del self._waiting[key]

    def changed(self, project_id: str, approval_id: str) -> None:
        """The record has changed."""
        with self._lock:
            woken = list(self._waiting.get((project_id, approval_id), ()))
        for loop, event in woken:
            with contextlib.suppress(RuntimeError):  # its loop has ended with the server
                loop.call_soon_threadsafe(event.set)
