"""Lists that were flattened into attributes such as ``llm.input_messages.3.message.role``, put together again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, cast

from pilothouse.records import Message

from . import values
from .messages import MEMORY, one_turn, read_element
from .parts import has_known_type

_KEYS_MAX: Final = 50_000
_INDEX_DIGITS_MAX: Final = 6
_places: dict[str, tuple[str, int, str] | None] = {}
"""For each key seen: the list's name, the position in it and the rest of the key; ``None`` where it is no list."""


class Flattened:
    """The flattened lists of one span."""

    __slots__ = ("_keys", "_lists")

    def __init__(self, attributes: Mapping[str, Any], names: frozenset[str]) -> None:
        """Collect the lists of these names in one pass; each member is kept as key, value, key, value."""
        self._lists: dict[str, dict[int, list[Any]]] = {}
        self._keys: dict[str, list[str]] = {}
        for key, value in attributes.items():
            place = _places[key] if key in _places else _place(key)
            if place is None or place[0] not in names:
                continue
            name, index, rest = place
            groups = self._lists.get(name)
            if groups is None:
                groups = self._lists[name] = {}
                self._keys[name] = []
            group = groups.get(index)
            if group is None:
                groups[index] = [rest, value]
            else:
                group.append(rest)
                group.append(value)
            self._keys[name].append(key)

    def __contains__(self, name: str) -> bool:
        return name in self._lists

    def keys(self, name: str) -> Iterable[str]:
        """The attribute keys that make up the list."""
        return self._keys.get(name, ())

    def members(self, name: str) -> list[dict[str, Any]]:
        """The members of the list as nested objects, in the order of their numbers."""
        groups = self._lists.get(name, {})
        return [_nested(groups[index]) for index in sorted(groups)]

    def messages(self, name: str, role: str) -> tuple[Message, ...]:
        """The members of the list as canonical messages; one without a role was said by ``role``."""
        groups = self._lists.get(name)
        if groups is None:
            return ()
        found: list[Message] = []
        for index in sorted(groups):
            flat = groups[index]
            try:
                key = (role, *flat)
                known = MEMORY.get(key)
            except TypeError:
                key = None
                known = None
            if known is None:
                known = read_element(_message(_nested(flat)), role, key=key)
            found.extend(known)
        return one_turn(found)


def _place(key: str) -> tuple[str, int, str] | None:
    place: tuple[str, int, str] | None = None
    pieces = key.split(".")
    for position, piece in enumerate(pieces):
        if piece.isdecimal() and piece.isascii() and len(piece) <= _INDEX_DIGITS_MAX and position:
            place = (".".join(pieces[:position]), int(piece), ".".join(pieces[position + 1 :]))
            break
    if len(_places) >= _KEYS_MAX:
        _places.clear()
    _places[key] = place
    return place


def _nested(flat: list[Any]) -> dict[str, Any]:
    """``a.0.b`` → {"a": [{"b": …}]}: numbers make lists. A key that is both a value and a prefix keeps the prefix."""
    root: dict[str, Any] = {}
    for position in range(0, len(flat), 2):
        _insert(root, flat[position].split(".") if flat[position] else [""], flat[position + 1])
    return cast("dict[str, Any]", _lists(root))


def _insert(root: dict[str, Any], path: list[str], value: Any) -> None:
    at = root
    for piece in path[:-1]:
        inner = at.get(piece)
        if not isinstance(inner, _Branch):
            inner = at[piece] = _Branch()
        at = inner
    if not isinstance(at.get(path[-1]), _Branch):
        at[path[-1]] = value


class _Branch(dict[str, Any]):
    """An object made by unflattening, as opposed to one that was a value."""


def _lists(node: dict[str, Any]) -> Any:
    children = {key: _lists(value) if isinstance(value, _Branch) else value for key, value in node.items()}
    if isinstance(node, _Branch) and children and all(key.isdecimal() and len(key) < 7 for key in children):
        return [children[key] for key in sorted(children, key=int)]
    return children


def _message(body: dict[str, Any]) -> dict[str, Any]:
    """OpenInference wraps each message in ``message``, each part in ``message_content``, each call in ``tool_call``."""
    inner = body.get("message")
    if isinstance(inner, dict):
        body = cast("dict[str, Any]", inner)
    elif body.get("role") != "tool":
        body["content"] = _parts_in_text(body.get("content"))
    parts = body.get("contents")
    if isinstance(parts, list):
        body["contents"] = [_part(part) for part in cast("list[Any]", parts)]
    calls = body.get("tool_calls")
    if isinstance(calls, list):
        body["tool_calls"] = [_call(call) for call in cast("list[Any]", calls)]
    name = body.pop("function_call_name", None)
    if name:
        arguments = body.pop("function_call_arguments_json", None)
        body["function_call"] = {"name": name, "arguments": arguments}
    return body


def _parts_in_text(content: Any) -> Any:
    """OpenLLMetry sends content of several parts as JSON; a tool's own JSON and a user's stay text."""
    if not isinstance(content, str) or not content.startswith('[{"'):
        return content
    found = values.structure(content)
    if isinstance(found, list) and all(has_known_type(piece) for piece in cast("list[Any]", found)):
        return cast("Any", found)
    return content


def _part(part: Any) -> Any:
    if isinstance(part, dict):
        whole = cast("dict[str, Any]", part)
        call = whole.get("tool_call")
        if isinstance(call, dict):
            # The type is under message_content, the call beside it.
            return {"type": "tool_call", **_call(part)}
    return _inner(part, "message_content")


def _call(call: Any) -> Any:
    """A call whose arguments are missing has none: the emitter leaves an empty object out."""
    inner: Any = _inner(call, "tool_call")
    if isinstance(inner, dict):
        function = cast("dict[str, Any]", inner).get("function")
        if isinstance(function, dict):
            cast("dict[str, Any]", function).setdefault("arguments", "{}")
    return cast("Any", inner)


def _inner(piece: Any, key: str) -> Any:
    if isinstance(piece, dict):
        return cast("dict[str, Any]", piece).get(key, cast("Any", piece))
    return piece
