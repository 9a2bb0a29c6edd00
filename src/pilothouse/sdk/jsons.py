"""Any Python value as bounded plain data and as JSON: never raises, never hangs, never consumes an iterator."""

from __future__ import annotations

import dataclasses
import json
import math
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from itertools import islice
from pathlib import PurePath
from time import perf_counter
from typing import Any, Final, cast
from uuid import UUID

VALUE_CHARS_MAX: Final = 1_000_000
"""Characters of one recorded value; what lies beyond is cut, and the cut is marked."""
_NODES_MAX: Final = 50_000
_DEPTH_MAX: Final = 60
_TIME_MAX_S: Final = 0.05
"""A value that takes longer to walk (a lazy mapping over a database, say) is cut there."""
_REPR_CHARS_MAX: Final = 2_000
_BYTES_MAX: Final = 4_096
_INT_BITS_MAX: Final = 4_096
_CUT: Final = "… [cut]"

_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, default=str, check_circular=False).encode
_AS_TEXT: Final = (date, time, timedelta, Decimal, PurePath, UUID)


def to_json(value: Any, chars_max: int = VALUE_CHARS_MAX) -> str:
    """The value as compact JSON, cut where it is too large."""
    try:
        return readable(_encode(plain(value, chars_max)))
    except Exception as error:
        return _encode(_failed(value, error))


def plain_text(data: Any) -> str:
    """Plain data as text: text as it is, anything else as JSON. Saves the walk where :func:`plain` made it."""
    return readable(data if type(data) is str else _encode(data))


def to_text(value: Any, chars_max: int = VALUE_CHARS_MAX) -> str:
    """Text as it is, anything else as JSON."""
    if type(value) is str:
        return readable(value if len(value) <= chars_max else value[:chars_max] + _CUT)
    return to_json(value, chars_max)


def plain(value: Any, chars_max: int = VALUE_CHARS_MAX) -> Any:
    """The value as dicts, lists, strings, numbers, booleans and None."""
    kind = type(value)  # pyright: ignore[reportUnknownVariableType]
    if kind is bool or value is None:
        return value
    if kind is str and len(value) <= chars_max:
        return value
    try:
        return _Walk(chars_max).plain(value, 0)
    except Exception as error:
        return _failed(value, error)


def readable(text: str) -> str:
    """The text without halves of surrogate pairs, which no UTF-8 holds."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode()
    return text


class _Walk:
    """One walk over one value, with what may still be spent."""

    __slots__ = ("_chars", "_nodes", "_seen", "_until")

    def __init__(self, chars_max: int) -> None:
        self._chars = chars_max
        self._nodes = _NODES_MAX
        self._until = perf_counter() + _TIME_MAX_S
        self._seen: set[int] = set()
        """Ids of the containers above: one that holds itself is not entered again."""

    def plain(self, value: Any, depth: int) -> Any:
        kind = type(value)  # pyright: ignore[reportUnknownVariableType]
        if kind is str:
            return self._text(value)
        if value is None or kind is bool:
            return value
        self._nodes -= 1
        if kind is int:
            return value if value.bit_length() <= 64 else self._large(value)
        if kind is float:
            return value if math.isfinite(value) else str(value)
        if kind is dict:
            return self._inside(value, depth, self._mapping)
        if kind is list or kind is tuple:
            return self._inside(value, depth, self._sequence)
        return self._other(value, depth)

    def _text(self, value: str) -> str:
        self._nodes -= 1
        length = len(value)
        if length <= self._chars:
            self._chars -= length
            return value
        head, self._chars = value[: max(self._chars, 0)], 0
        return head + _CUT

    def _large(self, value: int) -> Any:
        return value if value.bit_length() <= _INT_BITS_MAX else f"<int of {value.bit_length()} bits>"

    def _spent(self) -> bool:
        return self._nodes <= 0 or self._chars <= 0 or (self._nodes & 127 == 0 and perf_counter() > self._until)

    def _inside(self, value: Any, depth: int, read: Callable[[Any, int], Any]) -> Any:
        mark = id(value)
        if depth >= _DEPTH_MAX:
            return "… [too deep]"
        if mark in self._seen:
            return "… [itself]"
        self._seen.add(mark)
        try:
            return read(value, depth + 1)
        finally:
            self._seen.discard(mark)

    def _mapping(self, value: Mapping[Any, Any], depth: int) -> Any:
        found: dict[str, Any] = {}
        for key, item in value.items():
            if self._spent():
                found["…"] = "[cut]"
                break
            name = key if type(key) is str else str(self.plain(key, depth))
            self._chars -= len(name)
            found[name] = self.plain(item, depth)
        return found

    def _sequence(self, value: Iterable[Any], depth: int) -> Any:
        found: list[Any] = []
        for item in value:
            if self._spent():
                found.append(_CUT)
                break
            found.append(self.plain(item, depth))
        return found

    def _other(self, value: Any, depth: int) -> Any:
        """What is no plain data itself: each kind in the way that reads best, the unknown by its repr."""
        try:
            if isinstance(value, Enum):
                return self.plain(value.value, depth + 1) if depth < _DEPTH_MAX else value.name
            if isinstance(value, str | int | float):
                return self._scalar(value, depth)
            if isinstance(value, _AS_TEXT):
                return self._text(str(value))
            if isinstance(value, bytes | bytearray | memoryview):
                return self._bytes(value)  # pyright: ignore[reportUnknownArgumentType]
            if isinstance(value, BaseException):
                return self._text(f"{type(value).__name__}: {value}")
            if isinstance(value, type):
                return f"<class {value.__module__}.{value.__qualname__}>"
            fields = fields_of(value)
            if fields is not None:
                return self._inside(fields, depth, self._mapping)
            if isinstance(value, Mapping):
                return self._inside(cast("Any", value), depth, self._mapping)
            if isinstance(value, Sequence | Set) or type(value).__name__ == "deque":
                return self._inside(cast("Any", value), depth, self._sequence)
            return self._text(repr(value)[:_REPR_CHARS_MAX])
        except Exception as error:
            return _failed(value, error)

    def _scalar(self, value: str | int | float, depth: int) -> Any:
        # A subclass may compute its text: the plain value below it does not.
        if isinstance(value, str):
            return self._text(str.__str__(value))
        return self.plain(int.__index__(value) if isinstance(value, int) else float.__float__(value), depth)

    def _bytes(self, value: bytes | bytearray | memoryview) -> str:
        size = value.nbytes if isinstance(value, memoryview) else len(value)
        if size > _BYTES_MAX:
            return f"<{size} bytes>"
        return self._text("data:;base64," + b64encode(bytes(value)).decode())


def fields_of(value: Any) -> dict[str, Any] | None:
    """The fields of a dataclass, a pydantic model, an attrs class or a named tuple, unread; None of anything else."""
    kind: Any = type(value)  # pyright: ignore[reportUnknownVariableType]
    if dataclasses.is_dataclass(kind):
        return {
            name: getattr(value, name)
            for name in islice((field.name for field in dataclasses.fields(kind) if field.repr), 1_000)
            if hasattr(value, name)
        }
    if hasattr(kind, "__pydantic_fields__") or hasattr(kind, "model_fields"):
        # The instance's own dict rather than model_dump: serialisers may be slow, raise, or leave something out.
        known = dict(cast("dict[str, Any]", getattr(value, "__dict__", {})))
        extra = getattr(value, "__pydantic_extra__", None)
        return {**known, **cast("dict[str, Any]", extra)} if isinstance(extra, dict) else known
    if hasattr(kind, "__attrs_attrs__"):
        names = [str(attribute.name) for attribute in kind.__attrs_attrs__]
        return {name: getattr(value, name) for name in names if hasattr(value, name)}
    if isinstance(value, tuple) and hasattr(kind, "_fields"):
        return dict(zip(kind._fields, cast("tuple[Any, ...]", value), strict=False))
    return None


def _failed(value: Any, error: BaseException) -> str:
    return f"<{type(value).__name__}: not shown, {type(error).__name__}>"
