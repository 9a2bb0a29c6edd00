"""What each check passes and fails, and the words it fails with."""

from __future__ import annotations

from typing import Any

import pytest

from pilothouse.evals.checks import CHECK_KINDS, read_check, run_check
from pilothouse.evals.observed import Observed, ToolUse
from pilothouse.records import BadRequest

SEEN = Observed(
    text="Your refund of $1,250.50 for order 4411 is on its way; it takes 3 days.",
    tools=(
        ToolUse(name="get_order", arguments={"id": 4411}, result={"total": 1250.5}),
        ToolUse(name="refund", arguments={"order": "4411", "amount": "1,250.50", "note": "late"}),
        ToolUse(name="refund", arguments={"order": "9", "amount": 1}, error="no such order"),
    ),
    model_calls=3,
    tokens=900,
    duration_s=1.5,
)

CASES: list[tuple[dict[str, Any], bool]] = [
    ({"tool": "refund"}, True),
    ({"tool": "refund", "arguments": {"amount": "$1"}}, False),
    ({"tool": "refund", "arguments": {"order": 4411, "amount": 1250.5}}, True),
    ({"tool": "refund", "arguments": {"order": 4411}, "mode": "exact"}, False),
    ({"tool": "refund", "times": 2}, True),
    ({"tool": "refund", "times": [0, 1]}, False),
    ({"tool": "get_order", "first": True}, True),
    ({"tool": "refund", "first": True}, False),
    ({"no_tool": "delete"}, True),
    ({"no_tool": "*"}, False),
    ({"no_tool": "refund", "arguments": {"amount": {"$between": [2_000, 9_000]}}}, True),
    ({"tools": ["get_order", "refund"]}, True),
    ({"tools": ["refund", "get_order"]}, False),
    ({"tools": ["refund", "get_order"], "order": "any"}, True),
    ({"tools": ["get_order", "refund"], "extra": "forbid"}, False),
    ({"tools": ["get_order", "refund", "refund"], "order": "exact"}, True),
    ({"contains": "order 4411"}, True),
    ({"contains": ["refund", "sorry"]}, False),
    ({"contains_any": ["sorry", "on its way"]}, True),
    ({"excludes": ["guarantee"]}, True),
    ({"excludes": "REFUND OF"}, False),
    ({"number": "$1250.5"}, True),
    ({"number": 1250, "within": 1}, False),
    ({"number": "$1250", "within": 1}, True),
    ({"number": "72 h"}, True),
    ({"number": 4411}, True),
    ({"text": {"$matches": "on its way"}}, True),
    ({"at_most": {"model_calls": 3, "tool_calls": 3, "tokens": 900}}, True),
    ({"at_most": {"tool_calls": 2}}, False),
    ({"at_most": {"cost_usd": 1}}, False),
    ({"no_error": True}, False),
]


@pytest.mark.parametrize(("check", "passes"), CASES)
def test_checks(check: dict[str, Any], passes: bool) -> None:
    found = run_check(read_check(check, "checks[0]"), SEEN)
    assert (found.outcome == "pass") is passes, found
    assert bool(found.why) is not passes


def test_a_failure_says_what_was_there_instead() -> None:
    def why(check: dict[str, Any]) -> str:
        return run_check(read_check(check, "checks[0]"), SEEN).why

    assert "amount: it is another value" in why({"tool": "refund", "arguments": {"amount": 7}})
    assert "called: get_order, refund" in why({"tool": "cancel"})
    assert "4411" in why({"number": 5})
    assert "cost_usd is not known" in why({"at_most": {"cost_usd": 1}})
    assert "no such order" in why({"no_error": True})


def test_output_is_read_from_data_from_json_and_from_a_fence() -> None:
    check = read_check({"output": {"total": "1,000"}}, "checks[0]")
    for seen in (
        Observed(output={"total": 1000, "currency": "EUR"}),
        Observed(text='{"total": 1000.0}'),
        Observed(text='Here:\n```json\n{"total": 1e3}\n```\n'),
    ):
        assert run_check(check, seen).outcome == "pass"
    assert "no JSON" in run_check(check, Observed(text="a thousand")).why


@pytest.mark.parametrize(
    ("text", "passes"), [("Refund.", True), ("it is a refund", True), ("refund or exchange", False)]
)
def test_a_label_is_the_only_one_named(text: str, passes: bool) -> None:
    check = read_check({"label": "refund", "of": ["exchange", "other"]}, "checks[0]")
    assert (run_check(check, Observed(text=text)).outcome == "pass") is passes


def test_code_of_the_users_own_grades_and_cannot_end_the_others() -> None:
    check = read_check({"code": "my.scorers:length", "at_least": 0.5}, "checks[0]")
    assert run_check(check, SEEN).outcome == "unscored"
    assert run_check(check, SEEN, scorers=lambda _: lambda seen: 0.7).score == 0.7
    assert run_check(check, SEEN, scorers=lambda _: lambda seen: (0.2, "too short")).why == "too short"
    assert run_check(check, SEEN, scorers=lambda _: lambda seen: None).outcome == "unscored"

    def broken(seen: Observed) -> bool:
        raise KeyError("x")

    found = run_check(check, SEEN, scorers=lambda _: broken)
    assert (found.outcome, "KeyError" in found.why) == ("unscored", True)


@pytest.mark.parametrize(
    "wrong",
    [
        "tool",
        {},
        {"tool": "a", "text": "b"},
        {"tool": ""},
        {"tool": "a", "argument": {}},
        {"tool": "a", "times": -1},
        {"tool": "a", "times": [2, 1]},
        {"tool": "a", "mode": "loose"},
        {"tools": "a"},
        {"tools": ["a"], "order": "random"},
        {"contains": [1]},
        {"contains_any": []},
        {"number": "many"},
        {"at_most": {}},
        {"at_most": {"time": 1}},
        {"at_most": {"tokens": -1}},
        {"no_error": False},
        {"code": "os.system"},
        {"text": {"$matches": "["}},
    ],
)
def test_a_wrong_check_is_refused_with_its_place(wrong: Any) -> None:
    with pytest.raises(BadRequest, match=r"checks\[3\]"):
        read_check(wrong, "checks[3]")


def test_every_kind_is_tried_here() -> None:
    assert set(CHECK_KINDS) == {next(iter(check)) for check, _ in CASES} | {"output", "label", "code"}
