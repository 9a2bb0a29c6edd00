"""``retry``: repeat a call that failed for a passing reason, with every try and every pause recorded."""

from __future__ import annotations

import asyncio
import functools
import inspect
import random
import time
from collections.abc import Awaitable, Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, ParamSpec, TypeVar, cast, overload

from pilothouse.records import BadRequest, names

from . import recorder as recorders
from .decorators import open_span
from .stacks import describe
from .states import WaitFor
from .wrapping import finish, trouble

P = ParamSpec("P")
R = TypeVar("R")

When = Callable[[BaseException], bool] | type[BaseException] | tuple[type[BaseException], ...]

_STATUSES: Final = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
_PASSING: Final = ("Timeout", "ConnectionError", "ConnectError", "ReadError", "RateLimit", "Overloaded", "Unavailable")
"""In the name of an error's class: how HTTP clients and providers' libraries call what passes."""
_TOO_MANY: Final = 429


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How often and how long to try again."""

    attempts: int
    base_s: float
    most_s: float
    deadline_s: float | None
    when: Callable[[BaseException], bool]

    def pause_s(self, attempt: int, error: BaseException, began: float) -> float | None:
        """Seconds to wait before the next try; None where there is none."""
        if attempt >= self.attempts or not self.when(error):
            return None
        asked = retry_after_s(error)
        # Full jitter: tries of many agents that failed together do not come back together.
        pause = random.uniform(0, min(self.most_s, self.base_s * 2 ** (attempt - 1)))  # noqa: S311  # no secret
        if asked is not None:
            pause = asked + pause / 10
        if self.deadline_s is not None and time.monotonic() - began + pause >= self.deadline_s:
            return None
        return pause


def is_passing(error: BaseException) -> bool:
    """True for what may go well another time: limits, overload, timeouts, broken connections."""
    status = status_of(error)
    if status is not None:
        return status in _STATUSES
    if isinstance(error, ConnectionError | TimeoutError):
        return True
    return any(word in kind.__name__ for kind in type(error).__mro__ for word in _PASSING)


def status_of(error: BaseException) -> int | None:
    """The HTTP status that an error carries."""
    for holder in (error, getattr(error, "response", None)):
        for name in ("status_code", "status"):
            status = getattr(holder, name, None)
            if type(status) is int and 100 <= status <= 599:
                return status
    return None


def retry_after_s(error: BaseException) -> float | None:
    """Seconds that the server asks to wait: ``retry-after-ms``, or ``Retry-After`` in seconds or as a date."""
    headers = getattr(getattr(error, "response", None), "headers", None)
    if headers is None:
        given = getattr(error, "retry_after", None)
        return max(float(given), 0.0) if isinstance(given, int | float) else None
    try:
        known = {str(name).lower(): str(value) for name, value in dict(cast("Mapping[Any, Any]", headers)).items()}
        if "retry-after-ms" in known:
            return max(float(known["retry-after-ms"]) / 1000, 0.0)
        text = known.get("retry-after", "")
        if not text:
            return None
        if text.replace(".", "", 1).isdigit():
            return float(text)
        return max((parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds(), 0.0)
    except (ValueError, TypeError):
        return None


@overload
def retry(function: Callable[P, R], /) -> Callable[P, R]: ...
@overload
def retry(
    *,
    attempts: int = 4,
    base_s: float = 0.5,
    most_s: float = 30.0,
    deadline_s: float | None = None,
    when: When | None = None,
) -> Callable[[Callable[P, R]], Callable[P, R]]: ...
def retry(
    function: Any = None,
    /,
    *,
    attempts: int = 4,
    base_s: float = 0.5,
    most_s: float = 30.0,
    deadline_s: float | None = None,
    when: When | None = None,
) -> Any:
    """Repeat a call that fails for a passing reason: ``@pilothouse.retry(attempts=5)``, or ``retry(call)(…)``.

    The pause is random, up to ``base_s`` doubled with each try and at most ``most_s``, and no shorter than the server
    asks for. Each try is marked on the spans it makes, each pause is a span of kind waiting. The last error is raised
    as it is. It works without a recorder too.

    Args:
        function: The function, where the decorator is used without parentheses.
        attempts: Tries at most, the first included.
        base_s: Upper bound of the first pause.
        most_s: Upper bound of every pause that the server does not ask for.
        deadline_s: Seconds from the first try after which no other begins: a pause that would end later is not made.
        when: Which errors pass: exception types or a function; by default limits, overload, timeouts and broken
            connections, told by HTTP status and by the names that providers' libraries use.

    Raises:
        BadRequest: ``attempts`` is below 1, or the function is a generator: half a stream cannot be taken back.
    """
    if attempts < 1:
        raise BadRequest("a call is tried at least once", got=attempts, allowed="1 or more")
    if when is None:
        passes: Callable[[BaseException], bool] = is_passing
    elif isinstance(when, type) or isinstance(when, tuple):  # noqa: SIM101  # a type is callable too
        kinds = cast("type[BaseException] | tuple[type[BaseException], ...]", when)
        passes = lambda error: isinstance(error, kinds)  # noqa: E731
    else:
        passes = when
    policy = Policy(attempts=attempts, base_s=base_s, most_s=most_s, deadline_s=deadline_s, when=passes)

    def decorate(target: Any) -> Any:
        if inspect.isgeneratorfunction(target) or inspect.isasyncgenfunction(target):
            raise BadRequest(
                "a generator cannot be retried: what it gave already cannot be taken back",
                got=getattr(target, "__qualname__", type(target).__name__),
                fix="retry the function that opens the stream",
            )
        repeated = _repeat_async if inspect.iscoroutinefunction(target) else _repeat
        return functools.wraps(target)(repeated(target, policy))

    return decorate if function is None else decorate(function)


def _repeat(function: Callable[..., Any], policy: Policy) -> Callable[..., Any]:
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        began, attempt = time.monotonic(), 1
        while True:
            try:
                with _attempt(attempt, policy.attempts):
                    return function(*args, **kwargs)
            except Exception as error:
                pause = policy.pause_s(attempt, error, began)
                if pause is None:
                    raise
                failure = error
            with _pause(failure, attempt, policy.attempts):
                time.sleep(pause)
            attempt += 1

    return wrapper


def _repeat_async(function: Callable[..., Awaitable[Any]], policy: Policy) -> Callable[..., Any]:
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        began, attempt = time.monotonic(), 1
        while True:
            try:
                with _attempt(attempt, policy.attempts):
                    return await function(*args, **kwargs)
            except Exception as error:
                pause = policy.pause_s(attempt, error, began)
                if pause is None:
                    raise
                failure = error
            with _pause(failure, attempt, policy.attempts):
                await asyncio.sleep(pause)
            attempt += 1

    return wrapper


@contextmanager
def _attempt(number: int, most: int) -> Generator[None]:
    recorder = recorders.current()
    token = None
    if recorder is not None:
        try:
            token = recorder.attempt(number, most)
        except Exception as error:
            trouble("a try could not be marked", error)
    try:
        yield
    finally:
        if recorder is not None and token is not None:
            recorder.unlabel(token)


@contextmanager
def _pause(error: BaseException, attempt: int, most: int) -> Generator[None]:
    """A span of waiting before the next try, which says what the last one failed with."""
    told = describe(error)
    what: WaitFor = "rate_limit" if status_of(error) == _TOO_MANY else "retry"
    attributes = {
        names.WAIT_FOR: what,
        names.WAIT_REASON: f"{told.type}: {told.message}"[:500],
        names.RETRY_ATTEMPT: attempt,
        names.RETRY_MAX: most,
    }
    call = open_span(f"waiting for {what.replace('_', ' ')}", "waiting", attributes)
    try:
        yield
    finally:
        if call is not None:
            finish(call)
