"""Whether what a tool returned is a failure although nothing was raised: one set of rules for writer and reader."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, cast

_FLAGS: Final = ("isError", "is_error")
_DENIALS: Final = ("ok", "success")
_STATUSES: Final = ("status_code", "statusCode", "status", "http_status")
_RESULTS: Final = ("result", "results", "data", "output", "content")
"""Beside one of these that holds something, an ``error`` speaks of a part, not of the whole."""
_REASONS: Final = ("message", "error_message", "detail", "reason", "msg", "statusText", "title")
REASON_CHARS: Final = 2_000


def failure_in(value: Any) -> str:
    """Why a tool's result (plain data) is a failure; empty where it is not plainly one.

    Plain are: a true ``isError`` (MCP), ``ok`` or ``success`` that is false, an HTTP status of 400 to 599, and an
    ``error`` that says something while no result stands beside it. Words such as "failed" in a text prove nothing.
    """
    if isinstance(value, list) and len(cast("list[Any]", value)) == 1:
        value = cast("list[Any]", value)[0]
    if not isinstance(value, Mapping):
        return ""
    fields = cast("Mapping[str, Any]", value)
    error = fields.get("error")
    if any(fields.get(flag) is True for flag in _FLAGS):
        return _shortened(_words_in(fields.get("content")) or _reason(error) or _reason(fields) or _json(fields))
    if any(fields.get(name) is False for name in _DENIALS):
        return _shortened(_reason(error) or _reason(fields) or _json(fields))
    if status := _failed_status(fields):
        reason = _reason(error) or _reason(fields)
        return _shortened(f"status {status}: {reason}" if reason else f"status {status}")
    if not error or any(fields.get(name) for name in _RESULTS):
        return ""
    if error is True:
        return _shortened(_reason(fields) or _json(fields))
    return _shortened(_reason(error))


def _failed_status(fields: Mapping[str, Any]) -> int:
    for name in _STATUSES:
        status = fields.get(name)
        if type(status) is int:
            return status if 400 <= status <= 599 else 0
    return 0


def _reason(value: Any) -> str:
    """The words of an error: text as it is, an object's message, else the object as JSON."""
    if isinstance(value, str):
        return value
    if not isinstance(value, Mapping):
        return ""
    fields = cast("Mapping[str, Any]", value)
    for name in _REASONS:
        words = fields.get(name)
        if isinstance(words, str) and words:
            return words
    return "" if any(name in fields for name in (*_FLAGS, *_DENIALS, *_STATUSES, "error")) else _json(fields)


def _words_in(content: Any) -> str:
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    texts = [
        words
        for piece in cast("list[Any]", content)
        if isinstance(piece, Mapping) and isinstance(words := cast("Mapping[str, Any]", piece).get("text"), str)
    ]
    return "\n".join(texts)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)


def _shortened(words: str) -> str:
    return words if len(words) <= REASON_CHARS else words[:REASON_CHARS] + "…"
