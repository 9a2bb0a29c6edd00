"""Rate limits hold for each key, user and model under threads; a slow call gets a second one beside it."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from pilothouse.records import BadRequest, Overloaded
from pilothouse.survival import FakeTimer, Hedges, Limit, Limits, hedged, hedged_async, read_survival


def test_a_user_gets_what_is_allowed_and_is_told_when_to_come_back() -> None:
    timer = FakeTimer()
    limits = Limits((Limit(per="user", requests_per_minute=60, burst_s=5),), timer=timer)
    for _ in range(5):
        limits.take(user="ann")
    with pytest.raises(Overloaded, match="too many requests for this user: 60 a minute") as caught:
        limits.take(user="ann")
    assert caught.value.retry_after_s == 1
    limits.take(user="bob")
    timer.pass_s(1)
    limits.take(user="ann")


def test_all_limits_or_none_are_taken_from() -> None:
    timer = FakeTimer()
    limits = Limits(
        (
            Limit(per="key", requests_per_minute=60, burst_s=10),
            Limit(per="model", match="gpt-*", requests_per_minute=60, burst_s=1),
        ),
        timer=timer,
    )
    limits.take(key="k", model="gpt-5")
    for _ in range(20):
        with pytest.raises(Overloaded, match=r"this model gpt-\*"):
            limits.take(key="k", model="gpt-5")
    for _ in range(9):
        limits.take(key="k", model="other")
    with pytest.raises(Overloaded, match="this key"):
        limits.take(key="k", model="other")


def test_tokens_are_put_right_when_they_are_known() -> None:
    timer = FakeTimer()
    limits = Limits((Limit(per="system", tokens_per_minute=600, burst_s=10),), timer=timer)
    limits.settle(limits.take(tokens=100), 40)
    limits.take(tokens=60)
    with pytest.raises(Overloaded):
        limits.take(tokens=1)
    timer.pass_s(10)
    # More than a whole bucket goes through when it is full, and the next wait until it is paid off.
    limits.settle(limits.take(tokens=1_000), 200)
    timer.pass_s(9)
    with pytest.raises(Overloaded) as caught:
        limits.take(tokens=10)
    assert caught.value.retry_after_s == 2


def test_threads_never_take_more_than_there_is() -> None:
    limits = Limits((Limit(per="key", requests_per_minute=600, burst_s=5),), timer=FakeTimer())
    taken, gate = list[int](), threading.Barrier(8)

    def take() -> None:
        gate.wait()
        for _ in range(50):
            try:
                limits.take(key="k")
                taken.append(1)
            except Overloaded:
                pass

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == 50


def test_a_second_call_starts_when_the_first_is_slow_and_the_loser_is_cancelled() -> None:
    cancelled: list[str] = []

    async def slow() -> str:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.append("slow")
            raise
        return "slow"

    async def quick() -> str:
        return "quick"

    assert asyncio.run(hedged_async([slow, quick], after_s=0.01)) == "quick"
    assert cancelled == ["slow"]


def test_a_call_that_fails_starts_the_next_at_once_and_all_failing_gives_the_first_failure() -> None:
    async def bad() -> str:
        raise ValueError("first")

    async def worse() -> str:
        raise KeyError("second")

    async def good() -> str:
        return "good"

    assert asyncio.run(hedged_async([bad, good], after_s=60)) == "good"
    with pytest.raises(ValueError, match="first"):
        asyncio.run(hedged_async([bad, worse], after_s=60))


def test_hedges_in_threads_hand_over_what_came_late() -> None:
    release, late, came = threading.Event(), list[str](), threading.Event()

    def slow() -> str:
        release.wait(30)
        return "slow"

    def keep(value: str) -> None:
        late.append(value)
        came.set()

    assert hedged([slow, lambda: "quick"], after_s=0.01, late=keep) == "quick"
    release.set()
    assert came.wait(30)
    assert late == ["slow"]


def test_a_quick_first_call_is_alone() -> None:
    calls: list[int] = []

    def call() -> int:
        calls.append(1)
        return len(calls)

    assert hedged([call, call], after_s=30) == 1
    time.sleep(0)
    assert calls == [1]
    with pytest.raises(BadRequest):
        hedged([], after_s=1)


def test_the_policy_says_after_what_time_or_percentile_a_second_call_starts() -> None:
    found = read_survival({"hedge": {"default": {"after": "p95"}, "triage": {"after": "800ms", "model": "small"}}})
    hedges = Hedges(found.hedge)
    assert hedges.after_s("triage") == 0.8
    for number in range(49):
        hedges.took("other", number / 100)
    assert hedges.after_s("other") is None, "49 calls say nothing about the slowest of 20"
    for number in range(49, 100):
        hedges.took("other", number / 100)
    assert hedges.after_s("other") == pytest.approx(0.95)
    assert Hedges().after_s("other") is None


@pytest.mark.parametrize("wrong", ["fast", "p5", "p100", "0ms", "2h", "", 5])
def test_a_hedge_that_says_no_time_is_refused(wrong: object) -> None:
    with pytest.raises(BadRequest, match="says when a second call starts"):
        read_survival({"hedge": {"default": {"after": wrong}}})
