"""Working through a run: claim, read, check, accept, with many workers side by side.

Several processes may drive one run, on one host or on hosts that share its disk, and any of them may be killed at any
moment: whoever comes next goes on from the files. :func:`attempt` is one reading from claim to end; :class:`Drive` keeps
as many going as the playbook says.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from pilothouse.records import Clock, SystemClock, iso

from .answers import Said, accept, check, stored
from .disk import append_line
from .export import Export
from .lease import Lease, claim, end, held, renew
from .run_record import AnalysisRun, Job, export_of, read_run
from .state import Inputs, JobState, RunState, run_state, write_plan
from .task import Task, make_task, with_repair
from .worker import Worker, WorkerFailed, worker_for

LEASE_S = 90.0
"""How long a claim holds without a renewal; it is renewed three times as often."""
_WAIT_S = 0.5

Outcome = Literal["done", "failed", "taken", "lost", "stopped"]
Heard = Callable[[RunState], None]
"""Told how far the run is, now and then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempted:
    """What became of one attempt."""

    job: Job
    outcome: Outcome
    """``taken``: another has it; ``lost``: another finished it first; ``stopped``: given back unread."""
    why: str = ""
    tokens: int = 0
    usd: float | None = None


class Renewer:
    """Keeps the leases of this process alive while it works."""

    def __init__(self, folder: Path, clock: Clock, seconds: float = LEASE_S) -> None:
        self._folder = folder
        self._clock = clock
        self._seconds = seconds
        self._held: dict[str, Lease] = {}
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, name="lease renewer", daemon=True)
        self._thread.start()

    def claim(self, key: str) -> Lease | None:
        """Take a job, and hold on to it."""
        lease = claim(self._folder, key, clock=self._clock, seconds=self._seconds)
        if lease is not None:
            with self._lock:
                self._held[key] = lease
        return lease

    def end(self, lease: Lease, how: Literal["done", "failed", "released"], **spent: Any) -> None:
        """Give it back; nothing where it is another's by now."""
        with self._lock:
            self._held.pop(lease.key, None)
            if held(self._folder, lease):
                end(self._folder, lease, how, **spent)

    def close(self) -> None:
        """Stop renewing."""
        self._over.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._over.wait(self._seconds / 3):
            with self._lock:
                for key, lease in list(self._held.items()):
                    try:
                        longer = renew(self._folder, lease, clock=self._clock, seconds=self._seconds)
                    except OSError:
                        continue  # a full disk, say: there are two more tries before it expires
                    if longer is None:
                        del self._held[key]
                    else:
                        self._held[key] = longer


def attempt(
    folder: Path, run: AnalysisRun, job: Job, worker: Worker, inputs: Inputs, renewer: Renewer, *, clock: Clock
) -> Attempted:
    """One reading: claim it, let the worker read, check the answer, once let it be corrected, accept it."""
    sha = inputs.sha(job.item)
    lease = renewer.claim(job.key)
    if lease is None:
        return Attempted(job=job, outcome="taken")
    if stored(folder, job, run.playbook, sha) is not None:
        renewer.end(lease, "done")
        return Attempted(job=job, outcome="lost")
    started = clock.now_ns()
    task = make_task(
        job,
        run.playbook,
        export_of(folder).resolve(),
        inputs.folders(job.item),
        (folder / "work" / job.key / f"attempt-{lease.attempt:03d}").resolve(),
    )
    try:
        said, repaired = _answered(task, worker)
    except WorkerFailed as failed:
        how = "released" if failed.why == "stopped" else "failed"
        renewer.end(lease, how, why=failed.why, tokens=failed.tokens, usd=failed.usd)
        _log(folder, clock, how, job, lease, why=failed.why[:300], tokens=failed.tokens)
        outcome: Outcome = "stopped" if how == "released" else "failed"
        return Attempted(job=job, outcome=outcome, why=failed.why, tokens=failed.tokens, usd=failed.usd)
    assert said.answer is not None
    about = {
        "reader": job.reader,
        "worker": run.worker if job.reader == "first" else run.second_worker,
        "attempt": lease.attempt,
        "repaired": repaired,
        "tokens": said.tokens,
        "tokens_are": "estimated" if said.estimated else "reported",
        "usd": said.usd,
        "ms": (clock.now_ns() - started) // 1_000_000,
        "at": iso(clock.now_ns()),
    }
    accepted = accept(folder, job, run.playbook, said.answer, about, sha)
    renewer.end(lease, "done", tokens=said.tokens, usd=said.usd)
    _log(folder, clock, "done" if accepted else "lost", job, lease, tokens=said.tokens)
    return Attempted(job=job, outcome="done" if accepted else "lost", tokens=said.tokens, usd=said.usd)


def _answered(task: Task, worker: Worker) -> tuple[Said, bool]:
    item = replace(task.job.item, folders=task.folders)
    said = _read(worker, task)
    wrong = check(said.answer, task.playbook, item, task.export)
    if not wrong:
        return said, False
    before = json.dumps(said.answer, ensure_ascii=False) if said.answer is not None else ""
    try:
        again = _read(worker, with_repair(task, wrong, before))
    except WorkerFailed as failed:
        raise WorkerFailed(
            failed.why if failed.why == "stopped" else f"{wrong[0]}; at the correction: {failed.why}",
            tokens=said.tokens + failed.tokens,
            usd=_sum(said.usd, failed.usd),
        ) from failed
    both = replace(again, tokens=said.tokens + again.tokens, usd=_sum(said.usd, again.usd))
    still = check(again.answer, task.playbook, item, task.export)
    if still:
        why = f"the answer does not fit, after one correction: {'; '.join(still[:3])}"
        raise WorkerFailed(why, tokens=both.tokens, usd=both.usd)
    return both, True


def _read(worker: Worker, task: Task) -> Said:
    try:
        return worker.read(task)
    except WorkerFailed:
        raise
    except Exception as error:
        # A defect that one item brings out must not end the reading of all others.
        raise WorkerFailed(f"a defect of the worker: {type(error).__name__}: {error}") from error


def _sum(first: float | None, second: float | None) -> float | None:
    return None if first is None and second is None else (first or 0.0) + (second or 0.0)


def _log(folder: Path, clock: Clock, event: str, job: Job, lease: Lease, **more: Any) -> None:
    append_line(
        folder / "log.jsonl",
        {"at": iso(clock.now_ns()), "event": event, "job": job.key, "attempt": lease.attempt, **more},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Driven:
    """How a drive ended."""

    state: RunState
    blocked: str = ""
    """Why nothing more is begun although something is open; empty where there is no such reason."""
    fix: str = ""
    """What helps against it."""
    stopped: bool = False


class Drive:
    """Works through one run with many workers side by side."""

    def __init__(
        self,
        folder: Path,
        *,
        concurrency: int = 0,
        max_tokens: int = 0,
        max_usd: float = 0.0,
        retry: bool = False,
        heard: Heard = lambda _state: None,
        clock: Clock | None = None,
        lease_s: float = LEASE_S,
        workers: Mapping[str, Worker] | None = None,
    ) -> None:
        """Open the run. ``retry`` begins what is blocked once more; 0 leaves a bound as the playbook has it.

        Raises:
            NotFound: there is no such run.
            BadRequest: its worker cannot be had.
        """
        self.folder = folder
        self.run = read_run(folder)
        self.export = Export(export_of(folder))
        self.inputs = Inputs(self.export, self.run)
        self._concurrency = concurrency or self.run.playbook.concurrency
        self._max_tokens = max_tokens or self.run.playbook.max_tokens
        self._max_usd = max_usd or self.run.playbook.max_usd
        self._retry = retry
        self.heard = heard
        self._clock = clock or SystemClock()
        self._lease_s = lease_s
        self._workers = workers or {
            "first": worker_for(self.run.worker),
            "second": worker_for(self.run.second_worker, second=True),
        }
        self._stopping = threading.Event()

    def stop(self) -> None:
        """End soon: what is being read is given back. May be called from a signal handler or another thread."""
        self._stopping.set()

    def go(self) -> Driven:
        """Work until everything is done, blocked, or a bound is reached."""
        renewer = Renewer(self.folder, self._clock, self._lease_s)
        try:
            with ThreadPoolExecutor(self._concurrency, thread_name_prefix="reader") as pool:
                try:
                    blocked, fix = self._work(pool, renewer)
                finally:
                    # Before the pool waits for its threads: a command that runs must not keep them.
                    for worker in self._workers.values():
                        worker.stop()
        finally:
            renewer.close()
        state = self.state()
        blocked = blocked if state.open and not self._stopping.is_set() else ""
        write_plan(self.folder, self.run, state, f"{blocked}; {fix}" if blocked else "")
        self.heard(state)
        return Driven(state=state, blocked=blocked, fix=fix, stopped=self._stopping.is_set())

    def _work(self, pool: ThreadPoolExecutor, renewer: Renewer) -> tuple[str, str]:
        """Keep the pool busy; give why it stopped early and what helps, or two empty texts."""
        running: dict[Future[Attempted], str] = {}
        retried: set[str] = set()
        look = _Look(self)
        queue = self._ready(look.state, set(), retried)
        while not self._stopping.is_set():
            bound = self._bound(look.state, len(running))
            while queue and not bound[0] and len(running) < self._concurrency:
                job = queue.pop(0)
                future = pool.submit(
                    attempt, self.folder, self.run, job, self._workers[job.reader], self.inputs, renewer, clock=self._clock
                )  # fmt: skip
                running[future] = job.key
                bound = self._bound(look.state, len(running))
            if running:
                for future in wait(running, timeout=_WAIT_S, return_when=FIRST_COMPLETED).done:
                    look.spent(future.result())
                    if future.result().outcome == "failed":
                        retried.add(running[future])
                    del running[future]
            if look.due or not running:
                look.again(at_once=not running and not queue)
                if not queue:
                    queue = self._ready(look.state, set(running.values()), retried)
            bound = self._bound(look.state, len(running))
            if not running and bound[0]:
                return bound
            if not running and not queue:
                if not self._awaited(look.state):
                    return "", ""
                self._stopping.wait(_WAIT_S)
        return "", ""

    def state(self) -> RunState:
        """How far the run is."""
        return run_state(self.folder, self.run, self.inputs, self._clock)

    def _ready(self, state: RunState, running: set[str], retried: set[str]) -> list[Job]:
        def may(one: JobState) -> bool:
            if one.job.key in running:
                return False
            if one.status == "pending":
                return True
            return self._retry and one.status == "blocked" and one.job.key not in retried and bool(one.lease)

        return [one.job for one in state.jobs if may(one)]

    def _awaited(self, state: RunState) -> bool:
        """Whether others are at work whose end is worth waiting for."""
        return any(one.status == "in_progress" and one.lease is not None and one.lease.pid != 0 for one in state.jobs)

    def _bound(self, state: RunState, running: int) -> tuple[str, str]:
        """Why nothing more may be begun, and what to do; each reading that runs counts with all it is allowed."""
        if self.run.worker == self.run.second_worker == "builtin":
            return "", ""
        allowed = self.run.playbook.per_item_tokens
        if self._max_tokens and state.tokens + (running + 1) * allowed > self._max_tokens:
            reason = (
                f"the bound of {self._max_tokens:,} tokens leaves no room for another item: {state.tokens:,} are spent"
            )
            return reason, f"pilothouse analyze run {self.folder} --max-tokens {self._max_tokens * 2}"
        if self._max_usd and state.usd >= self._max_usd:
            reason = f"the bound of {self._max_usd:g} USD is reached: {state.usd:.4f} are spent"
            return reason, f"pilothouse analyze run {self.folder} --max-usd {self._max_usd * 2:g}"
        return "", ""


class _Look:
    """The newest look at the files, with what ended here since. Looking is dear where there are many items: it is done
    at most once in twenty times as long as it takes."""

    def __init__(self, drive: Drive) -> None:
        self._drive = drive
        self.again(at_once=True)

    @property
    def due(self) -> bool:
        return time.monotonic() >= self._next

    def again(self, *, at_once: bool) -> None:
        if not at_once and not self.due:
            return
        began = time.monotonic()
        self.state = self._drive.state()
        self._next = time.monotonic() + max(_WAIT_S, 20 * (time.monotonic() - began))
        self._drive.heard(self.state)

    def spent(self, done: Attempted) -> None:
        state = self.state
        self.state = replace(state, tokens=state.tokens + done.tokens, usd=state.usd + (done.usd or 0.0))
