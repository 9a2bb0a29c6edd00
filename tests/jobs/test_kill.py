"""Workers killed at any moment: a run ends, and what it did in steps is there exactly once. On both databases."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pilothouse.jobs import Jobs
from pilothouse.store.job_store import JobStore

from .worker_program import workflows


class Place:
    """A database, a folder for effects, and the processes working there."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self.store = JobStore(url)
        self.jobs = Jobs(self.store, workflows(folder))
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self, **options: object) -> subprocess.Popen[bytes]:
        """One more process that keeps a worker going."""
        given = json.dumps({"url": self.url, "folder": str(self.folder), **options})
        self.processes.append(subprocess.Popen([sys.executable, "-m", "tests.jobs.worker_program", given]))
        return self.processes[-1]

    def until(self, pattern: str, count: int = 1) -> list[str]:
        """Names that fit a pattern, once there are so many."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            found = sorted(path.name for path in self.folder.glob(pattern))
            if len(found) >= count:
                return found
            time.sleep(0.01)
        raise AssertionError(f"no {pattern} within a minute")

    def effects(self) -> Counter[str]:
        """Effects made, by name without the key."""
        return Counter(path.stem.rpartition(" ")[2] for path in self.folder.glob("*.effect"))

    def attempts(self) -> int:
        """How often an effect was tried."""
        return len((self.folder / "attempts.log").read_text().splitlines())

    def close(self) -> None:
        """End everything."""
        (self.folder / "stop").touch()
        for process in self.processes:
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
        self.jobs.close()
        self.store.close()


@pytest.fixture
def place(url: str, tmp_path: Path) -> Iterator[Place]:
    made = Place(url, tmp_path / "effects")
    yield made
    made.close()


def test_killed_at_every_boundary_of_every_step_each_effect_is_made_once(place: Place) -> None:
    (place.folder / "mortal").touch()
    run = place.jobs.enqueue("chain", {"steps": 2})
    place.start()
    assert place.jobs.wait(run, timeout_s=90) == ["e0", "e1"]
    deaths = len(list(place.folder.glob("*.died")))
    assert deaths == 2 * 2 + 1
    assert place.effects() == {"e0": 1, "e1": 1}
    # Dead before it was recorded, a step is tried again: twice by these deaths, then a third time for good.
    assert place.attempts() == 6
    assert place.jobs.show(run).attempts == deaths + 1


def test_a_live_worker_takes_over_from_one_that_was_killed(place: Place) -> None:
    run = place.jobs.enqueue("held_up", None)
    place.start()
    first = int(place.until("begun *")[0].split()[1])
    second = place.start()
    place.until("worker *", 2)
    # The parent would start another worker at once; it is to be the second process that takes over.
    place.processes[0].kill()
    os.kill(first, signal.SIGKILL)
    begun = place.until("begun *", 2)
    assert second.poll() is None
    (place.folder / "go").touch()
    assert place.jobs.wait(run, timeout_s=60) == "waited"
    shown = place.jobs.show(run)
    assert (shown.attempts, shown.steps, len(begun)) == (2, 1, 2)
    assert place.effects() == {"waited": 1}


@pytest.mark.parametrize("url", ["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)], indirect=True)
def test_a_worker_that_was_only_frozen_is_replaced_and_stops_when_it_wakes(place: Place) -> None:
    run = place.jobs.enqueue("held_up", None)
    place.start(lease_s=1.0)
    frozen = int(place.until("begun *")[0].split()[1])
    os.kill(frozen, signal.SIGSTOP)
    try:
        place.start(lease_s=1.0)
        place.until("begun *", 2)
    finally:
        os.kill(frozen, signal.SIGCONT)
    place.until(f"declared dead {frozen}")
    (place.folder / "go").touch()
    assert place.jobs.wait(run, timeout_s=60) == "waited"
    assert place.effects() == {"waited": 1}
    assert place.jobs.show(run).steps == 1


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_killed_at_random_moments_with_two_workers(place: Place, seed: int) -> None:
    print(f"seed {seed}")
    runs = [place.jobs.enqueue("everything", {"items": 12}) for _ in range(6)]
    for run in runs:
        place.jobs.send(run, {"for": run}, topic="go", key=run)
    for worker in range(2):
        place.start(kills=40, within_s=1.5, seed=seed * 10 + worker)
    for run in runs:
        done = place.jobs.wait(run, timeout_s=300)
        assert done["many"] == [f"item{n}" for n in range(12)]
        assert (done["message"], done["child"]) == ({"for": run}, ["e0", "e1"])
    expected = Counter({"first": 6, "e0": 6, "e1": 6}) + Counter({f"item{n}": 6 for n in range(12)})
    assert place.effects() == expected
    print(f"{place.attempts()} attempts at {expected.total()} effects")


@pytest.mark.slow
def test_a_thousand_steps_at_the_pace_of_the_disk_and_twenty_deaths(
    make_url: Callable[[str], str], tmp_path: Path
) -> None:
    place = Place(make_url("sqlite"), tmp_path / "effects")
    with contextlib.closing(place):
        run = place.jobs.enqueue("chain", {"steps": 1000})
        place.start(kills=20, within_s=2.0, seed=7)
        assert len(place.jobs.wait(run, timeout_s=300)) == 1000
        assert place.effects().total() == 1000
        assert place.attempts() <= 1000 + 20
