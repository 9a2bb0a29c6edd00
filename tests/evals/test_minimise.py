"""A captured session of megabytes becomes a case that a person can read, and shows the same."""

from __future__ import annotations

import asyncio
import json
import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilothouse.evals.case_text import read_case
from pilothouse.evals.ddmin import ddmin
from pilothouse.evals.fragments import fragments, groups, pieces, without
from pilothouse.evals.minimise import Bounds, Minimised, minimise, target_oracle
from pilothouse.evals.runner import Options, attempt
from pilothouse.evals.suite import Suite
from pilothouse.evals.targets.resolve import resolve
from pilothouse.records import BadRequest
from pilothouse.testing.model_server import ModelServer
from tests.live import LiveServer

from .conftest import Evals
from .recorded import answered, said, send, wish


def solve(total: int, needed: set[int]) -> tuple[list[int], int]:
    search, tries = ddmin(range(total)), 0
    try:
        tried = next(search)
        while True:
            tries += 1
            tried = search.send(needed <= set(tried))
    except StopIteration as end:
        return end.value, tries


@given(st.integers(0, 60), st.sets(st.integers(0, 59), max_size=6))
def test_what_is_left_is_exactly_what_is_needed(total: int, needed: set[int]) -> None:
    needed = {one for one in needed if one < total}
    assert solve(total, needed)[0] == sorted(needed)


def test_one_of_ten_thousand_is_found_in_few_tries() -> None:
    assert solve(10_000, {7_777})[1] < 40


@given(st.text(alphabet="ab.!? \n\t", max_size=400), st.sampled_from(["paragraphs", "lines", "sentences"]))
def test_pieces_make_the_text_again(text: str, level: Any) -> None:
    assert "".join(pieces(text, level)) == text


def test_calls_and_results_go_together() -> None:
    call: dict[str, Any] = {"id": "1", "name": "f", "arguments": {}}
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "", "tool_calls": [call, call | {"id": "2"}]},
        {"role": "tool", "tool_call_id": "1", "content": "x"},
        {"role": "tool", "tool_call_id": "2", "content": "y"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "3", "name": "f", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "3", "content": "z"}]},
        {"role": "user", "content": "b"},
    ]
    assert groups(messages) == [(0,), (1, 2, 3), (4, 5), (6,)]
    assert [one.keys for one in fragments({"input": {"messages": messages}}, "messages")] == [(0,), (1, 2, 3), (4, 5)]


def test_members_of_data_within_texts_are_left_out() -> None:
    rows = json.dumps({"rows": [{"n": n, "note": "long enough to be cut " * 4} for n in range(5)], "more": "x" * 200})
    data = {"input": {"messages": [{"role": "user", "content": "q"}, {"role": "tool", "content": rows}]}}
    first = fragments(data, "members")
    assert [one.keys for one in first] == [("rows",), ("more",)]
    cut = without(without(data, [first[1]]), fragments(without(data, [first[1]]), "members", 2)[1:])
    assert json.loads(cut["input"]["messages"][1]["content"]) == {"rows": [json.loads(rows)["rows"][0]]}


# -- with an agent ---------------------------------------------------------------------------------------------------


def clerk(messages: list[dict[str, Any]]) -> dict[str, Any]:
    """It believes whatever limit it has read last, which is wrong where it is a draft's."""
    text = json.dumps(messages)
    if "limit: 500" not in text:
        return {"text": f"No limit among {len(messages)} messages"}
    return {"tool_calls": [{"id": "c", "name": "refund", "arguments": {"amount": 500}}]}


def long_case(seed: int = 1) -> dict[str, Any]:
    random_ = random.Random(seed)
    filler = [" ".join(random_.choices(["late", "order", "parcel", "money", "policy"], k=12)) + "." for _ in range(200)]
    messages: list[dict[str, Any]] = [{"role": "system", "content": "Be good. " * 100}]
    for number in range(20):
        call = {"id": f"c{number}", "name": "read", "arguments": {"file": number}}
        page: Any = [" ".join(filler[:40]) for _ in range(10)]
        if number == 13:
            page[6] = " ".join(filler[:20]) + " The draft's limit: 500 for all. " + " ".join(filler[20:40])
        messages += [
            {"role": "assistant", "content": "", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": f"c{number}", "content": json.dumps({"page": page})},
        ]
    messages.append({"role": "user", "content": "Refund what may be refunded"})
    calls = [{"name": "refund", "arguments": {"amount": 500}, "result": "done"}, {"name": "other", "result": "x" * 900}]
    return {
        "id": "long",
        "input": {"messages": messages},
        "stubs": {"calls": calls},
        "checks": [{"tool": "refund", "arguments": {"amount": 50}}],
    }


def small(data: dict[str, Any], agent: Callable[..., Any] = clerk, **bounds: Any) -> Minimised:
    return asyncio.run(minimise(data, target_oracle(resolve(agent)), bounds=Bounds(**bounds)))


def test_a_long_case_becomes_short_and_fails_for_the_same_reason() -> None:
    found = small(long_case())
    text = json.dumps(found.data["input"])
    assert "limit: 500" in text
    assert found.before.bytes > 500_000
    assert found.after.bytes < 700, text
    assert found.after.messages == 3
    assert found.runs <= 200
    assert not found.stopped
    assert "refund was called, but arguments.amount: it is another value" in found.shows
    result = asyncio.run(attempt(read_case(found.data), 1, resolve(clerk), Options()))
    assert (result.outcome, result.tools) == ("fail", ['refund({"amount":500})'])
    told = found.data["metadata"]["provenance"]["minimised"]
    assert (told["before"], told["runs"]) == ({"bytes": found.before.bytes, "messages": 42, "calls": 2}, found.runs)


def test_whatever_stops_it_the_case_still_shows_it() -> None:
    for runs in (4, 7, 20):
        found = small(long_case(), runs=runs)
        assert found.runs <= runs + 1
        assert found.stopped
        assert "limit: 500" in json.dumps(found.data["input"])
    assert small(long_case(), seconds=1e-9).stopped == "1e-09 s are over"


def test_a_case_that_does_not_fail_twice_alike_is_refused() -> None:
    turn = iter(range(100))

    def moody(messages: list[dict[str, Any]]) -> dict[str, Any]:
        return {"tool_calls": [{"id": "c", "name": f"tool_{next(turn)}", "arguments": {}}]}

    with pytest.raises(BadRequest, match="same twice"):
        small(long_case(), moody)


def test_an_agent_that_does_not_come_to_a_decision_is_no_finding() -> None:
    def broken(messages: list[dict[str, Any]]) -> str:
        raise ConnectionError("the model is not there")

    with pytest.raises(BadRequest, match="the agent itself fails"):
        small(long_case(), broken)
    found = small(long_case() | {"checks": [{"no_error": True}]}, broken)
    assert found.after.messages == 1


def test_one_that_was_lucky_once_gives_way_to_a_larger_one() -> None:
    seen: list[int] = []

    def lucky(messages: list[dict[str, Any]]) -> dict[str, Any]:
        seen.append(len(json.dumps(messages)))
        # What is very small shows it only the first time.
        return clerk(messages) if seen.count(seen[-1]) == 1 or seen[-1] > 2_000 else {"text": "No"}

    found = small(long_case(), lucky)
    assert "did not show it again" in found.stopped
    assert len(json.dumps(found.data["input"])) > 1_900


def test_a_golden_case_keeps_what_its_calls_need() -> None:
    data = long_case() | {"checks": [{"tool": "refund", "arguments": {"amount": 500}}]}
    found = small(data)
    assert (found.same, found.shows) == ("decision", 'refund({"amount":500})')
    assert found.after.bytes < 700


# -- five megabytes, recorded and captured ---------------------------------------------------------------------------


DESK = """
import os
from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

model = OpenAIChatModel("gpt-4o", provider=OpenAIProvider(base_url=os.environ["DESK_MODELS"], api_key="none"))
agent = Agent(model, system_prompt="You refund what the policy allows.")

@agent.tool_plain
def read_file(name: str) -> str:
    raise AssertionError("nothing is read while a case runs")

@agent.tool_plain
def refund(amount: float) -> str:
    raise AssertionError("no money moves while a case runs")
"""
SCRIPT = {
    "rules": [
        {
            "seen": r"refund limit of (\d+) dollars",
            "reply": {"calls": [{"name": "refund", "arguments": {"amount": 500}}]},
        },
        {"reply": {"text": "I find no limit."}},
    ]
}


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """An agent whose model is scripted."""
    (tmp_path / "desk.py").write_text(DESK)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.delitem(sys.modules, "desk", raising=False)
    with ModelServer(SCRIPT) as models:
        monkeypatch.setenv("DESK_MODELS", models.openai_url)
        yield


def five_megabytes() -> list[dict[str, Any]]:
    random_ = random.Random(5)
    words = [
        "parcel",
        "order",
        "customer",
        "late",
        "delivery",
        "warehouse",
        "invoice",
        "receipt",
        "number",
        "week",
        "answer",
        "letter",
    ]
    conversation = [said("system", "You refund what the policy allows."), said("user", "Refund order A-1 as allowed")]
    for number in range(12):
        lines = [f"{n}: {' '.join(random_.choices(words, k=14))}." for n in range(4_200)]
        if number == 7:
            lines[3_000] = "3000: The old policy had a refund limit of 500 dollars. It does not hold any more."
        conversation += [
            wish(f"c{number}", "read_file", {"name": f"part-{number}.txt"}),
            answered(f"c{number}", "\n".join(lines)),
        ]
    return [*conversation, wish("last", "refund", {"amount": 500}), answered("last", "done")]


def test_five_megabytes_become_a_page(desk: None, evals: Evals, live_server: LiveServer, tmp_path: Path) -> None:
    trace = send(live_server, "cb" * 15 + "50", five_megabytes(), tools=("read_file", "refund"), models_last=1)
    step = str(live_server.sql(f"SELECT max(step) FROM spans WHERE trace_id = '{trace}' AND kind = 'model'")[0][0])
    bad = ("from-trace", trace, "--step", step, "--bad", "--expect", "tool refund amount=50", "--id", "five")
    whole = evals(*bad, "--suite", "whole").data
    before = Suite("whole").case("five")
    assert sum(len(json.dumps(one)) for one in before.input.messages) > 5_000_000
    assert whole["bytes"] < 30_000
    assert len(list((tmp_path / "whole/payloads").iterdir())) == 12
    made = evals("minimise", "five", "--suite", "whole", "--target", "desk:agent").data
    text = Path(made["file"]).read_text()
    print(made["minimised"]["sentence"], text, sep="\n")
    assert len(text) < 4_000
    assert list((tmp_path / "whole/payloads").iterdir()) == []
    assert "refund limit of 500 dollars" in text
    assert made["minimised"]["before"]["bytes"] > 5_000_000
    case = Suite("whole").case("five")
    result = asyncio.run(attempt(case, 1, resolve("desk:agent"), Options()))
    assert result.outcome == "fail"
    assert "refund was called, but arguments.amount: it is another value (50, not 500)" in result.why


def test_what_is_captured_is_minimised_in_one_go(
    desk: None, evals: Evals, live_server: LiveServer, tmp_path: Path
) -> None:
    pages = [("one", "Nothing here. " * 40), ("two", "A refund limit of 500 dollars. " + "Nothing here. " * 40)]
    conversation = [said("system", "You refund."), said("user", "Refund order A-1 as allowed")]
    for id, page in pages:
        conversation += [wish(id, "read_file", {"name": id}), answered(id, page)]
    conversation += [wish("last", "refund", {"amount": 500}), answered("last", "done")]
    trace = send(live_server, "cb" * 15 + "51", conversation, tools=("read_file", "refund"))
    bad = ("from-trace", trace, "--step", "6", "--bad", "--expect", "tool refund amount=50", "--id", "small")
    assert "target" in evals(*bad, "--minimise").error["message"]
    made = evals(*bad, "--suite", "s", "--minimise", "--target", "desk:agent").data
    assert made["minimised"]["left_out"]["messages"] == 1
    assert "Nothing here" not in json.dumps(Suite("s").case("small").input.messages)
    again = evals("minimise", "small", "--suite", "s", "--target", "desk:agent", "--dry-run").data["minimised"]
    assert again["before"]["bytes"] == again["after"]["bytes"]
    for wrong in (["--runs", "2"], ["--times", "0"], ["--target", "desk:nobody"], ["--target", "desk"]):
        assert evals("minimise", "small", "--suite", "s", "--target", "desk:agent", *wrong).code in (2, 3)
