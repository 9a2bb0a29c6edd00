"""Hearing server-sent events: parse, reconnect with pauses, go on where it broke off. Standard library only."""

from __future__ import annotations

import contextlib
import http.client
import json
import random
import signal
import socket
import time
from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlencode, urlsplit

from pilothouse.records import PilothouseError, Unreachable, answered_error

from .client import Client

SILENCE_S = 40.0
"""The server says something every 15 s: a connection silent for longer is dead."""
PAUSES_S = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0)
TRIES_MAX = 10
"""Connections refused in a row after which it is given up: some two minutes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """One event."""

    name: str
    id: str
    """The cursor behind it."""
    data: dict[str, Any]


def parse(lines: Iterable[str]) -> Iterator[Heard]:
    """The events in the lines of a stream. Comments, unknown fields and what is no JSON object are passed over."""
    name, id, data = "message", "", ""
    for line in lines:
        if line == "":
            event = _event(name, id, data)
            if event is not None:
                yield event
            name, data = "message", ""
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            name = value
        elif field == "id":
            id = value
        elif field == "data":
            data += value


def _event(name: str, id: str, data: str) -> Heard | None:
    try:
        found: object = json.loads(data)
    except ValueError:
        return None
    return Heard(name=name, id=id, data=cast("dict[str, Any]", found)) if isinstance(found, dict) else None


def events_from(client: Client, params: Mapping[str, str], cursor: str, *, until: float) -> Iterator[Heard]:
    """Events until a moment of ``time.monotonic()``, across broken connections, from a cursor on.

    Raises:
        PilothouseError: the server refused; or it did not answer ten times in a row.
    """
    failures = 0
    while time.monotonic() < until:
        try:
            for event in _connected(client, {**params, "cursor": cursor}, until):
                failures = 0
                cursor = event.id or cursor
                yield event
        except PilothouseError as error:
            if error.http_status not in (429, 503) and not isinstance(error, Unreachable):
                raise
            failures += 1
            if failures >= TRIES_MAX:
                raise
        pause = PAUSES_S[min(failures, len(PAUSES_S) - 1)] * (0.7 + 0.6 * random.random())  # noqa: S311  # no secret
        time.sleep(max(min(pause, until - time.monotonic()), 0))


def _connected(client: Client, params: Mapping[str, str], until: float) -> Iterator[Heard]:
    parts = urlsplit(client.url)
    connect = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = connect(parts.hostname or "", parts.port, timeout=SILENCE_S)
    query = urlencode([(name, value) for name, value in params.items() if value], errors="replace")
    headers = {"Authorization": f"Bearer {client.token}", "User-Agent": "pilothouse-cli", "Accept": "text/event-stream"}
    try:
        connection.request("GET", f"{parts.path.rstrip('/')}/api/v1/live/events?{query}", headers=headers)
        response = connection.getresponse()
        if response.status != 200:
            raise answered_error(response.status, response.read(), response.getheader("Retry-After"))
        yield from parse(_lines(connection, response, until))
    except (OSError, http.client.HTTPException) as error:
        raise Unreachable(
            f"the server does not answer: {error or type(error).__name__}", got=client.url, fix="pilothouse status"
        ) from error
    finally:
        connection.close()


def _lines(connection: http.client.HTTPConnection, response: http.client.HTTPResponse, until: float) -> Iterator[str]:
    silent_since = time.monotonic()
    while (left := until - time.monotonic()) > 0:
        sock = connection.sock
        if isinstance(sock, socket.socket):
            sock.settimeout(min(SILENCE_S, max(left, 0.01)))
        try:
            line = response.readline(1_000_000)
        except TimeoutError:
            # Either the time asked for is over, or nothing was heard for too long.
            if time.monotonic() - silent_since >= SILENCE_S:
                raise
            return
        if not line:
            return
        silent_since = time.monotonic()
        yield line.decode("utf-8", "replace").rstrip("\r\n")


@contextlib.contextmanager
def stopped_by_signals() -> Generator[None]:
    """SIGTERM ends the block as Ctrl-C does, so that what follows is still said."""

    def stop(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
