"""A supervised process that is started when it is first needed."""

from __future__ import annotations

import threading
from collections.abc import Callable

from .supervised import SupervisedProcess


class OnDemand:
    """Holds at most one process, made by a function. After :meth:`close` it starts none."""

    def __init__(self, make: Callable[[], SupervisedProcess]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._closed = False
        self.process: SupervisedProcess | None = None
        """None while it was not needed."""

    def start(self) -> None:
        """Start it, unless it runs already."""
        with self._lock:
            if self.process is None and not self._closed:
                self.process = self._make()

    def close(self) -> None:
        """End it."""
        with self._lock:
            self._closed = True
            if self.process is not None:
                self.process.close()
