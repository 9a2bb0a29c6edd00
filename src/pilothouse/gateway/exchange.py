"""A request and its answer, as the gateway sees them: whatever server the connection belongs to."""

from __future__ import annotations

from typing import Protocol

from starlette.types import Message, Receive, Scope, Send

from .connection import Header


class Exchange(Protocol):
    """One request, and the answer to it. Used by one task."""

    method: str
    path: str
    headers: list[Header]
    """Of the request, their names in lower case."""

    def at_hand(self) -> bytes | None:
        """The whole body where it has come already: it is given once. None: :meth:`receive` tells what comes."""
        ...

    async def receive(self) -> Message:
        """What comes next of the body, or that the caller has left, as ASGI has it."""
        ...

    async def begin(self, status: int, headers: list[Header]) -> None:
        """Send the head of the answer."""
        ...

    async def write(self, body: bytes, *, more: bool) -> None:
        """Send a piece of the answer; waits while the caller reads slower. ``more``: it is not the last."""
        ...


class AsgiExchange:
    """A request that came by ASGI."""

    __slots__ = ("_receive", "_send", "headers", "method", "path")

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.headers: list[Header] = scope["headers"]
        self._receive = receive
        self._send = send

    def at_hand(self) -> bytes | None:
        """None: ASGI has to be asked."""
        return None

    async def receive(self) -> Message:
        """What comes next."""
        return await self._receive()

    async def begin(self, status: int, headers: list[Header]) -> None:
        """Send the head of the answer."""
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def write(self, body: bytes, *, more: bool) -> None:
        """Send a piece of the answer."""
        await self._send({"type": "http.response.body", "body": body, "more_body": more})
