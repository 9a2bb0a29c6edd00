"""Drift: what is found of it over varied requests, how rarely wrongly, and who is told when."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pilothouse.runtime.asks import Ask, asks_from, asks_of
from pilothouse.runtime.drift import Limits, Seen, Watch, answered, called, left_open, looked
from pilothouse.runtime.plan import Plan, update, write

REQUESTS: list[dict[str, Any]] = json.loads((Path(__file__).parent / "requests.json").read_text("utf-8"))


def test_requests_are_told_apart_and_no_ask_is_invented() -> None:
    found = [len(asks_of(one["request"])) for one in REQUESTS]
    assert all(count <= one["asks"] + 1 for count, one in zip(found, REQUESTS, strict=True))
    right = sum(count == one["asks"] for count, one in zip(found, REQUESTS, strict=True))
    assert right / len(REQUESTS) >= 0.75, f"{right} of {len(REQUESTS)}"


def test_good_answers_and_good_plans_raise_no_alarm() -> None:
    wrong: list[str] = []
    for one in REQUESTS:
        asks = asks_of(one["request"])
        plan = write(Plan(request=one["request"]), one["plan"])
        wrong += [f"plan: {signal.text}" for signal in looked(Watch(), plan, asks).signals]
        wrong += [f"answer: {ask.text}" for ask in left_open(Plan(request=""), asks, one["answer"])]
    # Words cannot do better than this: a page "on the wiki" is the one that was asked for "in Confluence".
    assert len(wrong) <= 1, wrong


def test_answers_that_forget_something_are_mostly_noticed() -> None:
    forgetful = [one for one in REQUESTS if one["forgets"]]
    noticed = [bool(left_open(Plan(request=""), asks_of(one["request"]), one["forgets"])) for one in forgetful]
    # The rules would rather miss one; a judge reads what words cannot tell.
    assert sum(noticed) / len(noticed) >= 0.7, f"{sum(noticed)} of {len(noticed)}"


@pytest.mark.parametrize(
    "request_text",
    ["", " \n ", "?" * 500, "- \n- \n-", "1. " * 3_000, "and then " * 5_000, "a" * 100_000, "```" * 999, "é́‮ 你好。"],
)
def test_odd_requests_are_survived_and_bounded(request_text: str) -> None:
    asks = asks_of(request_text)
    assert len(asks) <= 30 and all(len(ask.text) <= 300 for ask in asks)


def test_what_a_finished_task_says_counts_as_said() -> None:
    asks = asks_of("Refund order 4411 and email the customer, then close ticket 17.")
    plan = write(Plan(request=""), ["refund", "email the customer", "close ticket 17"])
    for id in ("2", "3"):
        plan = update(plan, id, "completed", "done")
    assert [ask.text for ask in left_open(plan, asks, "Refunded: re_77.")] == []


def run_of(watch: Watch, *calls: tuple[str, Any, Any]) -> list[tuple[int, str, str]]:
    raised: list[tuple[int, str, str]] = []
    for number, call in enumerate(calls, 1):
        seen: Seen = called(watch, *call)
        watch = seen.watch
        raised += [(number, signal.kind, signal.to) for signal in seen.signals]
    return raised


def test_the_same_call_again_is_told_to_the_agent_then_to_an_operator() -> None:
    again = ("get_order", {"id": 1}, {"state": "paid"})
    assert run_of(Watch(), again, ("other", {}, 1), again, again, again, again) == [
        (3, "same_call", "agent"),
        (5, "same_call", "operator"),
    ]


def test_a_call_that_brings_something_new_is_no_loop() -> None:
    assert run_of(Watch(), *(("poll", {"id": 1}, {"at": number}) for number in range(20))) == []


def test_many_calls_without_an_answer_are_told_at_27_and_at_54() -> None:
    calls = [("look", {"page": number}, number) for number in range(60)]
    assert run_of(Watch(), *calls) == [(27, "no_answer", "agent"), (54, "no_answer", "operator")]


def test_planning_is_no_work_and_is_not_counted() -> None:
    calls = [("todo_update", {"id": number}, number) for number in range(9)]
    assert run_of(Watch(limits=Limits(calls_max=2)), *calls) == []
    again = [("todo_update", {"id": 1}, "error: no such state")] * 2
    assert run_of(Watch(), *again) == [(2, "same_call", "agent")]


def test_a_plan_that_nobody_touches_is_asked_about() -> None:
    plan = write(Plan(request="x"), ["look up", "refund"])
    watch = looked(Watch(limits=Limits(untouched_max=3)), plan, ()).watch
    kinds: list[tuple[int, str, str]] = []
    for number in range(1, 9):
        watch = called(watch, "look", {"page": number}, number).watch
        seen = looked(watch, plan, ())
        watch = seen.watch
        kinds += [(number, signal.kind, signal.to) for signal in seen.signals]
    assert [kind for _, kind, _ in kinds] == ["plan_untouched"] * 2 and [to for *_, to in kinds] == [
        "agent",
        "operator",
    ]
    moved = looked(watch, update(plan, "1", "in_progress"), ())
    assert moved.watch.untouched == 0


def test_a_plan_that_leaves_out_a_part_of_the_request_is_told_once() -> None:
    asks = asks_of("Refund order 4411 and post a summary to #support.")
    plan = write(Plan(request="x"), ["refund order 4411"])
    first = looked(Watch(), plan, asks)
    assert [signal.kind for signal in first.signals] == ["plan_misses"] and "#support" in first.signals[0].text
    assert looked(first.watch, update(plan, "1", "in_progress"), asks).signals == ()


def test_an_answer_is_refused_once_then_an_operator_is_told() -> None:
    asks = asks_from(["refund 4411", "email Ann"])
    first = answered(Watch(), {"a2": "no word of Ann"}, asks)
    assert first.signals[0].to == "agent" and "email Ann (no word of Ann)" in first.signals[0].text
    second = answered(first.watch, {"a2": ""}, asks)
    assert [signal.to for signal in second.signals] == ["operator"]
    assert answered(second.watch, {}, asks).signals == ()


def test_results_that_are_no_json_are_compared_all_the_same() -> None:
    assert [kind for _, kind, _ in run_of(Watch(), ("a", {1: {2}}, {3}), ("a", {1: {2}}, {3}))] == ["same_call"]
    assert isinstance(asks_of("x")[0], Ask)
