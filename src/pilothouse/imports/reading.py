"""Taking plain values out of what others wrote, where anything may be missing or of another kind."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from .said import clipped, dumps

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_LATEST_NS = 2**62
"""In the year 2116; later is no moment but a mistake."""


class Unreadable(Exception):
    """A piece of a file is not what it should be; the message says in which way."""


def parse(content: bytes | str) -> Any:
    """JSON, as plain data.

    Raises:
        Unreadable: it is none, is nested too deep, or holds what no computer counts with.
    """
    try:
        return json.loads(content)
    except RecursionError:
        raise Unreadable("nested too deep") from None
    except UnicodeDecodeError as error:
        raise Unreadable(f"no UTF-8 at byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise Unreadable(f"no JSON: {error.msg} at character {error.pos}") from None
    except (ValueError, MemoryError) as error:
        raise Unreadable(f"no JSON that can be read: {type(error).__name__}") from None


def fields(value: Any) -> Mapping[str, Any]:
    """An object's fields; none where it is no object."""
    return cast("Mapping[str, Any]", value) if isinstance(value, dict) else {}


def items(value: Any) -> list[Any]:
    """A list's members; none where it is no list."""
    return cast("list[Any]", value) if isinstance(value, list) else []


def word(value: Any, chars: int = 500) -> str:
    """A short text such as an id or a name; numbers as their digits; empty for anything else."""
    if isinstance(value, str):
        return value[:chars]
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)[:chars] if -(10**18) < value < 10**18 else ""
    return ""


def words_of(value: Any) -> str:
    """A text as it is, anything else as JSON."""
    if isinstance(value, str):
        return clipped(value)
    return "" if value is None else clipped(dumps(value).decode())


def count(value: Any) -> int:
    """A count of tokens; 0 for anything that is none."""
    if isinstance(value, bool):
        return 0
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and 0 <= value < 10**12 else 0


def number(value: Any) -> float | None:
    """A finite number, or None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


def lasting_ns(value: Any) -> int:
    """A time taken, told in seconds, in nanoseconds: nothing for what is none, at most 1e7 seconds."""
    return int(min(max(number(value) or 0.0, 0.0), 1e7) * 1e9)


def moment_ns(value: Any) -> int:
    """A moment in nanoseconds since 1970, from ISO 8601 or seconds or milliseconds since then; 0 where it is none."""
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
            if moment.tzinfo is None:
                moment = moment.replace(tzinfo=UTC)
            found = (moment - _EPOCH) // _MICROSECOND * 1_000
        except (ValueError, OverflowError):
            return 0
        return found if 0 < found < _LATEST_NS else 0
    seconds = number(value)
    if seconds is None or seconds <= 0:
        return 0
    # A second of 1973 is a millisecond count of 1970: nobody wrote transcripts then.
    found = int(seconds * 1_000) * 1_000_000 if seconds < 1e11 else int(seconds) * 1_000_000
    return found if 0 < found < _LATEST_NS else 0
