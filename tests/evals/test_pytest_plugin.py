"""Decisions and cases in pytest, as a user's own tests have them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from pydantic_ai import Agent
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart, ToolReturnPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from pilothouse.evals.case_text import read_case
from pilothouse.evals.pytest_plugin import EvalCase, Unscored, decide
from tests.evals.judges.asked import JudgeServer, said


def model(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    """Looks the order up, then pays back where it was late."""
    results = [part for message in messages for part in message.parts if isinstance(part, ToolReturnPart)]
    if not results:
        return ModelResponse(parts=[ToolCallPart("get_order", {"id": 4411})])
    if results[-1].tool_name == "get_order":
        return ModelResponse(parts=[ToolCallPart("refund", {"order": 4411, "amount": "5.00 USD"})])
    return ModelResponse(parts=[TextPart(f"You get it back: {results[-1].content}")])


agent = Agent(FunctionModel(model), instructions="Be kind.")


@agent.tool_plain
def get_order(id: int) -> dict[str, Any]:
    """Look an order up."""
    raise AssertionError("the shop is not there")


@agent.tool_plain
def refund(order: int, amount: str) -> str:
    """Pay money back."""
    raise AssertionError("money was spent")


HISTORY = [
    {"role": "system", "content": "recorded, and not today's"},
    {"role": "user", "content": "Refund 4411"},
    {"role": "assistant", "tool_calls": [{"id": "c1", "function": {"name": "get_order", "arguments": '{"id": 4411}'}}]},
    {"role": "tool", "tool_call_id": "c1", "content": '{"late": true}'},
]


def test_the_next_decision_is_taken_on_a_history_and_nothing_runs() -> None:
    seen = decide(agent, "Refund 4411")
    seen.first_tool("get_order", id="4,411").no_tool("refund")
    decide(agent, HISTORY).tool("refund", amount="$5", order=4411).no_tool("get_order")


def test_the_whole_answer_with_recorded_tools() -> None:
    seen = decide(agent, HISTORY, stubs={"refund": "done"}, whole=True)
    seen.says(contains=["back", "done"], excludes="guarantee")
    assert seen.observed.model_calls == 2


def test_a_failed_assertion_says_what_was_there() -> None:
    with pytest.raises(AssertionError, match=r"refund was not called; called: get_order"):
        decide(agent, "Refund 4411").tool("refund")


def test_a_tool_that_is_gone_fails_even_where_a_stub_would_answer() -> None:
    renamed = Agent(FunctionModel(model))

    @renamed.tool_plain
    def fetch_order(id: int) -> str:
        return ""

    with pytest.raises(AssertionError, match="no tool 'get_order' any more"):
        decide(renamed, "Refund 4411", stubs={"get_order": {"late": True}}).tool("get_order")


async def _async_inside() -> None:
    decide(agent, "Refund 4411").tool("get_order")


def test_it_works_where_a_loop_runs_already() -> None:
    import asyncio

    asyncio.run(_async_inside())


USERS_TEST = """
import pytest

def agent(text):
    return text.upper() if "loud" in text else text

@pytest.mark.pilothouse("evals/echo", repeats=2)
def test_echo(eval_case):
    eval_case.passes(agent)

def test_decision(decision):
    decision(agent, "hello").says(contains="hello", number=None)
"""


def test_each_case_of_a_suite_is_a_test_of_the_users_own(tmp_path: Path) -> None:
    (tmp_path / "evals/echo/cases").mkdir(parents=True)
    (tmp_path / "evals/echo/cases/all.jsonl").write_text(
        '{"id":"good","input":"say a","checks":[{"text":"say a"}]}\n'
        '{"id":"bad","input":"say b","checks":[{"text":"say c"}]}\n'
        '{"id":"silent","input":"say b"}\n'
        '{"id":"set-aside","input":"say b","checks":[{"text":"say c"}],"quarantined":"under repair"}\n'
    )
    (tmp_path / "test_users.py").write_text(USERS_TEST)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-rs", str(tmp_path)]
    plugin = [] if _installed() else ["-p", "pilothouse.evals.pytest_plugin"]
    done = subprocess.run([*command, *plugin, "--rootdir", str(tmp_path)], capture_output=True, text=True, cwd=tmp_path)
    assert "2 failed, 2 passed, 1 skipped" in done.stdout, done.stdout + done.stderr
    assert "bad, attempt 1: it is another value: it said 'say b'" in done.stdout
    assert "silent says nothing: the case has no check" in done.stdout
    assert "quarantined: under repair" in done.stdout


@pytest.fixture
def judged(tmp_path: Path) -> Iterator[Path]:
    """A suite whose judge finds everything with "days" good, and answers nonsense about riddles, also when asked again."""

    def decides(asked: str, inside: str) -> str:
        return (
            "who knows"
            if "riddle" in inside or not inside
            else said("pass" if "days" in inside else "fail", "the term")
        )

    with JudgeServer(decides) as server:
        suite = tmp_path / "evals/echo"
        (suite / "cases").mkdir(parents=True)
        judges = {"careful": {"model": "gpt-4.1", "url": server.openai_url}}
        (suite / "suite.yaml").write_text(json.dumps({"judges": judges}))
        yield suite


def test_a_judge_asserts_a_rubric_and_what_it_cannot_score_never_passes(judged: Path) -> None:
    kind = "The answer names the term"
    decide(echo, "in 30 days", whole=True).meets(kind, suite=judged).says(contains="30")
    with pytest.raises(AssertionError, match="the term"):
        decide(echo, "soon", whole=True).meets(kind, suite=judged)
    ways: tuple[tuple[Unscored, Any], ...] = (("fail", pytest.fail.Exception), ("skip", pytest.skip.Exception))
    for how, raised in ways:
        with pytest.raises(raised, match="not one JSON object"):
            decide(echo, "a riddle in 30 days", whole=True).meets(kind, suite=judged, unscored=how)
    with pytest.raises(pytest.fail.Exception, match="no judge nobody"):
        decide(echo, "in 30 days", whole=True).meets(kind, suite=judged, judge="nobody")


def echo(text: str) -> str:
    return text


def test_criteria_of_a_suites_cases_are_judged_where_the_mark_says_so(judged: Path) -> None:
    def case(text: str, *, judges: bool = True, unscored: Any = "fail") -> EvalCase:
        read = read_case({"id": "c", "input": text, "criteria": ["names the term"], "checks": [{"contains": " "}]})
        return EvalCase(case=read, suite=judged if judges else None, unscored=unscored)

    case("in 30 days").passes(echo)
    case("very soon", judges=False).passes(echo)
    with pytest.raises(pytest.fail.Exception, match="the term"):
        case("very soon").passes(echo)
    with pytest.raises(pytest.skip.Exception, match="unscored"):
        case("a riddle", unscored="skip").passes(echo)
    with pytest.raises(pytest.fail.Exception, match="says nothing"):
        case("a riddle").passes(echo)


def _installed() -> bool:
    from importlib.metadata import entry_points

    return any(one.name == "pilothouse" for one in entry_points(group="pytest11"))


@dataclass
class Receipt:
    """What an agent answers with that gives data."""

    order: int
    at: date


def test_an_answer_that_is_a_dataclass_is_data() -> None:
    def paid(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        return ModelResponse(parts=[ToolCallPart(info.output_tools[0].name, {"order": 7, "at": "2026-11-29"})])

    paying = Agent(FunctionModel(paid), output_type=Receipt)
    for whole in (True, False):
        seen = decide(paying, "Pay order 7", whole=whole)
        seen.check({"output": {"order": "7", "at": "29 Nov 2026"}}).no_tool()
