"""The verbs of durable work. What uses them knows no engine; another engine implements these two classes.

    inside a workflow   step, side_by_side, sleep, send, receive, run, enqueue, ledger
    from outside        enqueue, run, send, fork, ls, show, cancel

The rules an engine MUST keep:

1. A step that returned is never run again for the same run; its result is read back instead.
2. A step in flight when its worker dies is run again: at least once. ``StepContext.key`` is the same each time, so that
   an effect can be made once.
3. A message sent is kept until it is received, by whichever worker has the run then.
4. A run whose worker died is taken over by a live worker. One whose worker is merely cut off may for a moment be run by
   two; only one of them can record anything.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from pilothouse.records import PilothouseError

T = TypeVar("T")
I = TypeVar("I")  # noqa: E741  # an item


@dataclass(frozen=True, slots=True, kw_only=True)
class StepContext:
    """What a step is told about itself."""

    run_id: str
    number: int
    """Its place in the run: the same at every attempt."""
    name: str
    keyed: str = ""
    """The key of a step of a ledger, whose place may differ from attempt to attempt."""

    @property
    def key(self) -> str:
        """An idempotency key: the same at every attempt of this step, and no other step's. A fork has keys of its own."""
        return f"{self.run_id}/{self.keyed or self.number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What a ledger has under a key."""

    value: Any = None
    error: PilothouseError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """How often a step is tried when it raises, and how long is waited in between."""

    attempts: int = 1
    wait_s: float = 1.0
    """Before the second attempt."""
    factor: float = 2.0
    """Each wait is so many times the one before, up to an hour."""


class Ledger(Protocol):
    """Steps that are found again by a key of the caller's instead of by their place: they may come in any order, and
    side by side, and still be replayed. For programs whose steps arrive as events do, such as agents."""

    def find(self, key: str) -> Kept | None:
        """What was kept under a key before this attempt began, or during it; None where the step is still to be done."""
        ...

    def keep(self, key: str, do: Callable[[StepContext], T]) -> T:
        """Do a step once and keep its result, which must be JSON. From any thread; several keys may be done at once.
        An error of an :class:`Exception` is kept too."""
        ...


class Work(Protocol):
    """The verbs inside a workflow. They MUST NOT be called inside a step, but for the first four."""

    @property
    def run_id(self) -> str:
        """The run's id."""
        ...

    @property
    def project_id(self) -> str:
        """The project the run is of; empty for the server's own."""
        ...

    @property
    def should_stop(self) -> bool:
        """True where the run was cancelled or the worker stops. A step of minutes MUST look now and then, and end with
        :meth:`go_on`. May be asked inside a step, and asks the database: not more than once a second."""
        ...

    def go_on(self) -> None:
        """Nothing; but where the run was cancelled or the worker stops, this does not return, and a step it is called in
        counts as not done. May be called inside a step."""
        ...

    def step(self, name: str, do: Callable[[StepContext], T], *, retry: Retry | None = None) -> T:
        """Do something once and keep its result, which must be JSON."""
        ...

    def side_by_side(
        self,
        name: str,
        items: Sequence[I],
        do: Callable[[StepContext, I], T],
        *,
        concurrency: int = 25,
        retry: Retry | None = None,
    ) -> list[T]:
        """One step for each item, several at once; results in the order of the items. The first error ends it, after
        those in flight have ended."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait, restarts included: the moment of waking is kept."""
        ...

    def send(self, run_id: str, message: Any, *, topic: str = "") -> None:
        """Send a message to another run. Raises NotFound where there is none."""
        ...

    def receive(self, *, topic: str = "", timeout_s: float = 60.0) -> Any:
        """The next message on a topic, or None after the time-out; both are kept."""
        ...

    def run(self, workflow: str, input: Any = None) -> Any:
        """Start another workflow and wait for its result; its failure is raised as :class:`RunFailed`."""
        ...

    def enqueue(self, workflow: str, input: Any = None, *, queue: str = "") -> str:
        """Start another workflow when a worker is free, and return the id of its run without waiting."""
        ...

    def ledger(self, *, earlier: Sequence[str] = (), without: Sequence[str] = (), origin: str = "") -> Ledger:
        """Steps by key, and nothing else that is recorded from then on in this workflow.

        It begins with what ``earlier`` runs kept, the later over the former and but for the keys of ``without``, so that
        a run goes on where another ended.
        ``origin`` stands for the run's id in idempotency keys: what goes on under a new id keeps its keys.
        """
        ...
