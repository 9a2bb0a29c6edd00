"""A worker as a process of its own, which can be told to die at a boundary: ``python -m tests.jobs.worker_program``.

It imports once and forks a worker, and another when that one was killed, so that a hundred deaths cost seconds. Effects
are files made once by the step's key; every attempt is a line in a log.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from pilothouse.jobs import Runtime, StepContext, Work, Workflow
from pilothouse.store.job_store import JobStore


class Effects:
    """What steps do to the world, and what was tried."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)

    def make(self, step: StepContext, what: str) -> str:
        """Make an effect once, whoever tries how often."""
        with (self.folder / "attempts.log").open("a") as log:
            log.write(f"{step.key} {what}\n")
        self.die(f"{step.key} before")
        name = f"{step.key} {what}".replace("/", "_")
        with contextlib.suppress(FileExistsError):
            os.close(os.open(self.folder / f"{name}.effect", os.O_CREAT | os.O_EXCL))
        self.die(f"{step.key} after")
        return what

    def die(self, boundary: str) -> None:
        """Die by SIGKILL, the first time this boundary is passed."""
        if not (self.folder / "mortal").exists():
            return
        mark = self.folder / (boundary.replace("/", "_") + ".died")
        try:
            os.close(os.open(mark, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return
        os.kill(os.getpid(), signal.SIGKILL)

    def wait_for(self, name: str) -> None:
        """Until a file of that name is there."""
        while not (self.folder / name).exists():
            time.sleep(0.01)


def workflows(folder: Path) -> list[Workflow]:
    """The workflows that are killed."""
    effects = Effects(folder)

    def chain(work: Work, given: Any) -> Any:
        steps = [work.step(f"step {n}", lambda step, n=n: effects.make(step, f"e{n}")) for n in range(given["steps"])]
        effects.die(f"{work.run_id} before the end")
        return steps

    def everything(work: Work, given: Any) -> Any:
        first = work.step("first", lambda step: effects.make(step, "first"))
        many = work.side_by_side(
            "many", list(range(given["items"])), lambda step, n: effects.make(step, f"item{n}"), concurrency=5
        )
        work.sleep(0.05)
        message = work.receive(topic="go", timeout_s=60)
        child = work.run("chain", {"steps": 2})
        return {"first": first, "many": many, "message": message, "child": child}

    def held_up(work: Work, given: Any) -> Any:
        def wait(step: StepContext) -> str:
            (folder / f"begun {os.getpid()}").touch()
            effects.wait_for("go")
            return effects.make(step, "waited")

        return work.step("wait", wait)

    return [
        Workflow(name="chain", run=chain, attempts_max=10_000),
        Workflow(name="everything", run=everything, attempts_max=10_000),
        Workflow(name="held_up", run=held_up),
    ]


def work(url: str, folder: Path, lease_s: float) -> None:
    """Be a worker until the parent ends."""
    dead = threading.Event()
    store = JobStore(url)
    runtime = Runtime(store, workflows(folder), lease_s=lease_s, beat_s=0.2, declared_dead=dead.set)
    (folder / f"worker {os.getpid()}").touch()
    parent = os.getppid()
    while os.getppid() == parent and not (folder / "stop").exists():
        if dead.wait(0.02):
            (folder / f"declared dead {os.getpid()}").touch()
            os._exit(3)
    runtime.close(grace_s=1)
    os._exit(0)


def main() -> None:
    """Fork workers, one after the other, until one ends by itself."""
    given = json.loads(sys.argv[1])
    url, folder = given["url"], Path(given["folder"])
    # Imported before the fork, so that each worker finds it there.
    import dbos  # noqa: F401  # pyright: ignore[reportUnusedImport]

    dice = random.Random(given.get("seed"))
    kills = given.get("kills", 0)
    while True:
        child = os.fork()
        if child == 0:
            work(url, folder, given.get("lease_s", 15.0))
        if kills > 0:
            time.sleep(dice.uniform(0.0, given["within_s"]))
            kills -= 1
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            return


if __name__ == "__main__":
    main()
