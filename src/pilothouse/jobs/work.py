"""The verbs inside a workflow, over DBOS."""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from dbos import DBOS
from dbos import error as dbos_errors
from sqlalchemy import exc

from pilothouse.records import BadRequest, NotFound, PilothouseError

from .client import CHILDREN, Jobs
from .interrupted import Interrupted
from .journal_json import plain
from .ledger import DbosLedger
from .port import Retry, StepContext

T = TypeVar("T")
I = TypeVar("I")  # noqa: E741  # an item

_SLEEP_SLICE_S = 2.0
_OWN_VERBS = Retry(attempts=8, wait_s=0.5)
"""Verbs on other runs are steps too; a database that is busy or away for a moment must not fail them."""


class DbosWork:
    """Serves :class:`pilothouse.jobs.port.Work`."""

    def __init__(self, jobs: Jobs, run_id: str, project_id: str, closing: threading.Event) -> None:
        self._jobs = jobs
        self._run_id = run_id
        self._project_id = project_id
        self._closing = closing

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self._run_id

    @property
    def project_id(self) -> str:
        """The project the run is of; empty for the server's own."""
        return self._project_id

    @property
    def should_stop(self) -> bool:
        """True where the run was cancelled or the worker stops."""
        return self._closing.is_set() or self._jobs.show(self._run_id).state == "cancelled"

    def go_on(self) -> None:
        """Does not return where the run was cancelled or the worker stops."""
        self._go_on()
        self._stop_where_cancelled()

    def step(self, name: str, do: Callable[[StepContext], T], *, retry: Retry | None = None) -> T:
        """Do something once and keep its result."""
        self._go_on()
        return DBOS.run_step(_options(name, retry), self._attempt, name, do)

    def side_by_side(
        self,
        name: str,
        items: Sequence[I],
        do: Callable[[StepContext, I], T],
        *,
        concurrency: int = 25,
        retry: Retry | None = None,
    ) -> list[T]:
        """One step for each item, several at once; results in the order of the items."""
        if concurrency < 1:
            raise BadRequest("at least one at a time", got=concurrency, allowed="1 or more")
        self._go_on()
        if not items:
            return []
        # Numbers are dealt here, in order: which thread is first must not matter when the run is replayed.
        numbered = [(DBOS.reserve_step(), contextvars.copy_context(), item) for item in items]
        options = _options(name, retry)
        failed = threading.Event()

        def one(reservation: Any, context: contextvars.Context, item: I) -> Any:
            if failed.is_set():
                return None
            self._go_on()

            def for_item(step: StepContext) -> T:
                return do(step, item)

            try:
                return context.run(reservation.run, options, self._attempt, name, for_item)
            except BaseException:
                failed.set()
                raise

        with ThreadPoolExecutor(min(concurrency, len(items)), thread_name_prefix="jobs-step") as pool:
            futures = [pool.submit(one, *numbers) for numbers in numbered]
        errors = [error for error in (future.exception() for future in futures) if error is not None]
        for error in errors:
            if not isinstance(error, Exception):
                raise error
        if errors:
            raise errors[0]
        return [future.result() for future in futures]

    def sleep(self, seconds: float) -> None:
        """Wait, restarts included."""
        until_ns = self.step("sleep", lambda _: time.time_ns() + int(seconds * 1e9))
        while True:
            left_s = (until_ns - time.time_ns()) / 1e9
            if left_s <= 0:
                return
            self._closing.wait(min(left_s, _SLEEP_SLICE_S))
            self._go_on()
            if left_s > _SLEEP_SLICE_S:
                self._stop_where_cancelled()

    def send(self, run_id: str, message: Any, *, topic: str = "") -> None:
        """Send a message to another run."""
        self.step(
            f"send {topic}".strip(),
            lambda step: self._jobs.send(run_id, message, topic=topic, key=step.key),
            retry=_OWN_VERBS,
        )

    def receive(self, *, topic: str = "", timeout_s: float = 60.0) -> Any:
        """The next message on a topic, or None after the time-out."""
        self._go_on()
        # In a thread that may be left behind: who closes the worker must not wait for a message. What it still
        # receives is recorded with the run, or not at all where another worker has the run by then.
        outcome: list[Any] = []
        problem: list[BaseException] = []
        done = threading.Event()
        context = contextvars.copy_context()

        def wait() -> None:
            try:
                outcome.append(context.run(DBOS.recv, topic or None, timeout_s))
            except BaseException as error:
                problem.append(error)
            done.set()

        threading.Thread(target=wait, name=f"receive-{self._run_id}", daemon=True).start()
        while not done.wait(0.25):
            self._go_on()
        if problem:
            raise problem[0]
        return outcome[0]

    def run(self, workflow: str, input: Any = None) -> Any:
        """Start another workflow and wait for its result."""
        child = self._start(workflow, input, CHILDREN.name)
        return self.step(f"wait for {workflow}", lambda _: self._wait(child))

    def enqueue(self, workflow: str, input: Any = None, *, queue: str = "") -> str:
        """Start another workflow when a worker is free; returns the id of its run."""
        return self._start(workflow, input, queue)

    def ledger(self, *, earlier: Sequence[str] = (), without: Sequence[str] = (), origin: str = "") -> DbosLedger:
        """Steps by key instead of by place."""
        self._go_on()
        return DbosLedger(self._jobs, self._run_id, self._closing, earlier=earlier, without=without, origin=origin)

    def _start(self, workflow: str, input: Any, queue: str) -> str:
        given = plain(input)
        # The id is the parent's and the step's, so that starting it twice starts one run.
        return self.step(
            f"start {workflow}",
            lambda step: self._jobs.enqueue(
                workflow, given, project_id=self._project_id, run_id=f"{step.run_id}.{step.number}", queue=queue
            ),
            retry=_OWN_VERBS,
        )

    def _wait(self, run_id: str) -> Any:
        while not self._closing.is_set():
            run = self._jobs.show(run_id)
            if run.ended or run.state in ("succeeded", "failed", "cancelled"):
                return self._jobs.wait(run_id, timeout_s=1)
            self._closing.wait(0.1)
        raise Interrupted("the worker stops")

    def _attempt(self, name: str, do: Callable[[StepContext], T]) -> T:
        number = DBOS.step_id
        assert number is not None
        try:
            return do(StepContext(run_id=self._run_id, number=number, name=name))
        except Exception as error:
            if self._closing.is_set() and not isinstance(error, PilothouseError):
                # What a step needed may have been closed under it.
                raise Interrupted("the worker stops") from error
            raise

    def _go_on(self) -> None:
        if self._closing.is_set():
            raise Interrupted("the worker stops")

    def _stop_where_cancelled(self) -> None:
        if self._jobs.show(self._run_id).state == "cancelled":
            raise dbos_errors.DBOSWorkflowCancelledError(f"run {self._run_id} was cancelled")


def shielded(run: Callable[[], T], closing: threading.Event) -> T:
    """Run a workflow's function so that what is no outcome of it is not kept as one.

    Raises:
        Interrupted: the worker stops, or the journal of runs cannot be written.
    """
    try:
        return run()
    except (dbos_errors.DBOSWorkflowCancelledError, dbos_errors.DBOSWorkflowConflictIDError):
        raise
    except exc.DBAPIError as error:
        raise Interrupted(f"the database of runs failed: {error.orig}") from error
    except dbos_errors.DBOSNonExistentWorkflowError as error:
        raise NotFound("there is no such run", got=str(error)) from error
    except Exception as error:
        if closing.is_set() and not isinstance(error, PilothouseError):
            raise Interrupted("the worker stops") from error
        raise


def _options(name: str, retry: Retry | None) -> Any:
    if retry is None or retry.attempts <= 1:
        return {"name": name}
    return {
        "name": name,
        "retries_allowed": True,
        "max_attempts": retry.attempts,
        "interval_seconds": retry.wait_s,
        "backoff_rate": retry.factor,
    }
