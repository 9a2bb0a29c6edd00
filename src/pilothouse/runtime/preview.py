"""A large value in a few thousand characters: values are cut, structure stays.

The rule, stated in the preview itself. Each level is tried in turn until the text fits the budget:

1. every string is cut to 100 characters; every key, field and element is shown;
2. strings are cut to 40, then to 16 characters;
3. arrays, and objects used as maps, whose members have one shape are shown by their first members (as many of 20 as
   fit), the count, and the keys that only some members have, the first dozen of these by an example each;
4. what lies deeper than 6, 4, 3, 2, 1 levels is shown as its type and size.

Every level stops as soon as it passes the budget, so that a value of any size costs no more than what is shown of it,
and one count of keys.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Sequence, Sized
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import Any, Final, cast

from .paths import type_name

BUDGET_CHARS: Final = 10_000
"""The most that any tool of the runtime answers."""
VALUE_CHARS: Final = 100
_MEMBERS_COMPARED: Final = 20_000
"""Members of one array whose keys are counted; beyond it the count says of how many."""
_UNION_KEYS: Final = 40
_EXAMPLE_KEYS: Final = 12
_ALL: Final = 1 << 60
_TYPE_NAMES: Final[dict[type, str]] = {
    dict: "object",
    list: "array",
    str: "string",
    int: "number",
    float: "number",
    bool: "boolean",
    type(None): "null",
}
_MAP_KEYS_MIN: Final = 12
"""An object with fewer keys is a record, whose keys are names; one with more, all of one shape, is a map."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """How much is shown."""

    value_chars: int = VALUE_CHARS
    members: int = _ALL
    depth: int = 200
    says: str


_SAYS: Final = "values cut to {} characters; of members alike the first {} shown"
_MEMBERS_TRIED: Final = 20
LEVELS: Final = (
    Level(says="values cut to 100 characters; all structure shown"),
    Level(value_chars=40, says="values cut to 40 characters; all structure shown"),
    Level(value_chars=16, says="values cut to 16 characters; all structure shown"),
    *(
        Level(value_chars=chars, members=members, says=_SAYS.format(chars, members))
        for chars, members in ((100, 20), (40, 8), (40, 3), (40, 1))
    ),
    *(
        Level(value_chars=40, members=1, depth=depth, says=f"members alike by one example; deeper than {depth} levels by type and size")
        for depth in (6, 4, 3, 2, 1)
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """A value as its preview."""

    text: str
    """JSON with marks in it: ``…+37`` where a string goes on, ``"…": "+ 812 more of this shape"`` for members."""
    rule: str
    """What was cut, in words."""
    whole: bool
    """True where nothing was cut."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shape:
    """What the members of an array, or of an object used as a map, have in common."""

    alike: bool
    words: str
    examples: tuple[tuple[str, Any], ...] = ()
    """The first value of each key that only some members have."""


class _Full(Exception):
    """The budget is passed: this level shows too much."""


def preview(value: Any, budget: int = BUDGET_CHARS) -> Preview:
    """The value within ``budget`` characters, at least 200; never raises for a value of plain data."""
    budget = max(200, budget)
    shapes: dict[int, _Shape] = {}
    before = LEVELS[0]
    for level in LEVELS:
        found = _at_level(value, level, budget, shapes)
        if found is None:
            before = level
            continue
        # Between two levels there is room: as many more members as fit.
        for members in range(min(before.members, _MEMBERS_TRIED) - 1, level.members, -1):
            more = replace(level, members=members, says=_SAYS.format(level.value_chars, members))
            fuller = _at_level(value, more, budget, shapes)
            if fuller is not None:
                return fuller
        return found
    return _outermost(value, budget)


def _at_level(value: Any, level: Level, budget: int, shapes: dict[int, _Shape]) -> Preview | None:
    """The value at one level; None where that is more than the budget."""
    writer = _Writer(level, budget, shapes)
    try:
        writer.write(value, 0)
    except _Full:
        return None
    rule = level.says if writer.cut or level is not LEVELS[0] else "whole"
    return Preview(text="".join(writer.parts), rule=rule, whole=not writer.cut)


def size_text(value: Any) -> str:
    """A value by type and size: ``object of 12 keys``, ``array of 3,000``, ``string of 48,211 characters``."""
    if isinstance(value, dict):
        return f"object of {_counted(len(cast('dict[str, Any]', value)), 'key')}"
    if isinstance(value, list):
        return f"array of {len(cast('list[Any]', value)):,}"
    if isinstance(value, str):
        return f"string of {_counted(len(value), 'character')}"
    return type_name(value)


class _Writer:
    """Writes one level, and gives up past the budget."""

    def __init__(self, level: Level, budget: int, shapes: dict[int, _Shape]) -> None:
        self.parts: list[str] = []
        self.cut = False
        self._level = level
        self._left = budget
        self._shapes = shapes

    def write(self, value: Any, depth: int) -> None:
        if isinstance(value, dict):
            self._object(cast("dict[str, Any]", value), depth)
        elif isinstance(value, list):
            self._array(cast("list[Any]", value), depth)
        else:
            self._put(scalar(value, self._level.value_chars))
            self.cut = self.cut or (isinstance(value, str) and len(value) > self._level.value_chars)

    def _put(self, text: str) -> None:
        self._left -= len(text)
        if self._left < 0:
            raise _Full
        self.parts.append(text)

    def _object(self, fields: dict[str, Any], depth: int) -> None:
        if depth >= self._level.depth and fields:
            self._mark(size_text(fields))
            return
        shown, rest = self._members(fields, fields.values(), record=len(fields) < _MAP_KEYS_MIN)
        self._put("{")
        for place, (key, member) in enumerate(islice(fields.items(), shown)):
            self._put((", " if place else "") + scalar(str(key), max(self._level.value_chars, 60)) + ": ")
            self.write(member, depth + 1)
        if rest:
            self.cut = True
            self._put((", " if shown else "") + '"…": ' + quoted(rest))
            self._examples(fields, fields.values(), shown, depth, before=', "… of these": ')
        self._put("}")

    def _array(self, items: list[Any], depth: int) -> None:
        if depth >= self._level.depth and items:
            self._mark(size_text(items))
            return
        shown, rest = self._members(items, items, record=False)
        self._put("[")
        for place, member in enumerate(islice(items, shown)):
            if place:
                self._put(", ")
            self.write(member, depth + 1)
        if rest:
            self.cut = True
            self._put((", " if shown else "") + quoted(rest))
            self._examples(items, items, shown, depth, before=", ")
        self._put("]")

    def _examples(self, whole: Sized, members: Iterable[Any], shown: int, depth: int, *, before: str) -> None:
        """Keys that only some members have, and none of those shown, with a value each."""
        shape = self._shapes.get(id(whole))
        if shape is None or not shape.examples:
            return
        seen: set[str] = set(chain.from_iterable(islice(cast("Iterable[dict[str, Any]]", members), shown)))
        for place, (key, member) in enumerate(one for one in shape.examples if one[0] not in seen):
            self._put((", " if place else before + '{"…": "keys that only some have", ') + scalar(key, 60) + ": ")
            self.write(member, depth + 2)
            before = ""
        if not before:
            self._put("}")

    def _mark(self, text: str) -> None:
        self.cut = True
        self._put(quoted(f"… {text}"))

    def _members(self, whole: Sized, members: Iterable[Any], *, record: bool) -> tuple[int, str]:
        """How many of them are shown, and what is said of the others."""
        count, most = len(whole), self._level.members
        if count <= most or record:
            return count, ""
        shape = self._shapes.get(id(whole))
        if shape is None:
            shape = self._shapes[id(whole)] = _shape(members, count)
        # Members that differ in kind are each worth seeing, but no longer all of them.
        shown = most if shape.alike else min(count, most * 2)
        return shown, f"+ {count - shown:,} more, {shape.words}" if count > shown else ""


def _shape(members: Iterable[Any], count: int) -> _Shape:
    """Whether they are of one kind, and what they have in common, in words."""
    compared = list(islice(members, _MEMBERS_COMPARED))
    of = "" if len(compared) == count else f" (of the first {len(compared):,})"
    kinds: Counter[str] = Counter()
    for example, number in Counter(map(type, compared)).items():
        kinds[_TYPE_NAMES.get(example, "value")] += number
    if len(kinds) > 1:
        told = ", ".join(f"{number:,} {kind}" for kind, number in kinds.most_common())
        return _Shape(alike=False, words=f"of several kinds{of}: {told}")
    (kind,) = kinds
    if kind == "object":
        keys: Counter[str] = Counter(chain.from_iterable(compared))
        some = [f"{key} ({number:,})" for key, number in keys.items() if number < len(compared)]
        if not some:
            return _Shape(alike=True, words=f"all objects with the same {_counted(len(keys), 'key')}{of}")
        named = ", ".join(cut_text(one, 60) for one in some[:_UNION_KEYS])
        others = f" and {len(some) - _UNION_KEYS:,} others" if len(some) > _UNION_KEYS else ""
        return _Shape(
            alike=True, words=f"objects; only some have{of}: {named}{others}", examples=_first_of(compared, keys)
        )
    if kind == "number":
        finite = [number for number in compared if math.isfinite(number)]
        between = f" from {scalar(min(finite), 40)} to {scalar(max(finite), 40)}" if finite else ""
        return _Shape(alike=True, words=f"numbers{of}{between}")
    return _Shape(alike=True, words=f"all of kind {kind}{of}")


def _first_of(members: Sequence[dict[str, Any]], keys: Counter[str]) -> tuple[tuple[str, Any], ...]:
    """The first value of each key that only some members have, in the order of the keys."""
    wanted = [key for key, number in keys.items() if number < len(members)][:_EXAMPLE_KEYS]
    found: dict[str, Any] = {}
    for member in members:
        if len(found) == len(wanted):
            break
        found.update({key: member[key] for key in wanted if key not in found and key in member})
    return tuple((key, found[key]) for key in wanted)


def _outermost(value: Any, budget: int) -> Preview:
    """Where even one level deep is too much: type, size and as many keys as fit."""
    rule = "only the outermost keys and their kinds, as many as fit"
    text = quoted(f"… {size_text(value)}")
    if isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        parts: list[str] = []
        left = budget - 80
        for key, member in fields.items():
            part = f"{scalar(str(key), 60)}: {quoted('… ' + type_name(member))}, "
            left -= len(part)
            if left < 0:
                break
            parts.append(part)
        text = "{" + "".join(parts) + f'"…": {quoted(f"+ {len(fields) - len(parts):,} more keys")}' + "}"
    return Preview(text=text[:budget], rule=rule, whole=False)


def scalar(value: Any, chars: int) -> str:
    """A value without members as JSON; a long string is cut and says by how much."""
    if isinstance(value, str):
        return quoted(cut_text(value, chars))
    if isinstance(value, float) and not math.isfinite(value):
        # JSON has no such numbers; jq and Python write them bare, so that they are told from words.
        return {math.inf: "Infinity", -math.inf: "-Infinity"}.get(value, "NaN")
    if isinstance(value, int) and value.bit_length() > 4_000:
        return quoted(f"… integer of {value.bit_length():,} bits")
    return json.dumps(value, ensure_ascii=False)


def cut_text(text: str, chars: int) -> str:
    """The text, or its beginning and how many characters follow."""
    return text if len(text) <= chars else f"{text[:chars]}…+{len(text) - chars:,}"


def quoted(text: str) -> str:
    """A text as a JSON string; half characters as escapes, so that it can be written anywhere."""
    shown = json.dumps(text, ensure_ascii=False)
    return shown if shown.isascii() or not any("\ud800" <= sign <= "\udfff" for sign in shown) else json.dumps(text)


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
