"""What a sender is told: OTLP success, partial success and error bodies, in the format the request came in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pilothouse.records import PilothouseError

from .body import Format
from .check import Checked, Signal
from .shapes import shape

MESSAGE_CHARS_MAX = 2000
REFUSALS_TOLD_MAX = 10

_CONTENT_TYPES: dict[Format, str] = {"protobuf": "application/x-protobuf", "json": "application/json"}
_COUNT_NAMES: dict[Signal, str] = {
    "traces": "rejectedSpans",
    "logs": "rejectedLogRecords",
    "metrics": "rejectedDataPoints",
}

# The codes of google.rpc.Code, by HTTP status.
_RPC_CODES = {400: 3, 401: 16, 403: 7, 404: 5, 408: 4, 413: 8, 415: 3, 429: 8, 499: 1, 503: 14}
_RPC_INTERNAL = 13


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An HTTP response."""

    status: int
    content_type: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    """Further headers, e.g. ``Retry-After``."""


def success(signal: Signal, reply_format: Format, checked: Checked) -> Answer:
    """200, with ``partial_success`` where items were refused."""
    message = partial_message(signal, checked)
    if reply_format == "protobuf":
        body = partial_success(checked.refused_count, message)
    elif not checked.refused_count:
        body = b"{}"
    else:
        # An int64 is a string in protobuf's JSON.
        told = {_COUNT_NAMES[signal]: str(checked.refused_count), "errorMessage": message}
        body = json.dumps({"partialSuccess": told}, ensure_ascii=False).encode("utf-8", "replace")
    return Answer(status=200, content_type=_CONTENT_TYPES[reply_format], body=body)


def failure(reply_format: Format, error: PilothouseError) -> Answer:
    """The error's status and a ``google.rpc.Status`` body."""
    headers: dict[str, str] = {}
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(error.retry_after_s)
    if error.http_status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if error.http_status in (408, 413):
        # The rest of the body is not wanted: it ends with the connection.
        headers["Connection"] = "close"
    if reply_format == "protobuf":
        body = rpc_status(error)
    else:
        shown: dict[str, Any] = {"code": rpc_code(error), "message": error_message(error)}
        if error.retry_after_s is not None:
            retry = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f"{error.retry_after_s}s"}
            shown["details"] = [retry]
        body = json.dumps(shown, ensure_ascii=False).encode("utf-8", "replace")
    return Answer(status=error.http_status, content_type=_CONTENT_TYPES[reply_format], body=body, headers=headers)


def partial_message(signal: Signal, checked: Checked) -> str:
    """Which items were refused and why, in one line; empty where none was."""
    if not checked.refused_count:
        return ""
    noun = shape(signal).noun
    told = [
        f"#{one.index}{f' ({one.id})' if one.id else ''}: {one.reason}" for one in checked.refused[:REFUSALS_TOLD_MAX]
    ]
    more = checked.refused_count - len(told)
    if more > 0:
        told.append(f"and {more} more")
    return _cut(f"{checked.refused_count} of {checked.items} {noun} refused: {'; '.join(told)}")


def error_message(error: PilothouseError) -> str:
    """The error and its remedy in one line."""
    return _cut(f"{error.message} ({error.fix})" if error.fix else error.message)


def rpc_code(error: PilothouseError) -> int:
    """The error as a google.rpc.Code, which are also gRPC's status codes."""
    return _RPC_CODES.get(error.http_status, _RPC_INTERNAL)


# ── protobuf, by hand: google.rpc has no generated classes here, and the messages have two fields ────────────────


def partial_success(refused_count: int, message: str) -> bytes:
    """An Export…ServiceResponse: the three are the same on the wire. Empty where nothing was refused."""
    if not refused_count:
        return b""
    return _bytes_field(1, _int_field(1, refused_count) + _bytes_field(2, _utf8(message)))


def rpc_status(error: PilothouseError) -> bytes:
    """A google.rpc.Status, with a RetryInfo where the sender should come back."""
    status = _int_field(1, rpc_code(error)) + _bytes_field(2, _utf8(error_message(error)))
    if error.retry_after_s is not None:
        delay = _int_field(1, error.retry_after_s)
        retry = _bytes_field(1, b"type.googleapis.com/google.rpc.RetryInfo") + _bytes_field(2, _bytes_field(1, delay))
        status += _bytes_field(3, retry)
    return status


def _int_field(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _bytes_field(number: int, value: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "replace")


def _cut(text: str) -> str:
    return text if len(text) <= MESSAGE_CHARS_MAX else text[: MESSAGE_CHARS_MAX - 1] + "…"
