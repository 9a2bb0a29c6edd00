"""Time that passes, and chance: as things a test can hold in its hands.

Waits are measured on the monotonic clock, so that a wall clock that jumps neither shortens nor lengthens any.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from typing import Protocol

Dice = Callable[[], float]
"""A number from 0 up to, but not, 1."""

# Of the system, not of the module: workers that were forked together would draw the same numbers and wait in step.
roll: Dice = random.SystemRandom().random


class Timer(Protocol):
    """Seconds that pass, and waiting."""

    def now_s(self) -> float:
        """Seconds since some moment that stays the same; never goes back."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait in this thread."""
        ...

    async def sleep_async(self, seconds: float) -> None:
        """Wait and let others go on."""
        ...


class SystemTimer:
    """The machine's monotonic clock."""

    def now_s(self) -> float:
        """Seconds of the monotonic clock."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait in this thread."""
        time.sleep(seconds)

    async def sleep_async(self, seconds: float) -> None:
        """Wait and let others go on."""
        await asyncio.sleep(seconds)


class FakeTimer:
    """Time that stands still until somebody waits: for tests, yours too."""

    def __init__(self, now_s: float = 1_000.0) -> None:
        self._now_s = now_s
        self.waits: list[float] = []
        """What was waited for, in order."""

    def now_s(self) -> float:
        """Seconds as they were last set."""
        return self._now_s

    def pass_s(self, seconds: float) -> None:
        """Let time pass without anybody waiting."""
        self._now_s += seconds

    def sleep(self, seconds: float) -> None:
        """Note the wait, and have it over at once."""
        self.waits.append(seconds)
        self._now_s += seconds

    async def sleep_async(self, seconds: float) -> None:
        """Note the wait, and have it over at once."""
        self.sleep(seconds)
        await asyncio.sleep(0)


def fixed(values: Sequence[float]) -> Dice:
    """Dice that show these numbers in turn, over and over."""
    turn = -1

    def show() -> float:
        nonlocal turn
        turn += 1
        return values[turn % len(values)]

    return show
