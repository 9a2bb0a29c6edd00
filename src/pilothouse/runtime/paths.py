"""Where in a JSON value: ``.orders[3].items``, written as jq writes it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any, cast

from pilothouse.records import BadRequest, NotFound

Path = tuple[str | int, ...]

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_STEP = re.compile(
    r"""\.?\[(-?\d{1,18})\]|\.?\[("(?:[^"\\]|\\.)*")\]|\.("(?:[^"\\]|\\.)*")|\.([A-Za-z_][A-Za-z0-9_]*)"""
)
_NEAREST = 5


def path_text(path: Sequence[str | int]) -> str:
    """The path as jq reads it; ``.`` for the whole."""
    parts: list[str] = []
    for step in path:
        if isinstance(step, int):
            parts.append(f"[{step}]" if parts else f".[{step}]")
        elif _PLAIN.fullmatch(step):
            parts.append(f".{step}")
        else:
            quoted = json.dumps(step, ensure_ascii=False)
            parts.append(f"[{quoted}]" if parts else f".[{quoted}]")
    return "".join(parts) or "."


def read_path(text: str) -> Path:
    """The steps of a path; ``""`` and ``.`` are the whole.

    Raises:
        BadRequest: it is not a path.
    """
    text = text.strip()
    if text in ("", "."):
        return ()
    at, steps = 0, cast("list[str | int]", [])
    # People write the first key without its dot.
    source = text if text[0] in ".[" else f".{text}"
    while at < len(source):
        found = _STEP.match(source, at)
        if found is None:
            raise BadRequest(
                f"the path is not understood from character {at} on", got=text, allowed='.orders[3]["unit price"]'
            )
        index, bracketed, quoted, plain = found.groups()
        if index is not None:
            steps.append(int(index))
        elif plain is not None:
            steps.append(plain)
        else:
            try:
                steps.append(str(json.loads(bracketed or quoted)))
            except ValueError as error:
                raise BadRequest("a key of the path is no JSON string", got=text) from error
        at = found.end()
    return tuple(steps)


def follow(value: Any, path: Sequence[str | int]) -> Any:
    """What lies at a path.

    Raises:
        NotFound: nothing does; it names how far the path leads, and what is there instead.
    """
    for depth, step in enumerate(path):
        if isinstance(value, dict) and isinstance(step, str):
            fields = cast("dict[str, Any]", value)
            if step in fields:
                value = fields[step]
                continue
        elif isinstance(value, list) and isinstance(step, int):
            items = cast("list[Any]", value)
            if -len(items) <= step < len(items):
                value = items[step]
                continue
        raise _missing(value, path, depth)
    return value


def nearest(key: str, keys: Sequence[str]) -> list[str]:
    """Keys that look like one, the likeliest first; else the first few there are."""
    folded = {one.casefold(): one for one in reversed(keys)}
    close = [folded[one] for one in get_close_matches(key.casefold(), list(folded)[:10_000], n=_NEAREST, cutoff=0.5)]
    return close or list(keys[:_NEAREST])


def _missing(value: Any, path: Sequence[str | int], depth: int) -> NotFound:
    at, step = path_text(path[:depth]), path[depth]
    if isinstance(value, dict) and isinstance(step, str):
        keys = list(cast("dict[str, Any]", value))
        near = nearest(step, keys)
        fix = path_text((*path[:depth], near[0])) if near else at
        return NotFound(f"{at} has {len(keys):,} keys and none of that name", got=step, allowed=near, fix=fix)
    if isinstance(value, list) and isinstance(step, int):
        count = len(cast("list[Any]", value))
        last = path_text((*path[:depth], count - 1)) if count else at
        return NotFound(f"{at} has {count:,} elements, numbered from 0", got=step, fix=last)
    if isinstance(value, list):
        return NotFound(
            f"{at} is an array: an element comes before a key", got=step, fix=path_text((*path[:depth], 0, step))
        )
    if isinstance(value, dict):
        keys = list(cast("dict[str, Any]", value))[:_NEAREST]
        return NotFound(f"{at} is an object: it has keys, not numbers", got=step, allowed=keys)
    return NotFound(f"{at} is {type_name(value)}: nothing is inside it", got=step, fix=at)


def type_name(value: Any) -> str:
    """What JSON calls a value's type."""
    if value is None or isinstance(value, bool):
        return "null" if value is None else "boolean"
    if isinstance(value, (int, float)):
        return "number"
    return {str: "string", list: "array", dict: "object"}.get(cast("type[Any]", type(value)), "value")
