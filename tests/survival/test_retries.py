"""What a user notices when a model fails: waits that grow and differ, an end in time, and an error that says it all."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

import pytest

from pilothouse.records import BadRequest
from pilothouse.survival import (
    Failed,
    Failure,
    FakeTimer,
    GaveUp,
    Retries,
    Step,
    Survivor,
    Try,
    Wait,
    course,
    fixed,
)

CHAIN = (Step(model="gpt-5", provider="openai"),)


def failing(*failures: Failure | None, answer: str = "ok") -> Callable[[Any], str]:
    """A call that fails so in turn, the last one for ever; None answers."""
    turn = iter(failures)
    last: list[Failure | None] = [None]

    def call(_: Any) -> str:
        last[0] = next(turn, last[0])
        if last[0] is None:
            return answer
        raise Failed(last[0])

    return call


BUSY = Failure(kind="overloaded", status=503)


def test_five_tries_wait_one_two_four_and_eight_seconds() -> None:
    timer = FakeTimer()
    survivor = Survivor(timer=timer, dice=fixed([0.0]))
    with pytest.raises(GaveUp) as caught:
        survivor.call(failing(BUSY), chain=CHAIN)
    assert timer.waits == [1, 2, 4, 8]
    assert len(caught.value.attempts) == 5
    assert "no answer from openai/gpt-5: 5 calls in 15.0 s, last overloaded (503)" in caught.value.message
    assert caught.value.fix


def test_a_task_takes_the_same_course() -> None:
    timer = FakeTimer()
    survivor = Survivor(timer=timer, dice=fixed([0.0]))
    call = failing(BUSY, BUSY, None)

    async def make(move: Try) -> str:
        return call(move)

    answer = asyncio.run(survivor.call_async(make, chain=CHAIN))
    assert (answer.value, answer.tries, timer.waits) == ("ok", 3, [1, 2])
    assert answer.because == BUSY


def test_the_last_exception_is_the_cause_of_the_error() -> None:
    survivor = Survivor(timer=FakeTimer())

    def call(_: Try) -> None:
        raise ConnectionResetError("by peer")

    with pytest.raises(GaveUp) as caught:
        survivor.call(call, chain=CHAIN)
    assert isinstance(caught.value.__cause__, ConnectionResetError)
    assert caught.value.failure.kind == "unreachable"


@pytest.mark.parametrize("kind", ["bad_request", "not_allowed", "context_limit", "content_filter", "quota", "unknown"])
def test_what_cannot_pass_is_tried_once(kind: Any) -> None:
    timer = FakeTimer()
    with pytest.raises(GaveUp) as caught:
        Survivor(timer=timer).call(failing(Failure(kind=kind)), chain=CHAIN)
    assert (len(caught.value.attempts), timer.waits) == (1, [])


def test_an_answer_that_has_begun_is_never_tried_again() -> None:
    timer = FakeTimer()
    chain = (*CHAIN, Step(model="gpt-5-mini"))
    with pytest.raises(GaveUp) as caught:
        Survivor(timer=timer).call(failing(Failure(kind="unreachable", begun=True)), chain=chain)
    assert len(caught.value.attempts) == 1


def test_retry_after_is_waited_for_and_a_chance_more() -> None:
    timer = FakeTimer()
    limited = Failure(kind="rate_limited", status=429, retry_after_s=20)
    answer = Survivor(timer=timer, dice=fixed([0.5])).call(failing(limited, None), chain=CHAIN)
    assert (answer.value, timer.waits) == ("ok", [20.25])


def test_retry_after_beyond_the_end_is_said_at_once_instead_of_waited_for() -> None:
    timer = FakeTimer()
    limited = Failure(kind="rate_limited", status=429, retry_after_s=61)
    with pytest.raises(GaveUp) as caught:
        Survivor(timer=timer).call(failing(limited), chain=CHAIN)
    assert timer.waits == []
    assert caught.value.retry_after_s == 61
    assert "60.0 s are left" in caught.value.message


def test_slow_calls_use_up_the_time_too() -> None:
    timer = FakeTimer()

    def slow(_: Try) -> None:
        timer.pass_s(25)
        raise Failed(Failure(kind="timeout"))

    started = timer.now_s()
    with pytest.raises(GaveUp):
        Survivor(timer=timer, dice=fixed([0.0])).call(slow, chain=CHAIN)
    assert timer.waits == [1, 2]
    assert timer.now_s() - started <= 60 + 25


def test_a_deadline_ends_it_earlier() -> None:
    timer = FakeTimer()
    seen: list[float] = []

    def call(move: Try) -> None:
        seen.append(move.left_s)
        raise Failed(BUSY)

    with pytest.raises(GaveUp):
        Survivor(timer=timer, dice=fixed([0.0])).call(call, chain=CHAIN, deadline_s=timer.now_s() + 3.5)
    assert timer.waits == [1, 2]
    assert seen == [3.5, 2.5, 0.5]


def test_after_the_deadline_nothing_is_called() -> None:
    timer, asked = FakeTimer(), list[Try]()
    with pytest.raises(GaveUp, match="no time is left"):
        Survivor(timer=timer).call(asked.append, chain=CHAIN, deadline_s=timer.now_s() - 1)
    assert asked == []


def test_no_course_takes_longer_or_calls_more_often_than_it_may() -> None:
    seed = random.randrange(2**32)
    print("seed", seed)
    dice = random.Random(seed)
    for _ in range(500):
        timer = FakeTimer()
        retries = Retries(
            tries=dice.randint(1, 8), total_s=dice.choice([0.5, 5, 30, 60]), tries_before_fallback=dice.randint(1, 3)
        )
        chain = tuple(Step(model=f"m{number}") for number in range(dice.randint(1, 4)))
        moves = course(chain, retries=retries, timer=timer, dice=dice.random)
        started, calls, result = timer.now_s(), 0, None
        try:
            move = next(moves)
            while True:
                if isinstance(move, Wait):
                    timer.sleep(move.seconds)
                    result = None
                else:
                    calls += 1
                    assert timer.now_s() - started < retries.total_s
                    result = Failure(kind="overloaded", retry_after_s=dice.choice([None, 0, 3, 40]))
                move = moves.send(result)
        except GaveUp as error:
            assert len(error.attempts) == calls
        assert calls <= retries.tries + len(chain) - 1
        assert timer.now_s() - started <= retries.total_s


def test_64_agents_that_fail_together_do_not_come_back_together() -> None:
    seed = random.randrange(2**32)
    print("seed", seed)
    dice = random.Random(seed)
    returns: list[list[float]] = []
    for _ in range(64):
        timer = FakeTimer(0.0)
        with pytest.raises(GaveUp):
            Survivor(timer=timer, dice=dice.random).call(failing(BUSY), chain=CHAIN)
        moments, at = [], 0.0
        for wait in timer.waits:
            at += wait
            moments.append(at)
        returns.append(moments)
    for retry in range(4):
        by_50_ms: dict[int, int] = {}
        for moments in returns:
            slot = int(moments[retry] / 0.05)
            by_50_ms[slot] = by_50_ms.get(slot, 0) + 1
        # Even spread puts 6.4 of 64 into each of ten slots at the first retry, fewer later; in step it would be 64.
        assert max(by_50_ms.values()) <= 24, (retry, by_50_ms)


@pytest.mark.parametrize(("name", "value"), [("tries", 0), ("factor", 0.5), ("total_s", 0), ("jitter_ms", -1)])
def test_a_setting_out_of_range_is_named(name: str, value: float) -> None:
    with pytest.raises(BadRequest, match=f"survival.retries.{name}"):
        Retries(**{name: value})  # type: ignore[arg-type]
