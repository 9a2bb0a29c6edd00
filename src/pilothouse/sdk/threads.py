"""The trace goes on in threads and pools, which OpenTelemetry's context does not reach by itself."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final, ParamSpec, TypeVar, cast

from . import recorder as recorders

P = ParamSpec("P")
R = TypeVar("R")

_MARK: Final = "__pilothouse__"
_OURS: Final = "pilothouse-"
"""The recorder's own threads serve all traces."""
_making_worker = threading.local()


def carry(function: Callable[P, R]) -> Callable[P, R]:
    """The function, to be called in the trace that is current now: in a thread, a pool, another process.

    It can be pickled where the function can. In another process the recorder is started with the same settings.
    """
    from .processes import Carried

    return cast("Callable[P, R]", Carried.now(function))


def carry_into_threads() -> None:
    """Let threads and executors continue the trace of whoever starts them; a second call does nothing.

    A thread that is started outside of any trace is left alone.
    """
    if hasattr(threading.Thread.start, _MARK):
        return
    _replace(threading.Thread, "start", _thread_start)
    _replace(ThreadPoolExecutor, "submit", _thread_submit)
    from concurrent.futures import process

    from .processes import process_submit

    _replace(process.ProcessPoolExecutor, "submit", process_submit)


def _replace(owner: Any, name: str, make: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    original = getattr(owner, name)
    replacement: Any = functools.wraps(original)(make(original))
    setattr(replacement, _MARK, True)
    setattr(owner, name, replacement)


def _thread_start(original: Callable[..., Any]) -> Callable[..., Any]:
    def start(self: threading.Thread) -> None:
        context = here()
        if context is None or getattr(_making_worker, "now", False) or self.name.startswith(_OURS):
            return original(self)
        run = self.run

        def carried() -> None:
            # No cycle is left behind: the instance's own method comes back first.
            self.__dict__.pop("run", None)
            within(context, run)

        self.run = carried
        try:
            return original(self)
        except BaseException:
            self.__dict__.pop("run", None)
            raise

    return start


def _thread_submit(original: Callable[..., Any]) -> Callable[..., Any]:
    def submit(self: Any, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        context = here()
        if context is not None:
            fn = functools.partial(within, context, fn)
        # A worker serves whoever submits: it must not keep the trace of the one for whom it was started.
        _making_worker.now = True
        try:
            return original(self, fn, *args, **kwargs)
        finally:
            _making_worker.now = False

    return submit


def here() -> Any:
    """The current context where it says anything about a trace; None without a recorder or a trace."""
    recorder = recorders.current()
    if recorder is None:
        return None
    context = recorder.context()
    return context or None


def within(context: Any, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """Call a function in a context."""
    from .context import attach, detach

    token = attach(context)
    try:
        return function(*args, **kwargs)
    finally:
        detach(token)
