"""What time it is, for deadlines: a clock that no jump of the wall clock turns back or holds still.

It is the latest of three: the wall clock; what this process has counted since it last looked, by a clock that nobody
sets; and the latest moment that the database has seen from anybody. So a wall clock that is put back neither gives more
time nor makes a late decision early again. One that is put forward ends approvals too soon, and they stay ended when
it is put back: late means no, so that is the safe way to be wrong.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from pilothouse.records import Clock, SystemClock


class Moment:
    """The time of one process. Safe to share between threads."""

    def __init__(self, wall: Clock | None = None, *, steady_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._wall, self._steady_ns = wall or SystemClock(), steady_ns
        self._lock = threading.Lock()
        self._latest_ns = self._wall.now_ns()
        self._looked_ns = steady_ns()

    def now_ns(self, seen_ns: int = 0) -> int:
        """The moment; ``seen_ns``: the latest that somebody else has seen."""
        with self._lock:
            steady_ns = self._steady_ns()
            passed = self._latest_ns + max(0, steady_ns - self._looked_ns)
            self._latest_ns = max(passed, self._wall.now_ns(), seen_ns)
            self._looked_ns = steady_ns
            return self._latest_ns
