"""A recorded session is replayed decision by decision, and each that differs is told with what differs."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from pydantic_ai import Agent
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

import pilothouse
from pilothouse.evals.case import Call
from pilothouse.evals.interop.tau_bench import read, recording
from pilothouse.evals.pytest_plugin import decide
from pilothouse.evals.recording import Recording
from pilothouse.evals.targets.resolve import resolve
from pilothouse.evals.trajectory import MEANING, Replayed, decisions, replay
from pilothouse.records import BadRequest
from tests.live import LiveServer

from .conftest import Evals
from .judges.asked import JudgeServer
from .judges.asked import said as judged_by
from .recorded import answered, said, send, wish
from .test_tau_bench import as_recorded

CONVERSATION = [
    said("system", "You refund late orders."),
    said("user", "My order 7 was late"),
    wish("c1", "get_order", {"id": 7}),
    answered("c1", {"late": True, "total": 5}),
    wish("c2", "refund", {"order": 7, "amount": 5}),
    answered("c2", "done"),
    said("assistant", "You get $5 back"),
]
SESSION = Recording(given=CONVERSATION[:2], later=CONVERSATION[2:])


def agent(decide: Callable[[int], Any], *, refund_called: str = "refund") -> Agent[None, str]:
    """An agent that decides by how often it has decided already: a call, or a text."""

    def model(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        found = decide(sum(isinstance(one, ModelResponse) for one in messages))
        calls = cast("list[Any]", found) if isinstance(found, list) else [found]
        return ModelResponse(
            parts=[
                TextPart(content=one) if isinstance(one, str) else ToolCallPart(tool_name=one[0], args=one[1])
                for one in calls
            ]
        )

    def get_order(id: int) -> str:
        raise AssertionError("it was played back, or not run")

    def refund(order: int, amount: float) -> str:
        raise AssertionError("it was played back, or not run")

    refund.__name__ = refund_called
    return Agent(FunctionModel(model), tools=[get_order, refund])


def verdicts(decide: Callable[[int], Any], mode: Any = "in_order", **more: Any) -> tuple[list[str], Replayed]:
    found = asyncio.run(replay(SESSION, resolve(agent(decide, **more)), mode=mode))
    return [one.verdict for one in found.steps], found


THEN: list[Any] = [("get_order", {"id": 7}), ("refund", {"order": 7, "amount": 5}), "You get $5 back"]


def test_an_agent_that_decides_as_then_holds_everywhere() -> None:
    found, report = verdicts(lambda n: THEN[n], "strict")
    assert (found, report.holds) == (["same", "same", "same"], True)
    assert verdicts(lambda n: [THEN[0], ("refund", {"amount": "$5.0", "order": "7"}), "Five dollars"][n])[1].holds


@pytest.mark.parametrize(
    ("now", "verdict", "modes"),
    [
        (("refund", {"order": 7, "amount": 50}), "arguments", "in_order nearest"),
        (("get_order", {"id": 7}), "other_tool", "nearest"),
        ("Sorry", "text", "nearest"),
        ([THEN[1], THEN[0]], "more", "nearest"),
        (("pay", {"order": 7}), "gone", ""),
    ],
)
def test_a_decision_that_differs_says_how(now: Any, verdict: str, modes: str) -> None:
    for mode in ("strict", "in_order", "nearest"):
        found, report = verdicts(lambda n: now if n == 1 else THEN[n], mode)
        assert found == ["same", verdict, "same"]
        assert report.holds == (mode in modes.split())
    assert report.steps[1].recorded == 'refund({"amount":5,"order":7})'
    assert report.steps[1].why or verdict == "same"


def test_a_renamed_tool_is_gone_whatever_is_called_instead() -> None:
    found, report = verdicts(
        lambda n: ("pay_back", {"order": 7, "amount": 5}) if n == 1 else THEN[n], "nearest", refund_called="pay_back"
    )
    assert (found, report.holds) == (["same", "gone", "same"], False)
    assert report.steps[1].why == "there is no tool 'refund' any more"


def test_a_call_where_there_was_an_answer_and_a_crash() -> None:
    assert verdicts(lambda n: THEN[n] if n < 2 else THEN[0])[0] == ["same", "same", "tool"]

    def breaks(n: int) -> Any:
        if n == 1:
            raise ConnectionError("the model is not there")
        return THEN[n]

    found, report = verdicts(breaks, "nearest")
    assert (found, report.holds) == (["same", "failed", "same"], False)
    assert "the model is not there" in report.steps[1].why


PAID: list[float] = []


@pilothouse.tool(effect="external")
def refund(order: int, amount: float) -> str:
    """Pay money back."""
    PAID.append(amount)
    return "paid"


def test_a_function_that_catches_everything_spends_no_money() -> None:
    PAID.clear()

    def shop(messages: list[dict[str, Any]]) -> str:
        try:
            refund(7, 5)
        except Exception:
            return "It cannot be paid"
        return "You get $5 back"

    found = asyncio.run(replay(SESSION, resolve(shop)))
    assert [one.verdict for one in found.steps] == ["other_tool", "same", "tool"]
    writes = frozenset({"refund"})
    asyncio.run(replay(SESSION, resolve(shop), live=["refund"], writing=writes))
    assert PAID == []
    asyncio.run(replay(SESSION, resolve(shop), live=["refund"], safe=["refund"], writing=writes))
    assert PAID == [], "it was stopped at its decision"


ASKED: list[str] = []


@pilothouse.tool
def get_order(id: int) -> dict[str, Any]:
    """Look an order up."""
    raise AssertionError("it was played back, or not run")


def test_a_function_is_stopped_at_its_decision_and_asks_its_model_no_more() -> None:
    ASKED.clear()

    def shop(messages: list[dict[str, Any]]) -> str:
        ASKED.append("first")
        try:
            total = get_order(7)["total"]
        except Exception:
            # What a function catches is no way on.
            total = 0
        ASKED.append("again")
        refund(7, total)
        return f"You get ${total} back"

    found = asyncio.run(replay(SESSION, resolve(shop)))
    assert [one.verdict for one in found.steps] == ["same", "other_tool", "tool"]
    assert ASKED == ["first"] * 3


def test_a_function_that_calls_several_at_once_is_given_what_was_recorded_as_data() -> None:
    given: list[Any] = []

    def shop(messages: list[dict[str, Any]]) -> str:
        given.append(get_order(7))
        given.append(get_order(8))
        return "never"

    both = {"role": "assistant", "parts": [*CONVERSATION[2]["parts"], *wish("c9", "get_order", {"id": 8})["parts"]]}
    later = [both, answered("c1", {"late": True}), answered("c9", {"late": False}), CONVERSATION[6]]
    known = (
        Call(name="get_order", arguments={"id": 8}, result={"late": False}),
        Call(name="get_order", arguments={"id": 7}, result={"late": True}),
    )
    found = asyncio.run(replay(Recording(given=CONVERSATION[:2], later=later, calls=known), resolve(shop)))
    assert [one.verdict for one in found.steps] == ["same", "tool"]
    assert given == [{"late": True}], "as its tool gave it, not the text of the message"


def test_a_decision_of_a_function_ends_where_nothing_answers() -> None:
    def shop(messages: list[dict[str, Any]]) -> str:
        order = get_order(7)
        refund(7, order["total"])
        return "paid"

    assert [one.name for one in decide(shop, "Refund 7").observed.tools] == ["get_order"]
    seen = decide(shop, "Refund 7", stubs={"get_order": {"total": 5}})
    assert seen.first_tool("get_order").tool("refund", amount=5).observed.text == ""
    assert (
        decide(shop, "Refund 7", stubs={"get_order": {"total": 5}, "refund": "ok"}, whole=True).observed.text == "paid"
    )
    assert PAID == []


def test_what_holds_no_decision_is_refused() -> None:
    with pytest.raises(BadRequest, match="no decision"):
        decisions(Recording(given=CONVERSATION[:2]))


def test_real_sessions_replay_and_a_renamed_tool_is_found(fixtures_folder: Path) -> None:
    path = fixtures_folder / "tau_bench/gpt-4o-airline_10tasks.json"
    if not path.is_file():
        pytest.skip("no runs of tau-bench among the fixtures")
    trials = [one for one in read(path) if one.passed and len(recording(one).calls) > 2][:3]
    assert len(trials) == 3
    for trial in trials:
        whole = recording(trial)
        same = asyncio.run(replay(whole, resolve(as_recorded(trial)), mode="strict"))
        assert same.counts == {"same": len(decisions(whole))}
        name = whole.calls[0].name
        gone = asyncio.run(replay(whole, resolve(as_recorded(trial, renamed=name)), mode="nearest"))
        assert gone.counts["gone"] == sum(one.name == name for one in whole.calls)


# -- from a server ---------------------------------------------------------------------------------------------------

AGENT = """
def agent(messages):
    if any(one["role"] == "tool" for one in messages):
        return {"text": "You get $5 back"}
    return {"tool_calls": [{"id": "x", "name": "get_order", "arguments": {"id": 7}}]}
"""


def test_a_stored_session_is_replayed_from_the_command_line(
    evals: Evals, live_server: LiveServer, tmp_path: Path
) -> None:
    (tmp_path / "replayed_agent.py").write_text(AGENT)
    trace = send(live_server, "cd" * 15 + "01", CONVERSATION)
    found = evals("replay", trace, "--target", "replayed_agent:agent")
    assert found.code == 7
    assert [step["verdict"] for step in found.json["data"]["steps"]] == ["same", "text", "same"]
    assert evals("replay", trace, "--target", "replayed_agent:agent", "--mode", "nearest").code == 0
    assert evals("replay", trace, "--target", "replayed_agent:nobody").code == 3
    suite = tmp_path / "evals" / "judged"
    suite.mkdir(parents=True)
    call = ("replay", trace, "--target", "replayed_agent:agent", "--judge")
    why = "five dollars are five dollars"
    waiting = ""
    with JudgeServer(lambda outside, inside: judged_by("different_but_valid", why)) as model:
        at = f"model: gpt-4.1, url: {model.openai_url}"
        for gate, code, by in (("calibrated", 7, "mode"), ("always", 0, "judge")):
            judges = f"kind: {{{at}, rubric: style}}\n  sure: {{{at}, rubric: trajectory, gate: {gate}}}\n"
            (suite / "suite.yaml").write_text(f"judges:\n  {judges}")
            found = evals(*call, "sure")
            data = found.json["data"]
            assert (found.code, data["holds"], data["decided_by"]) == (code, code == 0, by)
            assert (data["judged"]["verdict"], data["judged"]["why"]) == ("different_but_valid", why)
            waiting = found.json["next"][0]
        assert evals(*call, "trajectory").json["data"]["judged"]["judge"].startswith("trajectory@")
        assert evals(*call, "kind").code == 2
    label = evals(*shlex.split(waiting.removeprefix("pilothouse eval ")))
    assert (label.code, label.json["data"]["item"]["case"]) == (0, trace)


def test_every_verdict_has_a_meaning() -> None:
    assert set(MEANING) >= {"same", "arguments", "other_tool", "text", "tool", "gone", "failed", "fewer", "more"}
