"""Functions of the user's own score each tool call of an attempt, and a run says how good the calls of each tool are."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from pilothouse.evals.case_text import read_case
from pilothouse.evals.checks import read_check, run_check
from pilothouse.evals.code_checks import CALLS_MAX
from pilothouse.evals.observed import Observed, ToolUse
from pilothouse.evals.report import run_markdown, summary_of
from pilothouse.evals.runner import run_suite
from pilothouse.evals.runs import About, find
from pilothouse.evals.settings import load_settings, read_settings
from pilothouse.evals.suite import Suite
from pilothouse.evals.targets.resolve import resolve
from pilothouse.records import BadRequest


def refunded(amount: float) -> ToolUse:
    return ToolUse(name="refund", arguments={"amount": amount}, result="done", answered="recorded")


LOOKED = ToolUse(name="look_up", arguments={"id": 1}, result={"total": 20}, answered="recorded")
SEEN = Observed(text="done", tools=(LOOKED, refunded(20), refunded(50)))


def small(use: ToolUse) -> tuple[float, str]:
    amount = use.arguments["amount"]
    return 20 / amount, f"{amount} where 20 is owed"


def fits(use: ToolUse, seen: Observed) -> bool:
    total: Any = seen.tools[0].result
    return use.arguments["amount"] == total["total"]


def nothing(use: ToolUse) -> None:
    return None


def breaks(use: ToolUse) -> bool:
    raise KeyError("amount")


def nan(use: ToolUse) -> float:
    return float("nan")


FUNCTIONS: dict[str, Any] = {f"m:{one.__name__}": one for one in (small, fits, nothing, breaks, nan)}
FUNCTIONS["m:whole"] = lambda seen: (len(seen.tools) == 3, "three calls")


def said(code: str, seen: Observed = SEEN, **options: Any) -> Any:
    check = read_check({"code": f"m:{code}", "level": "tool_call", "of": ["refund"], **options}, "check")
    return run_check(check, seen, scorers=FUNCTIONS.__getitem__)


def test_a_function_is_asked_of_each_call_of_the_tools_it_is_for() -> None:
    found = said("small", at_least=0.8)
    assert [(one.tool, one.call, one.outcome, one.score) for one in found.calls] == [
        ("refund", 2, "pass", 1.0),
        ("refund", 3, "fail", 0.4),
    ]
    assert (found.outcome, found.score, found.why) == ("fail", 0.7, "call 3, refund: 50 where 20 is owed")
    assert said("small", at_least=0.3).outcome == "pass"


def test_a_function_of_two_sees_the_attempt_too() -> None:
    found = said("fits")
    assert [(one.call, one.outcome, one.score) for one in found.calls] == [(2, "pass", 1.0), (3, "fail", 0.0)]


@pytest.mark.parametrize("code", ["nothing", "breaks", "nan"])
def test_what_a_function_cannot_say_is_unscored_and_never_0(code: str) -> None:
    found = said(code)
    assert (found.outcome, found.score, {one.score for one in found.calls}) == ("unscored", None, {None})
    assert all(one.why for one in found.calls)


def test_an_attempt_without_such_a_call_is_unscored() -> None:
    found = said("small", Observed(text="done"))
    assert (found.outcome, found.why, found.calls) == ("unscored", "there is no call of refund to score", ())


@pytest.mark.parametrize("level", ["task", "trace", "session"])
def test_at_the_other_levels_a_function_sees_the_attempt_once(level: str) -> None:
    check = read_check({"code": "m:whole", "level": level}, "check")
    found = run_check(check, SEEN, scorers=FUNCTIONS.__getitem__)
    assert (found.outcome, found.why, found.calls) == ("pass", "three calls", ())


def test_of_very_many_calls_those_that_fail_are_kept() -> None:
    many = Observed(tools=(*(refunded(20) for _ in range(CALLS_MAX + 50)), refunded(50)))
    found = said("small", many)
    assert (len(found.calls), found.calls[0].call, found.outcome) == (CALLS_MAX, CALLS_MAX + 51, "fail")


def test_a_wrong_level_is_refused() -> None:
    with pytest.raises(BadRequest, match="level is one of these"):
        read_check({"code": "m:small", "level": "span"}, "check")
    with pytest.raises(BadRequest, match="has no such option"):
        read_check({"contains": "x", "level": "trace"}, "check")
    with pytest.raises(BadRequest, match=r"scorers are functions"):
        read_settings({"scorers": [{"contains": "x"}]})
    with pytest.raises(BadRequest, match=r"scorers is a list"):
        read_settings({"scorers": {"code": "m:small"}})


SETTINGS = """
scorers:
  - {code: "m:small", level: tool_call, of: [refund], at_least: 0.8, id: owed}
"""


def test_a_run_says_how_good_the_calls_of_each_tool_are(tmp_path: Path) -> None:
    suite = Suite(tmp_path)
    (tmp_path / "suite.yaml").write_text(SETTINGS)
    for id, amounts in (("one", [20]), ("two", [20, 50]), ("none", [])):
        suite.add({"id": id, "input": {"data": amounts}, "checks": [{"contains": "done"}]})

    def agent(data: list[float]) -> dict[str, Any]:
        calls = [{"id": str(n), "name": "refund", "arguments": {"amount": one}} for n, one in enumerate(data)]
        return {"text": "done", "tool_calls": calls}

    about = About(run="", suite="s", suite_version="", target="t", version="v")
    options = load_settings(tmp_path).options
    asyncio.run(run_suite(suite, resolve(agent), about, options=options, scorers=FUNCTIONS.__getitem__))
    run = find(tmp_path, "last")
    found = summary_of(run)
    assert (found["passed"], found["failed"], found["unscored"]) == (2, 1, 0), "who calls nothing is not asked"
    (row,) = found["by_tool"]
    assert (row["tool"], row["scorer"], row["calls"], row["passed"], row["mean"]) == ("refund", "owed", 3, 2, 0.8)
    assert row["worst"] == {"case": "two", "repeat": 1, "call": 2, "score": 0.4, "why": "50 where 20 is owed"}
    assert "| refund | owed | 3 | 2 | 0.8 | two, call 2: 50 where 20 is owed |" in run_markdown(run)
    kept = {one.case: [call["score"] for said in one.said for call in said.calls] for one in run.results()}
    assert kept == {"one": [1.0], "two": [1.0, 0.4], "none": []}


def test_a_case_may_ask_for_itself() -> None:
    case = read_case(
        {
            "id": "c",
            "input": "x",
            "checks": [{"code": "m:small", "level": "tool_call", "of": ["refund"], "at_least": 0.5}],
        }
    )
    assert case.checks[0].as_data() == {"code": "m:small", "level": "tool_call", "of": ["refund"], "at_least": 0.5}
