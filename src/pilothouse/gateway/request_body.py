"""The body of a call: which model it asks for, and the same bytes with another model's name."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Final, cast

import orjson

from pilothouse.records import BadRequest

_TOKEN: Final = re.compile(rb'"(?:[^"\\]|\\.)*"|[{}\[\]]', re.DOTALL)
_VALUE: Final = re.compile(rb'\s*:\s*("(?:[^"\\]|\\.)*")', re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the gateway has to know of a body."""

    model: str
    stream: bool


def read(body: bytes) -> Asked:
    """Read a body.

    Raises:
        BadRequest: it is no JSON object, or names no model.
    """
    try:
        data = parsed(body)
    except (ValueError, RecursionError):
        raise BadRequest("the body is not JSON", fix="send the JSON that the provider's API takes") from None
    if not isinstance(data, dict):
        raise BadRequest("the body is no JSON object", got=type(data).__name__)
    fields = cast("dict[str, Any]", data)
    model = fields.get("model")
    if not isinstance(model, str) or not model:
        raise BadRequest("the body names no model", got=repr(model)[:100], fix='"model": "…"')
    return Asked(model=model, stream=fields.get("stream") is True)


def parsed(body: bytes) -> Any:
    """The JSON of a body. Half a character, which JavaScript can write, is read too.

    Raises:
        ValueError: it is not JSON.
    """
    try:
        return orjson.loads(body)
    except ValueError:
        return json.loads(body)


def with_model(body: bytes, model: str) -> bytes:
    """The same bytes but for the value of the outermost ``model``: order, spaces and numbers stay as they were sent."""
    pieces: list[bytes] = []
    depth = 0
    kept = 0
    end = 0
    for token in _TOKEN.finditer(body):
        if token.start() < end:
            continue
        text = token[0]
        if text in (b"{", b"["):
            depth += 1
        elif text in (b"}", b"]"):
            depth -= 1
        elif depth == 1 and (value := _VALUE.match(body, token.end())) is not None:
            end = value.end()
            if parsed(text) == "model":
                pieces += (body[kept : value.start(1)], json.dumps(model).encode())
                kept = end
    return b"".join((*pieces, body[kept:]))
