"""Steps by key, over the engine's numbered ones: a number is dealt when a step is done, and its name is its key.

What is kept is read once when the ledger is opened; new steps are numbered after it. The engine still lets only the
run's owner record, and still hears of a cancelled run at each step.
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from dbos import DBOS

from pilothouse.records import PilothouseError

from .client import Jobs
from .interrupted import Interrupted
from .journal_json import plain
from .port import Kept, StepContext

T = TypeVar("T")


class DbosLedger:
    """Serves :class:`pilothouse.jobs.port.Ledger`. Made in the workflow's own thread."""

    def __init__(
        self,
        jobs: Jobs,
        run_id: str,
        closing: threading.Event,
        *,
        earlier: Sequence[str],
        without: Sequence[str],
        origin: str,
    ) -> None:
        self._origin = origin or run_id
        self._closing = closing
        self._lock = threading.Lock()
        self._kept: dict[str, Kept] = {}
        last = 0
        for one in (*earlier, run_id):
            for number, name, kept in jobs.kept(one):
                if one == run_id or name not in without:
                    self._kept[name] = kept
                last = number if one == run_id else last
        # The engine deals numbers from 1 at each attempt: those that are kept are passed over.
        while last and DBOS.reserve_step().step_id < last:
            pass
        self._context = contextvars.copy_context()

    def find(self, key: str) -> Kept | None:
        """What is kept under a key."""
        with self._lock:
            return self._kept.get(key)

    def keep(self, key: str, do: Callable[[StepContext], T]) -> T:
        """Do a step once and keep its result."""
        if self._closing.is_set():
            raise Interrupted("the worker stops")
        with self._lock:
            reservation = self._context.copy().run(DBOS.reserve_step)
        step = StepContext(run_id=self._origin, number=reservation.step_id, name=key, keyed=key)

        def attempt() -> Any:
            try:
                return plain(do(step))
            except Exception as error:
                if self._closing.is_set() and not isinstance(error, PilothouseError):
                    # What a step needed may have been closed under it.
                    raise Interrupted("the worker stops") from error
                raise

        value: Any = self._context.copy().run(reservation.run, {"name": key}, attempt)
        with self._lock:
            self._kept[key] = Kept(value=value)
        return value
