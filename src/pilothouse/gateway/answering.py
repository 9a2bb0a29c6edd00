"""The caller's side of a call: what was sent to it so far, and whether it is still there."""

from __future__ import annotations

import asyncio
from typing import Final
from urllib.parse import quote

from starlette.types import Receive, Send

from pilothouse.guards import Guard
from pilothouse.records import PilothouseError
from pilothouse.survival import GaveUp

from . import provider_errors
from .caching import HEADER as CACHE_HEADER
from .call import Call
from .connection import Header
from .endpoints import Wire
from .failures import CallerLeft
from .headers import to_caller
from .patience import Patience

_WATCHED_AFTER_S: Final = 0.02


class Answering:
    """What was sent to the caller so far, so that an error finds its place."""

    def __init__(self, wire: Wire, send: Send) -> None:
        self.stream = False
        """True where the answer is a stream of events."""
        self.guard: Guard | None = None
        """Set where an answer may only go on whole, once its gates have decided."""
        self.started = False
        self.tried = False
        """True where it was tried again here: the caller's library need not."""
        self.stood_in = ""
        """Who answers in place of the model that was asked for."""
        self.cache = ""
        """What the response cache did, where the route has one."""
        self._wire: Wire = wire
        self._send = send
        self._ended = False

    async def start(self, status: int, headers: list[Header]) -> None:
        """Send the head."""
        self.started = True
        if self.tried:
            headers.append((b"x-should-retry", b"false"))
        if self.stood_in and status < 400:
            headers.append((b"x-pilothouse-stood-in", quote(self.stood_in).encode()))
        if self.cache:
            headers.append((CACHE_HEADER, self.cache.encode()))
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def piece(self, body: bytes) -> None:
        """Send a piece; waits while the caller reads slower than the upstream writes."""
        await self._send({"type": "http.response.body", "body": body, "more_body": True})

    async def last(self, body: bytes) -> None:
        """Send the last piece, and the end with it."""
        self._ended = True
        await self._send({"type": "http.response.body", "body": body, "more_body": False})

    async def end(self) -> None:
        """Send the end."""
        self._ended = True
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def fail(self, error: PilothouseError, call: Call | None) -> None:
        """Tell the caller of an error: as the answer, or as the last event of a stream.

        Of an answer that is neither, the connection is closed before its end, which every client notices.
        """
        if self._ended or isinstance(error, CallerLeft):
            return
        if not self.started:
            self.tried = self.tried or isinstance(error, GaveUp)
            headers: list[Header] = [(b"content-type", b"application/json")]
            if error.retry_after_s is not None:
                headers.append((b"retry-after", str(error.retry_after_s).encode()))
            body = provider_errors.body(self._wire, error)
            headers.append((b"content-length", str(len(body)).encode()))
            await self.start(error.http_status, to_caller(headers, call.labels.trace_id if call is not None else ""))
            await self.piece(body)
            await self.end()
        elif self.stream:
            await self.piece(b"\n\n" + provider_errors.event(self._wire, error))
            await self.end()


class Leaving:
    """Ends the task of a call when its caller leaves."""

    def __init__(self, receive: Receive, patience: Patience) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._left = False
        self._receive = receive
        self._watch: asyncio.Future[None] | None = None
        self._patience = patience
        # Most calls of an answer that is at hand are over by then: a task for each would cost more than the rest of it.
        self.due_s = asyncio.get_running_loop().time() + _WATCHED_AFTER_S
        patience.add(self)

    def fall_due(self) -> None:
        """Begin to watch."""
        self._watch = asyncio.ensure_future(self._wait(self._receive))

    async def _wait(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._left = True
        self._task.cancel()

    def left(self) -> bool:
        """Whether it was the caller's leaving that ended the task; the task may then go on."""
        if self._left:
            self._task.uncancel()
        return self._left

    def stop(self) -> None:
        """Watch no more."""
        self._patience.remove(self)
        if self._watch is not None:
            self._watch.cancel()
