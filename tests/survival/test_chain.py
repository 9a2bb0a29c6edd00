"""When a model cannot answer the next one does, for the reasons the chain names; every fallback is logged and counted."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from pilothouse.records import BadRequest
from pilothouse.survival import (
    Alert,
    AlertSettings,
    Chains,
    Events,
    Failed,
    Failure,
    FakeTimer,
    GaveUp,
    Needs,
    Replies,
    Step,
    Survivor,
    Try,
    fixed,
    read_limits,
    read_survival,
    request_key,
)

CHAINS = read_survival(
    {
        "fallbacks": {
            "default": [
                {"model": "gpt-5", "provider": "openai", "context_tokens": 1_000},
                {"model": "gpt-5-mini", "provider": "openai", "on": ["unavailable", "budget"], "capabilities": []},
                {"model": "long", "provider": "other", "on": ["context_limit"]},
                {"cached": True, "on": ["unavailable"]},
                {"template": "A person will answer you.", "on": ["unavailable", "budget"]},
            ]
        }
    }
).fallbacks


class World:
    """Models that fail as told, by name."""

    def __init__(self, **failures: Failure) -> None:
        self.failures, self.asked = failures, list[str]()

    def call(self, move: Try) -> str:
        self.asked.append(move.step.model)
        failure = self.failures.get(move.step.model.replace("-", "_"))
        if failure is not None:
            raise Failed(failure)
        return f"from {move.step.model}"


def run(world: World, **options: Any) -> Any:
    survivor = Survivor(timer=FakeTimer(), dice=fixed([0]), chains=CHAINS)
    return survivor.call(world.call, chain=CHAINS.of("triage"), **options)


def _text(step: Step) -> str | None:
    return step.text or None


def test_the_cheaper_model_answers_while_the_first_is_down() -> None:
    world = World(gpt_5=Failure(kind="overloaded"))
    answer = run(world)
    assert (answer.value, answer.step.model) == ("from gpt-5-mini", "gpt-5-mini")
    assert world.asked == ["gpt-5", "gpt-5", "gpt-5-mini"]


def test_a_budget_that_is_spent_goes_to_the_cheaper_model_without_a_second_try() -> None:
    world = World(gpt_5=Failure(kind="budget", ours=True))
    assert run(world).value == "from gpt-5-mini"
    assert world.asked == ["gpt-5", "gpt-5-mini"]


def test_a_request_too_long_goes_to_the_model_that_takes_it() -> None:
    world = World()
    assert run(world, needs=Needs(context_tokens=5_000)).value == "from long"
    assert world.asked == ["long"]


def test_a_model_without_the_capability_is_passed_over() -> None:
    world = World(gpt_5=Failure(kind="unreachable"))
    survivor = Survivor(timer=FakeTimer(), dice=fixed([0]), chains=CHAINS)
    answer = survivor.call(world.call, chain=CHAINS.of(""), needs=Needs(capabilities=frozenset({"tools"})), reply=_text)
    assert world.asked == ["gpt-5", "gpt-5"]
    assert (answer.value, answer.step.kind) == ("A person will answer you.", "template")


def test_an_earlier_reply_and_then_the_text_stand_in_at_the_end() -> None:
    down = Failure(kind="unreachable")
    world = World(gpt_5=down, gpt_5_mini=down, long=down)
    replies: Replies[str] = Replies(timer=FakeTimer())
    survivor = Survivor(timer=FakeTimer(), dice=fixed([0]), chains=CHAINS)

    def reply(step: Step) -> str | None:
        return replies.find(request_key("u1", "hello")) if step.kind == "cached" else step.text

    chain = CHAINS.of("triage")
    assert survivor.call(world.call, chain=chain, reply=reply).value == "A person will answer you."
    replies.keep(request_key("u1", "hello"), "as before")
    answer = survivor.call(world.call, chain=chain, reply=reply)
    assert (answer.value, answer.step.kind) == ("as before", "cached")


def test_a_request_that_is_wrong_goes_nowhere_else() -> None:
    world = World(gpt_5=Failure(kind="bad_request", status=400))
    with pytest.raises(GaveUp) as caught:
        run(world)
    assert world.asked == ["gpt-5"]
    assert "change the request" in (caught.value.fix or "")


def test_no_time_for_another_model_still_leaves_the_text() -> None:
    timer = FakeTimer()

    def hang(_: Try) -> str:
        timer.pass_s(70)
        raise Failed(Failure(kind="timeout"))

    survivor = Survivor(timer=timer, chains=CHAINS)
    answer = survivor.call(hang, chain=CHAINS.of("x"), reply=lambda step: step.text or None)
    assert (answer.value, answer.tries) == ("A person will answer you.", 1)


def test_whoever_asks_for_the_cheaper_model_is_not_sent_to_the_dearer() -> None:
    assert [step.model for step in CHAINS.of("x", model="gpt-5-mini", provider="openai")][:2] == ["gpt-5-mini", "long"]
    assert [step.model for step in CHAINS.of("x", model="mine", provider="p")][:2] == ["mine", "gpt-5-mini"]
    assert Chains().of("x", model="mine") == (Step(model="mine"),)


def test_no_model_at_all_is_said() -> None:
    with pytest.raises(BadRequest, match="no model to call"):
        Survivor(timer=FakeTimer()).call(lambda _: None, chain=Chains().of("x"))


def test_every_fallback_is_logged_and_counted_and_many_alert_once(caplog: pytest.LogCaptureFixture) -> None:
    timer, heard = FakeTimer(), list[Any]()
    events = Events(AlertSettings(fallbacks_min=3, share=0.2), listeners=(heard.append,))
    survivor = Survivor(timer=timer, dice=fixed([0]), chains=CHAINS, events=events)
    world = World(gpt_5=Failure(kind="quota", status=429))
    with caplog.at_level(logging.WARNING, "pilothouse.survival"):
        for _ in range(6):
            survivor.call(world.call, chain=CHAINS.of("triage"), task="triage")
    assert events.counts()[("fallback", "triage", "quota")] == 6
    assert [r.message for r in caplog.records if r.levelno == logging.WARNING] == [
        "fallback of triage: openai/gpt-5-mini instead of openai/gpt-5, quota (429)"
    ] * 6
    alerts = [one for one in heard if isinstance(one, Alert)]
    assert [str(alert) for alert in alerts] == ["3 fallbacks beside 2 answers within 300 s, most in triage"]
    timer.pass_s(1_000)
    for _ in range(3):
        survivor.call(world.call, chain=CHAINS.of("triage"), task="triage")
    assert len([one for one in heard if isinstance(one, Alert)]) == 2


def test_a_listener_that_raises_stops_nothing() -> None:
    def bad(_: Any) -> None:
        raise RuntimeError("mine")

    survivor = Survivor(timer=FakeTimer(), events=Events(listeners=(bad,)))
    assert survivor.call(lambda _: 1, chain=(Step(model="m"),)).value == 1


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"retry": {}}, "survival has no setting of this name"),
        ({"retries": {"tries": "5"}}, "survival.retries.tries is a number"),
        ({"retries": {"tries": 2.5}}, "survival.retries.tries is a whole number"),
        ({"retries": {"tries": True}}, "survival.retries.tries is a number"),
        ({"retries": {"total_s": -1}}, "survival.retries.total_s is out of range"),
        ({"fallbacks": {"default": []}}, "survival.fallbacks.default begins with a model"),
        ({"fallbacks": {"default": [{"cached": True}]}}, "survival.fallbacks.default begins with a model"),
        ({"fallbacks": {"t": [{"model": "a", "cached": True}]}}, r"survival.fallbacks.t\[0\] is one of"),
        ({"fallbacks": {"t": [{"model": "a", "on": ["rain"]}]}}, r"survival.fallbacks.t\[0\].on names no trigger"),
        ({"fallbacks": {"t": [{"model": "a", "prize": 1}]}}, r"survival.fallbacks.t\[0\] has no setting"),
        ([], "survival holds names and values"),
    ],
)
def test_a_mistake_in_the_policy_is_named_with_its_path(section: Any, message: str) -> None:
    if section == []:
        section = ["x"]
    with pytest.raises(BadRequest, match=message):
        read_survival(section)


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"a": {"per": "moon", "requests_per_minute": 1}}, r"limits\.a\.per says who"),
        ({"a": {"per": "user"}}, r"limits\.a says requests_per_minute"),
        ({"a": {"per": "user", "requests_per_minute": 0}}, r"limits\.a\.requests_per_minute is a number above 0"),
        ({"a": {"per": "user", "requests_per_minute": "many"}}, r"limits\.a\.requests_per_minute is a number"),
        ({"a": {"per": "user", "rate": 1}}, r"limits\.a has no setting of this name"),
        (["x"], "limits holds names and values"),
    ],
)
def test_a_mistake_in_the_limits_is_named(section: Any, message: str) -> None:
    with pytest.raises(BadRequest, match=message):
        read_limits(section)
