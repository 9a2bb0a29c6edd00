"""Routes whose bodies are bounded: what is larger is refused before more of it is read."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.types import Message

from pilothouse.records import TooLarge

BODY_BYTES_MAX = 16 << 20


class BoundedRoute(APIRoute):
    """A route that takes 16 MB at most; ``APIRouter(route_class=BoundedRoute)``."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The route's own handler, given a body that was read within the bound."""
        handler = super().get_route_handler()

        async def bounded(request: Request) -> Response:
            if request.method in ("GET", "HEAD"):
                return await handler(request)
            # Read here and not where it is parsed: an error in there would be told as a body that cannot be parsed.
            pieces: list[bytes] = []
            held = 0
            async for piece in request.stream():
                held += len(piece)
                if held > BODY_BYTES_MAX:
                    raise TooLarge(f"a body has at most {BODY_BYTES_MAX >> 20} MB", got=f"{held:,} bytes or more")
                pieces.append(piece)
            body = b"".join(pieces)

            async def receive() -> Message:
                return {"type": "http.request", "body": body, "more_body": False}

            return await handler(Request(request.scope, receive))

        return bounded
