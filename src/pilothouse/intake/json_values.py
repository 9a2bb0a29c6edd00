"""Single values of OTLP/JSON, read leniently: numbers as strings, strings as numbers, ids in hex or base64."""

from __future__ import annotations

import base64
import binascii
import json
import math
from typing import Any

LEVELS_MAX = 90
"""How many protobuf messages an attribute's value may nest: a list is two, an object three. It is what is left of
the parser's 100 inside a span's event, so that JSON and protobuf take about the same values."""

_INT64 = range(-(2**63), 2**63)
_UINT64_MAX = 2**64 - 1
_HEX_LENGTHS = {16: 32, 8: 16}
_BASE64_LENGTHS = {16: 24, 8: 12}


class Unreadable(ValueError):
    """A value that has no reading; the message says which and why."""


def take(item: dict[str, Any], name: str, other: str) -> Any:
    """The field under its JSON name, else under its protobuf name, else None."""
    value = item.get(name)
    return item.get(other) if value is None else value


def objects(item: dict[str, Any], name: str, other: str) -> list[dict[str, Any]]:
    """A repeated message field: a list of objects, empty where absent."""
    value = take(item, name, other)
    if value is None:
        return []
    if value.__class__ is not list:
        raise Unreadable(f"{name} is not a list")
    for one in value:
        if one.__class__ is not dict:
            raise Unreadable(f"{name} holds something that is not an object")
    return value


def child(item: dict[str, Any], name: str, other: str) -> dict[str, Any]:
    """A single message field: an object, empty where absent."""
    value = take(item, name, other)
    if value is None:
        return {}
    if value.__class__ is not dict:
        raise Unreadable(f"{name} is not an object")
    return value


def identity(value: Any, length: int, name: str) -> bytes:
    """An id of ``length`` bytes in hex of any case, or in base64 where its padded length says so beyond doubt."""
    if value is None or value == "":
        return b""
    if value.__class__ is not str:
        raise Unreadable(f"{name} is not a string")
    try:
        if len(value) == _BASE64_LENGTHS[length] and value[-1] == "=":
            return base64.b64decode(value.replace("-", "+").replace("_", "/"), validate=True)
        if value.isalnum():  # fromhex would skip spaces.
            return bytes.fromhex(value)
    except ValueError:
        pass
    raise Unreadable(f"{name} {value[:64]!r} is not {_HEX_LENGTHS[length]} hex digits")


def unsigned(value: Any, name: str) -> int:
    """A whole number from 0 to 2^64-1; 0 where absent."""
    number = _whole(value)
    if number is None or not 0 <= number <= _UINT64_MAX:
        raise Unreadable(f"{name} {_shown(value)} is not a whole number from 0 to 2^64-1")
    return number


def signed(value: Any, name: str) -> int:
    """A whole number of 64 bits with sign; 0 where absent."""
    number = _whole(value)
    if number is None or number not in _INT64:
        raise Unreadable(f"{name} {_shown(value)} is not a whole number of 64 bits")
    return number


def real(value: Any, name: str) -> float:
    """A number, which may be a string such as ``"NaN"``; 0.0 where absent."""
    if value is None:
        return 0.0
    try:
        return _real(value)
    except (ValueError, OverflowError, TypeError):
        raise Unreadable(f"{name} {_shown(value)} is not a number") from None


def enum(value: Any, prefix: str, names: tuple[str, ...]) -> int:
    """An enum by number, by number as a string, or by name; 0 where unknown."""
    if value.__class__ is int:
        return value
    if value.__class__ is str:
        name = value.upper().removeprefix(prefix)
        if name in names:
            return names.index(name)
    number = _whole(value)
    return 0 if number is None else number


def words(value: Any) -> str:
    """A string field; a number or other value sent in its place is written out."""
    if value.__class__ is str:
        return value
    return "" if value is None else _written(value)


def truth(value: Any) -> bool:
    """A boolean, which may be a string or number."""
    if value.__class__ is str:
        return value.strip().lower() in ("true", "1")
    return bool(value)


def attributes(item: dict[str, Any], name: str = "attributes", other: str = "attributes") -> dict[str, Any]:
    """The attributes of something whose nesting :func:`check_attributes` has passed."""
    plain: dict[str, Any] = {}
    for pair in take(item, name, other) or ():
        value = any_value(pair.get("value"))
        if value is not None:
            plain[words(pair.get("key"))] = value
    return plain


def check_attributes(item: dict[str, Any], name: str = "attributes", other: str = "attributes") -> None:
    """Raise Unreadable where the attributes are no list of objects, or nest too deep."""
    for pair in objects(item, name, other):
        check_value(pair.get("value"))


def check_value(value: Any) -> None:
    """Raise Unreadable where an AnyValue nests too deep or its lists are no lists."""
    if value.__class__ is dict or value.__class__ is list:
        _descend(value, LEVELS_MAX)


def any_value(value: Any) -> Any:
    """An AnyValue as plain data. Total: what can not be read as its type is kept as it was sent."""
    if value.__class__ is not dict:
        # Not OTLP, but plain: a sender that forgot the wrapping object loses nothing.
        return [any_value(one) for one in value] if value.__class__ is list else value
    for name, content in value.items():
        read = _READERS.get(name)
        if read is not None and content is not None:
            return read(content)
    return None


def _descend(value: Any, levels: int) -> None:
    if levels < 0:
        raise Unreadable(f"an attribute is nested deeper than {LEVELS_MAX} protobuf messages")
    if value.__class__ is list:
        for one in value:
            check_nested(one, levels - 2)
        return
    for name in ("arrayValue", "array_value"):
        if value.get(name) is not None:
            for one in _values(value, name):
                check_nested(one, levels - 2)
    for name in ("kvlistValue", "kvlist_value"):
        if value.get(name) is not None:
            for pair in _values(value, name):
                if pair.__class__ is not dict:
                    raise Unreadable(f"{name} holds something that is not an object")
                check_nested(pair.get("value"), levels - 3)


def check_nested(value: Any, levels: int) -> None:
    """Continue :func:`check_value` one step down."""
    if value.__class__ is dict or value.__class__ is list:
        _descend(value, levels)


def _values(value: dict[str, Any], name: str) -> list[Any]:
    holder = value[name]
    values = holder.get("values") if holder.__class__ is dict else holder
    if values is None:
        return []
    if values.__class__ is not list:
        raise Unreadable(f"{name} has no list of values")
    return values


def _list(content: Any) -> list[Any]:
    values = content.get("values") if content.__class__ is dict else content
    return [any_value(one) for one in values or ()]


def _map(content: Any) -> dict[str, Any]:
    values = content.get("values") if content.__class__ is dict else content
    return {words(pair.get("key")): any_value(pair.get("value")) for pair in values or ()}


def _integer(content: Any) -> Any:
    number = _whole(content)
    if number is None:
        return content if content.__class__ is float else words(content)
    # A number that no 64 bits hold keeps its digits rather than becoming another number.
    return number if number in _INT64 else str(number)


def _double(content: Any) -> Any:
    try:
        return _real(content)
    except (ValueError, OverflowError, TypeError):
        return words(content)


def _boolean(content: Any) -> Any:
    if content.__class__ is bool:
        return content
    if content.__class__ is str:
        return {"true": True, "false": False, "1": True, "0": False}.get(content.strip().lower(), content)
    return bool(content) if content.__class__ is int else words(content)


def _bytes(content: Any) -> Any:
    if content.__class__ is not str:
        return words(content)
    standard = content.replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(standard + "=" * (-len(standard) % 4), validate=True)
    except (binascii.Error, ValueError):
        return content


_READERS = {
    "stringValue": words,
    "intValue": _integer,
    "doubleValue": _double,
    "boolValue": _boolean,
    "arrayValue": _list,
    "kvlistValue": _map,
    "bytesValue": _bytes,
    "string_value": words,
    "int_value": _integer,
    "double_value": _double,
    "bool_value": _boolean,
    "array_value": _list,
    "kvlist_value": _map,
    "bytes_value": _bytes,
}


def _whole(value: Any) -> int | None:
    if value is None:
        return 0
    if value.__class__ is int:
        return value
    if value.__class__ is bool:
        return int(value)
    if value.__class__ is float:
        return int(value) if math.isfinite(value) and value.is_integer() else None
    if value.__class__ is not str or len(value) > 64:
        return None
    try:
        return int(value)
    except ValueError:
        pass
    try:
        number = float(value)
    except ValueError:
        return None
    return int(number) if math.isfinite(number) and number.is_integer() else None


def _real(value: Any) -> float:
    if value.__class__ is str and len(value) > 400:
        raise ValueError("too long for a number")
    return float(value)


def _written(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False)
    except (RecursionError, ValueError):
        return ""


def _shown(value: Any) -> str:
    return repr(words(value)[:64])
