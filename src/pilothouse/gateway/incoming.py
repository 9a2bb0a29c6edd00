"""The body of a request, read within its bounds; and of one that is refused, the rest of it, so that the refusal arrives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from starlette.types import Message, Receive

from pilothouse.records import BadRequest, Overloaded, TooLarge

from .failures import CallerLeft
from .patience import Patience

BODY_BYTES_MAX: Final = 32 * 1024 * 1024
"""Largest request: what Anthropic takes at most."""
IN_FLIGHT_BYTES_MAX: Final = 256 * 1024 * 1024
"""Bytes of requests that are held at once; beyond, callers are told to come back."""
BODY_S_MAX: Final = 60.0
_REST_BYTES_MAX: Final = 64 * 1024 * 1024
_REST_S_MAX: Final = 3.0


class Room:
    """Bytes of requests that are held just now."""

    def __init__(self) -> None:
        self.held_bytes = 0

    def check(self, size: int) -> None:
        """Whether one more body of this size is taken.

        Raises:
            TooLarge: it is larger than any may be.
            Overloaded: not now.
        """
        if size > BODY_BYTES_MAX:
            raise TooLarge(f"the body is larger than {BODY_BYTES_MAX} bytes", allowed=BODY_BYTES_MAX)
        if self.held_bytes + size > IN_FLIGHT_BYTES_MAX:
            raise Overloaded("the gateway holds as many calls as it can", fix="wait and call again", retry_after_s=1)


class Incoming:
    """One request's body on its way in."""

    def __init__(self, method: str, given: Mapping[bytes, bytes], receive: Receive) -> None:
        """``given``: its headers by their lower-case names."""
        self._given = given
        self._receive = receive
        # Who waits for "100 Continue" has sent nothing.
        self._whole = method in ("GET", "HEAD") or b"expect" in given

    async def read(self, room: Room, patience: Patience) -> bytes:
        """The whole body.

        Raises:
            BadRequest: it is compressed, or does not come.
            TooLarge, Overloaded: there is no room for it.
            CallerLeft: nobody is there any more.
        """
        encoding = self._given.get(b"content-encoding", b"").lower()
        if encoding not in (b"", b"identity"):
            raise BadRequest("the body is compressed", got=encoding[:40].decode("latin-1"), fix="send it as it is")
        declared = self._given.get(b"content-length", b"")
        if declared.isdigit() and len(declared) < 20:
            room.check(int(declared))
        pieces: list[bytes] = []
        size = 0
        try:
            with patience.within(BODY_S_MAX):
                while True:
                    message = await self._hear()
                    if message["type"] == "http.disconnect":
                        raise CallerLeft("the caller left before its body was whole")
                    piece: bytes = message.get("body", b"")
                    size += len(piece)
                    room.check(size)
                    pieces.append(piece)
                    if not message.get("more_body", False):
                        break
        except TimeoutError:
            raise BadRequest(f"the body did not arrive within {BODY_S_MAX:g} s", got=f"{size} bytes") from None
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def rest(self, patience: Patience) -> None:
        """Read what is still to come of a body that is refused, and throw it away.

        Most clients write a request whole before they read the answer; where the connection is closed in between, they get
        a broken pipe and never learn why.
        """
        size = 0
        try:
            with patience.within(_REST_S_MAX):
                while not self._whole and size < _REST_BYTES_MAX:
                    size += len((await self._hear()).get("body", b""))
        except TimeoutError:
            pass

    async def _hear(self) -> Message:
        message = await self._receive()
        self._whole = self._whole or message["type"] == "http.disconnect" or not message.get("more_body", False)
        return message
