"""What the server does beside answering: keep the counts of refused writes, apply retention, show late annotations."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time

from pilothouse.annotations import settle
from pilothouse.gateway import Gateway
from pilothouse.intake.counters import Snapshot
from pilothouse.intake.receive import Intake
from pilothouse.records import PilothouseError
from pilothouse.store.retention import apply_rules

from .state import ServerState

LOG = logging.getLogger("pilothouse.server")

REFUSALS_EVERY_S = 2.0
RETENTION_EVERY_S = 3600.0
ANNOTATIONS_EVERY_S = 10.0
BUDGETS_EVERY_S = 10.0
CACHE_EVERY_S = 2.0
APPROVALS_EVERY_S = 5.0
NOTICES_EVERY_S = 1.0
ROUTING_EVERY_S = 10.0
ONLINE_EVERY_S = 1.0
_HOUR_NS = 3_600_000_000_000


class Housekeeping:
    """Recurring jobs on the server's loop; their work is done in threads."""

    def __init__(self, state: ServerState, intake: Intake, gateway: Gateway | None = None) -> None:
        self._state = state
        self._intake = intake
        self._gateway = gateway
        self._tasks: list[asyncio.Task[None]] = []
        self._counted: dict[tuple[str, str, str], int] = {}

    def start(self) -> None:
        """Begin."""
        self._tasks = [
            asyncio.create_task(self._every(REFUSALS_EVERY_S, self.keep_refusals)),
            asyncio.create_task(self._every(RETENTION_EVERY_S, self.retain)),
            asyncio.create_task(self._every(ANNOTATIONS_EVERY_S, self.show_annotations)),
            asyncio.create_task(self._every(BUDGETS_EVERY_S, self._state.budgets.sweep)),
            # Rows and a sweep, not a durable workflow for each approval: lateness is judged when an approval is used, so
            # nothing rests on when this runs, and ten thousand that wait cost one query.
            asyncio.create_task(self._every(APPROVALS_EVERY_S, self._state.approvals.sweep)),
        ]
        # Another process may have put a model in force.
        self._tasks.append(asyncio.create_task(self._every(ROUTING_EVERY_S, self._state.routing.refresh)))
        if self._state.online_worker is not None:
            self._tasks.append(asyncio.create_task(self._every(ONLINE_EVERY_S, self._state.online_worker.keep)))
        if self._state.notifier is not None:
            self._tasks.append(asyncio.create_task(self._every(NOTICES_EVERY_S, self._state.notifier.tell)))
        if self._gateway is not None and self._gateway.answers is not None:
            self._tasks.append(asyncio.create_task(self._every(CACHE_EVERY_S, self._gateway.answers.flush)))

    async def stop(self) -> None:
        """Stop, and keep the last counts."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with contextlib.suppress(PilothouseError):
            await asyncio.to_thread(self.keep_refusals)

    def keep_refusals(self) -> None:
        """Add what was refused since the last time to the kept counts, so that they survive a restart."""
        rows = _new_refusals(self._intake.counters.snapshot(), self._counted)
        if rows:
            self._state.control.add_refusals(rows)

    def retain(self) -> None:
        """Apply the retention rules of every project."""
        for deleted in apply_rules(self._state.store, self._state.control.retention(), time.time_ns(), dry_run=False):
            if deleted.traces or deleted.logs:
                LOG.info("retention: %s", deleted)

    def show_annotations(self) -> None:
        """Show annotations that were logged while the trace store did not answer."""
        settle(self._state.store, self._state.control, time.time_ns())

    @staticmethod
    async def _every(seconds: float, job: object) -> None:
        assert callable(job)
        while True:
            await asyncio.sleep(seconds)
            try:
                await asyncio.to_thread(job)
            except Exception:
                LOG.exception("housekeeping failed; it is tried again")


def _new_refusals(snapshot: Snapshot, counted: dict[tuple[str, str, str], int]) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for refused in snapshot.refused:
        key = (
            refused.project_id,
            f"{refused.status} {refused.reason}",
            f"{refused.signal} from {refused.remote}"[:100],
        )
        new = refused.requests - counted.get(key, 0)
        if new > 0:
            counted[key] = refused.requests
            rows.append(_row(key, new, refused.last_ns, refused.last_message))
    for accepted in snapshot.accepted:
        key = (accepted.project_id, "partial", accepted.signal)
        new = accepted.items_refused - counted.get(key, 0)
        if new > 0:
            counted[key] = accepted.items_refused
            rows.append(_row(key, new, accepted.last_ns, accepted.last_refusal))
    return rows


def _row(key: tuple[str, str, str], count: int, last_ns: int, detail: str) -> dict[str, object]:
    project_id, reason, source = key
    return {
        "hour_ns": last_ns - last_ns % _HOUR_NS,
        "project_id": project_id,
        "reason": reason[:60],
        "source": source,
        "count": count,
        "last_ns": last_ns,
        "detail": detail[:1000],
    }
