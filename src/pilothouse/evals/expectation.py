"""What should have been done, in a line: ``tool refund amount=5``. Made for a command line; a case says it in full."""

from __future__ import annotations

import json
import shlex
from typing import Any, Final

from pilothouse.records import BadRequest

from .checks import read_check

_WORDS: Final = ("contains", "excludes", "text", "label", "number")
_EXAMPLE: Final = "--expect 'tool refund amount=5'"
_ALLOWED: Final = ("tool NAME key=value …", "no_tool NAME", *(f"{one} VALUE" for one in _WORDS), "no_error")


def read_expectation(line: str, place: str = "--expect") -> dict[str, Any]:
    """A check from a line. Values are JSON where they can be read so, else text.

    Raises:
        BadRequest: it is none.
    """
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise BadRequest(f"{place} has an open quote", got=line[:200], fix=_EXAMPLE) from error
    kind = words[0] if words else ""
    if kind in ("tool", "no_tool") and len(words) > 1:
        check: dict[str, Any] = {kind: words[1]}
        arguments = dict(_argument(word, place) for word in words[2:])
        if arguments:
            check["arguments"] = arguments
    elif kind == "no_error" and len(words) == 1:
        check = {"no_error": True}
    elif kind in _WORDS and len(words) > 1:
        said = " ".join(words[1:])
        check = {kind: _value(said) if kind == "number" else said}
    else:
        raise BadRequest(f"{place} is not understood", got=line[:200], allowed=list(_ALLOWED), fix=_EXAMPLE)
    read_check(check, place)
    return check


def read_json_check(text: str, place: str = "--expect-json") -> dict[str, Any]:
    """A check written as JSON, as it would stand in a case.

    Raises:
        BadRequest: it is no JSON, or no check.
    """
    try:
        found: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"{place} is no JSON", got=text[:200], fix="""--expect-json '{"tool": "refund"}'""") from error
    read_check(found, place)
    return dict(found)


def _argument(word: str, place: str) -> tuple[str, Any]:
    name, equals, value = word.partition("=")
    if not equals or not name:
        raise BadRequest(f"{place}: an argument is name=value", got=word[:200], fix=_EXAMPLE)
    return name, _value(value)


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
