"""Errors of the gateway in the shape that the provider's own library reads."""

from __future__ import annotations

import json
from typing import Any

from pilothouse.records import PilothouseError

from .endpoints import Wire

_ANTHROPIC = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}


def body(wire: Wire, error: PilothouseError) -> bytes:
    """The error's body: its message with the remedy, and its kind."""
    message = f"pilothouse: {error.message}"
    if error.fix:
        message += f" (to do: {error.fix})"
    if wire == "anthropic":
        kind = _ANTHROPIC.get(error.http_status, "api_error")
        return _bytes({"type": "error", "error": {"type": kind, "message": message, "pilothouse": error.as_dict()}})
    inner = {"message": message, "type": error.kind, "param": None, "code": error.kind, "pilothouse": error.as_dict()}
    return _bytes({"error": inner})


def event(wire: Wire, error: PilothouseError) -> bytes:
    """The error as an event, for a stream that has begun."""
    said = body(wire, error)
    return b"event: error\ndata: " + said + b"\n\n" if wire == "anthropic" else b"data: " + said + b"\n\n"


def _bytes(value: Any) -> bytes:
    return json.dumps(value, default=str, ensure_ascii=False).encode("utf-8", "replace")
