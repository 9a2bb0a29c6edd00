"""``kill -9`` at every boundary: what was approved is done once, and nothing that was not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from pilothouse.approvals import Approvals, Right
from pilothouse.runtime.adapters.durable_agents import DurableAgents
from pilothouse.store.approval_store import ApprovalStore

from .killed_program import WITH_HOOK, WITHOUT_HOOK, World, agent_of, approvals_at
from .support import AGENT, ANN, BEN, PROJECT, asked, desk

ROOT = Path(__file__).parents[2]


class Place:
    """A database of approvals, one of runs, and the process that works there and dies."""

    def __init__(
        self, approvals_url: str, runs_url: str, folder: Path, *, hook: bool, boundaries: set[str] | None = None
    ) -> None:
        self.world = World(folder)
        if boundaries is not None:
            (folder / "boundaries").write_text("\n".join(boundaries))
        self.approvals = approvals_at(approvals_url)
        agent = agent_of(self.world, self.approvals, hook=hook)
        self.runs = DurableAgents({"cleaner": agent}, store=runs_url, folder=folder, worker=False)
        given = {"folder": str(folder), "approvals": approvals_url, "store": runs_url, "hook": hook}
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])}
        program = [sys.executable, "-m", "tests.approvals.killed_program", json.dumps(given)]
        self.process = subprocess.Popen(program, cwd=ROOT, env=environment)

    def until(self, what: Callable[[], Any], seconds: float = 200) -> Any:
        """Wait until something is so."""
        deadline = time.monotonic() + seconds
        while not (found := what()):
            assert time.monotonic() < deadline, (self.runs.show("job-1"), self.approvals.list("local").items)
            time.sleep(0.05)
        return found

    def close(self) -> None:
        """End everything."""
        (self.world.folder / "stop").touch()
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self.runs.close()
        self.approvals.close()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def make_place(
    request: pytest.FixtureRequest, make_url: Callable[[str], str], tmp_path: Path
) -> Iterator[Callable[[bool], Place]]:
    made: list[Place] = []

    def make(hook: bool, boundaries: set[str] | None = None) -> Place:
        url, runs_url = make_url(request.param), ""
        if request.param == "postgresql":
            server = request.getfixturevalue("postgresql_url")
            name = f"killed_{time.time_ns()}"
            subprocess.run(["psql", "-q", server, "-c", f"CREATE DATABASE {name}"], check=True)
            runs_url = f"{server.rpartition('/')[0]}/{name}"
        made.append(Place(url, runs_url, tmp_path / "world", hook=hook, boundaries=boundaries))
        return made[-1]

    yield make
    for place in made:
        place.close()


SOME = {"tool after"}


@pytest.mark.parametrize("make_place", ["sqlite"], indirect=True)
def test_a_run_that_is_killed_before_and_after_what_it_may_do_once(make_place: Callable[..., Place]) -> None:
    _killed_at(make_place(True, SOME), SOME, hook=True)


@pytest.mark.slow
@pytest.mark.parametrize("hook", [True, False])
def test_a_run_that_waits_and_is_killed_at_every_boundary(make_place: Callable[..., Place], hook: bool) -> None:
    _killed_at(make_place(hook), WITH_HOOK if hook else WITHOUT_HOOK, hook=hook)


def _killed_at(place: Place, boundaries: set[str], *, hook: bool) -> None:
    place.runs.start("cleaner", "Clean up.", run_id="job-1")
    place.until(lambda: place.runs.show("job-1").state == "paused")
    [one] = place.approvals.list("local").items
    assert place.world.lines() == []
    place.approvals.approve("local", one.approval_id, ANN, digest=one.digest)
    place.approvals.approve("local", one.approval_id, ANN, digest=one.digest)
    assert place.world.lines() == [], "one person of two"
    place.approvals.approve("local", one.approval_id, BEN, digest=one.digest)

    def settled() -> bool:
        found = place.approvals.find("local", one.approval_id)
        if not hook and found.state == "unknown" and place.runs.show("job-1").state == "paused":
            # Nothing of it can be known here: a person looks, and says so.
            place.approvals.settle("local", one.approval_id, ANN, happened=bool(place.world.lines()))
        return place.runs.show("job-1").state == "done"

    place.until(settled)
    found = place.approvals.find("local", one.approval_id)
    assert [line.partition(" = ")[2] for line in place.world.lines()] == ["2019"]
    assert found.state == "executed"
    assert place.world.died() >= boundaries - {"done before", "done after"}
    assert len(place.approvals.list("local").items) == 1
    kinds = [event.kind for event in place.approvals.history("local", one.approval_id)]
    # Each time that it was begun anew, somebody had said that it did not happen.
    assert kinds.count("reserved") == kinds.count("released") + 1


VERBS: dict[str, tuple[str, Callable[[Approvals, str, str, Right | None], Any]]] = {
    # verb: the state before it, and the verb
    "ask": ("", lambda approvals, *_: asked(approvals, ask_key="one")),
    "approve": ("pending", lambda approvals, id, digest, _: approvals.approve(PROJECT, id, ANN, digest=digest)),
    "edit": (
        "pending",
        lambda approvals, id, digest, _: approvals.edit(PROJECT, id, ANN, digest=digest, arguments={"statement": "x"}),
    ),
    "reject": ("pending", lambda approvals, id, *_: approvals.reject(PROJECT, id, ANN, why="no")),
    "question": ("pending", lambda approvals, id, *_: approvals.question(PROJECT, id, ANN, text="why?")),
    "delegate": ("pending", lambda approvals, id, *_: approvals.delegate(PROJECT, id, ANN, to="carol")),
    "cancel": ("pending", lambda approvals, id, *_: approvals.cancel(PROJECT, id, AGENT)),
    "reserve": ("approved", lambda approvals, id, digest, _: approvals.reserve(PROJECT, id, AGENT, digest=digest)),
    "done": (
        "reserved",
        lambda approvals, id, _, right: approvals.done(
            PROJECT, id, AGENT, reservation_id=right.reservation_id if right else "", outcome="executed"
        ),
    ),
    "lost": ("reserved", lambda approvals, id, *_: approvals.lost(PROJECT, id, AGENT, holder="h")),
    "settle": ("unknown", lambda approvals, id, *_: approvals.settle(PROJECT, id, ANN, happened=True)),
}


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("verb", VERBS)
def test_a_server_that_is_killed_in_a_verb_has_done_all_of_it_or_nothing(
    make_url: Callable[[str], str], verb: str, when: str
) -> None:
    _killed_in(make_url("sqlite"), verb, when)


@pytest.mark.slow
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("verb", VERBS)
def test_the_same_in_postgresql(make_url: Callable[[str], str], verb: str, when: str) -> None:
    _killed_in(make_url("postgresql"), verb, when)


def _killed_in(url: str, verb: str, when: str) -> None:
    wanted, act = VERBS[verb]
    id, digest, right = "", "", None
    store = ApprovalStore(url)
    approvals = desk(store)
    if wanted:
        one = asked(approvals)
        id, digest = one.approval_id, one.digest
    if wanted not in ("", "pending"):
        approvals.approve(PROJECT, id, ANN, digest=digest)
    if wanted in ("reserved", "unknown"):
        right = approvals.reserve(PROJECT, id, AGENT, digest=digest, holder="h")
    if wanted == "unknown":
        approvals.lost(PROJECT, id, AGENT, holder="h")
    before = [event.kind for event in approvals.history(PROJECT, id)] if id else []
    store.close()
    child = os.fork()
    if child == 0:
        try:
            mine = ApprovalStore(url)
            if when == "before":
                # The last moment before the transaction is written.
                event.listen(mine._engine, "commit", lambda _: os.kill(os.getpid(), signal.SIGKILL))
            act(desk(mine), id, digest, right)
            os.kill(os.getpid(), signal.SIGKILL)
        finally:
            os._exit(3)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    store = ApprovalStore(url)
    approvals = desk(store)
    if not wanted:
        found = approvals.list(PROJECT).items
        assert len(found) == (1 if when == "after" else 0)
        assert asked(approvals, ask_key="one").state == "pending" and len(approvals.list(PROJECT).items) == 1
    else:
        now = approvals.find(PROJECT, id)
        after = [event.kind for event in approvals.history(PROJECT, id)]
        if when == "before":
            assert (now.state, after) == (wanted, before)
            # Whoever tries again is heard as for the first time.
            act(approvals, id, digest, right)
        else:
            assert after[:-1] == before
    store.close()
