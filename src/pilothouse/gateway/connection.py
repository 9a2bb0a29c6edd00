"""One HTTP/1.1 connection to an upstream: a request out, an answer in, piece by piece and never more than a little ahead.

Written on asyncio's transports and the parser that the server itself is built on. A general client costs several times
as much a call, and the gateway has a millisecond in all.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from typing import Final, cast

import httptools

from .failures import AnswerBroken, Unanswered

_AHEAD_BYTES_MAX: Final = 256 * 1024
"""Bytes of an answer that wait to be passed on; beyond, nothing more is read from the upstream."""
_HEAD_BYTES_MAX: Final = 128 * 1024
_HEADERS_MAX: Final = 500

Header = tuple[bytes, bytes]


class Connection(asyncio.Protocol):
    """Serves one request at a time; used from one event loop."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: list[Header] = []
        self.answered_before = False
        """True where an earlier answer came over this connection."""
        self.idle_since = 0.0
        self._transport: asyncio.Transport | None = None
        self._parser: httptools.HttpResponseParser | None = None
        self._pieces: list[bytes] = []
        self._waiting_bytes = 0
        self._head_bytes = 0
        self._paused = False
        self._head_done = False
        self._body_done = False
        self._until_close = False
        self._stays = False
        self._error: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._drained: asyncio.Future[None] | None = None
        self._heard = False
        self._lost = False

    # ── what asyncio calls ───────────────────────────────────────────────────

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        # By contract: not every loop's transports are of this class.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Take bytes of the answer; bytes that nobody asked for end the connection."""
        parser = self._parser
        if parser is None:
            self.close()
            return
        self._heard = True
        if not self._head_done:
            self._head_bytes += len(data)
        try:
            parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserCallbackError, ValueError) as error:
            self._fail(AnswerBroken("the upstream's answer is not HTTP"), cause=error)
            return
        except httptools.HttpParserUpgrade:
            self._fail(AnswerBroken("the upstream wants to speak another protocol"))
            return
        if not self._head_done and self._head_bytes > _HEAD_BYTES_MAX:
            self._fail(AnswerBroken("the head of the upstream's answer is too long"))
            return
        if self._waiting_bytes > _AHEAD_BYTES_MAX and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> bool:
        """The upstream sends nothing more."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone: the end of an answer without a length, else a failure."""
        self._lost = True
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        if self._parser is None or self._body_done or self._error is not None:
            self._wake()
            return
        if self._head_done and self._until_close and exc is None:
            self._body_done = True
        elif not self._heard:
            self._error = Unanswered("the upstream closed the connection without an answer")
        else:
            self._error = AnswerBroken("the upstream broke its answer off")
        self._wake()

    def pause_writing(self) -> None:
        """The upstream takes the request slower than it comes."""
        self._drained = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        """Go on."""
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        self._drained = None

    # ── what the parser calls ────────────────────────────────────────────────

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        if len(self.headers) >= _HEADERS_MAX:
            raise ValueError("too many headers")
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """The head is whole; a head of 1xx is followed by the real one."""
        assert self._parser is not None
        status = self._parser.get_status_code()
        if 100 <= status < 200:
            self.headers.clear()
            return
        self.status = status
        self._head_done = True
        sized = any(name in (b"content-length", b"transfer-encoding") for name, _ in self.headers)
        self._until_close = not sized and status not in (204, 304)

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        self._pieces.append(body)
        self._waiting_bytes += len(body)

    def on_message_complete(self) -> None:
        """The answer is whole."""
        if self._head_done and self._parser is not None:
            self._body_done = True
            # The parser knows this only now: it is made ready for the next message right after.
            self._stays = self._parser.should_keep_alive()

    # ── what the gateway calls ───────────────────────────────────────────────

    @property
    def usable(self) -> bool:
        """Whether another request may be sent."""
        return not self._lost and self._transport is not None and not self._transport.is_closing()

    @property
    def reusable(self) -> bool:
        """Whether the answer ended such that another request may follow it."""
        return self.usable and self._body_done and self._error is None and not self._until_close and self._stays

    async def request(self, head: bytes, body: bytes) -> None:
        """Send a request, and return when the head of its answer is there.

        Raises:
            Unanswered: the connection ended before a byte of an answer came.
            AnswerBroken: what came is no HTTP answer.
        """
        transport = self._transport
        assert transport is not None
        self._reset()
        transport.writelines((head, body)) if body else transport.write(head)
        if self._drained is not None:
            await self._drained
        while not self._head_done:
            if self._error is not None:
                raise self._error
            await self._wait()

    @property
    def ended(self) -> bool:
        """Whether the answer is whole and every piece of it was taken."""
        return self._body_done and not self._pieces and self._error is None

    async def piece(self) -> bytes:
        """What has come of the body since the last piece; empty at its end.

        Raises:
            AnswerBroken: the answer broke off.
        """
        while not self._pieces:
            if self._error is not None:
                raise self._error
            if self._body_done:
                return b""
            await self._wait()
        pieces = self._pieces
        whole = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        self._pieces = []
        self._waiting_bytes = 0
        if self._paused and self._transport is not None and not self._lost:
            self._paused = False
            self._transport.resume_reading()
        return whole

    def release(self) -> None:
        """Forget the answer, so that the next one can come."""
        self._parser = None
        self._pieces = []
        self.headers = []
        self.answered_before = True

    def close(self) -> None:
        """End the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    def fail(self, error: Exception) -> None:
        """Let whoever waits for this answer have an error, and end the connection."""
        self._fail(error)

    def _reset(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self.status = 0
        self.headers = []
        self._pieces = []
        self._waiting_bytes = self._head_bytes = 0
        self._head_done = self._body_done = self._until_close = self._stays = self._heard = False
        self._error = None

    async def _wait(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _fail(self, error: Exception, cause: BaseException | None = None) -> None:
        if self._error is None and not self._body_done:
            error.__cause__ = cause
            self._error = error
        self.close()
        self._wake()


async def connect(host: str, port: int, tls: ssl.SSLContext | None, *, seconds: float) -> Connection:
    """A new connection.

    Raises:
        Unanswered: the name is not known, nobody listens, the certificate is not good, or it takes too long.
    """
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(seconds):
            _, connection = await loop.create_connection(
                Connection, host, port, ssl=tls, server_hostname=host if tls else None
            )
    except TimeoutError as error:
        raise Unanswered(f"no connection to {host} within {seconds:g} s") from error
    except ssl.SSLCertVerificationError as error:
        raise Unanswered(f"the certificate of {host} is not good: {error.verify_message}") from error
    except OSError as error:
        raise Unanswered(f"no connection to {host}: {error.strerror or type(error).__name__}") from error
    return connection


def head_of(method: str, target: str, host: str, headers: Sequence[Header]) -> bytes:
    """The head of a request, ready to be sent."""
    lines = [f"{method} {target} HTTP/1.1\r\nhost: {host}\r\n".encode("ascii")]
    for name, value in headers:
        lines += (name, b": ", value, b"\r\n")
    lines.append(b"\r\n")
    return b"".join(lines)
