"""The place where a tool's answer may come from elsewhere: an evaluation plays back what was recorded.

Outside of an evaluation a call costs one look at a context variable.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar, cast


@dataclass(frozen=True, slots=True)
class Answer:
    """What a tool is said to have returned."""

    value: Any


class Player(Protocol):
    """Answers calls of tools, and is told of those it lets run."""

    def answer(self, tool: str, arguments: Mapping[str, Any], effect: str = "") -> Answer | None:
        """The answer, an exception where the tool is to fail, or None: the tool itself runs. ``effect``: as declared."""
        ...

    def permit(self, tool: str, arguments: Mapping[str, Any], effect: str) -> None:
        """Raise where a tool that always runs itself may not, by its effect."""
        ...

    def ran(self, tool: str, arguments: Mapping[str, Any], value: Any, error: BaseException | None) -> None:
        """A tool that was let run has returned, or failed."""
        ...


EFFECT: Final = "__pilothouse_effect__"
"""What a tool's function carries that declares what it does to the world."""
READ: Final = "read"
WRITES: Final = frozenset({"write", "external"})
INNER: Final = "inner"
"""Of an agent's own tools, such as its plan: nothing outside of it changes."""

F = TypeVar("F", bound=Callable[..., Any])
PLAYER: Final[ContextVar[Player | None]] = ContextVar("pilothouse_tool_player", default=None)


def played(function: Any, name: str, effect: str = "") -> Any:
    """The function, which a player may answer for. Generators run themselves, or, where they write, may not run."""
    effect = effect or effect_of(function)
    if isinstance(function, classmethod | staticmethod):
        method = cast("Any", function)
        return type(method)(played(method.__func__, name, effect))
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        return _permitted(function, name, effect) if effect in WRITES else function
    made = _answered(function, name, effect)
    if effect:
        setattr(made, EFFECT, effect)
    return made


def inner(function: F) -> F:
    """Mark an agent's own tool: it changes nothing outside of the agent, so that it runs itself where others are played."""
    setattr(function, EFFECT, INNER)
    return function


def effect_of(tool: Any) -> str:
    """What a tool declares that it does to the world: its function, or an object of a framework that holds one."""
    for held in (tool, *(getattr(tool, slot, None) for slot in ("function", "func", "coroutine", "on_invoke_tool"))):
        found = getattr(held, EFFECT, "")
        if found and isinstance(found, str):
            return found
    return ""


def _permitted(function: Any, name: str, effect: str) -> Any:
    """A generator that writes: what it yields is no single answer, so it is let run or not."""

    def ask(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        player = PLAYER.get()
        if player is not None:
            player.permit(name, _bound(function, args, kwargs), effect)

    if inspect.isasyncgenfunction(function):

        async def asynchronous(*args: Any, **kwargs: Any) -> AsyncGenerator[Any]:
            ask(args, kwargs)
            async with contextlib.aclosing(function(*args, **kwargs)) as items:
                async for item in items:
                    yield item

        return functools.wraps(function)(asynchronous)

    def plain(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        ask(args, kwargs)
        items: Generator[Any, Any, Any] = function(*args, **kwargs)
        return (yield from items)

    return functools.wraps(function)(plain)


def permitted_session(method: Any, effect: str) -> Any:
    """``call_tool`` of a client session of MCP, which may not run where its tools write."""
    if effect not in WRITES:
        return method

    async def call_tool(name: str, arguments: Mapping[str, Any] | None = None, *args: Any, **kwargs: Any) -> Any:
        player = PLAYER.get()
        if player is not None:
            player.permit(name, arguments or {}, effect)
        return await method(name, arguments, *args, **kwargs)

    return functools.wraps(method)(call_tool)


def _answered(function: Any, name: str, effect: str) -> Any:
    if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None)):  # noqa: B004
        awaited: Any = function

        async def asynchronous(*args: Any, **kwargs: Any) -> Any:
            player = PLAYER.get()
            if player is None:
                return await awaited(*args, **kwargs)
            arguments = _bound(function, args, kwargs)
            answer = player.answer(name, arguments, effect)
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
        answer = player.answer(name, arguments, effect)
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
