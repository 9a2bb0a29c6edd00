"""Waits that are bounded together: each ends when its own time is over, and nobody else's."""

from __future__ import annotations

import asyncio

import pytest

from pilothouse.gateway.patience import Patience


def test_a_wait_that_takes_too_long_ends_and_the_others_go_on() -> None:
    async def wait(patience: Patience, seconds: float, for_s: float) -> str:
        try:
            with patience.within(seconds):
                await asyncio.sleep(for_s)
        except TimeoutError:
            return "too long"
        return "in time"

    async def main() -> list[str]:
        patience = Patience()
        return list(
            await asyncio.gather(wait(patience, 0.05, 60), wait(patience, 60, 0.2), wait(patience, 0.1, 60), beside())
        )

    async def beside() -> str:
        await asyncio.sleep(0.3)
        return "untouched"

    assert asyncio.run(main()) == ["too long", "in time", "too long", "untouched"]


def test_each_further_piece_gives_the_time_anew() -> None:
    async def main() -> int:
        pieces = 0
        with Patience().within(2) as limit:
            for _ in range(8):
                await asyncio.sleep(0.3)
                limit.again(2)
                pieces += 1
        return pieces

    assert asyncio.run(main()) == 8


def test_who_is_cancelled_is_cancelled_and_not_late() -> None:
    async def main() -> None:
        task = asyncio.ensure_future(work())
        await asyncio.sleep(0)
        task.cancel()
        await task

    async def work() -> None:
        with Patience().within(60):
            await asyncio.sleep(60)

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(main())


def test_a_task_whose_wait_was_too_long_can_wait_again() -> None:
    async def main() -> list[str]:
        patience = Patience()
        found: list[str] = []
        for seconds in (0.02, 60):
            try:
                with patience.within(seconds):
                    await asyncio.sleep(0.1)
                    found.append("in time")
            except TimeoutError:
                found.append("too long")
        task = asyncio.current_task()
        assert task is not None and task.cancelling() == 0
        return found

    assert asyncio.run(main()) == ["too long", "in time"]


def test_the_inner_of_two_waits_ends_alone() -> None:
    async def main() -> str:
        patience = Patience()
        with patience.within(60):
            try:
                with patience.within(0.02):
                    await asyncio.sleep(60)
            except TimeoutError:
                return "inner"
        return "none"

    assert asyncio.run(main()) == "inner"
