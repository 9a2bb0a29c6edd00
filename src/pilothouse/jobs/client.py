"""The verbs from outside: start a run, look at runs, send, cancel, fork. Runs nothing itself."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any, cast

from pilothouse.records import BadRequest, NotFound, Unreachable, iso, new_id
from pilothouse.store.job_store import SCHEMA, JobStore, JobWorker, explained

from .engine_log import quieten
from .journal_json import JsonSerializer, RunFailed, plain
from .model import STATES, Json, Queue, Run, RunPage, RunState, Step, Workflow
from .port import Kept

APPLICATION = "pilothouse"
"""One name for all releases: a run is open to every worker that knows its workflow, whichever release began it."""

SYSTEM = "(server)"
"""Stands for the project of runs that are the server's own, such as scheduled ones."""

CHILDREN = Queue(name="children", worker_concurrency=None)
"""For runs that another run waits for: without a bound, since who waits holds a place of its own queue meanwhile."""
QUEUES: tuple[Queue, ...] = (Queue(name="main"), CHILDREN)
"""What there is besides the queues that are declared."""

_STATUSES: dict[RunState, tuple[str, ...]] = {
    "queued": ("ENQUEUED", "DELAYED"),
    "running": ("PENDING",),
    "held": ("PENDING",),
    "succeeded": ("SUCCESS",),
    "failed": ("ERROR", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"),
    "cancelled": ("CANCELLED",),
}
_HEAD = 300


class Jobs:
    """The runs of one database. Safe to use from several threads."""

    def __init__(self, store: JobStore, workflows: Sequence[Workflow]) -> None:
        """``workflows`` are those that may be started here; any run can be read.

        Raises:
            Unreachable: the database does not open, or the extra is not installed.
        """
        try:
            from dbos import DBOSClient
        except ModuleNotFoundError as error:
            raise Unreachable(
                "durable runs need an extra",
                fix="pip install 'pilothouse[server]', or 'pilothouse[runtime]' for agents",
            ) from error
        quieten()
        self.store = store
        self._workflows = {workflow.name: workflow for workflow in workflows}
        with explained():
            self._client = DBOSClient(
                system_database_engine=store.engine,
                dbos_system_schema=None if store.is_sqlite else SCHEMA,
                serializer=cast("Any", JsonSerializer()),
                application_name=APPLICATION,
                lazy=True,
                retry_connection_errors=False,
            )
            # A client makes no tables, and whoever starts the first run may be here before any worker.
            self._client._sys_db.run_migrations()  # pyright: ignore[reportPrivateUsage]
            store.migrate()

    def close(self) -> None:
        """Let go. The store is the caller's."""
        self._client.destroy()

    # -- start ---------------------------------------------------------------------------------------------------

    def enqueue(
        self,
        workflow: str,
        input: Json = None,
        *,
        project_id: str = "",
        run_id: str = "",
        queue: str = "",
        delay_s: float = 0.0,
    ) -> str:
        """Start a run as soon as a worker is free, and return its id. Once this returns, the run survives anything.

        With a ``run_id`` of the caller's, calling again starts nothing: the id of the run there is is returned.

        Raises:
            NotFound: there is no such workflow.
            BadRequest: the input is not JSON.
        """
        declared = self._declared(workflow)
        run_id = run_id or new_id("run")
        options: dict[str, Any] = {
            "workflow_name": declared.key,
            "queue_name": queue or declared.queue,
            "workflow_id": run_id,
            "app_version": APPLICATION,
            "authenticated_user": project_id or SYSTEM,
        }
        if delay_s > 0:
            options["delay_seconds"] = delay_s
        self.store.check_writable()
        with explained():
            self._client.enqueue(cast("Any", options), plain(input))
        return run_id

    def run(self, workflow: str, input: Json = None, *, project_id: str = "", timeout_s: float = 3600.0) -> Json:
        """Start a run and wait for its result.

        Raises:
            RunFailed: it failed or was cancelled.
            Unreachable: it has not ended within the time; it goes on.
        """
        return self.wait(self.enqueue(workflow, input, project_id=project_id), timeout_s=timeout_s)

    def wait(self, run_id: str, *, timeout_s: float = 3600.0) -> Json:
        """The result of a run, once it has ended.

        Raises:
            NotFound: there is no such run.
            RunFailed: it failed or was cancelled.
            Unreachable: it has not ended within the time; it goes on.
        """
        deadline, pause = time.monotonic() + timeout_s, 0.02
        while True:
            status = self._status(run_id, load=True)
            if status.status == "SUCCESS":
                return status.output
            if status.status == "ERROR" and status.error is not None:
                raise status.error
            if status.status in ("CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"):
                raise RunFailed(_why(status), type=status.status.lower())
            if time.monotonic() >= deadline:
                raise Unreachable(f"run {run_id} has not ended within {timeout_s:.0f} s; it goes on")
            time.sleep(pause)
            pause = min(pause * 1.5, 0.5)

    # -- look ----------------------------------------------------------------------------------------------------

    def ls(
        self,
        *,
        project_ids: Sequence[str] = (),
        states: Sequence[RunState] = (),
        workflows: Sequence[str] = (),
        limit: int = 50,
        cursor: str = "",
        whole: bool = False,
    ) -> RunPage:
        """Runs, newest first; ``whole``: with input and result.

        Raises:
            BadRequest: no such state, or the cursor is not one of ours.
        """
        for state in states:
            if state not in STATES:
                raise BadRequest("no such state of a run", got=state, allowed=list(STATES), fix="state=failed")
        if cursor and not (cursor.isascii() and cursor.isdecimal() and len(cursor) < 10):
            raise BadRequest(
                "this is no cursor of a list of runs", got=cursor[:40], fix="take page.next as it was given"
            )
        offset = int(cursor or 0)
        statuses = [status for state in states for status in _STATUSES[state]]
        names = [name for name in self.store.workflow_names() if name.rpartition(".v")[0] in workflows]
        if workflows and not names:
            return RunPage(items=(), total=0, next="")
        with explained():
            rows = self._client.list_workflows(
                user=list(project_ids) or None,
                status=statuses or None,
                name=names or None,
                limit=limit + 1,
                offset=offset,
                sort_desc=True,
                load_input=whole,
                load_output=whole,
            )
        more, rows = len(rows) > limit, rows[:limit]
        runs = self._described(rows)
        if states:
            runs = [run for run in runs if run.state in states]
        total = self.store.count_runs(project_ids, statuses, names)
        return RunPage(items=tuple(runs), total=total, next=str(offset + limit) if more else "")

    def show(self, run_id: str, *, project_ids: Sequence[str] = ()) -> Run:
        """One run with its input and its result. A unique beginning of an id will do.

        Raises:
            NotFound: there is no such run.
            BadRequest: several ids begin so.
        """
        status = self._status(run_id, load=True, project_ids=project_ids)
        return self._described([status])[0]

    def steps(self, run_id: str, *, limit: int = 1000, after: int = 0) -> tuple[Step, ...]:
        """The steps of a run that are recorded, oldest first."""
        with explained():
            rows = self._client.list_workflow_steps(run_id, limit=limit, offset=after)
        return tuple(_step(row) for row in rows)

    def kept(self, run_id: str) -> list[tuple[int, str, Kept]]:
        """The number, name and whole result of each recorded step of a run, oldest first."""
        with explained():
            rows = self._client.list_workflow_steps(run_id)
        found: list[tuple[int, str, Kept]] = []
        for row in rows:
            error = row.get("error")
            failure = error if error is None or isinstance(error, RunFailed) else RunFailed(str(error))
            found.append(
                (int(row["function_id"]), str(row["function_name"]), Kept(value=row.get("output"), error=failure))
            )
        return found

    # -- steer ---------------------------------------------------------------------------------------------------

    def cancel(self, run_id: str, *, project_ids: Sequence[str] = ()) -> Run:
        """Stop a run and the runs it waits for: it does no further step. One that has ended stays as it is.

        Raises:
            NotFound: there is no such run.
        """
        status = self._status(run_id, load=False, project_ids=project_ids)
        self.store.check_writable()
        with explained():
            family = self._client.list_workflows(
                workflow_id_prefix=f"{status.workflow_id}.", load_input=False, load_output=False
            )
            for member in (status, *family):
                if member.status in ("ENQUEUED", "DELAYED", "PENDING"):
                    self._client.cancel_workflow(member.workflow_id)
        return self.show(status.workflow_id)

    def send(self, run_id: str, message: Json, *, topic: str = "", key: str = "") -> None:
        """Send a run a message, which is kept until it is received; with a ``key``, once however often it is called.

        Raises:
            NotFound: there is no such run.
        """
        self._status(run_id, load=False)
        self.store.check_writable()
        with explained():
            self._client.send(run_id, plain(message), topic or None, idempotency_key=key or None)

    def fork(self, run_id: str, step: int, *, project_ids: Sequence[str] = ()) -> str:
        """Start a new run that has done what a run did before a step, and goes on from there; returns its id.

        Its steps have idempotency keys of their own, so effects from that step on are made again.

        Raises:
            NotFound: there is no such run.
            BadRequest: it has no such step.
        """
        status = self._status(run_id, load=False, project_ids=project_ids)
        have = self.store.count_steps([status.workflow_id]).get(status.workflow_id, 0)
        if not 1 <= step <= have + 1:
            raise BadRequest("the run has no such step", got=step, allowed=f"1 to {have + 1}")
        self.store.check_writable()
        with explained():
            handle = self._client.fork_workflow(
                status.workflow_id, step, application_version=APPLICATION, queue_name=status.queue_name
            )
        return handle.get_workflow_id()

    # -- in common -----------------------------------------------------------------------------------------------

    def _declared(self, name: str) -> Workflow:
        if name not in self._workflows:
            raise NotFound("there is no such workflow", got=name, allowed=sorted(self._workflows))
        return self._workflows[name]

    def _status(self, run_id: str, *, load: bool, project_ids: Sequence[str] = ()) -> Any:
        mine: dict[str, Any] = {"user": list(project_ids) or None, "load_input": load, "load_output": load}
        with explained():
            found = self._client.list_workflows(workflow_ids=[run_id], **mine)
            if not found and len(run_id) >= 8:
                found = self._client.list_workflows(workflow_id_prefix=run_id, limit=5, **mine)
                # The runs that a run started begin with its id too.
                found = [one for one in found if "." not in one.workflow_id[len(run_id) :]] or found
        if not found:
            raise NotFound("there is no such run", got=run_id[:100], fix="pilothouse jobs ls")
        if len(found) > 1:
            raise BadRequest("several runs begin so", got=run_id, allowed=[one.workflow_id for one in found])
        return found[0]

    def _described(self, rows: Sequence[Any]) -> list[Run]:
        ids = [row.workflow_id for row in rows]
        steps = self.store.count_steps(ids)
        attempts = self.store.attempts(ids)
        failed = [row.workflow_id for row in rows if row.status == "ERROR" and row.error is None]
        errors: dict[str, Any] = {}
        if failed:
            with explained():
                loaded = self._client.list_workflows(workflow_ids=failed, load_input=False, load_output=True)
            errors = {row.workflow_id: row.error for row in loaded}
        workers: dict[str, JobWorker] = {}
        if any(row.status == "PENDING" for row in rows):
            workers = {worker.worker_id: worker for worker in self.store.workers()}
        return [
            _run(
                row,
                steps=steps.get(row.workflow_id, 0),
                attempts=attempts.get(row.workflow_id, 0),
                error=errors.get(row.workflow_id),
                worker=workers.get(row.executor_id or ""),
            )
            for row in rows
        ]


def _run(row: Any, *, steps: int, attempts: int, error: Any, worker: JobWorker | None) -> Run:
    name, _, version = str(row.name).rpartition(".v")
    held = row.status == "PENDING" and worker is not None and row.name not in worker.workflows
    state: RunState = next(state for state, statuses in _STATUSES.items() if row.status in statuses)
    return Run(
        run_id=row.workflow_id,
        workflow=name or str(row.name),
        version=int(version) if version.isdecimal() else 0,
        state="held" if held else state,
        project_id="" if row.authenticated_user == SYSTEM else row.authenticated_user or "",
        queue=row.queue_name or "",
        created=_moment(row.created_at),
        started=_moment(row.dequeued_at),
        ended=_moment(row.completed_at),
        worker=row.executor_id or "",
        attempts=attempts,
        steps=steps,
        error=_held(row, worker) if held else _why(row, error),
        forked_from=row.forked_from or "",
        parent=row.workflow_id.rpartition(".")[0],
        input=_first(row.input),
        result=row.output,
    )


def _held(row: Any, worker: JobWorker | None) -> str:
    release = worker.release if worker is not None else ""
    return f"the worker's release {release} does not know {row.name}; a newer worker takes it over"


def _why(row: Any, loaded: Any = None) -> str:
    if row.status == "MAX_RECOVERY_ATTEMPTS_EXCEEDED":
        return "begun too often: each worker that had it died, so it is not begun again"
    if row.status == "CANCELLED":
        return "cancelled"
    error = row.error if row.error is not None else loaded
    if error is None:
        return ""
    return error.message if isinstance(error, RunFailed) else f"{type(error).__name__}: {error}"


_NAMES = {"DBOS.recv": "receive", "DBOS.sleep": "receive: until when"}


def _step(row: Mapping[str, Any]) -> Step:
    error = row.get("error")
    return Step(
        number=int(row["function_id"]),
        name=_NAMES.get(row["function_name"], str(row["function_name"])),
        started=_moment(row.get("started_at_epoch_ms")),
        ended=_moment(row.get("completed_at_epoch_ms")),
        error="" if error is None else (error.message if isinstance(error, RunFailed) else str(error)),
        output=_shown(row.get("output")),
    )


def _shown(value: Any) -> str:
    if value is None:
        return ""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _HEAD else text[: _HEAD - 1] + "…"


def _first(given: Any) -> Any:
    """A run's input: workflows take one."""
    arguments = cast("Sequence[Any]", cast("dict[str, Any]", given).get("args", ())) if isinstance(given, dict) else ()
    return arguments[0] if arguments else None


def _moment(milliseconds: int | None) -> str:
    return iso(int(milliseconds) * 1_000_000) if milliseconds else ""
