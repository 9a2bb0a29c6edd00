"""A worker: runs workflows until it is closed. The only file, with ``work.py``, that knows how DBOS is launched.

One at a time in a process, because DBOS is one object in a process. Opening a second is refused; opening again after
closing is fine. The server gives each worker a process of its own.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, cast

from pilothouse import __version__
from pilothouse.records import BadRequest, PilothouseError, Unreachable, iso, new_id
from pilothouse.records.process_identity import is_gone, machine, process_start
from pilothouse.store.job_store import SCHEMA, JobStore, JobWorker

from . import schedules as cron
from .adoption import BEAT_S, LEASE_S, Watch
from .client import APPLICATION, QUEUES, SYSTEM, Jobs
from .journal_json import JsonSerializer
from .model import Json, Queue, Schedule, Workflow

LOG = logging.getLogger("pilothouse.jobs")
_OPEN = threading.Lock()
_POLL_S = 0.5
"""How long a run that is queued or a message that was sent waits at most; half of it halves what an idle worker costs."""


class Runtime:
    """A worker, running from its making until :meth:`close`."""

    def __init__(
        self,
        store: JobStore,
        workflows: Sequence[Workflow],
        *,
        queues: Sequence[Queue] = (),
        schedules: Sequence[Schedule] = (),
        lease_s: float = LEASE_S,
        beat_s: float = BEAT_S,
        declared_dead: Callable[[], None] = lambda: None,
    ) -> None:
        """``declared_dead`` is called when another worker has taken over from this one: it MUST stop.

        Raises:
            BadRequest: a declaration is wrong, or this process has a worker already.
            Unreachable: the database does not open.
        """
        _check(workflows, queues, schedules)
        if not _OPEN.acquire(blocking=False):
            raise BadRequest("this process has a worker already", fix="close it first, or use another process")
        self.closing = threading.Event()
        self._store = store
        self._schedules = schedules
        self._beat_s = beat_s
        self._declared_dead = declared_dead
        self._began_ns = time.time_ns()
        self._keys = tuple(key for workflow in workflows for key in workflow.keys)
        self.worker_id = new_id("worker")
        self._watch = Watch(self.worker_id, machine(), is_gone, lease_s)
        try:
            self.jobs = Jobs(store, workflows)
            try:
                self._launch(workflows, (*QUEUES, *queues))
            except BaseException:
                self.jobs.close()
                raise
        except BaseException:
            _OPEN.release()
            raise
        self._keeper = threading.Thread(target=self._keep, name="jobs-keeper", daemon=True)
        self._keeper.start()

    def close(self, grace_s: float = 5.0) -> None:
        """Stop: steps in flight get some time to end; what is open stays open, for the next worker to go on with."""
        if self.closing.is_set():
            return
        self.closing.set()
        for stop in self._dbos.background_thread_stop_events:
            stop.set()
        deadline = time.monotonic() + grace_s
        while self.active and time.monotonic() < deadline:
            time.sleep(0.02)
        self._keeper.join(timeout=10)
        from dbos import DBOS

        DBOS.destroy(destroy_registry=True)
        # Now it takes no more: whoever lives may have what is open.
        with contextlib.suppress(PilothouseError):
            self._store.drop_worker(self.worker_id)
        self.jobs.close()
        _OPEN.release()

    @property
    def active(self) -> tuple[str, ...]:
        """The runs that are being run here."""
        return tuple(self._dbos._active_workflows_set.activeList())  # pyright: ignore[reportPrivateUsage]

    # -- launch --------------------------------------------------------------------------------------------------

    def _launch(self, workflows: Sequence[Workflow], queues: Sequence[Queue]) -> None:
        # The engine can be told by its environment to report to its makers' service. Ours never does.
        for name in [name for name in os.environ if name.startswith("DBOS__")]:
            del os.environ[name]
        from dbos import DBOS
        from dbos._utils import GlobalParams

        GlobalParams.dbos_cloud = False
        config: dict[str, Any] = {
            "name": APPLICATION,
            "system_database_engine": self._store.engine,
            "system_database_url": self._store.engine.url.render_as_string(hide_password=False),
            "serializer": JsonSerializer(),
            "application_version": APPLICATION,
            "executor_id": self.worker_id,
            "log_level": "WARNING",
            "enable_otlp": False,
            "notification_listener_polling_interval_sec": _POLL_S,
            "scheduler_polling_interval_sec": 3600.0,
        }
        if not self._store.is_sqlite:
            config["dbos_system_schema"] = SCHEMA
        self._dbos = DBOS(config=cast("Any", config))
        try:
            for workflow in workflows:
                for key in workflow.keys:
                    decorate = DBOS.workflow(name=key, max_recovery_attempts=workflow.attempts_max)
                    decorate(_function(workflow, self))
            # Before it can take a run: a worker that is on no list has its runs taken away.
            self._store.add_worker(
                JobWorker(
                    worker_id=self.worker_id,
                    machine=self._watch.machine,
                    process_id=os.getpid(),
                    process_start=process_start(os.getpid()),
                    release=__version__,
                    workflows=self._keys,
                )
            )
            # A queue nobody here declared holds other programs' runs: who takes one without knowing it holds it up.
            DBOS.listen_queues([queue.name for queue in queues])
            DBOS.launch()
            for queue in queues:
                DBOS.register_queue(
                    queue.name,
                    worker_concurrency=queue.worker_concurrency,
                    global_concurrency=queue.concurrency,
                    polling_interval_sec=_POLL_S,
                    on_conflict="always_update",
                )
        except BaseException as error:
            DBOS.destroy(destroy_registry=True)
            with contextlib.suppress(PilothouseError):
                self._store.drop_worker(self.worker_id)
            if isinstance(error, PilothouseError) or not isinstance(error, Exception):
                raise
            raise Unreachable(f"the engine of durable runs does not start: {error}") from error

    # -- keep ----------------------------------------------------------------------------------------------------

    def _keep(self) -> None:
        problem = ""
        while not self.closing.is_set():
            try:
                if not self._store.beat(self.worker_id):
                    LOG.error("this worker was taken for dead and its runs were taken over; it stops")
                    self.closing.set()
                    self._declared_dead()
                    return
                self._adopt()
                self._start_due()
                problem = ""
            except Exception as error:
                # A full disk or a database that is away must not end the worker; said once, not each second.
                if str(error) != problem and not self.closing.is_set():
                    problem = str(error)
                    LOG.warning(
                        "runs are not looked after: %s", problem, exc_info=not isinstance(error, PilothouseError)
                    )
            self.closing.wait(self._beat_s)

    def _adopt(self) -> None:
        workers = self._store.workers()
        runs = self._store.open_runs()
        dead = self._watch.dead(workers, time.monotonic())
        for run in self._watch.to_adopt(workers, dead, runs):
            if self._take(run.run_id, run.worker_id):
                LOG.warning("run %s of %s goes on here: its worker has ended", run.run_id, run.workflow)
        for run in self._watch.to_resume(runs, dict.fromkeys(self.active), self._keys):
            if self._take(run.run_id, self.worker_id):
                LOG.warning("run %s of %s goes on: its database had failed", run.run_id, run.workflow)
        for worker_id in dead:
            self._store.drop_worker(worker_id)

    def _take(self, run_id: str, worker_id: str) -> bool:
        """Put an open run back into its queue, where exactly one worker takes it; False where it was taken already."""
        database = self._dbos._sys_db  # pyright: ignore[reportPrivateUsage]
        return database.reenqueue_for_recovery(run_id, [worker_id], "main")

    def _start_due(self) -> None:
        now_ns = time.time_ns()
        for schedule in self._schedules:
            since_ns = self._store.due_since(schedule.name)
            if since_ns is None:
                self._store.set_due(schedule.name, self._began_ns)
                since_ns = self._began_ns
            moments = cron.due(schedule, since_ns, now_ns, awake_since_ns=self._began_ns)
            for moment_ns in moments:
                self.jobs.enqueue(
                    schedule.workflow,
                    {"input": schedule.input, "due": iso(moment_ns)},
                    run_id=cron.run_id(schedule, moment_ns),
                )
            if moments:
                self._store.set_due(schedule.name, moments[-1])


def _function(workflow: Workflow, runtime: Runtime) -> Callable[[Json], Json]:
    """The function that the engine calls for a workflow."""
    from dbos import DBOS

    from .work import DbosWork, shielded

    def run(given: Json) -> Json:
        run_id = DBOS.workflow_id
        assert run_id is not None
        project = "" if DBOS.authenticated_user == SYSTEM else DBOS.authenticated_user or ""
        work = DbosWork(runtime.jobs, run_id, project, runtime.closing)
        return shielded(lambda: workflow.run(work, given), runtime.closing)

    run.__qualname__ = run.__name__ = workflow.key
    return run


def _check(workflows: Sequence[Workflow], queues: Sequence[Queue], schedules: Sequence[Schedule]) -> None:
    keys = [key for workflow in workflows for key in workflow.keys]
    twice = sorted({key for key in keys if keys.count(key) > 1})
    if twice:
        raise BadRequest(
            "two workflows claim the same runs", got=twice[0], fix="give each a name and version of its own"
        )
    names = {queue.name for queue in (*QUEUES, *queues)}
    for workflow in workflows:
        if workflow.queue not in names:
            raise BadRequest(f"workflow {workflow.name!r} waits in no queue", got=workflow.queue, allowed=sorted(names))
    for schedule in schedules:
        cron.check(schedule)
        if schedule.workflow not in {workflow.name for workflow in workflows}:
            raise BadRequest(
                f"schedule {schedule.name!r} starts no workflow",
                got=schedule.workflow,
                allowed=sorted({workflow.name for workflow in workflows}),
            )
