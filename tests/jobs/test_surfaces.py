"""Runs over HTTP, on the command line and on pages, of a real server."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pilothouse.jobs import SYSTEM, Desk, Jobs, Workflow
from pilothouse.records import NotFound
from pilothouse.store.job_store import JobStore, job_url
from tests.live_server import LiveServer, running_server

from .some_workflows import greet


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LiveServer, Jobs]]:
    """A server, and its runs as another process sees them."""
    data = tmp_path_factory.mktemp("jobs") / "data"
    with running_server(data) as server, contextlib.closing(JobStore(job_url("", data))) as store:
        # Nobody serves this queue, so they stay queued until they are cancelled.
        jobs = Jobs(store, [Workflow(name="greet", run=greet, queue="nobody")])
        yield server, jobs
        jobs.close()


def project_of(server: LiveServer) -> str:
    status, body = server.get("/api/v1/projects")
    assert status == 200
    return next(row["project_id"] for row in json.loads(body)["data"] if row["current"])


def get(server: LiveServer, path: str) -> Any:
    status, body = server.get(path)
    assert status == 200, body
    return json.loads(body)


def cli(server: LiveServer, *words: str) -> tuple[int, Any]:
    environment = {**os.environ, "PILOTHOUSE_URL": server.url, "PILOTHOUSE_API_KEY": server.key}
    done = subprocess.run(
        [sys.executable, "-m", "pilothouse.cli", *words], env=environment, capture_output=True, text=True, check=False
    )
    return done.returncode, json.loads(done.stdout or done.stderr)


def test_a_run_is_listed_shown_and_cancelled_on_every_surface(runs: tuple[LiveServer, Jobs]) -> None:
    server, jobs = runs
    mine = jobs.enqueue("greet", {"n": 1}, project_id=project_of(server))
    other = jobs.enqueue("greet", {"n": 2}, project_id="prj_another")
    own = jobs.enqueue("greet", {"n": 3})
    listed = get(server, "/api/v1/jobs?state=queued&workflow=greet")
    seen = [row["run_id"] for row in listed["data"]]
    # The key is an administrator's, who sees the server's own runs too, and nobody else's.
    assert mine in seen and own in seen and other not in seen
    assert listed["page"]["total"] == len(seen)
    shown = get(server, f"/api/v1/jobs/{mine}")["data"]
    assert (shown["run"]["input"], shown["run"]["state"], shown["steps"]) == ({"n": 1}, "queued", [])
    code, answer = cli(server, "jobs", "show", mine[:-2])
    assert (code, answer["data"]["run"]["run_id"]) == (0, mine)
    page = get(server, "/jobs.json?state=queued")
    assert mine in [row["run_id"] for row in page["runs"]]
    status, html = server.get(f"/jobs/{mine}")
    assert status == 200 and mine.encode() in html and b"pilothouse jobs cancel" in html
    status, text = server.get("/jobs.md")
    assert status == 200 and mine.removeprefix("run_").encode() in text
    code, answer = cli(server, "jobs", "cancel", mine)
    assert (code, answer["data"]["state"]) == (0, "cancelled")
    code, answer = cli(server, "jobs", "ls", "--state", "cancelled")
    assert mine in [row["run_id"] for row in answer["data"]]


@pytest.mark.parametrize("path", ["/api/v1/jobs/run_nobody", "/jobs/run_nobody.json"])
def test_what_is_another_s_or_nobody_s_is_not_found(runs: tuple[LiveServer, Jobs], path: str) -> None:
    server, jobs = runs
    other = jobs.enqueue("greet", None, project_id="prj_another")
    for address in (path, path.replace("run_nobody", other)):
        status, body = server.get(address)
        assert (status, json.loads(body)["error"]["kind"]) == (404, "not_found")
    assert server.post(f"/api/v1/jobs/{other}/cancel", b"")[0] == 404
    assert jobs.show(other).state == "queued"


@pytest.mark.parametrize("query", ["state=sleeping", "cursor=abc", "limit=0"])
def test_a_wrong_question_is_answered_with_what_is_allowed(runs: tuple[LiveServer, Jobs], query: str) -> None:
    status, body = runs[0].get(f"/api/v1/jobs?{query}")
    assert (status, json.loads(body)["error"]["kind"]) == (400, "bad_request")


def test_without_any_run_nothing_is_opened_and_nothing_is_on_disk(tmp_path: Path) -> None:
    started: list[int] = []
    desk = Desk("", tmp_path, [Workflow(name="greet", run=greet)], start_worker=lambda: started.append(1))
    desk.wake()
    assert desk.ls(["p", SYSTEM]).items == ()
    with pytest.raises(NotFound):
        desk.show("run_x", ["p"])
    with pytest.raises(NotFound):
        desk.cancel("run_x", ["p"])
    assert (started, list(tmp_path.iterdir())) == ([], [])
    # The first run starts the worker, and so does the next start of a server that finds it unfinished.
    run_id = desk.enqueue("greet", 1, project_id="p")
    assert started == [1]
    desk.close()
    again = Desk("", tmp_path, [Workflow(name="greet", run=greet)], start_worker=lambda: started.append(2))
    again.wake()
    assert started == [1, 2]
    again.cancel(run_id, ["p"])
    again.close()
    last = Desk("", tmp_path, [], start_worker=lambda: started.append(3))
    last.wake()
    assert started == [1, 2]
