"""What came back for a call: a whole answer, or the events of a stream put together, and when the first words came."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, cast

from pilothouse.sdk.responses import StreamedAnswer

from .call import Call
from .request_body import parsed

_UNPACKED_BYTES_MAX: Final = 32 * 1024 * 1024
_ERROR_CHARS_MAX: Final = 4_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a call's answer says."""

    data: Any = None
    """The answer in the form of a whole one; None where there is none."""
    error_type: str = ""
    error_message: str = ""
    first_ns: int = 0
    """When the first piece of the model's own words came; 0 where it is not known."""
    notes: tuple[str, ...] = field(default=())


def told(call: Call) -> Told:
    """Read what is kept of an answer; never raises for what an upstream sent."""
    if not call.pieces:
        return Told()
    if "text/event-stream" in call.content_type:
        return _stream(call)
    text = b"".join(piece for _, piece in unpacked(call))
    try:
        data = parsed(text)
    except (ValueError, RecursionError):
        shown = text[:_ERROR_CHARS_MAX].decode("utf-8", "replace")
        if call.status >= 400:
            return Told(error_type=str(call.status), error_message=shown)
        if call.cut:
            return Told(notes=("the answer is longer than what is kept",))
        return Told(error_type="malformed_answer", error_message=f"the answer is not JSON: {shown[:500]}")
    if call.status >= 400:
        return _failed(data, str(call.status))
    return Told(data=data)


def _stream(call: Call) -> Told:
    streamed = StreamedAnswer()
    first_ns = 0
    failed: Told | None = None
    for time_ns, event in events_of(unpacked(call)):
        try:
            body = parsed(event)
        except (ValueError, RecursionError):
            failed = failed or Told(error_type="malformed_answer", error_message="an event of the stream is not JSON")
            continue
        if not isinstance(body, dict):
            continue
        fields = cast("dict[str, Any]", body)
        kind = fields.get("type")
        if kind in ("error", "response.failed") or isinstance(fields.get("error"), dict):
            failed = failed or _failed(cast("Any", fields.get("response") or fields), str(call.status))
            if kind != "response.failed":
                continue
        first_ns = first_ns or (time_ns if _speaks(fields) else 0)
        streamed.add(fields)
    data = streamed.value()
    if failed is None:
        return Told(data=data, first_ns=first_ns)
    return Told(data=data, first_ns=first_ns, error_type=failed.error_type, error_message=failed.error_message)


def events_of(pieces: Iterator[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
    """The data of each event, with the time of the piece that completed it."""
    rest = b""
    for time_ns, piece in pieces:
        *lines, rest = (rest + piece).replace(b"\r\n", b"\n").split(b"\n")
        for line in lines:
            if line.startswith(b"data:"):
                data = line[5:].strip()
                if data and data != b"[DONE]":
                    yield time_ns, data


def _speaks(event: dict[str, Any]) -> bool:
    """Whether an event brings something the model said."""
    kind = event.get("type")
    if isinstance(kind, str):
        return kind == "content_block_delta" or (kind.startswith("response.") and kind.endswith(".delta"))
    choices = event.get("choices")
    for choice in cast("list[Any]", choices) if isinstance(choices, list) else []:
        delta = cast("dict[str, Any]", choice).get("delta") if isinstance(choice, dict) else None
        if isinstance(delta, dict) and any(
            value and key != "role" for key, value in cast("dict[str, Any]", delta).items()
        ):
            return True
    return False


def _failed(data: Any, status: str) -> Told:
    body = cast("dict[str, Any]", data) if isinstance(data, dict) else {}
    inner = body.get("error")
    if isinstance(inner, dict):
        error = cast("dict[str, Any]", inner)
        kind = error.get("type") or error.get("code") or status
        return Told(error_type=str(kind)[:200], error_message=str(error.get("message") or "")[:_ERROR_CHARS_MAX])
    said = str(cast("object", inner or body.get("message") or body.get("detail") or data))
    return Told(error_type=status, error_message=said[:_ERROR_CHARS_MAX])


def unpacked(call: Call) -> Iterator[tuple[int, bytes]]:
    """The pieces of an answer, decompressed, each with the moment it came."""
    if call.encoding in ("", "identity"):
        yield from call.pieces
        return
    # The gateway asks for no other encoding.
    unpack = zlib.decompressobj(zlib.MAX_WBITS | 32)
    left = _UNPACKED_BYTES_MAX
    for time_ns, piece in call.pieces:
        try:
            plain = unpack.decompress(piece, left)
        except zlib.error:
            return
        left -= len(plain)
        yield time_ns, plain
        if left <= 0:
            return
