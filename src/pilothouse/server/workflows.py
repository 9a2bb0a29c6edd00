"""The durable workflows of the server, with what they need: the only list of them.

The server's own process starts and shows their runs; the job worker runs them. What is heavy is imported when a run
needs it.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path

from pilothouse.jobs import Queue, Schedule, Workflow
from pilothouse.store import TraceStore, open_store

from .analyses import WORKFLOW
from .analysis_workflow import AnalysisWorkflow

QUEUES: tuple[Queue, ...] = (Queue(name="analysis", worker_concurrency=2),)
"""Queues besides ``main``."""
SCHEDULES: tuple[Schedule, ...] = ()
"""What is started by the clock."""


@dataclass(slots=True, kw_only=True)
class Resources:
    """What workflows work on."""

    data: Path
    store_url: str = ""
    """Empty: the embedded engine of the server."""
    _store: TraceStore | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def store(self) -> TraceStore:
        """The trace store, opened when it is first needed."""
        with self._lock:
            if self._store is None:
                self._store = open_store(self.store_url, self.data, owner=False)
            return self._store


def workflows(resources: Resources) -> list[Workflow]:
    """Every workflow, bound to what it works on."""
    return [
        Workflow(
            name=WORKFLOW,
            run=AnalysisWorkflow(lambda: resources.store, resources.data).run,
            queue="analysis",
        )
    ]
