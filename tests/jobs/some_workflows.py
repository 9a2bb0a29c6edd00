"""Workflows that leave word of what they did."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Generator
from typing import Any

from pilothouse.jobs import Queue, Retry, RunFailed, StepContext, Work, Workflow
from pilothouse.records import BadRequest


class Board:
    """Where workflows of these tests leave word of what they did."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.seen: list[Any] = []
        self.now = 0
        self.most = 0
        self.gate = threading.Event()

    def note(self, word: Any) -> Any:
        with self.lock:
            self.seen.append(word)
        return word

    @contextlib.contextmanager
    def inside(self) -> Generator[None]:
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        try:
            yield
        finally:
            with self.lock:
                self.now -= 1


BOARD = Board()


def greet(work: Work, given: Any) -> Any:
    keys = [work.step("first", lambda step: BOARD.note(step.key)), work.step("second", lambda step: step.key)]
    return {"given": given, "keys": keys, "project": work.project_id}


def many(work: Work, given: Any) -> Any:
    def one(step: StepContext, item: int) -> int:
        with BOARD.inside():
            time.sleep(0.01)
            if item == given.get("bad"):
                raise ValueError(f"no {item}")
        return item * item

    return work.side_by_side("square", range(given["items"]), one, concurrency=given["at_once"])


def ask(work: Work, given: Any) -> Any:
    return [work.receive(topic="answer", timeout_s=given["timeout_s"]), work.receive(topic="never", timeout_s=0.05)]


def parent(work: Work, given: Any) -> Any:
    aside = work.enqueue("greet", "aside")
    try:
        work.run("fails", {"word": "child"})
    except RunFailed as error:
        return {"aside": aside, "child": error.message, "sum": work.run("many", {"items": 3, "at_once": 1})}


def fails(work: Work, given: Any) -> Any:
    def refuse(step: StepContext) -> None:
        BOARD.note("tried")
        raise BadRequest("this is refused", got=given["word"], fix="do not")

    return work.step("refuse", refuse, retry=Retry(attempts=given.get("attempts", 1), wait_s=0.01))


def waits(work: Work, given: Any) -> Any:
    work.step("begin", lambda _: BOARD.note(f"begun {work.run_id}"))
    work.sleep(given["s"])
    return work.step("end", lambda _: BOARD.note(f"ended {work.run_id}"))


def slow(work: Work, given: Any) -> Any:
    def hold(step: StepContext) -> None:
        with BOARD.inside():
            time.sleep(0.3)

    return work.step("hold", hold)


def odd(work: Work, given: Any) -> Any:
    return work.step("odd", lambda _: threading.Lock())


def keyed(work: Work, given: Any) -> Any:
    ledger = work.ledger(earlier=given["earlier"], without=given["without"], origin=given["origin"])
    found: list[Any] = []
    for key in given["keys"]:
        kept = ledger.find(key)
        if kept is None:
            found.append(ledger.keep(key, lambda step: BOARD.note(step.key)))
        else:
            found.append(["kept", kept.value if kept.error is None else kept.error.message])
    return found


def tick(work: Work, given: Any) -> Any:
    return BOARD.note(("tick", given["due"]))


WORKFLOWS = [
    *(Workflow(name=run.__name__, run=run) for run in (greet, many, ask, parent, fails, waits, odd, keyed, tick)),
    Workflow(name="slow", run=slow, queue="narrow"),
]
QUEUES = [Queue(name="narrow", worker_concurrency=2)]


def until(true: Callable[[], Any]) -> Any:
    """What a function gives, once it gives something."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if found := true():
            return found
        time.sleep(0.02)
    raise AssertionError("not within half a minute")
