"""Whether two answers to the same request do the same: the same tool calls, the same data, the same facts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pilothouse.cache import compare
from pilothouse.records import Message, canonical_json


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """What came of comparing."""

    same: bool
    kind: Literal["tools", "json", "text"]
    """What was compared: the calls of tools, data, or the facts and words of a text."""
    why: str


def agreement(before: Sequence[Message], fresh: Sequence[Message]) -> Agreement:
    """Compare an answer that was given with another. Errs towards "differs"."""
    old, new = _calls(before), _calls(fresh)
    if old or new:
        same = sorted(old) == sorted(new)
        why = "the same calls" if same else f"{_names(old)}, then {_names(new)}"
        return Agreement(same=same, kind="tools", why=why)
    one, other = (" ".join(item.text for item in side).strip() for side in (before, fresh))
    data, again = _data(one), _data(other)
    if data is not None:
        if again is None:
            return Agreement(same=False, kind="json", why="data, then none")
        same = canonical_json(data) == canonical_json(again)
        return Agreement(same=same, kind="json", why="the same data" if same else "other data")
    found = compare(one, other)
    return Agreement(same=found.same, kind="text", why=found.why)


def _calls(messages: Sequence[Message]) -> list[tuple[str, str]]:
    return [
        (part.name, canonical_json(_arguments(part.arguments)))
        for item in messages
        for part in item.parts
        if part.type == "tool_call"
    ]


def _arguments(value: Any) -> Any:
    if not isinstance(value, str):
        return value or {}
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


def _names(calls: Sequence[tuple[str, str]]) -> str:
    return " ".join(name for name, _ in calls)[:80] or "no call"


def _data(text: str) -> Any:
    """What a text is as data; None where it is words."""
    bare = text.removeprefix("```json").removeprefix("```").removesuffix("```").strip()
    if bare[:1] not in ("{", "["):
        return None
    try:
        return json.loads(bare)
    except (ValueError, RecursionError):
        return None
