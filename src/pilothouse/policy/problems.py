"""Everything that is wrong with a policy at once, each with its place and line.

The readers of the sections stop at the first thing that is wrong. Here what they stopped at is taken out and they are
asked again, so that whoever writes a policy sees all of it, not one error after the other.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from pilothouse.records import BadRequest, PilothouseError

from .file import plain
from .sections import SECTIONS

Readers = Sequence[tuple[str, Callable[[Mapping[str, Any]], object]]]
"""For each section the function that reads it and raises what is wrong with it."""

_EACH_MAX = 20
"""Problems of one section that are looked for."""
_SHOWN_MAX = 10
_LINE = re.compile(r"line (\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong with a policy."""

    path: str
    """Such as ``guards.input[0].action``; empty where it is about the file."""
    line: int
    """Counted from 1; 0 where it is not known."""
    message: str
    got: str = ""
    allowed: str = ""
    """What would be right, in a line; empty where the message says it."""
    fix: str = ""


def problems(body: bytes | str, readers: Readers) -> tuple[Problem, ...]:
    """What is wrong with the text of a policy, in the order of its lines; empty where nothing is."""
    try:
        data = plain(body)
    except BadRequest as error:
        line = _LINE.search(f"{error.got} {error.message}")
        return (_problem(error, "", int(line[1]) if line else 0),)
    places = lines(body)
    found: list[Problem] = []
    known = [section.name for section in SECTIONS]
    for name, value in data.items():
        line = places.get(name, 0)
        if name not in known:
            error = BadRequest("there is no such section", got=name, allowed=known)
            found.append(_problem(error, name, line))
        elif value is not None and not isinstance(value, dict):
            error = BadRequest(f"{name} is a mapping of names to values", got=repr(value)[:100])
            found.append(_problem(error, name, line))
    for name, read in readers:
        value: Any = data.get(name, {})
        if isinstance(value, dict):
            found += _of_section(name, copy.deepcopy(cast("dict[str, Any]", value)), read, places)
    return tuple(sorted(found, key=lambda one: one.line))


def refusal(found: Sequence[Problem]) -> BadRequest:
    """The error of a policy with problems: it names them all."""
    told = "; ".join(
        f"{f'line {one.line}: ' if one.line else ''}{one.message}{f' (got {one.got})' if one.got else ''}"
        for one in found[:_SHOWN_MAX]
    )
    more = f"; and {len(found) - _SHOWN_MAX} more" if len(found) > _SHOWN_MAX else ""
    return BadRequest(
        f"the policy has {'an error' if len(found) == 1 else f'{len(found)} errors'}: {told}{more}",
        got=[{"path": one.path, "line": one.line, "got": one.got} for one in found],
        allowed=next((one.allowed for one in found if one.allowed), None),
        fix=next((one.fix for one in found if one.fix), "") or "pilothouse docs guards",
    )


def lines(body: bytes | str) -> dict[str, int]:
    """The line of everything in a file, by its path, counted from 1; empty for what is no YAML."""
    import yaml as package  # half of what reading a policy costs: only where there is one

    # The package has no type stubs.
    yaml = cast("Any", package)
    text = body.decode("utf-8-sig", "replace") if isinstance(body, bytes) else body
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError):
        return {}
    found: dict[str, int] = {}
    waiting: list[tuple[Any, str]] = [(node, "")] if node is not None else []
    while waiting:
        one, path = waiting.pop()
        if isinstance(one, yaml.MappingNode):
            for key, value in one.value:
                below = f"{path}.{key.value}".lstrip(".")
                found[below] = key.start_mark.line + 1
                waiting.append((value, below))
        elif isinstance(one, yaml.SequenceNode):
            for number, item in enumerate(one.value):
                found[f"{path}[{number}]"] = item.start_mark.line + 1
                waiting.append((item, f"{path}[{number}]"))
    return found


def _of_section(
    name: str, value: dict[str, Any], read: Callable[[Mapping[str, Any]], object], places: Mapping[str, int]
) -> list[Problem]:
    found: dict[str, Problem] = {}
    gone: list[str] = []
    for _ in range(_EACH_MAX):
        try:
            read(value)
            break
        except PilothouseError as error:
            error.message = _as_written(error.message, gone)
            path = _place(error, name, places)
            while path in gone:
                # It is needed and was taken out as wrong: what it stands in goes too, and that is no new problem.
                path = _above(path)
            missed = str(error.got).strip("'\"") in map(_last, gone) or (
                str(error.got) == "None" and any(f".{_last(one)} " in error.message for one in gone)
            )
            if not missed and not any(one.startswith(path) for one in found):
                found[path] = _problem(error, path, places.get(path, 0))
            if not _take_out(value, _as_is(path, gone).removeprefix(name)):
                break
            gone.append(path)
    return list(found.values())


def _above(path: str) -> str:
    return re.sub(r"(\.[^.\[]+|\[\d+\])$", "", path)


def _last(path: str) -> str:
    return path.rsplit(".", 1)[-1]


def _as_written(message: str, gone: Sequence[str]) -> str:
    """The message with places of lists as they are in the file, from which nothing was taken out."""
    taken = [path[:-1].rpartition("[") for path in gone if path.endswith("]")]
    # Outer lists before the ones in them, and of one list the first items first.
    for before, _, number in sorted(taken, key=lambda one: (len(one[0]), int(one[2]))):
        first = int(number)

        def moved(match: re.Match[str], first: int = first) -> str:
            return f"{match[1]}[{int(match[2]) + (int(match[2]) >= first)}]"

        message = re.sub(rf"({re.escape(before)})\[(\d+)\]", moved, message, count=1)
    return message


def _as_is(path: str, gone: Sequence[str]) -> str:
    """A path of the file as it is now, where something was taken out of lists before it."""
    for number, step in enumerate(path.split("[")[1:], 1):
        before = "[".join(path.split("[")[:number])
        index = int(step.partition("]")[0])
        taken = sum(
            1
            for one in gone
            if one.endswith("]") and one[:-1].rpartition("[")[0] == before and int(one[:-1].rpartition("[")[2]) < index
        )
        rest = step.partition("]")[2]
        path = "[".join([*path.split("[")[:number], f"{index - taken}]{rest}", *path.split("[")[number + 1 :]])
    return path


def _place(error: PilothouseError, section: str, places: Mapping[str, int]) -> str:
    """The deepest place that the message begins with; the section, where it names none."""
    best = section
    for path in places:
        if len(path) > len(best) and re.match(rf"{re.escape(path)}(?![\w\[-]|\.\w)", error.message):
            best = path
    if best == section:
        # The message goes on below what is there: something is missing in the deepest place that is.
        named = [path for path in places if error.message.startswith((f"{path}.", f"{path}["))]
        best = max(named, key=len, default=section)
    inner = f"{best}.{str(error.got).strip(chr(39))}"
    return inner if inner in places else best


def _take_out(value: Any, path: str) -> bool:
    """Take what a path names out of plain data; False where it is not there."""
    steps = re.findall(r"\.([^.\[]+)|\[(\d+)\]", path)
    for number, (key, index) in enumerate(steps):
        step: Any = int(index) if index else key
        try:
            if number == len(steps) - 1:
                del value[step]
                return True
            value = value[step]
        except (KeyError, IndexError, TypeError):
            return False
    return False


def _problem(error: PilothouseError, path: str, line: int) -> Problem:
    allowed = error.allowed
    told = ", ".join(map(str, cast("list[Any]", allowed))) if isinstance(allowed, list) else str(allowed or "")
    return Problem(
        path=path,
        line=line,
        message=error.message,
        got=str(error.got)[:200] if error.got is not None else "",
        allowed=told[:500],
        fix=error.fix or "",
    )
