"""What a case can do without, told by its form alone: no run is needed to take it away.

System prompts, which today's orchestrator makes anew; a message that is there twice; bytes written as text.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any, Final

from .plain import list_of, mapping_of

_BINARY = re.compile(r"(?:data:[\w.+-]+/[\w.+-]+;base64,)?[A-Za-z0-9+/_-]{1000,}={0,2}")
"""Base64 of at least 750 bytes, with or without the head of a data URL; prose has spaces long before."""
_REPEATED_CHARS: Final = 500
"""A text of a user that long is said twice only by an orchestrator that repeats itself."""


def trim(data: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, int]]:
    """The case's data without that, and how much of each was left out: ``chars`` and the number of each kind."""
    left_out: dict[str, int] = {}
    before = _chars(data)
    trimmed = dict(data)
    given = mapping_of(data.get("input"))
    if given is not None and "messages" in given:
        trimmed["input"] = {"messages": _messages(list_of(given["messages"]) or [], left_out)}
    for part in ("input", "stubs"):
        if part in trimmed:
            trimmed[part] = _without_binary(trimmed[part], left_out)
    saved = before - _chars(trimmed)
    return trimmed, left_out | ({"chars": saved} if saved > 0 else {})


def _messages(messages: list[Any], left_out: dict[str, int]) -> list[Any]:
    kept: list[Any] = []
    said: set[str] = set()
    for message in messages:
        row = mapping_of(message) or {}
        role, content = row.get("role"), row.get("content")
        if role in ("system", "developer"):
            _count(left_out, "system prompts")
            continue
        if role == "user" and isinstance(content, str):
            if (kept and kept[-1] == message) or (len(content) >= _REPEATED_CHARS and content in said):
                _count(left_out, "repeated messages")
                continue
            said.add(content)
        kept.append(message)
    # A conversation that is nothing but a system prompt is better whole than empty.
    return kept or messages


def _without_binary(value: Any, left_out: dict[str, int]) -> Any:
    if isinstance(value, str):
        return _BINARY.sub(lambda found: _mark(found.group(), left_out), value) if len(value) >= 1_000 else value
    row, listed = mapping_of(value), list_of(value)
    if row is not None:
        return {name: _without_binary(one, left_out) for name, one in row.items()}
    return value if listed is None else [_without_binary(one, left_out) for one in listed]


def _mark(found: str, left_out: dict[str, int]) -> str:
    head, comma, body = found.rpartition(",")
    digest = hashlib.sha256(found.encode()).hexdigest()[:12]
    if not comma and len(set(found)) < 20:
        return found  # a row of dashes, a sequence of one letter
    _count(left_out, "binary values")
    kind = head.removeprefix("data:").removesuffix(";base64") if comma else "base64"
    return f"[{kind}, {len(body) * 3 // 4:,} bytes, sha256 {digest}]"


def _count(left_out: dict[str, int], what: str) -> None:
    left_out[what] = left_out.get(what, 0) + 1


def _chars(data: Any) -> int:
    return len(json.dumps(data, ensure_ascii=False, default=str))
