"""Durable work: runs that survive restarts, on DBOS behind a narrow port of ours.

``Jobs`` starts and shows runs, ``Runtime`` is a worker that runs them, ``Desk`` opens either only when needed; workflows are written against ``Work``. Opening
either imports the engine; importing this package does not.
"""

from .client import SYSTEM, Jobs
from .desk import Desk
from .journal_json import RunFailed
from .model import STATES, Queue, Run, RunPage, RunState, Schedule, Step, Workflow
from .port import Kept, Ledger, Retry, StepContext, Work
from .runtime import Runtime

__all__ = [
    "STATES",
    "SYSTEM",
    "Desk",
    "Jobs",
    "Kept",
    "Ledger",
    "Queue",
    "Retry",
    "Run",
    "RunFailed",
    "RunPage",
    "RunState",
    "Runtime",
    "Schedule",
    "Step",
    "StepContext",
    "Work",
    "Workflow",
]
