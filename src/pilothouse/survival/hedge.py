"""Hedged calls: when the first is slow a second one starts, and the first answer of the two is taken.

What it costs is the second call. Whoever hedges pays for both, so the loser's spending is the caller's to count: a
call that is cancelled in a task ends there; one in a thread runs to its end, and ``late`` is given what it brought.
"""

from __future__ import annotations

import asyncio
import contextvars
import queue
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from pilothouse.records import BadRequest

T = TypeVar("T")


async def hedged_async(calls: Sequence[Callable[[], Awaitable[T]]], *, after_s: float) -> T:
    """The first answer of several calls, each started when those before it have been silent for so long, or failed.

    Raises:
        BadRequest: there is no call.
        Exception: all have failed; the first one's failure.
    """
    _some(calls)
    waiting = list(calls)
    running: list[asyncio.Future[T]] = []
    failures: list[BaseException] = []
    try:
        while waiting or running:
            if waiting:
                running.append(asyncio.ensure_future(waiting.pop(0)()))
            done, _ = await asyncio.wait(
                running, timeout=after_s if waiting else None, return_when=asyncio.FIRST_COMPLETED
            )
            for one in [one for one in running if one in done]:
                running.remove(one)
                error = one.exception()
                if error is None:
                    return one.result()
                failures.append(error)
        raise failures[0]
    finally:
        for one in running:
            one.cancel()
        if running:
            await asyncio.gather(*running, return_exceptions=True)


def hedged(calls: Sequence[Callable[[], T]], *, after_s: float, late: Callable[[T], None] = lambda _: None) -> T:
    """The same in threads. A call that lost runs to its end; what it gave goes to ``late``.

    Raises:
        BadRequest: there is no call.
        Exception: all have failed; the first one's failure.
    """
    _some(calls)
    waiting, running = list(calls), 0
    answers: queue.SimpleQueue[tuple[T | None, BaseException | None]] = queue.SimpleQueue()
    lock = threading.Lock()
    over = False

    def work(call: Callable[[], T]) -> None:
        try:
            value = call()
        except BaseException as error:
            answers.put((None, error))
            return
        with lock:
            lost = over
            if not lost:
                answers.put((value, None))
        if lost:
            late(value)

    failures: list[BaseException] = []
    while waiting or running:
        if waiting:
            context: Any = contextvars.copy_context()
            threading.Thread(target=context.run, args=(work, waiting.pop(0)), name="hedge", daemon=True).start()
            running += 1
        try:
            value, error = answers.get(timeout=after_s if waiting else None)
        except queue.Empty:
            continue
        running -= 1
        if error is None:
            with lock:
                over = True
            _drain(answers, late)
            return value  # type: ignore[return-value]  # without an error it is the call's value
        failures.append(error)
    raise failures[0]


def _drain(answers: queue.SimpleQueue[Any], late: Callable[[Any], None]) -> None:
    while not answers.empty():
        value, error = answers.get()
        if error is None:
            late(value)


def _some(calls: Sequence[Any]) -> None:
    if not calls:
        raise BadRequest("there is no call to hedge", fix="give at least one")
