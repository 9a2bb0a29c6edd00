"""The fault point of ``pilothouse verify``: counts tool calls apart from the recording, and fails one where it is told.

Without ``PILOTHOUSE_PROBE`` in the environment nothing is wrapped and nothing is counted.
"""

from __future__ import annotations

import functools
import inspect
import json
import os
import time
from collections.abc import Callable, Generator, Mapping
from typing import Any, Final, cast

FILE_VARIABLE: Final = "PILOTHOUSE_PROBE"
"""Path of the file that gets one line of JSON for each tool call."""
FAIL_VARIABLE: Final = "PILOTHOUSE_PROBE_FAIL"
"""The tool whose first call fails, or ``*`` for the first call of any; empty for none."""
ANY_TOOL: Final = "*"
FAULT_MESSAGE: Final = "injected by pilothouse verify: this tool call was made to fail"

ToolName = str | Callable[[tuple[Any, ...], Mapping[str, Any]], str]
"""A tool's name, or how it is found among the arguments of a call."""


class InjectedFault(RuntimeError):
    """A failure that ``pilothouse verify`` put in the place of a tool's work."""


def probed(function: Any, name: ToolName) -> Any:
    """The function itself, or one that reports its calls where ``pilothouse verify`` runs this process."""
    path = os.environ.get(FILE_VARIABLE, "")
    if not path:
        return function
    if isinstance(function, classmethod | staticmethod):
        method = cast("Any", function)
        return type(method)(probed(method.__func__, name))
    return _reported(function, name, path)


def _reported(function: Any, name: ToolName, path: str) -> Any:
    if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None)):  # noqa: B004
        awaited: Any = function

        async def asynchronous(*args: Any, **kwargs: Any) -> Any:
            with _Report(path, _named(name, args, kwargs)):
                return await awaited(*args, **kwargs)

        return functools.wraps(function)(asynchronous)
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        return _streamed(function, name, path)

    def plain(*args: Any, **kwargs: Any) -> Any:
        with _Report(path, _named(name, args, kwargs)):
            return function(*args, **kwargs)

    return functools.wraps(function)(plain)


def _streamed(function: Any, name: ToolName, path: str) -> Any:
    """The same for generators: the call lasts from the first item to the last."""
    stream: Any = function
    if inspect.isasyncgenfunction(function):

        async def items(*args: Any, **kwargs: Any) -> Any:
            with _Report(path, _named(name, args, kwargs)):
                async for item in stream(*args, **kwargs):
                    yield item

        return functools.wraps(function)(items)

    def pieces(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        with _Report(path, _named(name, args, kwargs)):
            return (yield from cast("Generator[Any, Any, Any]", stream(*args, **kwargs)))

    return functools.wraps(function)(pieces)


def _named(name: ToolName, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
    return name if isinstance(name, str) else name(args, kwargs)


class _Report:
    """One tool call: fails on entry where it is the one to fail, and is written down on exit."""

    def __init__(self, path: str, tool: str) -> None:
        self._path = path
        self._tool = tool
        self._start_ns = time.time_ns()

    def __enter__(self) -> None:
        if _is_to_fail(self._path, self._tool):
            self._write(raised=InjectedFault.__name__, injected=True)
            raise InjectedFault(FAULT_MESSAGE)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._write(raised=kind.__name__ if kind is not None else "", injected=False)

    def _write(self, *, raised: str, injected: bool) -> None:
        line = {
            "tool": self._tool,
            "start_ns": self._start_ns,
            "end_ns": time.time_ns(),
            "raised": raised,
            "injected": injected,
        }
        # One write of a short line to a file opened for appending: lines of several processes do not mix.
        with open(self._path, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def _is_to_fail(path: str, tool: str) -> bool:
    wanted = os.environ.get(FAIL_VARIABLE, "")
    if wanted not in (ANY_TOOL, tool) or not wanted:
        return False
    try:
        # Whoever makes the file fails: one call in all processes together.
        os.close(os.open(path + ".failed", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        return False
    return True
