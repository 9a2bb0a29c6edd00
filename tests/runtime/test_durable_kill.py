"""An agent that writes is killed at any moment: its run ends, what it wrote is there once, no recorded step is repeated."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from pilothouse.runtime.adapters.durable_agents import DurableAgents

from .durable_program import TURNS, WHOLE, World, agents

ROOT = Path(__file__).parents[2]
PYTHONS = [one for one in os.environ.get("PILOTHOUSE_PYTHONS", "").split(os.pathsep) if one]
"""Other interpreters that have the runtime's extra, e.g. of ``python3.13 -m venv V && V/bin/pip install -e '.[runtime]'``."""


class Place:
    """A database, what the agents write to, and the processes working there."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.world = World(folder)
        self.runs = DurableAgents(agents(self.world), store=url, folder=folder, worker=False)
        self.processes: list[subprocess.Popen[bytes]] = []

    def work(self, *, python: str = sys.executable, **options: object) -> subprocess.Popen[bytes]:
        """One more process that keeps a worker going."""
        given = json.dumps({"url": self.url, "folder": str(self.world.folder), **options})
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])}
        program = [python, "-m", "tests.runtime.durable_program", given]
        self.processes.append(subprocess.Popen(program, cwd=ROOT, env=environment))
        return self.processes[-1]

    def written(self) -> list[str]:
        """What was written, in no order."""
        return sorted(line.partition(" = ")[2] for line in self.world.lines("ledger"))

    def close(self) -> None:
        """End everything."""
        (self.world.folder / "stop").touch()
        for process in self.processes:
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
        self.runs.close()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    url = ""
    if request.param == "postgresql":
        server = request.getfixturevalue("postgresql_url")
        name = f"agents_{time.time_ns()}"
        subprocess.run(["psql", "-q", server, "-c", f"CREATE DATABASE {name}"], check=True)
        url = f"{server.rpartition('/')[0]}/{name}"
    made = Place(url, tmp_path / "world")
    yield made
    made.close()


@pytest.mark.parametrize("agent", ["short", pytest.param("long", marks=pytest.mark.slow)])
def test_killed_at_every_boundary_of_every_step(place: Place, agent: str) -> None:
    turns = TURNS[agent]
    wanted = sorted(what for turn in turns for what in turn)
    (place.world.folder / "mortal").touch()
    run = place.runs.start(agent, "Write it all.", run_id="job-1")
    place.work()
    ended = place.runs.wait(run, timeout_s=200)
    assert (ended.state, ended.output, ended.error) == ("done", "all written", "")
    assert place.written() == wanted
    deaths = len(list(place.world.folder.glob("*.died")))
    assert deaths == 2 * (len(turns) + 1) + 2 * len(wanted)
    # Every request died twice before it was recorded and then never again was made.
    assert place.world.lines("requests") == [f"{agent} {turn}" for turn in range(len(turns) + 1) for _ in range(3)]
    if agent == "short":
        # Dead before the write, it is tried again; dead after it, the hook says that it happened.
        assert place.world.lines("attempts") == ["a", "a"]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_killed_at_random_moments_with_two_workers(place: Place, seed: int) -> None:
    print(f"seed {seed}")
    (place.world.folder / "slow").touch()
    for number in range(6):
        place.runs.start("long", "Write it all.", run_id=f"job-{number}")
    for worker in range(2):
        place.work(kills=8, within_s=4.0, seed=seed * 10 + worker)
    for number in range(6):
        ended = place.runs.wait(f"job-{number}", timeout_s=800)
        assert (ended.state, ended.output, ended.spent.calls) == ("done", "all written", len(TURNS["long"]) + 1)
    assert place.written() == sorted(what for turn in TURNS["long"] for what in turn for _ in range(6))
    print(f"{len(place.world.lines('attempts'))} attempts at {len(place.written())} writes")


@pytest.mark.slow
def test_killed_at_every_boundary_while_it_plans_delegates_and_waits_for_a_person(place: Place) -> None:
    (place.world.folder / "mortal").touch()
    place.runs.start("whole", "Refund order 7.", run_id="job-1")
    place.work()
    paused = place.runs.wait("job-1", timeout_s=250)
    assert (paused.state, paused.questions) == ("paused", ("2. refund: may I?",)), paused
    place.runs.answer("job-1", "yes")
    ended = place.runs.wait("job-1", timeout_s=250)
    assert (ended.state, ended.output, ended.legs) == ("done", "Refunded.", 2), ended
    assert place.written() == ["a", "refund"]
    # Nine requests of its own and two of the worker's, each recorded once and dead twice before.
    assert Counter(place.world.lines("requests")) == Counter(
        [f"whole {turn}" for turn in range(len(WHOLE)) for _ in range(3)] + ["short 0", "short 1"] * 3
    )
    assert ended.spent.calls == len(WHOLE) + 2


@pytest.mark.slow
@pytest.mark.skipif(not PYTHONS, reason="name interpreters in PILOTHOUSE_PYTHONS")
@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("place", ["sqlite"], indirect=True)
def test_killed_at_every_boundary_on_another_python(place: Place, python: str) -> None:
    asked = "import sqlite3, sys; print(sys.version.split()[0], sqlite3.sqlite_version)"
    print("python and SQLite:", subprocess.run([python, "-c", asked], capture_output=True, text=True).stdout)
    (place.world.folder / "mortal").touch()
    place.runs.start("short", "Write it all.", run_id="job-1")
    place.work(python=python)
    ended = place.runs.wait("job-1", timeout_s=200)
    assert (ended.state, ended.output, place.written()) == ("done", "all written", ["a"])
    assert len(list(place.world.folder.glob("*.died"))) == 6
