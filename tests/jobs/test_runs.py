"""What a run does, as its caller and its reader see it. One worker in this process, on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from pilothouse.jobs import Run, RunFailed, Runtime
from pilothouse.records import BadRequest, NotFound
from pilothouse.store.job_store import SCHEMA, JobStore, job_url

from .some_workflows import BOARD, QUEUES, WORKFLOWS, until


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def runtime(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    """A worker on each database in turn."""
    url = job_url("", tmp_path_factory.mktemp("jobs"))
    if request.param == "postgresql":
        url = job_url(request.getfixturevalue("postgresql_url"), Path())
    store = JobStore(url)
    made = Runtime(store, WORKFLOWS, queues=QUEUES, beat_s=0.2)
    yield made
    made.close()
    store.close()


def test_a_run_is_started_once_by_its_id_and_shows_what_it_did(runtime: Runtime) -> None:
    jobs = runtime.jobs
    run_id = jobs.enqueue("greet", {"name": "ä"}, project_id="prj_a", run_id="greeting-1")
    assert jobs.enqueue("greet", {"name": "other"}, project_id="prj_a", run_id="greeting-1") == run_id
    result = jobs.wait(run_id)
    assert result == {"given": {"name": "ä"}, "keys": ["greeting-1/1", "greeting-1/2"], "project": "prj_a"}
    run = jobs.show("greeting", project_ids=["prj_a"])
    assert (run.state, run.workflow, run.version, run.steps, run.attempts) == ("succeeded", "greet", 1, 2, 1)
    assert (run.input, run.result, run.worker) == ({"name": "ä"}, result, runtime.worker_id)
    assert [(step.number, step.name, step.output) for step in jobs.steps(run_id)] == [
        (1, "first", '"greeting-1/1"'),
        (2, "second", '"greeting-1/2"'),
    ]
    with pytest.raises(NotFound):
        jobs.show(run_id, project_ids=["prj_b"])
    assert [one.run_id for one in jobs.ls(project_ids=["prj_a"]).items] == [run_id]


def test_items_go_side_by_side_within_the_bound_and_come_back_in_order(runtime: Runtime) -> None:
    BOARD.most = 0
    assert runtime.jobs.run("many", {"items": 30, "at_once": 4}) == [n * n for n in range(30)]
    assert 2 <= BOARD.most <= 4
    with pytest.raises(RunFailed, match="no 3"):
        runtime.jobs.run("many", {"items": 30, "at_once": 2, "bad": 3})


def test_steps_of_a_ledger_are_found_by_key_whatever_their_order_also_by_a_run_that_goes_on_from_another(
    runtime: Runtime,
) -> None:
    jobs, none = runtime.jobs, {"earlier": [], "without": [], "origin": ""}
    first = jobs.enqueue("keyed", {**none, "keys": ["a", "b"]})
    assert jobs.wait(first) == [f"{first}/a", f"{first}/b"]
    assert [(number, name) for number, name, _ in jobs.kept(first)] == [(1, "a"), (2, "b")]
    # Replayed up to its second step.
    again = jobs.fork(first, 2)
    assert jobs.wait(again) == [["kept", f"{first}/a"], f"{again}/b"]
    # Another run goes on from both, in another order, but for what it is to forget.
    more = {"earlier": [first, again], "without": ["a"], "origin": "mine", "keys": ["b", "a", "c"]}
    assert jobs.run("keyed", more) == [["kept", f"{again}/b"], "mine/a", "mine/c"]


def test_a_message_waits_for_its_receiver_and_is_received_once(runtime: Runtime) -> None:
    run_id = runtime.jobs.enqueue("ask", {"timeout_s": 30})
    for _ in range(2):
        runtime.jobs.send(run_id, {"yes": True}, topic="answer", key="one")
    assert runtime.jobs.wait(run_id) == [{"yes": True}, None]
    assert runtime.jobs.run("ask", {"timeout_s": 0.05}) == [None, None]
    with pytest.raises(NotFound):
        runtime.jobs.send("run_nobody", 1)


def test_a_child_s_failure_reaches_the_parent_with_its_message(runtime: Runtime) -> None:
    run_id = runtime.jobs.enqueue("parent")
    result = runtime.jobs.wait(run_id)
    assert (result["child"], result["sum"]) == ("this is refused", [0, 1, 4])
    assert runtime.jobs.wait(result["aside"])["given"] == "aside"
    assert {runtime.jobs.show(f"{run_id}.{n}").parent for n in (1, 2)} == {run_id}


def test_a_failed_run_says_why_and_a_step_is_tried_as_often_as_asked(runtime: Runtime) -> None:
    BOARD.seen.clear()
    with pytest.raises(RunFailed):
        runtime.jobs.run("fails", {"word": "x", "attempts": 3})
    assert BOARD.seen.count("tried") == 3
    run_id = runtime.jobs.enqueue("fails", {"word": "x"})
    with pytest.raises(RunFailed) as caught:
        runtime.jobs.wait(run_id)
    assert (caught.value.message, caught.value.got, caught.value.fix) == ("this is refused", "x", "do not")
    shown = runtime.jobs.ls(states=["failed"], workflows=["fails"], limit=1).items[0]
    assert (shown.run_id, shown.error) == (run_id, "this is refused")
    assert runtime.jobs.steps(run_id)[0].error == "this is refused"


def test_what_is_no_json_is_refused_where_it_is_given(runtime: Runtime) -> None:
    with pytest.raises(BadRequest, match="must be JSON"):
        runtime.jobs.enqueue("greet", {"a": object()})
    with pytest.raises(RunFailed, match="must be JSON"):
        runtime.jobs.run("odd")
    with pytest.raises(NotFound):
        runtime.jobs.enqueue("no such workflow")


def test_a_cancelled_run_does_no_further_step(runtime: Runtime) -> None:
    run_id = runtime.jobs.enqueue("waits", {"s": 3600})
    until(lambda: f"begun {run_id}" in BOARD.seen)
    assert runtime.jobs.cancel(run_id).state == "cancelled"
    until(lambda: run_id not in runtime.active)
    assert f"ended {run_id}" not in BOARD.seen
    with pytest.raises(RunFailed, match="cancelled"):
        runtime.jobs.wait(run_id)
    # A run that has ended stays what it is.
    done = runtime.jobs.enqueue("greet")
    runtime.jobs.wait(done)
    assert runtime.jobs.cancel(done).state == "succeeded"


def test_a_fork_goes_on_from_a_step_with_keys_of_its_own(runtime: Runtime) -> None:
    run_id = runtime.jobs.enqueue("greet", "again")
    first = runtime.jobs.wait(run_id)
    BOARD.seen.clear()
    fork = runtime.jobs.fork(run_id, 2)
    second = runtime.jobs.wait(fork)
    assert second["keys"] == [first["keys"][0], f"{fork}/2"]
    assert BOARD.seen == []
    assert runtime.jobs.show(fork).forked_from == run_id
    with pytest.raises(BadRequest, match="no such step"):
        runtime.jobs.fork(run_id, 9)


def test_a_queue_lets_no_more_go_at_once_than_it_says(runtime: Runtime) -> None:
    BOARD.most = 0
    runs = [runtime.jobs.enqueue("slow") for _ in range(5)]
    for run_id in runs:
        runtime.jobs.wait(run_id)
    assert BOARD.most == 2


def test_runs_are_listed_newest_first_in_pages(runtime: Runtime) -> None:
    runs = [runtime.jobs.enqueue("greet", n, project_id="prj_pages") for n in range(5)]
    for run_id in runs:
        runtime.jobs.wait(run_id)
    found: list[Run] = []
    cursor = ""
    while True:
        page = runtime.jobs.ls(project_ids=["prj_pages"], limit=2, cursor=cursor)
        found += page.items
        assert page.total == 5
        cursor = page.next
        if not cursor:
            break
    assert sorted(run.run_id for run in found) == sorted(runs)
    assert [run.created for run in found] == sorted((run.created for run in found), reverse=True)
    with pytest.raises(BadRequest):
        runtime.jobs.ls(cursor="x")


def test_nothing_in_the_database_is_pickled(runtime: Runtime) -> None:
    runtime.jobs.wait(runtime.jobs.enqueue("ask", {"timeout_s": 0.01}))
    schema = None if runtime.jobs.store.is_sqlite else SCHEMA
    engine, metadata, formats, texts = runtime.jobs.store.engine, sa.MetaData(), set[str](), list[str]()
    metadata.reflect(engine, schema=schema)
    with engine.connect() as connection:
        for table in metadata.sorted_tables:
            for row in connection.execute(sa.select(table)).mappings():
                if row.get("serialization"):
                    formats.add(row["serialization"])
                texts += [value for value in row.values() if isinstance(value, str)]
                assert not any(isinstance(value, bytes | memoryview) for value in row.values())
    assert {"pilothouse_json"} <= formats <= {"pilothouse_json", "portable_json"}
    # What pickle writes begins so, in base64.
    assert not [text for text in texts if text.startswith("gA")]


def test_a_second_worker_in_one_process_is_refused(runtime: Runtime) -> None:
    with pytest.raises(BadRequest, match="has a worker already"):
        Runtime(runtime.jobs.store, WORKFLOWS, queues=QUEUES)
