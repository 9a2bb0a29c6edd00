"""How long one side of a call is waited for: many limits that cost almost nothing, as long as they are not reached.

A timer of the event loop for each wait took a tenth of what the gateway spends on a call. Here one timer looks at all
waits together, fifty times a second while there are any; a limit is reached up to that much late.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Final, Protocol

TICK_S: Final = 0.02


class Waiting(Protocol):
    """Something that is due at a moment of the loop's clock."""

    due_s: float

    def fall_due(self) -> None:
        """The moment has come; it is told once."""
        ...


class Patience:
    """Watches waits. Used from one event loop."""

    def __init__(self) -> None:
        self._waiting: dict[Waiting, None] = {}
        self._ticking = False

    def within(self, seconds: float) -> Limit:
        """Within it, the running task may wait so long. Raises TimeoutError when it took longer."""
        return Limit(self, seconds)

    def add(self, waiting: Waiting) -> None:
        """Watch this."""
        self._waiting[waiting] = None
        if not self._ticking:
            self._ticking = True
            asyncio.get_running_loop().call_later(TICK_S, self._tick)

    def remove(self, waiting: Waiting) -> None:
        """Watch it no more; harmless where it is not watched."""
        self._waiting.pop(waiting, None)

    def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        for waiting in [one for one in self._waiting if one.due_s <= now]:
            self.remove(waiting)
            waiting.fall_due()
        self._ticking = bool(self._waiting)
        if self._ticking:
            loop.call_later(TICK_S, self._tick)


class Limit:
    """One wait of one task, as ``asyncio.timeout`` bounds it."""

    __slots__ = ("_cancelling", "_expired", "_loop", "_patience", "_task", "due_s")

    def __init__(self, patience: Patience, seconds: float) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._patience = patience
        self._task = task
        self._loop = asyncio.get_running_loop()
        self._cancelling = task.cancelling()
        self._expired = False
        self.due_s = self._loop.time() + seconds

    def again(self, seconds: float) -> None:
        """Wait so long from now on."""
        self.due_s = self._loop.time() + seconds

    def fall_due(self) -> None:
        """End the wait."""
        self._expired = True
        self._task.cancel()

    def __enter__(self) -> Limit:
        self._patience.add(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._patience.remove(self)
        # Whoever else cancelled the task meanwhile goes first, as with asyncio's own.
        if self._expired and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error
