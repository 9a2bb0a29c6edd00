"""A provider that fails is left alone, asked again by one probe, and used again when that answers."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from pilothouse.records import BadRequest
from pilothouse.survival import (
    Breakers,
    BreakerSettings,
    Change,
    Failed,
    Failure,
    FakeTimer,
    GaveUp,
    Permit,
    Step,
    Survivor,
    Try,
)

DOWN = Failure(kind="server_error", status=500)
SLOW = Failure(kind="timeout")


def made(**settings: Any) -> tuple[Breakers, FakeTimer, list[Change]]:
    timer, changes = FakeTimer(), list[Change]()
    return Breakers(BreakerSettings(**settings), timer=timer, changed=changes.append), timer, changes


def call(breakers: Breakers, failure: Failure | None, *, provider: str = "openai", model: str = "gpt-5") -> bool:
    """One call; False where it was not let through."""
    permit = breakers.enter(provider, model)
    if not isinstance(permit, Permit):
        return False
    breakers.ended(permit, failure)
    return True


def test_it_opens_at_half_of_ten_calls_and_stays_shut_for_thirty_seconds() -> None:
    breakers, timer, changes = made()
    for _ in range(5):
        assert call(breakers, None)
    for _ in range(4):
        assert call(breakers, DOWN)
    assert changes == []
    assert call(breakers, DOWN)
    assert [change.state for change in changes] == ["open"]
    assert breakers.enter("openai", "gpt-5") == pytest.approx(30)
    timer.pass_s(29.9)
    assert not call(breakers, None)
    timer.pass_s(0.2)
    assert call(breakers, None)
    assert [change.state for change in changes] == ["open", "half_open", "closed"]


def test_other_models_and_providers_go_on() -> None:
    breakers, _, _ = made()
    for _ in range(10):
        call(breakers, DOWN)
    assert not call(breakers, None)
    assert call(breakers, None, model="gpt-5-mini")
    assert call(breakers, None, provider="azure")


def test_a_probe_that_fails_doubles_the_time_up_to_the_bound() -> None:
    breakers, timer, _ = made(open_max_s=100)
    for _ in range(10):
        call(breakers, DOWN)
    for expected in (60, 100, 100):
        timer.pass_s(101)
        assert call(breakers, DOWN)
        assert breakers.enter("openai", "gpt-5") == pytest.approx(expected)


def test_one_probe_at_a_time() -> None:
    breakers, timer, _ = made()
    for _ in range(10):
        call(breakers, DOWN)
    timer.pass_s(31)
    probe = breakers.enter("openai", "gpt-5")
    assert isinstance(probe, Permit) and probe.probe
    assert isinstance(breakers.enter("openai", "gpt-5"), float)
    breakers.ended(probe, None)
    assert call(breakers, None)


def test_threads_share_the_one_probe() -> None:
    breakers, timer, _ = made()
    for _ in range(10):
        call(breakers, DOWN)
    timer.pass_s(31)
    gate, got = threading.Barrier(16), list[Any]()

    def enter() -> None:
        gate.wait()
        got.append(breakers.enter("openai", "gpt-5"))

    threads = [threading.Thread(target=enter) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(isinstance(one, Permit) for one in got) == 1


def test_a_probe_that_never_comes_back_does_not_keep_the_door_shut() -> None:
    breakers, timer, _ = made()
    for _ in range(10):
        call(breakers, DOWN)
    timer.pass_s(31)
    assert isinstance(breakers.enter("openai", "gpt-5"), Permit)
    timer.pass_s(91)
    assert call(breakers, None)


def test_each_kind_of_failure_closes_by_itself() -> None:
    """Fast errors are no proof that timeouts are over."""
    breakers, timer, changes = made()
    for _ in range(10):
        call(breakers, SLOW)
    timer.pass_s(31)
    assert call(breakers, DOWN)
    states = {state.kind: state.state for state in breakers.states()}
    assert states == {"timeout": "half_open", "server_error": "closed"}
    assert call(breakers, None)
    assert changes[-1] == Change(provider="openai", model="gpt-5", kind="timeout", state="closed")


def test_what_tells_nothing_of_the_provider_is_not_counted() -> None:
    breakers, _, changes = made(calls_min=1)
    for kind in ("bad_request", "context_limit", "content_filter", "budget", "not_allowed"):
        call(breakers, Failure(kind=kind))  # type: ignore[arg-type]
    call(breakers, Failure(kind="rate_limited", ours=True))
    assert changes == [] and breakers.states() == []


def test_an_abandoned_probe_makes_room_and_decides_nothing() -> None:
    breakers, timer, _ = made()
    for _ in range(10):
        call(breakers, DOWN)
    timer.pass_s(31)
    assert call(breakers, Failure(kind="unknown", ours=True))
    assert {state.state for state in breakers.states()} == {"half_open"}
    assert call(breakers, None)
    assert {state.state for state in breakers.states()} == {"closed"}


def test_old_failures_are_forgotten() -> None:
    breakers, timer, changes = made()
    for _ in range(9):
        call(breakers, DOWN)
    timer.pass_s(70)
    call(breakers, DOWN)
    assert changes == []


def test_a_long_retry_after_keeps_it_open_as_long() -> None:
    breakers, _, _ = made(calls_min=1, failure_share=0.1)
    call(breakers, Failure(kind="rate_limited", retry_after_s=400))
    assert breakers.enter("openai", "gpt-5") == pytest.approx(400)


def test_models_named_at_random_do_not_fill_the_memory() -> None:
    breakers, _, _ = made()
    for number in range(5_000):
        call(breakers, DOWN, model=f"m{number}")
    assert len(breakers.states()) == 2_000


def test_an_open_breaker_fails_at_once_and_says_for_how_long() -> None:
    timer = FakeTimer()
    survivor = Survivor(timer=timer)

    def down(_: Try) -> None:
        raise Failed(DOWN)

    chain = (Step(model="gpt-5", provider="openai"),)
    for _ in range(2):
        with pytest.raises(GaveUp):
            survivor.call(down, chain=chain)
    waits = len(timer.waits)
    with pytest.raises(GaveUp) as caught:
        survivor.call(down, chain=chain)
    assert caught.value.failure.kind == "breaker_open"
    assert caught.value.retry_after_s == 30
    assert len(timer.waits) == waits
    assert ("breaker_open", "openai/gpt-5", "server_error") in survivor.events.counts()


def test_a_setting_out_of_range_is_named() -> None:
    with pytest.raises(BadRequest, match=r"survival\.breakers\.failure_share"):
        BreakerSettings(failure_share=0)
