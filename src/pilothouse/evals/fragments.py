"""The pieces of a case that can be left out, coarse ones first: messages, members of data, paragraphs, lines, sentences.

A tool's call and its result are one piece, so that neither stands alone. What a user asked last stays.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from .conversation import turns
from .plain import list_of, mapping_of

Level = Literal["messages", "members", "paragraphs", "lines", "sentences"]
SMALL_CHARS: Final = 160
"""A value as short as this is left whole: a reader has it at a glance."""
DEPTH_MAX: Final = 8
_ASKED_CHARS: Final = 2_000
"""The last thing a user said is left whole up to here."""
_JSON: Final = "{json}"
"""The step of a path from a text into the data that is written in it."""
_SPLITS: Final[Mapping[str, re.Pattern[str]]] = {
    "paragraphs": re.compile(r"(?<=\n)(?:[ \t]*\n)+"),
    "lines": re.compile(r"(?<=\n)"),
    "sentences": re.compile(r"(?<=[.!?;])\s+"),
}
_CHUNK = re.compile(r"\S+(?:\s+\S+){0,11}\s*")

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Fragment:
    """One piece: some of the children of the value at ``path``, or some of the pieces of the text there."""

    path: Path
    keys: tuple[str | int, ...]
    level: Level


def fragments(data: Mapping[str, Any], level: Level, depth: int = 1) -> list[Fragment]:
    """The pieces of a case's data at a level; ``depth``: of members, how far inside."""
    if level == "messages":
        return _messages(data)
    found: list[Fragment] = []
    for path, value in _values(data):
        if level == "members":
            found += _members(value, path, depth)
        else:
            found += [
                Fragment(place, (number,), level)
                for place, text in _texts(value, path)
                for number in range(len(pieces(text, level)))
            ]
    # A text that is one piece can only go as a whole: that is not for its own level to say.
    counts: dict[Path, int] = {}
    for one in found:
        counts[one.path] = counts.get(one.path, 0) + 1
    return [one for one in found if counts[one.path] > 1 or level == "members"]


def without(data: Mapping[str, Any], left_out: Collection[Fragment]) -> dict[str, Any]:
    """The case's data without these pieces."""
    gone: dict[Path, set[str | int]] = {}
    levels: dict[Path, Level] = {}
    for one in left_out:
        gone.setdefault(one.path, set()).update(one.keys)
        levels[one.path] = one.level
    inside = {path[:length] for path in gone for length in range(len(path) + 1)}

    def cut(value: Any, path: Path) -> Any:
        if path not in inside:
            return value
        out = gone.get(path, set())
        row, listed = mapping_of(value), list_of(value)
        if row is not None:
            return {key: cut(one, (*path, key)) for key, one in row.items() if key not in out}
        if listed is not None:
            return [cut(one, (*path, number)) for number, one in enumerate(listed) if number not in out]
        if (*path, _JSON) in inside:
            return json.dumps(cut(json.loads(value), (*path, _JSON)), ensure_ascii=False)
        kept = [one for number, one in enumerate(pieces(value, levels[path])) if number not in out]
        return "".join(kept)

    return cut(data, ())


def pieces(text: str, level: Level) -> list[str]:
    """A text in pieces that make the text again."""
    split = _SPLITS[level]
    found: list[str] = []
    at = 0
    for mark in split.finditer(text):
        if mark.end() > at:
            found.append(text[at : mark.end()])
            at = mark.end()
    if at < len(text):
        found.append(text[at:])
    if level == "sentences":
        # A long text without full stops: twelve words at a time.
        return [part for one in found for part in (_CHUNK.findall(one) if len(one) > 2 * SMALL_CHARS else [one])]
    return found


# -- messages --------------------------------------------------------------------------------------------------------


def _messages(data: Mapping[str, Any]) -> list[Fragment]:
    given = mapping_of(data.get("input")) or {}
    turns = list_of(given.get("turns"))
    if turns is not None:
        return [Fragment(("input", "turns"), (number,), "messages") for number in range(len(turns) - 1)]
    messages = list_of(given.get("messages")) or []
    asked = asked_last(messages)
    return [
        Fragment(("input", "messages"), group, "messages")
        for group in groups(messages)
        if asked not in group
    ]  # fmt: skip


def groups(messages: Sequence[Any]) -> list[tuple[int, ...]]:
    """Which messages belong together: a call and its results are one."""
    found: list[list[int]] = []
    waiting: set[str] = set()
    for number, turn in enumerate(turns(messages)):
        if turn.results and found and (waiting or not all(one.id for one in turn.results)):
            found[-1].append(number)
            waiting -= {one.id for one in turn.results}
            continue
        found.append([number])
        waiting = {one.id for one in turn.calls}
    return [tuple(one) for one in found]


def asked_last(messages: Sequence[Any]) -> int:
    """The place of the last message in which a user asks something; of the last of all where none does."""
    users = [number for number, one in enumerate(turns(messages)) if one.role == "user" and one.text]
    return users[-1] if users else len(messages) - 1


# -- values ----------------------------------------------------------------------------------------------------------


def _values(data: Mapping[str, Any]) -> Iterator[tuple[Path, Any]]:
    """The values that may be cut: what messages say, and what tools answered."""
    given = mapping_of(data.get("input")) or {}
    messages = list_of(given.get("messages")) or []
    asked = asked_last(messages)
    for number, message in enumerate(messages):
        content = (mapping_of(message) or {}).get("content")
        if number == asked and len(str(content)) <= _ASKED_CHARS:
            continue
        parts = list_of(content)
        if parts is None:
            yield ("input", "messages", number, "content"), content
        for place, part in enumerate(parts or []):
            # Calls and results stay what they are: only their words are cut.
            for key, word in (mapping_of(part) or {}).items():
                if key in ("text", "content", "response") and isinstance(word, str):
                    yield ("input", "messages", number, "content", place, key), word
    for number, said in enumerate(list_of(given.get("turns")) or []):
        if len(str(said)) > _ASKED_CHARS:
            yield ("input", "turns", number), said
    if "data" in given:
        yield ("input", "data"), given["data"]
    calls = list_of((mapping_of(data.get("stubs")) or {}).get("calls")) or []
    for number, call in enumerate(calls):
        yield ("stubs", "calls", number, "result"), (mapping_of(call) or {}).get("result")


def _members(value: Any, path: Path, depth: int) -> list[Fragment]:
    row, listed = mapping_of(value), list_of(value)
    if isinstance(value, str):
        inner = _data_in(value)
        return [] if inner is None else _members(inner, (*path, _JSON), depth)
    if (row is None and listed is None) or _chars(value) <= SMALL_CHARS:
        return []
    children: list[tuple[str | int, Any]] = [*row.items()] if row is not None else [*enumerate(listed or [])]
    if depth == 1:
        return [Fragment(path, (key,), "members") for key, _ in children]
    return [one for key, child in children for one in _members(child, (*path, key), depth - 1)]


def _texts(value: Any, path: Path) -> Iterator[tuple[Path, str]]:
    row, listed = mapping_of(value), list_of(value)
    if isinstance(value, str):
        inner = _data_in(value)
        if inner is not None:
            yield from _texts(inner, (*path, _JSON))
        elif len(value) > SMALL_CHARS:
            yield path, value
    elif row is not None:
        for key, one in row.items():
            yield from _texts(one, (*path, key))
    else:
        for number, one in enumerate(listed or []):
            yield from _texts(one, (*path, number))


def _data_in(text: str) -> Any:
    """The object or list that a text is the JSON of; None where it is plain text, or short."""
    if len(text) <= SMALL_CHARS or text.lstrip()[:1] not in ("{", "["):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _chars(value: Any) -> int:
    return len(json.dumps(value, ensure_ascii=False, default=str))
