"""One wrapper for every shape of a callable: functions, coroutines, generators of both kinds, and what they return.

The wrapped callable behaves as before: same values, same exceptions, same signature. A :class:`Plan` says what is
recorded; whatever it raises is swallowed.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator, Mapping
from typing import TYPE_CHECKING, Any, Protocol, cast

from pilothouse.records import names

from . import recorder as recorders

if TYPE_CHECKING:
    from .calls import Call
    from .recording import Recorder

LOG = logging.getLogger("pilothouse")


class Plan(Protocol):
    """What to record of the calls of one callable. Any method may raise: the call goes on unrecorded."""

    follows_streams: bool
    """Whether a returned stream object of a provider's library is followed to its end."""

    def open(self, recorder: Recorder, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Call:
        """Start the span of one call."""
        ...

    def returned(self, call: Call, value: Any) -> None:
        """Record what the call returned."""
        ...

    def yielded(self, call: Call, item: Any) -> None:
        """Record one item of a stream."""
        ...

    def exhausted(self, call: Call, value: Any) -> None:
        """Record the end of a stream, reached or not; ``value`` is what a generator returned."""
        ...

    def failed(self, call: Call, error: BaseException) -> None:
        """Record what was raised."""
        ...


def wrap(function: Any, plan: Plan) -> Any:
    """The function with every call recorded; class and static methods stay what they are."""
    if isinstance(function, classmethod | staticmethod):
        inner = wrap(cast("Any", function).__func__, plan)
        return classmethod(inner) if isinstance(function, classmethod) else staticmethod(inner)
    if inspect.isasyncgenfunction(function):
        wrapper: Any = _async_generator(function, plan)
    elif inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None)):  # noqa: B004
        wrapper = _coroutine(function, plan)
    elif inspect.isgeneratorfunction(function):
        wrapper = _generator(function, plan)
    else:
        wrapper = _plain(function, plan)
    wrapper = functools.wraps(function)(wrapper)
    wrapper.__pilothouse__ = plan
    return wrapper


def is_wrapped(function: Any) -> bool:
    """True for what :func:`wrap` gave."""
    return hasattr(function, "__pilothouse__")


def begin(plan: Plan, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Call | None:
    """Start to record a call; None where nothing records."""
    recorder = recorders.current()
    if recorder is None:
        return None
    try:
        return plan.open(recorder, args, kwargs)
    except Exception as error:
        trouble("a call could not be recorded", error)
        return None


def finish(call: Call, *records: Callable[[], None]) -> None:
    """Record how a call ended and end its span, whatever a record raises."""
    for record in (*records, call.end):
        try:
            record()
        except Exception as error:
            trouble("the end of a call could not be recorded", error)


@contextlib.contextmanager
def within(call: Call | None) -> Generator[None]:
    """A stretch of code as a call, failed where it raises; None where nothing records."""
    if call is None:
        yield
        return
    call.enter()
    try:
        yield
    except BaseException as error:
        call.leave()
        raised = error
        finish(call, lambda: call.fail(raised))
        raise
    call.leave()
    finish(call)


def trouble(what: str, error: BaseException) -> None:
    """Say at debug level what went wrong in the recorder itself."""
    LOG.debug("%s: %s", what, type(error).__name__, exc_info=error)


def _plain(function: Callable[..., Any], plan: Plan) -> Callable[..., Any]:
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        call = begin(plan, args, kwargs)
        if call is None:
            return function(*args, **kwargs)
        call.enter()
        try:
            value = function(*args, **kwargs)
        except BaseException as error:
            call.leave()
            finish(call, functools.partial(plan.failed, call, error))
            raise
        call.leave()
        return _settled(call, plan, value)

    return wrapper


def _coroutine(function: Callable[..., Awaitable[Any]], plan: Plan) -> Callable[..., Any]:
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        call = begin(plan, args, kwargs)
        if call is None:
            return await function(*args, **kwargs)
        return await _awaited(call, plan, lambda: function(*args, **kwargs))

    return wrapper


def _generator(function: Callable[..., Generator[Any, Any, Any]], plan: Plan) -> Callable[..., Any]:
    # A generator function itself, since frameworks look. So the span begins, and finds its parent, when the body does.
    def wrapper(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        call = begin(plan, args, kwargs)
        body = function(*args, **kwargs)
        return (yield from (body if call is None else _driven(call, plan, body)))

    return wrapper


def _settled(call: Call, plan: Plan, value: Any) -> Any:
    """Record a returned value. What is only the beginning (a coroutine, a generator, a stream) is followed to its end."""
    if inspect.iscoroutine(value):
        return _awaited(call, plan, lambda: cast("Coroutine[Any, Any, Any]", value))
    if inspect.isgenerator(value):
        return _driven(call, plan, cast("Generator[Any, Any, Any]", value))
    if inspect.isasyncgen(value):
        return _async_generator(lambda: cast("AsyncGenerator[Any, Any]", value), plan, call)()
    if not _followed(call, plan, value):
        finish(call, functools.partial(plan.returned, call, value))
    return value


def _followed(call: Call, plan: Plan, value: Any) -> bool:
    """Follow a provider's stream object: it stays the same object, only the iterator inside is replaced."""
    if not plan.follows_streams:
        return False
    try:
        inner = getattr(value, "_iterator", None)
        if inspect.isgenerator(inner):
            value._iterator = _driven(call, plan, cast("Generator[Any, Any, Any]", inner))
        elif inspect.isasyncgen(inner):
            kept = cast("AsyncGenerator[Any, Any]", inner)
            value._iterator = _async_generator(lambda: kept, plan, call)()
        else:
            return False
    except Exception:
        return False
    return True


async def _awaited(call: Call, plan: Plan, make: Callable[[], Awaitable[Any]]) -> Any:
    call.enter()
    try:
        value = await make()
    except BaseException as error:
        call.leave()
        finish(call, functools.partial(plan.failed, call, error))
        raise
    call.leave()
    return _settled(call, plan, value)


def _driven(call: Call, plan: Plan, body: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
    """Run a generator with the span current while its body runs, and not while its reader does."""
    step: Callable[[], Any] = body.__next__
    while True:
        call.enter()
        try:
            item = step()
        except StopIteration as stop:
            call.leave()
            finish(call, functools.partial(plan.exhausted, call, stop.value))
            return stop.value
        except BaseException as error:
            call.leave()
            _broken_off(call, plan, error)
            raise
        call.leave()
        _note(call, plan, item)
        try:
            sent = yield item
        except GeneratorExit as closing:
            _close(call, plan, body, closing)
            raise
        except BaseException as thrown:
            step = functools.partial(body.throw, thrown)
        else:
            step = body.__next__ if sent is None else functools.partial(body.send, sent)


def _close(call: Call, plan: Plan, body: Generator[Any, Any, Any], closing: GeneratorExit) -> None:
    call.enter()
    try:
        body.close()
    except BaseException as error:
        call.leave()
        _broken_off(call, plan, error)
        raise
    call.leave()
    _broken_off(call, plan, closing)


def _async_generator(
    function: Callable[..., AsyncGenerator[Any, Any]], plan: Plan, opened: Call | None = None
) -> Callable[..., Any]:
    async def wrapper(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        call = opened or begin(plan, args, kwargs)
        body = function(*args, **kwargs)
        step: Callable[[], Awaitable[Any]] = body.__anext__
        while True:
            if call is not None:
                call.enter()
            try:
                item = await step()
            except StopAsyncIteration:
                if call is not None:
                    call.leave()
                    finish(call, functools.partial(plan.exhausted, call, None))
                return
            except BaseException as error:
                if call is not None:
                    call.leave()
                    _broken_off(call, plan, error)
                raise
            if call is not None:
                call.leave()
                _note(call, plan, item)
            try:
                sent = yield item
            except GeneratorExit as closing:
                await _aclose(call, plan, body, closing)
                raise
            except BaseException as thrown:
                step = functools.partial(body.athrow, thrown)
            else:
                step = body.__anext__ if sent is None else functools.partial(body.asend, sent)

    return wrapper


async def _aclose(call: Call | None, plan: Plan, body: AsyncGenerator[Any, Any], closing: GeneratorExit) -> None:
    if call is None:
        return await body.aclose()
    call.enter()
    try:
        await body.aclose()
    except BaseException as error:
        call.leave()
        _broken_off(call, plan, error)
        raise
    call.leave()
    _broken_off(call, plan, closing)
    return None


def _note(call: Call, plan: Plan, item: Any) -> None:
    try:
        plan.yielded(call, item)
    except Exception as error:
        trouble("an item of a stream could not be recorded", error)


def _broken_off(call: Call, plan: Plan, error: BaseException) -> None:
    """Record a stream that did not reach its end: what came of it, and why it stopped."""
    if isinstance(error, GeneratorExit):
        # Whoever read it had enough: nothing failed.
        finish(call, functools.partial(plan.exhausted, call, None), lambda: call.set({names.CLOSED_EARLY: True}))
    else:
        finish(call, functools.partial(plan.exhausted, call, None), functools.partial(plan.failed, call, error))
