"""Changing plain data by path: ``metadata.difficulty``, ``checks[0].arguments.amount``."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any, Final, cast

from pilothouse.records import BadRequest, NotFound

from .plain import list_of

_STEP: Final = re.compile(r"([^.\[\]]+)|\[(\d+|\+)\]")
_STEPS_MAX: Final = 30


def put(data: dict[str, Any], path: str, value: Any) -> Any:
    """Set the value at a path, making mappings on the way; the value that was there, or None. ``[+]`` appends."""
    steps = _steps(path)
    here: Any = data
    for step, following in pairwise(steps):
        here = _below(here, step, path, make=[] if isinstance(following, int) else {})
    return _set(here, steps[-1], value, path)


def take(data: dict[str, Any], path: str) -> Any:
    """Take the value at a path away, and give it.

    Raises:
        NotFound: there is none.
    """
    steps = _steps(path)
    here: Any = data
    for step in steps[:-1]:
        here = _below(here, step, path, make=None)
    last = steps[-1]
    try:
        return here.pop(last)
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise NotFound("there is nothing at this path", got=path) from error


def _steps(path: str) -> list[str | int]:
    found = list(_STEP.finditer(path))
    if not found or "".join(one.group() for one in found) != path.replace(".", "") or len(found) > _STEPS_MAX:
        raise BadRequest("this is no path", got=path[:200], allowed="metadata.difficulty, checks[0].arguments.amount")
    # -1 stands for a new entry at the end.
    return [one[1] if one[1] is not None else -1 if one[2] == "+" else int(one[2]) for one in found]


def _below(here: Any, step: str | int, path: str, *, make: Any) -> Any:
    listed = list_of(here)
    if isinstance(step, int):
        if listed is not None and step == -1 and make is not None:
            listed.append(make)
            return make
        if listed is None or not 0 <= step < len(listed):
            raise NotFound("there is no such entry", got=path, allowed=f"{len(listed)} entries" if listed else None)
        return listed[step]
    known = _dict_of(here, step, path)
    if step not in known and make is not None:
        known[step] = make
    if step not in known:
        raise NotFound("there is nothing at this path", got=path)
    return known[step]


def _set(here: Any, step: str | int, value: Any, path: str) -> Any:
    listed = list_of(here)
    if isinstance(step, int):
        if listed is None or not -1 <= step <= len(listed):
            raise NotFound("there is no such entry", got=path, allowed=f"{len(listed)} entries" if listed else None)
        if step in (-1, len(listed)):
            listed.append(value)
            return None
        before, listed[step] = listed[step], value
        return before
    known = _dict_of(here, step, path)
    before = known.get(step)
    known[step] = value
    return before


def _dict_of(here: Any, step: str, path: str) -> dict[str, Any]:
    if not isinstance(here, dict):
        raise BadRequest("there is no mapping at this step of the path", got=f"{step} in {path}")
    return cast("dict[str, Any]", here)
