"""Hears a caller out before refusing it, so that the refusal arrives instead of a broken connection."""

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

BYTES_MAX = 64 << 20
"""So much of a refused body is read and thrown away; what is longer finds the connection closed."""
SECONDS_MAX = 3.0
"""So long a refusal waits for the rest of a body."""


class HeardOut:
    """An ASGI application whose refusals come after the body.

    Most clients write a request whole before they read the answer. A server that closes the connection in between
    gives them a broken pipe, and what was wrong is never known (RFC 9112, 9.6, "Tear-down").
    """

    def __init__(self, app: "ASGIApp") -> None:
        self._app = app

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Answer one request. One that waits for "100 Continue" has sent no body, and is refused at once."""
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD") or _waits(scope):
            await self._app(scope, receive, send)
            return
        whole = False

        async def hear() -> "Message":
            nonlocal whole
            message = await receive()
            whole = whole or message["type"] == "http.disconnect" or not message.get("more_body", False)
            return message

        async def rest() -> None:
            size = 0
            while not whole and size < BYTES_MAX:
                size += len((await hear()).get("body", b""))

        async def answer(message: "Message") -> None:
            refused = message["type"] == "http.response.start" and message["status"] >= 400
            if refused and not whole and message["status"] != HTTPStatus.REQUEST_TIMEOUT:
                try:
                    async with asyncio.timeout(SECONDS_MAX):
                        await rest()
                except TimeoutError:
                    pass
            await send(message)

        await self._app(scope, hear, answer)


def _waits(scope: "Scope") -> bool:
    return any(name == b"expect" for name, _ in scope["headers"])
