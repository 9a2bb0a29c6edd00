"""Usage of a streamed chat that its caller did not ask for: asked for on the way out, and taken out again on the way back.

OpenAI tells the usage of a stream only to those who ask, in a last piece of its own and as null in all others. The caller's
library sees neither: what it gets is what it would have got without.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, cast

import orjson

_ASKED: Final = b'"stream_options":{"include_usage":true}'
# Within a text its quotes would be escaped: this can only be the field itself.
_NULL: Final = re.compile(rb',\s*"usage"\s*:\s*null')
_HELD_BYTES_MAX: Final = 4 * 1024 * 1024


def asks(body: Mapping[str, Any]) -> bool:
    """Whether a body says itself what it wants of its stream."""
    return "stream_options" in body


def asked(request: bytes) -> bytes:
    """The body with the question for usage put first; all else as it was sent."""
    start = request.index(b"{") + 1
    return request[:start] + _ASKED + b"," + request[start:]


class Stripper:
    """Takes out of a stream what was not asked for; gives whole events on as soon as they are there."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, piece: bytes) -> bytes:
        """Take a piece; gives what may go on."""
        text = self._rest + piece
        end = max(text.rfind(b"\n\n"), text.rfind(b"\r\n\r\n"))
        if end < 0:
            if len(text) > _HELD_BYTES_MAX:
                self._rest = b""
                return text
            self._rest = text
            return b""
        end += 4 if text[end : end + 4] == b"\r\n\r\n" else 2
        self._rest = text[end:]
        return b"".join(map(_stripped, _events(text[:end])))

    def finish(self) -> bytes:
        """The stream has ended: gives what is left."""
        rest, self._rest = self._rest, b""
        return rest


def stripped(body: bytes) -> bytes:
    """A whole stream without what was not asked for."""
    stripper = Stripper()
    return stripper.feed(body) + stripper.finish()


def _events(text: bytes) -> list[bytes]:
    return re.findall(rb".*?(?:\r\n\r\n|\n\n)", text, re.DOTALL)


def _stripped(event: bytes) -> bytes:
    if b'"usage"' not in event or not event.lstrip().startswith(b"data:"):
        return event
    found = _NULL.sub(b"", event)
    if found != event:
        return found
    try:
        data: Any = orjson.loads(event.lstrip()[5:].strip())
    except ValueError:
        return event
    fields = cast("dict[str, Any]", data) if isinstance(data, dict) else {}
    return b"" if fields.get("choices") == [] and fields.get("usage") else event
