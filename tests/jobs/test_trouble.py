"""A full disk and a database that somebody else holds: errors that say so, and runs that wait instead of failing."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event

from pilothouse.jobs import Jobs, Runtime, Work, Workflow
from pilothouse.records import DiskFull, Overloaded
from pilothouse.store.job_store import JobStore, job_url

from .some_workflows import until

ROOMY = 1_000_000_000


def test_on_a_full_disk_starting_says_so_and_an_open_run_goes_on_once_there_is_room(tmp_path: Path) -> None:
    store = JobStore(job_url("", tmp_path))
    pages = ROOMY
    done: list[int] = []

    @event.listens_for(store.engine, "checkout")
    def bound(connection: Any, *_: object) -> None:
        connection.execute(f"PRAGMA max_page_count={pages}")

    def fat(work: Work, given: Any) -> Any:
        work.step("begin", lambda _: done.append(0))
        until(lambda: pages < ROOMY or (tmp_path / "roomy").exists())
        for number in range(3):
            work.step(f"fat {number}", lambda _, number=number: (done.append(number + 1), "x" * 200_000)[1])
        return "done"

    with (
        contextlib.closing(store),
        contextlib.closing(Runtime(store, [Workflow(name="fat", run=fat)], beat_s=0.1)) as it,
    ):
        run_id = it.jobs.enqueue("fat")
        until(lambda: done)
        with store.engine.connect() as connection:
            pages = int(connection.execute(sa.text("PRAGMA page_count")).scalar_one()) + 2
        with pytest.raises(DiskFull, match="full") as caught:
            it.jobs.enqueue("fat", "y" * 500_000)
        assert "free disk" in (caught.value.fix or "")
        until(lambda: 1 in done)
        until(lambda: run_id not in it.active)
        assert it.jobs.show(run_id).state in ("running", "queued")
        (tmp_path / "roomy").touch()
        pages = ROOMY
        assert it.jobs.wait(run_id, timeout_s=30) == "done"
    assert done.count(0) == 1


def test_a_database_that_somebody_holds_is_an_error_that_names_it(tmp_path: Path) -> None:
    with contextlib.closing(JobStore(job_url("", tmp_path), lock_wait_ms=100)) as store:
        jobs = Jobs(store, [Workflow(name="w", run=lambda work, given: given)])
        with contextlib.closing(sqlite3.connect(tmp_path / "jobs.db")) as holder:
            holder.execute("BEGIN EXCLUSIVE")
            began = time.monotonic()
            with pytest.raises(Overloaded, match="held by another process"):
                jobs.enqueue("w")
            assert time.monotonic() - began < 60
        assert jobs.show(jobs.enqueue("w")).state == "queued"
        jobs.close()
