"""The runs of a server as its surfaces see them: nothing is opened, imported or started before it is needed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from pilothouse.records import NotFound, PilothouseError
from pilothouse.store.job_store import JobStore, job_url

from .client import Jobs
from .model import Json, Run, RunPage, RunState, Step, Workflow


class Desk:
    """Starts and shows runs. The first run starts the worker; without any run nothing runs and nothing is on disk."""

    def __init__(
        self, url: str, data: Path, workflows: Sequence[Workflow], *, start_worker: Callable[[], None] = lambda: None
    ) -> None:
        """``start_worker`` is called whenever there is something to do, and MUST be cheap when a worker runs already."""
        self._url = job_url(url, data)
        self._file = data / "jobs.db" if self._url.startswith("sqlite") else None
        self._workflows = workflows
        self._start_worker = start_worker
        self._jobs: Jobs | None = None
        self._lock = threading.Lock()

    @property
    def workflows(self) -> tuple[str, ...]:
        """The names of the workflows there are."""
        return tuple(workflow.name for workflow in self._workflows)

    def wake(self) -> None:
        """Called when the server is ready: what is unfinished is gone on with.

        Where the database is shared, other servers' runs may need a worker at any time, so there is one from the start.
        """
        if self._file is None:
            self._start_worker()
            return
        if not self._file.exists():
            return
        store = JobStore(self._url)
        try:
            unfinished = store.count_unfinished()
        except PilothouseError:
            # A file without tables: the start was killed before there was a run.
            unfinished = 0
        finally:
            store.close()
        if unfinished:
            self._start_worker()

    def close(self) -> None:
        """Let go of the database."""
        with self._lock:
            if self._jobs is not None:
                self._jobs.close()
                self._jobs.store.close()
                self._jobs = None

    def enqueue(self, workflow: str, input: Json = None, *, project_id: str, run_id: str = "") -> str:
        """Start a run, and a worker where none runs; returns the run's id."""
        run_id = self._open().enqueue(workflow, input, project_id=project_id, run_id=run_id)
        self._start_worker()
        return run_id

    def ls(
        self,
        project_ids: Sequence[str],
        *,
        states: Sequence[RunState] = (),
        workflows: Sequence[str] = (),
        limit: int = 50,
        cursor: str = "",
        whole: bool = False,
    ) -> RunPage:
        """Runs of some projects, newest first; ``whole``: with input and result."""
        if not self._has_runs():
            return RunPage(items=(), total=0, next="")
        return self._open().ls(
            project_ids=project_ids, states=states, workflows=workflows, limit=limit, cursor=cursor, whole=whole
        )

    def show(self, run_id: str, project_ids: Sequence[str]) -> Run:
        """One run of some projects.

        Raises:
            NotFound: they have none of that id.
        """
        self._need_runs(run_id)
        return self._open().show(run_id, project_ids=project_ids)

    def steps(self, run_id: str, *, limit: int = 1000, after: int = 0) -> tuple[Step, ...]:
        """The recorded steps of a run; the caller has shown it before."""
        return self._open().steps(run_id, limit=limit, after=after)

    def cancel(self, run_id: str, project_ids: Sequence[str]) -> Run:
        """Stop a run of some projects.

        Raises:
            NotFound: they have none of that id.
        """
        self._need_runs(run_id)
        return self._open().cancel(run_id, project_ids=project_ids)

    def _has_runs(self) -> bool:
        return self._file is None or self._file.exists()

    def _need_runs(self, run_id: str) -> None:
        if not self._has_runs():
            raise NotFound("there is no such run", got=run_id[:100], fix="pilothouse jobs ls")

    def _open(self) -> Jobs:
        with self._lock:
            if self._jobs is None:
                self._jobs = Jobs(JobStore(self._url), self._workflows)
            return self._jobs
