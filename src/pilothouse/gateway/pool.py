"""Connections to upstreams, kept open between calls."""

from __future__ import annotations

import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

from .connection import Connection, Header, connect, head_of
from .failures import AnswerSlow, Unanswered
from .patience import Patience

_IDLE_MAX: Final = 64
"""Connections to one address that are kept while nobody uses them."""
_IDLE_S_MAX: Final = 30.0
"""Seconds an unused connection is kept. Providers close theirs after a minute and more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where an upstream's URL leads."""

    tls: bool
    host: str
    port: int
    shown: str
    """As the ``Host`` header has it."""
    path: str
    """What stands before the endpoint's own path."""


@lru_cache(maxsize=1_024)
def address_of(url: str) -> Address:
    """The address in a URL that the configuration's reader has checked."""
    parts = urlsplit(url)
    tls = parts.scheme == "https"
    host = parts.hostname or ""
    return Address(
        tls=tls, host=host, port=parts.port or (443 if tls else 80), shown=parts.netloc, path=parts.path.rstrip("/")
    )


class Pool:
    """Sends requests over connections that it keeps. Used from one event loop."""

    def __init__(self) -> None:
        self.patience = Patience()
        """For waits on the loop that this is used from."""
        self._idle: dict[tuple[bool, str, int], list[Connection]] = {}
        self._tls: ssl.SSLContext | None = None

    async def send(
        self,
        method: str,
        address: Address,
        path: str,
        headers: Sequence[Header],
        body: bytes,
        *,
        connect_s: float,
        answer_s: float,
    ) -> Connection:
        """Send a request and return when the head of its answer is there; :meth:`give_back` takes the connection again.

        An idle connection that turns out to be closed by the other side is replaced by a new one: no byte of an answer
        came over it, so the request was not begun with.

        Raises:
            UpstreamFailed: there is no answer.
        """
        head = head_of(method, address.path + path, address.shown, headers)
        while True:
            connection = self._take(address)
            if connection is None:
                connection = await connect(address.host, address.port, self._context(address), seconds=connect_s)
            sent = False
            try:
                with self.patience.within(answer_s):
                    await connection.request(head, body)
                sent = True
            except TimeoutError:
                raise AnswerSlow(f"{address.host} did not begin to answer within {answer_s:g} s") from None
            except Unanswered:
                if not connection.answered_before:
                    raise
                continue
            finally:
                if not sent:
                    connection.close()
            return connection

    def give_back(self, connection: Connection, address: Address) -> None:
        """Keep a connection whose answer was read to its end; close any other."""
        if not connection.reusable:
            connection.close()
            return
        connection.release()
        connection.idle_since = time.monotonic()
        idle = self._idle.setdefault((address.tls, address.host, address.port), [])
        idle.append(connection)
        if len(idle) > _IDLE_MAX:
            idle.pop(0).close()

    def close(self) -> None:
        """Close what is idle."""
        for idle in self._idle.values():
            for connection in idle:
                connection.close()
        self._idle.clear()

    def _take(self, address: Address) -> Connection | None:
        idle = self._idle.get((address.tls, address.host, address.port), [])
        while idle:
            # The one used last is the least likely to be closed by the other side.
            connection = idle.pop()
            if connection.usable and time.monotonic() - connection.idle_since < _IDLE_S_MAX:
                return connection
            connection.close()
        return None

    def _context(self, address: Address) -> ssl.SSLContext | None:
        if not address.tls:
            return None
        if self._tls is None:
            # Reads the machine's certificates: once, and only where there is TLS to speak.
            self._tls = ssl.create_default_context()
        return self._tls
