"""HTTP/1.1 for the gateway's addresses, on the parser that the server is built on; all others go to the server's own protocol.

A general server makes a scope, an event, timers and messages of every request: a third of what a call through the gateway
may cost. Here a connection is kept for calls of models from its first bytes on; one that asks for anything else is handed
over, bytes and all, before anything of it was read.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from http import HTTPStatus
from typing import Any, ClassVar, Final, cast
from urllib.parse import unquote

import httptools
from starlette.types import Message
from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from .connection import Header
from .endpoints import PREFIX
from .gateway import Gateway

LOG: Final = logging.getLogger("pilothouse.gateway")

_OURS: Final = (f"POST {PREFIX}/".encode(), f"GET {PREFIX}/".encode())
_KNOWN_AFTER_BYTES: Final = max(map(len, _OURS))
_PATHS: Final = f"{PREFIX}/"
_HEAD_BYTES_MAX: Final = 256 * 1024
_AHEAD_BYTES_MAX: Final = 64 * 1024
"""Bytes of a request that wait to be taken; beyond, nothing more is read from the caller."""
_CHUNKED: Final = -1
_STATUS_LINES: Final = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}


class CallerConnection(asyncio.Protocol):
    """A caller's connection: its requests are answered one after the other. Used from one event loop."""

    gateway: ClassVar[Gateway]

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        """As the server makes its protocols."""
        self.loop = _loop or asyncio.get_running_loop()
        self.drained: asyncio.Future[None] | None = None
        """Set while the caller takes its answer slower than it comes."""
        self.state = server_state
        self._config = config
        self._app_state = app_state
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._start = b""
        """The first bytes of a request, as long as they do not say whose it is."""
        self._between = True
        """True where the next byte begins a request."""
        self._head_bytes = 0
        self._url = b""
        self._headers: list[Header] = []
        self._coming: CallerExchange | None = None
        """The request that is being read, from the end of its head on."""
        self._running: CallerExchange | None = None
        """The request that is being answered."""
        self._waiting: deque[CallerExchange] = deque()
        """Requests that a caller sent before it had the answer to the one before."""
        self._ends = False
        """True where nothing more is read: the connection is closed after the answers that are due."""
        self._paused = False
        self._idle_since = 0.0
        self._idle_timer: asyncio.TimerHandle | None = None

    # ── what asyncio calls ───────────────────────────────────────────────────

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        # By contract: not every loop's transports are of this class.
        self._transport = cast("asyncio.Transport", transport)
        self.state.connections.add(cast("Any", self))

    def data_received(self, data: bytes) -> None:
        """Take bytes of a request; the first ones of one that is not for the gateway end what this does here."""
        if self._ends:
            return
        if self._between and self._running is None:
            if self._start:
                data, self._start = self._start + data, b""
            if not data.startswith(_OURS):
                if len(data) < _KNOWN_AFTER_BYTES and any(ours.startswith(data) for ours in _OURS):
                    self._start = data
                else:
                    self._hand_over(data)
                return
        if self._coming is None:
            self._head_bytes += len(data)
        try:
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade as offer:
                self._decline(data[offer.args[0] :])
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._refuse(HTTPStatus.BAD_REQUEST, "Invalid HTTP request received.")
            return
        if self._coming is None and self._head_bytes > _HEAD_BYTES_MAX:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "The head of the request is too long.")

    def eof_received(self) -> None:
        """The caller sends nothing more, and waits for no answer either."""

    def connection_lost(self, exc: Exception | None) -> None:
        """The caller is gone."""
        self.state.connections.discard(cast("Any", self))
        self._ends = True
        self._waiting.clear()
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        self.resume_writing()
        if self._running is not None:
            self._running.leave()

    def pause_writing(self) -> None:
        """The caller takes its answer slower than it comes."""
        if self.drained is None:
            self.drained = self.loop.create_future()

    def resume_writing(self) -> None:
        """Go on."""
        drained, self.drained = self.drained, None
        if drained is not None and not drained.done():
            drained.set_result(None)

    # ── what the server calls ────────────────────────────────────────────────

    def shutdown(self) -> None:
        """Take no further request."""
        if self._running is None:
            self.close()
        else:
            self._running.stays = False

    # ── what the parser calls ────────────────────────────────────────────────

    def on_message_begin(self) -> None:
        """A request begins."""
        self._between = False
        self._url = b""
        self._headers = []

    def on_url(self, url: bytes) -> None:
        """A part of the address."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """The head is whole: the request can be answered."""
        parser = self._parser
        if parser.should_upgrade():
            return
        path = self._url.partition(b"?")[0].decode("ascii")
        if "%" in path:
            path = unquote(path)
        stays = parser.should_keep_alive() and parser.get_http_version() != "1.0"
        exchange = CallerExchange(self, parser.get_method().decode("ascii"), path, self._headers, stays=stays)
        self._coming = exchange
        self._head_bytes = 0
        if self._ends or not path.startswith(_PATHS):
            # Sent in one piece with a call of a model, and not for us: whoever does that has to ask once more.
            self._end()
        elif self._running is None:
            self._answer(exchange)
        else:
            self._waiting.append(exchange)
            self.pause_reading()

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        if self._coming is not None:
            self._coming.take(body)

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._between = True
        coming, self._coming = self._coming, None
        if coming is not None:
            coming.take_end()

    # ── what an exchange calls ───────────────────────────────────────────────

    def send(self, data: bytes) -> None:
        """Send bytes of an answer."""
        if self._transport is not None:
            self._transport.write(data)

    def pause_reading(self) -> None:
        """Let the caller wait with more of its request."""
        if not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Go on, unless a further request waits already."""
        if self._paused and not self._waiting and self._transport is not None and not self._transport.is_closing():
            self._paused = False
            self._transport.resume_reading()

    def ended(self, exchange: CallerExchange) -> None:
        """An answer is whole: the next request, if there is one."""
        self.state.total_requests += 1
        self._running = None
        if not exchange.stays:
            self.close()
            return
        if self._waiting:
            self._answer(self._waiting.popleft())
        else:
            self._idle_since = self.loop.time()
            if self._idle_timer is None:
                # One timer for as long as the connection is kept: one for each request costs more than to look again.
                self._idle_timer = self.loop.call_later(self._config.timeout_keep_alive, self._idle)
        self.resume_reading()

    def close(self) -> None:
        """Close the connection, once what was written has left."""
        self._ends = True
        if self._transport is not None:
            self._transport.close()

    def _answer(self, exchange: CallerExchange) -> None:
        self._running = exchange
        task = self.loop.create_task(exchange.run(self.gateway))
        tasks = self.state.tasks
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    def _idle(self) -> None:
        """Close a connection that nobody has used for as long as the server keeps one."""
        self._idle_timer = None
        if self._running is not None or not self._between:
            # When it is answered, a timer is set.
            return
        left = self._idle_since + self._config.timeout_keep_alive - self.loop.time()
        if left > 0:
            self._idle_timer = self.loop.call_later(left, self._idle)
        else:
            self.close()

    def _hand_over(self, data: bytes) -> None:
        """Let the server's own protocol go on."""
        transport = self._transport
        assert transport is not None
        self.state.connections.discard(cast("Any", self))
        self._ends = True
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        protocol = HttpToolsProtocol(self._config, self.state, self._app_state, self.loop)
        protocol.connection_made(transport)
        transport.set_protocol(protocol)
        protocol.data_received(data)

    def _decline(self, rest: bytes) -> None:
        """Read a request that offers another protocol as if it did not: the offer need not be taken."""
        method = self._parser.get_method()
        self._parser = httptools.HttpRequestParser(self)
        kept = [(name, value) for name, value in self._headers if name not in (b"connection", b"upgrade")]
        lines = b"".join(b"%b: %b\r\n" % header for header in kept)
        self._parser.feed_data(b"%b %b HTTP/1.1\r\n%b\r\n%b" % (method, self._url, lines, rest))

    def _refuse(self, status: HTTPStatus, message: str) -> None:
        """Say that a request cannot be read, unless an answer is under way, and close."""
        if self._running is None:
            head = f"content-type: text/plain; charset=utf-8\r\ncontent-length: {len(message)}\r\nconnection: close\r\n\r\n"
            self.send(_STATUS_LINES[status] + head.encode() + message.encode())
            self.close()
        elif self._coming is self._running:
            # The rest of its body will never come.
            self.close()
        else:
            self._end()

    def _end(self) -> None:
        """Close the connection, after the answer that is under way."""
        self._ends = True
        if self._running is None:
            self.close()
        else:
            self._running.stays = False


class CallerExchange:
    """One request on such a connection, and the answer to it."""

    __slots__ = (
        *("_body", "_connection", "_ended", "_expects", "_gone", "_left_bytes", "_news", "_size", "_waiter", "_whole"),
        *("headers", "method", "path", "stays", "started"),
    )

    def __init__(
        self, connection: CallerConnection, method: str, path: str, headers: list[Header], *, stays: bool
    ) -> None:
        """``stays``: whether the connection is kept once it is answered."""
        self.method = method
        self.path = path
        self.headers = headers
        self.stays = stays
        self.started = False
        self._connection = connection
        self._expects = any(name == b"expect" and value.lower() == b"100-continue" for name, value in headers)
        self._body: list[bytes] = []
        self._size = 0
        self._news = False
        self._whole = False
        self._ended = False
        self._gone = False
        self._left_bytes = 0
        """What the answer has to come to by its own word; below 0 where it is sent in chunks."""
        self._waiter: asyncio.Future[None] | None = None

    async def run(self, gateway: Gateway) -> None:
        """Answer it; whatever happens, the caller learns of it."""
        try:
            await gateway.answer(self)
        except BaseException:
            LOG.exception("a call ended without an answer")
            if not self.started and not self._gone:
                self.stays = False
                text = b"Internal Server Error"
                await self.begin(500, [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(text))])
                await self.write(text, more=False)
        if not self._ended and not self._gone:
            # What is not whole must not look like it.
            self._connection.close()

    # ── what the connection calls ────────────────────────────────────────────

    def take(self, body: bytes) -> None:
        """A piece of the body."""
        if self._ended:
            return
        self._body.append(body)
        self._size += len(body)
        if self._size > _AHEAD_BYTES_MAX:
            self._connection.pause_reading()
        self._tell()

    def take_end(self) -> None:
        """The body is whole."""
        self._whole = True
        self._tell()

    def leave(self) -> None:
        """The caller is gone."""
        self._gone = not self._ended
        self._tell()

    # ── what the gateway calls ───────────────────────────────────────────────

    def at_hand(self) -> bytes | None:
        """The whole body where it has come already."""
        if not self._whole or self._gone:
            return None
        return self._taken()

    async def receive(self) -> Message:
        """What comes next of the body, or that the caller has left."""
        if self._expects and not self.started and not self._gone:
            self._expects = False
            self._connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        if not self._news and not self._gone and not self._ended:
            self._connection.resume_reading()
            self._waiter = self._connection.loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        if self._gone or self._ended:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": self._taken(), "more_body": not self._whole}

    async def begin(self, status: int, headers: list[Header]) -> None:
        """Send the head of the answer."""
        if self._connection.drained is not None:
            await self._connection.drained
        if self._gone:
            return
        pieces = [_STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status]
        left = _CHUNKED
        for name, value in (*self._connection.state.default_headers, *headers):
            if name == b"content-length":
                left = int(value)
            pieces += (name, b": ", value, b"\r\n")
        if not self.stays:
            pieces.append(b"connection: close\r\n")
        lines = len(pieces) // 4 + 1 + (not self.stays)
        if left < 0:
            if status in (204, 304) or self.method == "HEAD":
                left = 0
            else:
                lines += 1
                pieces.append(b"transfer-encoding: chunked\r\n")
        pieces.append(b"\r\n")
        head = b"".join(pieces)
        if head.count(b"\n") != lines + 1 or head.count(b"\r") != lines + 1 or b"\0" in head:
            raise ValueError("a header of the answer has a line break in it")
        self.started = True
        self._left_bytes = left
        self._connection.send(head)

    async def write(self, body: bytes, *, more: bool) -> None:
        """Send a piece of the answer; waits while the caller reads slower."""
        if self._connection.drained is not None:
            await self._connection.drained
        if self._gone:
            return
        if self._left_bytes < 0:
            if body:
                body = b"%x\r\n%b\r\n" % (len(body), body)
            if not more:
                body += b"0\r\n\r\n"
        elif self.method != "HEAD":
            self._left_bytes -= len(body)
            if self._left_bytes < 0 or (self._left_bytes and not more):
                raise ValueError("the answer is not as long as its head says")
        if body and self.method != "HEAD":
            self._connection.send(body)
        if not more:
            self._ended = True
            self._tell()
            self._connection.ended(self)

    def _taken(self) -> bytes:
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        self._body = []
        self._size = 0
        self._news = False
        return body

    def _tell(self) -> None:
        self._news = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def protocol_of(gateway: Gateway) -> type[asyncio.Protocol]:
    """The protocol of a server whose calls of models go to this gateway; everything else goes to the server's application."""

    class Bound(CallerConnection):
        """A connection whose calls go to it."""

    Bound.gateway = gateway
    return Bound
