"""Heartbeats, and whose runs are to be taken over: rules without I/O, and what carries them out.

A worker is dead when its process is gone (same machine), or when its heartbeat has not moved for ``LEASE_S`` by the
clock of who looks. Nobody's clock is compared with another's. A worker that was only cut off finds itself declared dead
at its next heartbeat and stops; until then the engine lets only the new owner of a run record anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from pilothouse.store.job_store import JobWorker, OpenRun

BEAT_S = 1.0
LEASE_S = 15.0
"""Long enough for a machine under load or a paused process, short enough that nobody waits for a dead host."""


@dataclass(slots=True)
class Watch:
    """What one worker has seen of the others."""

    me: str
    machine: str
    gone: Callable[[int, str], bool]
    """Whether a process of this machine has ended."""
    lease_s: float = LEASE_S
    _seen: dict[str, tuple[int, float]] = field(default_factory=dict[str, tuple[int, float]])
    _ownerless: dict[str, str] = field(default_factory=dict[str, str])
    _idle: set[str] = field(default_factory=set[str])

    def dead(self, workers: Sequence[JobWorker], now_s: float) -> list[str]:
        """Workers that are dead, by the clock of the caller, which MUST be monotonic."""
        ids = {worker.worker_id for worker in workers}
        for forgotten in self._seen.keys() - ids:
            del self._seen[forgotten]
        found: list[str] = []
        for worker in workers:
            if worker.worker_id == self.me:
                continue
            beat, since_s = self._seen.get(worker.worker_id, (-1, now_s))
            if beat != worker.beat:
                self._seen[worker.worker_id] = (worker.beat, now_s)
                since_s = now_s
            here = worker.machine == self.machine
            if (here and self.gone(worker.process_id, worker.process_start)) or now_s - since_s > self.lease_s:
                found.append(worker.worker_id)
        return found

    def to_adopt(self, workers: Sequence[JobWorker], dead: Sequence[str], runs: Sequence[OpenRun]) -> list[OpenRun]:
        """Open runs whose worker is dead, or is on no list: it was declared dead and took one more, or said goodbye.

        Those without any worker are adopted when they are seen so a second time: a worker that begins is on the list
        before it takes a run, but the two lists are not read in one moment.
        """
        alive = {worker.worker_id for worker in workers} - set(dead)
        known_dead = set(dead)
        lost = {run.run_id: run.worker_id for run in runs if run.worker_id not in alive | known_dead | {self.me}}
        adopted = [
            run for run in runs if run.worker_id in known_dead or self._ownerless.get(run.run_id) == run.worker_id
        ]
        self._ownerless = lost
        return [run for run in adopted if run.worker_id != self.me]

    def to_resume(self, runs: Sequence[OpenRun], active: Mapping[str, object], known: Sequence[str]) -> list[OpenRun]:
        """My own runs that nothing here is running, seen so twice: the database failed when their outcome was due."""
        idle = {
            run.run_id: run
            for run in runs
            if run.worker_id == self.me and run.run_id not in active and run.workflow in known
        }
        again = [run for run_id, run in idle.items() if run_id in self._idle]
        self._idle = set(idle)
        return again
