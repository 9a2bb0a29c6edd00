"""A process that runs one question over one value, with bounds: ``python -I -S query_child.py``.

It imports nothing of ours and starts without site packages, since a model waits for it; where libraries lie it is told.

Programs come from a model, so they may never end or want all memory. Here they get a processor and a memory limit of
their own, no environment, and are killed by whoever asked. One JSON line comes in on stdin::

    {"op": "jq", "path": …, "program": …, "chars": 10000, "spill": …, "spill_bytes": …, "memory_bytes": …, "cpu_s": …}
    {"op": "grep", "path": …, "pattern": …, "ignore_case": false, "limit": 100, …}

and one goes out. ``jq_rows`` and ``grep_rows`` ask the same of many values, one on each further line of stdin, which
are never held together. Results beyond ``chars`` go on into the file ``spill``, so that they can be a value themselves.
"""

from __future__ import annotations

import json
import os
import re
import resource
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, cast

_ROWS_AT_ONCE = 100
_TEXTS_AT_ONCE = 200


def main() -> None:
    """Answer the question on stdin."""
    asked = cast("dict[str, Any]", json.loads(sys.stdin.readline()))
    memory, cpu = int(asked["memory_bytes"]), int(asked["cpu_s"])
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.path[:] = asked.get("import_paths") or sys.path
    # Integers of any size are looked through: this process is bounded in other ways.
    sys.set_int_max_str_digits(0)
    # jq shows the environment to programs as $ENV.
    os.environ.clear()
    try:
        answer = _OPERATIONS[asked["op"]](asked)
    except MemoryError:
        answer = {"error": "memory"}
    except RecursionError:
        answer = {"error": "the value is nested too deep for this"}
    sys.stdout.write(json.dumps(answer) + "\n")


def _jq(asked: dict[str, Any]) -> dict[str, Any]:
    program, problem = _compiled(asked)
    if problem:
        return problem
    results = cast("Iterator[str]", iter(program.input_text(_value_text(asked))))
    return _collected(results, asked)


def _jq_rows(asked: dict[str, Any]) -> dict[str, Any]:
    program, problem = _compiled(asked)
    if problem:
        return problem
    # Several at once: jq is begun anew for each text it is given.
    texts = iter(lambda: "".join(islice(sys.stdin, _ROWS_AT_ONCE)), "")
    return _collected((result for text in texts for result in program.input_text(text)), asked)


def _compiled(asked: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    import jq  # pyright: ignore[reportMissingTypeStubs]

    # Inside parentheses `import` and `include` are syntax errors, so a program reads no files; `tojson` keeps the
    # digits of numbers, which Python's and JavaScript's floats would not; the line end closes a comment.
    try:
        wrapped = cast("Any", jq).compile(f"({asked['program']}\n) | tojson")
        # By itself it must be a program too: `.a) , (.b` would close our parentheses.
        cast("Any", jq).compile(asked["program"])
    except ValueError as error:
        return None, {"error": str(error), "at": "compile"}
    return wrapped, {}


def _value_text(asked: dict[str, Any]) -> str:
    with open(asked["path"], encoding="utf-8-sig", errors="replace") as file:
        text = file.read()
    # One half of a character, written as an escape, makes jq refuse the whole value.
    return _ESCAPE.sub(_whole_character, text) if "\\ud" in text or "\\uD" in text else text


_ESCAPE = re.compile(
    r"\\(?:(u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)", re.DOTALL
)


def _whole_character(found: re.Match[str]) -> str:
    return "\\ufffd" if found.group(2) else found.group()


def _collected(results: Iterator[str], asked: dict[str, Any]) -> dict[str, Any]:
    chars, spill_bytes = int(asked["chars"]), int(asked["spill_bytes"])
    shown: list[str] = []
    held = count = written = 0
    complete, error = True, ""
    with open(asked["spill"], "w", encoding="utf-8", errors="replace") as spill:
        while True:
            try:
                line = next(results)
            except StopIteration:
                break
            except ValueError as problem:
                error = str(problem)
                break
            count += 1
            if held <= chars:
                shown.append(line[: chars + 1])
                held += len(line) + 1
            written += len(line) + 1
            if written > spill_bytes:
                complete = False
                break
            spill.write(line + "\n")
    return {"shown": shown, "count": count, "chars": written, "complete": complete, "stopped_by": error}


def _grep(asked: dict[str, Any]) -> dict[str, Any]:
    pattern, problem = _pattern(asked)
    return problem or _hits(pattern, _scalars(json.loads(_value_text(asked))), asked)


def _grep_rows(asked: dict[str, Any]) -> dict[str, Any]:
    pattern, problem = _pattern(asked)
    rows = (([place, *path], text) for place, line in enumerate(sys.stdin) for path, text in _scalars(json.loads(line)))
    return problem or _hits(pattern, rows, asked)


@dataclass(frozen=True)
class _Pattern:
    """A regular expression, and one that finds it in many texts at once, each on lines of its own."""

    search: Any
    anywhere: Any
    """None where it could miss one."""


# What begins or ends the whole text, or takes a flag away, does not mean the same in many texts at once.
_OF_ONE_TEXT = re.compile(r"\\[AzZ]|\(\?[a-zA-Z]*-")


def _pattern(asked: dict[str, Any]) -> tuple[_Pattern, dict[str, Any]]:
    engine: Any = re
    try:
        import re2  # pyright: ignore[reportMissingTypeStubs]

        engine = re2
    except ImportError:
        pass
    flags, text = "i" if asked["ignore_case"] else "", asked["pattern"]
    try:
        one = engine.compile(f"(?{flags}){text}" if flags else text)
        many = None if _OF_ONE_TEXT.search(text) else engine.compile(f"(?m{flags}){text}")
        return _Pattern(one.search, many and many.search), {}
    except Exception as error:
        said = error.args[0] if error.args else error
        shown = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
        return _Pattern(None, None), {"error": shown, "at": "compile"}


def _hits(pattern: _Pattern, scalars: Iterator[tuple[list[str | int], str]], asked: dict[str, Any]) -> dict[str, Any]:
    hits: list[list[Any]] = []
    count = 0
    # Calling into the engine costs more than searching: most texts are looked at many at once.
    while some := list(islice(scalars, _TEXTS_AT_ONCE)):
        if pattern.anywhere is not None and pattern.anywhere("\n".join([text for _, text in some])) is None:
            continue
        for path, text in some:
            found = pattern.search(text)
            if found is None:
                continue
            count += 1
            if len(hits) < int(asked["limit"]):
                start = max(0, found.start() - 60)
                hits.append([path, text[start : found.end() + 100][:300], found.start(), len(text)])
    return {"hits": hits, "count": count}


def _scalars(value: Any) -> Iterator[tuple[list[str | int], str]]:
    """Every key, and every value without members, as text with its path; in document order."""
    path: list[str | int] = []
    if not isinstance(value, (dict, list)):
        yield [], _text(value)
        return
    # A stack of iterators: a list of a million needs no more than its own place.
    waiting = [_members(value)]
    while waiting:
        for key, member in waiting[-1]:
            name = key if isinstance(key, str) else ""
            if isinstance(member, (dict, list)):
                path.append(key)
                if name:
                    yield [*path], name
                waiting.append(_members(member))
                break
            text = member if isinstance(member, str) else _text(member)
            yield [*path, key], f"{name}: {text}" if name else text
        else:
            waiting.pop()
            if path:
                path.pop()


def _members(value: Any) -> Iterator[tuple[str | int, Any]]:
    if isinstance(value, dict):
        return iter(cast("dict[str | int, Any]", value).items())
    return iter(enumerate(cast("list[Any]", value)))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else repr(value) if type(value) is int else json.dumps(value)


_OPERATIONS = {"jq": _jq, "grep": _grep, "jq_rows": _jq_rows, "grep_rows": _grep_rows}

if __name__ == "__main__":
    main()
