"""Steps that are recorded: found again by key in whatever order they come, stopped and begun again at any of them."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest

from pilothouse.runtime.steps import (
    INLINE_CHARS_MAX,
    MemoryLedger,
    Steps,
    Stopped,
    current_steps,
    observed,
    running,
    step_key,
)


class Crash(BaseException):
    """The process dies, as far as what runs in it can tell."""


async def side_by_side(steps: Steps, done: list[str], dice: random.Random, dies_at: int) -> list[Any]:
    """Two turns of four calls each, which end in any order."""
    results: list[Any] = []
    for _ in range(2):
        steps.next_turn()

        async def call(name: str) -> Any:
            async def do() -> Any:
                await asyncio.sleep(dice.uniform(0, 0.003))
                if len(done) == dies_at:
                    raise Crash
                done.append(step_key())
                return {"made": name}

            return await steps.once(steps.key_in_turn(f"tool {name}"), do)

        calls = [asyncio.ensure_future(call(name)) for name in dice.sample("abcd", 4)]
        try:
            results += await asyncio.gather(*calls)
        except Crash:
            for one in calls:
                one.cancel()
            await asyncio.gather(*calls, return_exceptions=True)
            raise
    return results


@pytest.mark.parametrize("seed", range(6))
def test_calls_side_by_side_are_found_again_whoever_was_first(seed: int) -> None:
    print(f"seed {seed}")
    dice, ledger, done = random.Random(seed), MemoryLedger(), list[str]()
    results: list[Any] = []
    for dies_at in [*sorted(dice.sample(range(8), 3)), 99]:
        steps = Steps(ledger=ledger, run_id="r")
        try:
            results = asyncio.run(side_by_side(steps, done, dice, dies_at))
        except Crash:
            continue
    assert sorted(result["made"] for result in results) == sorted("abcd" * 2)
    # Nothing that was recorded was done again, and each call had one key whenever it was tried.
    assert len(done) == len(set(done)) == 8
    assert all(key.startswith(("run/1.1 tool ", "run/1.2 tool ")) for key in done)


def test_a_result_that_is_long_is_kept_in_a_file_and_read_back(tmp_path: Path) -> None:
    ledger, long = MemoryLedger(), "x" * (INLINE_CHARS_MAX + 1)

    async def go() -> Any:
        steps = Steps(ledger=ledger, run_id="r", folder=tmp_path)

        async def do() -> Any:
            return long

        return await steps.once("big", do)

    assert asyncio.run(go()) == long
    assert len(str(ledger.kept["big"].value)) < 200 and len(list(tmp_path.iterdir())) == 1
    assert asyncio.run(go()) == long


def test_what_was_observed_is_seen_again_and_recorded_only_where_it_changed() -> None:
    ledger, world = MemoryLedger(), ["one", "one", "two"]

    async def go(values: list[str]) -> list[Any]:
        steps = Steps(ledger=ledger, run_id="r")
        with running(steps):
            return [await observed("world", lambda value=value: value) for value in values]

    assert asyncio.run(go(world)) == world
    assert asyncio.run(go(["changed"] * 3)) == world
    assert [kept.value for kept in ledger.kept.values()] == [{"value": "one"}, {"same": True}, {"value": "two"}]
    assert current_steps() is None
    assert asyncio.run(observed("world", lambda: "plain")) == "plain"


def test_a_ledger_that_records_no_more_stops_the_run_and_says_why() -> None:
    class Closed(MemoryLedger):
        def keep(self, key: str, do: Any) -> Any:
            if key == "third":
                raise KeyboardInterrupt("another worker has it")
            if key == "second":
                do(type("S", (), {"key": key}))
                raise OSError("disk full")
            return super().keep(key, do)

    async def go(*keys: str) -> Steps:
        steps = Steps(ledger=Closed(), run_id="r")

        async def do() -> Any:
            return 1

        for key in keys:
            try:
                await steps.once(key, do)
            except Stopped:
                break
        return steps

    assert asyncio.run(go("first")).stopped is None
    assert isinstance(asyncio.run(go("first", "second")).stopped, OSError)
    assert isinstance(asyncio.run(go("first", "third")).stopped, KeyboardInterrupt)
