"""A worker from its opening to its closing: again and again, with other releases, by the clock, and what it refuses."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path
from typing import Any

import pytest

from pilothouse.jobs import Runtime, Schedule, Work, Workflow
from pilothouse.records import BadRequest, Unreachable
from pilothouse.store.job_store import JobStore, job_url

from .some_workflows import BOARD, QUEUES, WORKFLOWS, greet, many, until


def test_opened_and_closed_again_and_again_work_goes_on_where_it_was(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    run_id = ""
    for round in range(4):
        store = JobStore(job_url("", tmp_path))
        with (
            contextlib.closing(store),
            contextlib.closing(Runtime(store, WORKFLOWS, queues=QUEUES, beat_s=0.1)) as worker,
        ):
            assert worker.jobs.run("greet", round)["given"] == round
            if round == 0:
                BOARD.seen.clear()
                run_id = worker.jobs.enqueue("waits", {"s": 2.5})
                until(lambda run_id=run_id: f"begun {run_id}" in BOARD.seen)
            elif round < 3:
                assert worker.jobs.show(run_id).state in ("queued", "running", "succeeded")
            else:
                worker.jobs.wait(run_id)
    assert BOARD.seen.count(f"begun {run_id}") == BOARD.seen.count(f"ended {run_id}") == 1
    assert len(set(threading.enumerate()) - before) < 30


def test_an_open_run_of_an_older_version_is_gone_on_with_and_one_of_an_unknown_version_waits(tmp_path: Path) -> None:
    def two(work: Work, given: Any) -> Any:
        return ["v2", work.step("first", lambda _: "new"), work.sleep(0.2)]

    def one(work: Work, given: Any) -> Any:
        return ["v1", work.step("first", lambda _: "old"), work.sleep(given)]

    store = JobStore(job_url("", tmp_path))
    old = Workflow(name="report", run=one)
    with contextlib.closing(Runtime(store, [old], beat_s=0.1)) as worker:
        begun = worker.jobs.enqueue("report", 3600)
        until(lambda: worker.jobs.show(begun).steps == 2)
    # Released without the old code: the run is not failed, it is held, and says so.
    new = Workflow(name="report", version=2, run=two)
    with contextlib.closing(Runtime(store, [new], beat_s=0.1)) as worker:
        held = until(lambda: (found := worker.jobs.show(begun)).state == "held" and found)
        assert "does not know report.v1" in held.error
        assert worker.jobs.run("report") == ["v2", "new", None]
    # Released with the old steps named as continued: it goes on, and what it did is not done again.
    longer = Workflow(name="report", version=2, run=two, continues=(1,))
    with contextlib.closing(Runtime(store, [longer], beat_s=0.1)) as worker:
        worker.jobs.cancel(begun)
        assert worker.jobs.wait(worker.jobs.fork(begun, 2)) == ["v2", "old", None]
    store.close()


def test_a_schedule_starts_each_moment_once_however_many_look(tmp_path: Path) -> None:
    BOARD.seen.clear()
    store = JobStore(job_url("", tmp_path))
    every = Schedule(name="each-second", workflow="tick", cron="* * * * * *")
    with contextlib.closing(Runtime(store, WORKFLOWS, queues=QUEUES, schedules=[every], beat_s=0.1)) as worker:
        until(lambda: len(BOARD.seen) >= 2)
        assert worker.jobs.ls(workflows=["tick"]).items[0].run_id.startswith("schedule_each-second_")
    assert len(set(BOARD.seen)) == len(BOARD.seen)
    store.close()


@pytest.mark.parametrize(
    ("workflows", "schedules", "message"),
    [
        ([Workflow(name="a", run=greet), Workflow(name="a", run=many)], [], "claim the same runs"),
        ([Workflow(name="a", run=greet, queue="nowhere")], [], "waits in no queue"),
        ([Workflow(name="a", run=greet)], [Schedule(name="s", workflow="b", cron="* * * * *")], "starts no workflow"),
        ([Workflow(name="a", run=greet)], [Schedule(name="s", workflow="a", cron="every day")], "no cron expression"),
        (
            [Workflow(name="a", run=greet)],
            [Schedule(name="s", workflow="a", cron="0 0 * * *", timezone="Mars/Base")],
            "no time zone",
        ),
    ],
)
def test_a_wrong_declaration_is_refused(
    tmp_path: Path, workflows: list[Workflow], schedules: list[Schedule], message: str
) -> None:
    with contextlib.closing(JobStore(job_url("", tmp_path))) as store, pytest.raises(BadRequest, match=message):
        Runtime(store, workflows, schedules=schedules)


def test_a_database_that_does_not_open_is_named_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "jobs.db").mkdir()
    with (
        contextlib.closing(JobStore(job_url("", tmp_path))) as store,
        pytest.raises(Unreachable, match="cannot be opened"),
    ):
        Runtime(store, WORKFLOWS, queues=QUEUES)
