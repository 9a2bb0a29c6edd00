"""The place where a tool's answer may come from elsewhere: an evaluation plays back what was recorded.

Outside of an evaluation a call costs one look at a context variable.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final, Protocol, cast


@dataclass(frozen=True, slots=True)
class Answer:
    """What a tool is said to have returned."""

    value: Any


class Player(Protocol):
    """Answers calls of tools, and is told of those it lets run."""

    def answer(self, tool: str, arguments: Mapping[str, Any]) -> Answer | None:
        """The answer, an exception where the tool is to fail, or None: the tool itself runs."""
        ...

    def ran(self, tool: str, arguments: Mapping[str, Any], value: Any, error: BaseException | None) -> None:
        """A tool that was let run has returned, or failed."""
        ...


PLAYER: Final[ContextVar[Player | None]] = ContextVar("pilothouse_tool_player", default=None)


def played(function: Any, name: str) -> Any:
    """The function, which a player may answer for. Generators always run themselves."""
    if isinstance(function, classmethod | staticmethod):
        method = cast("Any", function)
        return type(method)(played(method.__func__, name))
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        return function
    if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None)):  # noqa: B004
        awaited: Any = function

        async def asynchronous(*args: Any, **kwargs: Any) -> Any:
            player = PLAYER.get()
            if player is None:
                return await awaited(*args, **kwargs)
            arguments = _bound(function, args, kwargs)
            answer = player.answer(name, arguments)
            if answer is not None:
                return answer.value
            try:
                value = await awaited(*args, **kwargs)
            except BaseException as error:
                player.ran(name, arguments, None, error)
                raise
            player.ran(name, arguments, value, None)
            return value

        return functools.wraps(function)(asynchronous)

    def plain(*args: Any, **kwargs: Any) -> Any:
        player = PLAYER.get()
        if player is None:
            return function(*args, **kwargs)
        arguments = _bound(function, args, kwargs)
        answer = player.answer(name, arguments)
        if answer is not None:
            return answer.value
        try:
            value = function(*args, **kwargs)
        except BaseException as error:
            player.ran(name, arguments, None, error)
            raise
        player.ran(name, arguments, value, None)
        return value

    return functools.wraps(function)(plain)


def _bound(function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    try:
        bound = inspect.signature(function).bind(*args, **kwargs).arguments
    except (TypeError, ValueError):
        return dict(kwargs)
    # Of a method: the object is no argument that a model chose.
    return {name: value for name, value in bound.items() if name not in ("self", "cls")}
