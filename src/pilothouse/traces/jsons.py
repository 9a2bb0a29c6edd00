"""The JSON form of what the verbs give, and how it is made to fit a budget: structure first, then values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import orjson


def money_text(amount: Decimal) -> str:
    """An amount without an exponent or idle zeros: ``0.000632``."""
    text = format(amount, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def dumps(value: Any, *, indent: bool = False) -> bytes:
    """JSON of dataclasses and plain data. Money becomes a string; keys keep their order."""
    options = orjson.OPT_NON_STR_KEYS | (orjson.OPT_INDENT_2 if indent else 0)
    return orjson.dumps(value, default=_plain, option=options)


def as_json(value: Any) -> Any:
    """The value as plain dicts, lists, strings and numbers."""
    return orjson.loads(dumps(value))


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return money_text(value)
    if isinstance(value, set | frozenset):
        return sorted(value)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    raise TypeError(type(value).__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """Something that was left out, and the command that gets it."""

    path: str
    """Where in the answer, e.g. ``steps.13.output``."""
    bytes: int
    """How large it is as a whole."""
    get: str


Command = Callable[[tuple[str | int, ...]], str]
"""Gives the command that fetches the whole value at a path."""


def fit(value: Any, budget: int, command: Command, *, value_chars: int = 100) -> tuple[Any, list[Cut]]:
    """Make plain JSON data fit into ``budget`` characters and say what was cut.

    First long texts are cut to ``value_chars``, then long lists are folded to head and tail with a count between,
    then shorter and shorter texts and lists are tried. Every key stays.
    """
    if len(dumps(value)) <= budget:
        return value, []
    for chars, items in (
        *((value_chars, 10**9), (60, 10**9), (value_chars, 80), (value_chars, 40), (value_chars, 20)),
        # Not below forty characters before all else is tried: an id that is cut names nothing.
        *((60, 20), (40, 10), (40, 6), (40, 4), (40, 2), (40, 1), (40, 0), (20, 1), (12, 0), (4, 0)),
    ):
        cuts: list[Cut] = []
        smaller = _shrink(value, chars, items, (), cuts, command)
        if len(dumps(smaller)) + len(dumps(cuts[:10])) <= budget:
            return smaller, cuts
    return {"cut": "too large for this budget"}, [Cut(path="", bytes=len(dumps(value)), get=command(()))]


def _shrink(value: Any, chars: int, items: int, path: tuple[str | int, ...], cuts: list[Cut], command: Command) -> Any:
    if isinstance(value, str):
        if len(value) <= chars:
            return value
        cuts.append(Cut(path=".".join(map(str, path)), bytes=len(value.encode()), get=command(path)))
        return value[: chars - 1] + "…"
    if isinstance(value, list):
        elements: list[Any] = value  # pyright: ignore[reportUnknownVariableType]
        if len(elements) <= items:
            return [_shrink(v, chars, items, (*path, i), cuts, command) for i, v in enumerate(elements)]
        head, tail = items - items // 2, items // 2
        shown = [_shrink(v, chars, items, (*path, i), cuts, command) for i, v in enumerate(elements[:head])]
        hidden = len(elements) - head - tail
        size = len(dumps(elements[head : len(elements) - tail]))
        cuts.append(Cut(path=".".join(map(str, (*path, head))), bytes=size, get=command(path)))
        offset = len(elements) - tail
        rest = [_shrink(v, chars, items, (*path, offset + i), cuts, command) for i, v in enumerate(elements[offset:])]
        return [*shown, {"cut": hidden}, *rest]
    if isinstance(value, dict):
        fields: dict[str, Any] = value  # pyright: ignore[reportUnknownVariableType]
        return {key: _shrink(v, chars, items, (*path, key), cuts, command) for key, v in fields.items()}
    return value
