"""The trace goes on in the processes of a pool."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any, Self

from . import recorder as recorders

LOG = logging.getLogger("pilothouse")


class Carried:
    """A function and the trace it belongs to. Called in the same process or, pickled, in another one."""

    def __init__(
        self, function: Callable[..., Any], carrier: Mapping[str, str], labels: Mapping[str, Any], start: Any
    ) -> None:
        self._function = function
        self._carrier = dict(carrier)
        self._labels = dict(labels)
        self._start = start
        """Settings for a process that does not record yet; None where they cannot travel."""
        functools.update_wrapper(self, function, updated=())

    @classmethod
    def now(cls, function: Callable[..., Any]) -> Self | Callable[..., Any]:
        """The function with the current trace; itself where nothing records."""
        recorder = recorders.current()
        if recorder is None or not recorder.context():
            return function
        from .context import labels
        from .propagation import inject

        # A mask that is a function may not be picklable, and recording without it would let out what it hides.
        start = None if callable(recorder.settings.mask) else (recorder.settings, recorder.options)
        return cls(function, inject({}), labels(recorder.context()), start)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function in its trace."""
        token = None
        try:
            token = self._enter()
        except Exception as error:
            LOG.debug("a trace could not be continued: %s", type(error).__name__)
        try:
            return self._function(*args, **kwargs)
        finally:
            if token is not None:
                from .context import detach

                detach(token)

    def _enter(self) -> Any:
        recorder = recorders.current()
        if recorder is None:
            if self._start is None:
                return None
            recorder = recorders.start(*self._start)
        from .context import LABELS, attach, labels
        from .propagation import extract

        context = extract(self._carrier).context
        if context is None:
            context = recorder.context()
        changed = type(context)({**context, LABELS: {**labels(context), **self._labels}})
        return attach(changed)

    def __reduce__(self) -> Any:
        return (Carried, (self._function, self._carrier, self._labels, self._start))


def process_submit(original: Callable[..., Any]) -> Callable[..., Any]:
    """The ``submit`` of process pools, with the trace sent along."""

    def submit(self: Any, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        return original(self, Carried.now(fn), *args, **kwargs)

    return submit
