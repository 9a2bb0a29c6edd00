"""Attribute values as the types a reader wants; none of these functions raises, whatever it is given."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final, cast

import orjson

ABSENT: Final = object()
"""What :func:`parsed` answers where the text is not JSON (``None`` is a JSON value)."""

COUNT_MAX: Final = 1 << 53
"""Counts above this are not counts."""

_OPENERS = frozenset('{["')
_INTEGER_TOO_LONG = re.compile(r"[:\[,\s]-?[0-9]{19}")


def text(value: Any) -> str:
    """The value as text: strings as they are, structures as JSON, nothing as the empty string."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (bytes, bytearray)):
        return value.decode("utf-8", "replace")
    return json_text(value)


def word(value: Any) -> str:
    """The value as a short name: text with surrounding space taken off; structures count as absent."""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, (bytes, int, float)) and not isinstance(value, bool):
        return text(value).strip()
    return ""


def first_word(attributes: Mapping[str, Any], keys: Iterable[str]) -> str:
    """The first of the keys that holds a name, else the empty string."""
    for key in keys:
        value = attributes.get(key)
        if value is not None and (found := word(value)):
            return found
    return ""


def json_text(value: Any) -> str:
    """The value as compact JSON, in the order it came; what JSON cannot hold as its Python text."""
    try:
        return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS).decode()
    except (TypeError, ValueError, RecursionError):
        pass
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=text)
    except (TypeError, ValueError, RecursionError):
        pass
    try:
        return str(value)
    except (ValueError, RecursionError):
        return "(nested too deeply to show)"


def parsed(value: str, *, exact: bool = False) -> Any:
    """The JSON value in the text, or :data:`ABSENT` where it is not a JSON object, list or string.

    ``exact`` also keeps integers beyond 64 bits, at the price of a scan.
    """
    head = value[:1]
    if head not in _OPENERS:
        head = value.lstrip()[:1]
        if head not in _OPENERS:
            return ABSENT
    if exact and _INTEGER_TOO_LONG.search(value) is not None:
        return _parsed_slowly(value)
    try:
        return orjson.loads(value)
    except (ValueError, RecursionError):
        # NaN, Infinity and lone surrogates are what Python's own encoder writes and strict parsers refuse.
        if "NaN" in value or "Infinity" in value or "\\ud" in value:
            return _parsed_slowly(value)
        return ABSENT


def _parsed_slowly(value: str) -> Any:
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return ABSENT


def structure(value: Any) -> Any:
    """The value, with JSON text parsed; text that is not JSON stays text."""
    if not isinstance(value, str):
        return value
    found = parsed(value)
    return value if found is ABSENT else found


def mapping(value: Any) -> dict[str, Any]:
    """The value as an object, parsed where it is JSON text; anything else is an empty object."""
    found = structure(value)
    if isinstance(found, dict):
        return cast("dict[str, Any]", found)
    return {}


def items(value: Any) -> list[Any]:
    """The value as a list, parsed where it is JSON text; anything else is an empty list."""
    found = structure(value)
    if isinstance(found, (list, tuple)):
        return list(cast("list[Any]", found))
    return []


def words(value: Any) -> tuple[str, ...]:
    """The value as names: a list, a JSON list, or comma-separated text."""
    if value is None:
        return ()
    if isinstance(value, str):
        found = parsed(value)
        if isinstance(found, list):
            value = cast("list[Any]", found)
        else:
            return tuple(part for part in (piece.strip() for piece in value.split(",")) if part)
    if isinstance(value, (list, tuple)):
        return tuple(name for item in cast("list[Any]", value) if (name := word(item)))
    name = word(value)
    return (name,) if name else ()


def count(value: Any) -> int | None:
    """The value as a token count; ``None`` where it is absent, negative, fractional or not a number."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        try:
            value = float(value) if "." in value or "e" in value.lower() else int(value)
        except ValueError:
            return None
    if isinstance(value, float):
        if not value.is_integer():
            return None
        value = int(value)
    if isinstance(value, int) and 0 <= value <= COUNT_MAX:
        return value
    return None


def number(value: Any) -> float | None:
    """The value as a finite number, or ``None``."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, (int, float)):
        try:
            found = float(value)
        except OverflowError:
            return None
        return found if math.isfinite(found) else None
    return None


def money(value: Any) -> Decimal | None:
    """The value as a non-negative amount, exact to what was sent, or ``None``."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float, Decimal)):
        return None
    try:
        found = Decimal(str(value))
    except (InvalidOperation, ValueError):
        return None
    return found if found.is_finite() and 0 <= found < 1_000_000_000 else None


def seconds_as_ns(value: Any) -> int | None:
    """Seconds as whole nanoseconds, or ``None``; a day is the longest that counts."""
    found = number(value)
    return None if found is None or not 0 <= found <= 86_400 else round(found * 1e9)


def milliseconds_as_ns(value: Any) -> int | None:
    """Milliseconds as whole nanoseconds, or ``None``; a day is the longest that counts."""
    found = number(value)
    return None if found is None or not 0 <= found <= 86_400_000 else round(found * 1e6)
