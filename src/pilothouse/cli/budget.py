"""Making an answer fit: structure first, then values, then lists; and saying what was cut and how to get it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, cast

VALUE_CHARS = 100
_CUTS_SHOWN = 10
_STEPS = ((VALUE_CHARS, 10**9), (60, 10**9), (60, 20), (60, 8), (40, 4), (24, 2), (24, 1), (12, 0))
"""Longest value in characters and longest inner list, in the order they are tried."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """Data that fits, and what it lacks."""

    data: Any
    cut: list[dict[str, Any]]
    """``path``, ``bytes`` and ``get`` of what was left out; the largest first, at most ten."""


def dumps(value: Any) -> str:
    """Compact JSON on one line."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def fit(data: Any, budget: int, get: str) -> Fitted:
    """Cut data until its JSON and the list of cuts have at most ``budget`` characters.

    Long texts are cut first, then lists inside the rows are folded; of the outermost list, whose rows are what was
    asked for, the last rows go last of all. ``get`` is the command that gives everything.
    """
    if len(dumps(data)) <= budget:
        return Fitted(data=data, cut=[])
    for chars, items in _STEPS:
        cuts: list[dict[str, Any]] = []
        smaller = _shrink(data, chars, items, "data", cuts, get, outermost=True)
        shown = _largest(cuts)
        if len(dumps(smaller)) + len(dumps(shown)) <= budget:
            return Fitted(data=smaller, cut=shown)
        if isinstance(data, list) and (chars, items) == _STEPS[1]:
            # Rows of 60 characters a value say more than all rows in crumbs.
            fitted = _fewer_rows(cast("list[Any]", smaller), cast("list[Any]", data), budget, get)
            if fitted is not None:
                return fitted
    size = len(dumps(data).encode())
    return Fitted(data=None, cut=[{"path": "data", "bytes": size, "get": get}])


def _fewer_rows(rows: list[Any], whole: list[Any], budget: int, get: str) -> Fitted | None:
    """As many of the first rows as fit; None where not even one does."""
    room = budget - 120 - len(get)
    kept = 0
    for row in rows:
        room -= len(dumps(row)) + 1
        if room < 0:
            break
        kept += 1
    if kept == 0:
        return None
    size = len(dumps(whole[kept:]).encode())
    return Fitted(data=rows[:kept], cut=[{"path": f"data.{kept}:{len(whole)}", "bytes": size, "get": get}])


def _largest(cuts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(cuts, key=lambda cut: (-int(cut["bytes"]), str(cut["path"])))[:_CUTS_SHOWN]


def _shrink(
    value: Any, chars: int, items: int, path: str, cuts: list[dict[str, Any]], get: str, *, outermost: bool = False
) -> Any:
    if isinstance(value, str):
        if len(value) <= chars:
            return value
        cuts.append({"path": path, "bytes": len(value.encode("utf-8", "replace")), "get": get})
        return value[: chars - 1] + "…"
    if isinstance(value, list):
        elements = cast("list[Any]", value)
        kept = elements if outermost or len(elements) <= items else elements[:items]
        small = [_shrink(one, chars, items, f"{path}.{i}", cuts, get) for i, one in enumerate(kept)]
        if len(kept) < len(elements):
            size = len(dumps(elements[len(kept) :]).encode())
            cuts.append({"path": f"{path}.{len(kept)}:{len(elements)}", "bytes": size, "get": get})
            small.append({"cut": len(elements) - len(kept)})
        return small
    if isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        return {key: _shrink(one, chars, items, f"{path}.{key}", cuts, get) for key, one in fields.items()}
    return value
