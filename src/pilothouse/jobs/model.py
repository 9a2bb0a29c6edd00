"""The nouns of durable work: workflows, queues, schedules, and what is known of a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from .port import Work

Json = Any
"""What JSON can hold: None, bool, int, float, str, lists, and dicts with text as keys."""

RunState = Literal["queued", "running", "held", "succeeded", "failed", "cancelled"]
STATES: tuple[RunState, ...] = ("queued", "running", "held", "succeeded", "failed", "cancelled")
"""``held``: begun by a worker whose release does not know the workflow; a newer one takes it over."""

CatchUp = Literal["latest", "all", "none"]
CATCH_UP_MAX = 100
"""So many missed moments of a schedule are made up for at most, the newest of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workflow:
    """A function that survives restarts: what it did in steps is never done again.

    The function MUST do everything with an effect, and everything that may differ from run to run (time, chance, reads),
    in steps, and MUST call them in the same order each time it is replayed. It MAY do pure work in between.

    A run keeps the version it began with, whatever is installed later. Change the order or the names of steps only
    under a new ``version``, and keep the old function listed until its runs have ended. Where the new code replays an
    old version's steps as they are, name that version in ``continues`` instead.
    """

    name: str
    run: Callable[[Work, Json], Json]
    """Gets the verbs and the input; its result is kept."""
    version: int = 1
    continues: tuple[int, ...] = ()
    """Older versions whose open runs this function may take over."""
    queue: str = "main"
    """Where runs of it wait for a free worker."""
    attempts_max: int = 100
    """So often a run is begun again after its worker died, then it is failed: it may be what kills workers."""

    @property
    def key(self) -> str:
        """What a run of it is recorded under."""
        return f"{self.name}.v{self.version}"

    @property
    def keys(self) -> tuple[str, ...]:
        """Everything this function may run."""
        return (self.key, *(f"{self.name}.v{version}" for version in self.continues))


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """Where runs wait, and how many of them go at once."""

    name: str
    worker_concurrency: int | None = 8
    """Runs at once in one worker; None: no bound."""
    concurrency: int | None = None
    """Runs at once in all workers together; None: no bound."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A workflow that is started at certain times. Each moment starts it once, however many workers there are."""

    name: str
    workflow: str
    cron: str
    """Five fields, or six with seconds last, e.g. ``*/5 * * * *``."""
    timezone: str = "UTC"
    input: Json = None
    """Given to the workflow as ``{"input": …, "due": "2026-01-01T00:00:00Z"}``."""
    catch_up: CatchUp = "latest"
    """What happens to moments that passed while no worker ran: only the latest is made up for (``latest``), each of
    them up to 100 (``all``), or none (``none``). A new schedule starts with the next moment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One recorded step of a run."""

    number: int
    name: str
    started: str
    """ISO 8601 UTC; empty where unknown."""
    ended: str
    error: str
    """Empty where it succeeded."""
    output: str
    """The head of its result, as JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What is known of one run of a workflow."""

    run_id: str
    workflow: str
    version: int
    state: RunState
    project_id: str
    """Empty for the server's own."""
    queue: str
    created: str
    """ISO 8601 UTC."""
    started: str
    """When a worker last took it; empty while it is queued."""
    ended: str
    """Empty while it is open."""
    worker: str
    """The worker that has it or had it last."""
    attempts: int
    """How often a worker began it; more than one: a worker died or was stopped."""
    steps: int
    """Steps recorded so far."""
    error: str
    """Why it failed or is held; empty otherwise."""
    forked_from: str = ""
    parent: str = ""
    """The run that started it."""
    input: Json = field(default=None)
    result: Json = field(default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPage:
    """Some runs, newest first."""

    items: tuple[Run, ...]
    total: int
    next: str
    """Cursor of the next page; empty at the end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An error as it is kept: its kind, its message, and what our errors say besides."""

    type: str
    message: str
    facts: Mapping[str, Any] = field(default_factory=dict[str, Any])
