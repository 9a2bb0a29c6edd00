"""What a value is made of: every path with its types, how often it is there, and an example."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

from .paths import path_text, type_name
from .preview import cut_text, scalar

_NODES_MAX: Final = 300_000
"""Values looked at; beyond it the shape is that of what came first, and says so."""
_ELEMENTS_MAX: Final = 5_000
"""Elements of one array looked at."""
_KEYS_MAX: Final = 200
"""Different keys at one place; beyond it they are taken for a map's and told as one."""
_MAP_KEYS_MIN: Final = 40
"""An object of so many keys, all with members of one kind, is a map: its keys are told as one."""
_DEPTH_MAX: Final = 40


@dataclass(slots=True)
class _Place:
    """One path, elements of an array taken together."""

    seen: int = 0
    types: Counter[str] = field(default_factory=lambda: Counter[str]())
    longest: int = 0
    example: str = ""
    keys: dict[str, _Place] = field(default_factory=lambda: dict[str, "_Place"]())
    elements: _Place | None = None
    other_keys: _Place | None = None


def shape_lines(value: Any, chars: int) -> list[str]:
    """The shape as lines, outermost first, as many as fit into ``chars``; what is left out is said."""
    root = _Place()
    looked = _look(value, root)
    lines: list[str] = [] if looked < _NODES_MAX else [f"(of the first {looked:,} values)"]
    waiting: list[tuple[str, _Place, int]] = [(".", root, 1)]
    room, left_out = chars - 120, 0
    # Breadth first: what does not fit is what lies deepest.
    for name, place, parents in _breadth_first(waiting):
        line = _line(name, place, parents)
        room -= len(line) + 1
        if room < 0:
            left_out += 1
        else:
            lines.append(line)
    if left_out:
        lines.append(f"… {left_out:,} deeper paths are left out: schema(id, path) begins further in")
    return lines


def _breadth_first(waiting: list[tuple[str, _Place, int]]) -> list[tuple[str, _Place, int]]:
    found: list[tuple[str, _Place, int]] = []
    while waiting:
        found += waiting
        below: list[tuple[str, _Place, int]] = []
        for name, place, _ in waiting:
            stem = "" if name == "." else name
            objects = place.types["object"]
            below += [(stem + _step(key), member, objects) for key, member in place.keys.items()]
            if place.other_keys is not None:
                below.append((f"{stem}.<other keys>", place.other_keys, objects))
            if place.elements is not None:
                below.append((f"{stem or '.'}[]", place.elements, 0))
        waiting = below
    return found


def _step(key: str) -> str:
    text = path_text((cut_text(key, 60),))
    return text[1:] if text.startswith(".[") else text


def _line(name: str, place: _Place, parents: int) -> str:
    kinds = "|".join(kind for kind, _ in place.types.most_common())
    times = (
        f" in {place.seen:,} of {parents:,}"
        if parents and place.seen < parents
        else f" x{place.seen:,}"
        if place.seen > 1
        else ""
    )
    size = f", up to {place.longest:,} {'characters' if place.types['string'] else 'members'}" if place.longest else ""
    example = f", e.g. {place.example}" if place.example else ""
    return f"{cut_text(name, 200)}  {kinds}{times}{size}{example}"


def _look(value: Any, root: _Place) -> int:
    # In breadth: where the bound is met, it is the depths that were not looked at.
    waiting: deque[tuple[Any, _Place, int]] = deque([(value, root, 0)])
    looked = 0
    while waiting and looked < _NODES_MAX:
        item, place, depth = waiting.popleft()
        looked += 1
        place.seen += 1
        place.types[type_name(item)] += 1
        if isinstance(item, dict) and depth < _DEPTH_MAX:
            fields = cast("dict[str, Any]", item)
            place.longest = max(place.longest, len(fields))
            together = _is_map(fields)
            waiting.extend((member, _key_place(place, key, together), depth + 1) for key, member in fields.items())
        elif isinstance(item, list) and depth < _DEPTH_MAX:
            items = cast("Sequence[Any]", item)
            place.longest = max(place.longest, len(items))
            if place.elements is None and items:
                place.elements = _Place()
            elements = place.elements
            if elements is not None:
                waiting.extend((member, elements, depth + 1) for member in items[:_ELEMENTS_MAX])
        else:
            if isinstance(item, str):
                place.longest = max(place.longest, len(item))
            if not place.example and not isinstance(item, (dict, list)) and item is not None:
                place.example = scalar(item, 40)
    return looked


def _is_map(fields: dict[str, Any]) -> bool:
    return len(fields) >= _MAP_KEYS_MIN and len(set(map(type, fields.values()))) == 1


def _key_place(place: _Place, key: str, together: bool) -> _Place:
    found = place.keys.get(key)
    if found is not None:
        return found
    if len(place.keys) < _KEYS_MAX and not together:
        return place.keys.setdefault(key, _Place())
    if place.other_keys is None:
        place.other_keys = _Place()
    return place.other_keys
