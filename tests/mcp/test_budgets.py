"""No answer passes its budget, whatever is asked for; and a cut one says how to get the rest."""

from __future__ import annotations

import json
import re
from typing import Any

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pilothouse.mcp.answers import BUDGET_MIN, Answer, Link, failed, fit
from pilothouse.mcp.calls import Call, call_of, with_calls
from pilothouse.records import BadRequest
from tests.live import LiveServer

from .conftest import over_http

BUDGETS = st.integers(BUDGET_MIN, 12_000)
TEXTS = st.text(max_size=300)
CALLS = st.builds(Call, tool=st.sampled_from(["find", "get"]), arguments=st.dictionaries(st.sampled_from("abc"), TEXTS))
ANSWERS = st.builds(
    Answer,
    text=st.one_of(
        st.text(max_size=5_000),
        st.builds(lambda text, times: f"«0123abcd\n{text * times}\n0123abcd»", TEXTS, st.integers(0, 90)),
    ),
    ids=st.lists(TEXTS, max_size=30),
    cursor=TEXTS,
    more=st.none() | CALLS,
    suggested=st.lists(CALLS, max_size=5),
    links=st.lists(st.builds(Link, uri=TEXTS, name=TEXTS, chars=st.integers(0, 10**9)), max_size=8),
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(ANSWERS, BUDGETS, CALLS)
def test_any_answer_fits_any_budget(answer: Answer, budget: int, asked: Call) -> None:
    fitted = fit(answer, budget, asked)
    assert fitted.chars <= budget
    if len(answer.text.strip("\n")) + 300 < len(fitted.text):
        assert not fitted.facts.get("cut")


@given(st.text(max_size=3_000), TEXTS, st.lists(TEXTS, max_size=40), TEXTS, BUDGETS)
def test_any_error_fits_any_budget(message: str, got: str, allowed: list[str], fix: str, budget: int) -> None:
    fitted = failed(BadRequest(message, got=got, allowed=allowed, fix=fix), budget)
    assert fitted.chars <= budget
    assert json.loads(fitted.text)["error"]["kind"] == "bad_request"


def test_a_cut_fence_is_closed_and_the_rest_is_one_call_away() -> None:
    text = "# head\n«0123abcd\n" + "line of content\n" * 200 + "0123abcd»\n"
    fitted = fit(Answer(text=text), 900, Call(tool="get", arguments={"id": "x"}))
    assert fitted.text.count("0123abcd") == 2
    again = re.search(r"all: get (\{.*\})", fitted.text)
    assert again is not None
    wanted = json.loads(again[1])
    assert fit(Answer(text=text), wanted["budget"], Call(tool="get", arguments=wanted)).text == text.strip("\n")


ASKED: list[tuple[str, dict[str, Any]]] = [
    ("find", {}),
    ("find", {"content": True, "query": "agent:*"}),
    ("find", {"kind": "sessions"}),
    ("find", {"kind": "words", "query": "the"}),
    ("find", {"kind": "fleet"}),
    ("find", {"facets": "all"}),
    *(
        ("get", {"id": "ID", "as": form})
        for form in ("card", "tree", "transcript", "json", "why", "decision", "context")
    ),
    *(("get", {"id": "ID", "as": form}) for form in ("states", "plan", "graph", "breakdown", "path", "cost")),
    ("get", {"id": "ID", "step": "STEP"}),
    ("get", {"id": "ID", "step": "STEP", "as": "json"}),
    ("get", {"id": "ID", "step": "STEP", "field": "attributes"}),
    ("get", {"id": "session:session-7", "as": "transcript"}),
    *(("get", {"id": page}) for page in ("overview", "cost", "map", "doctor", "stats", "help", "agent:concierge")),
    ("sql", {"query": "SELECT * FROM spans LIMIT 50"}),
    ("sql_schema", {}),
    ("sql_schema", {"view": "spans"}),
    ("compare", {"a": "ID", "b": "last"}),
    ("logs", {"id": "ID"}),
    ("logs", {}),
    ("pull", {"what": "ID"}),
    ("do", {}),
]
IDS = [
    "last",
    "last-error",
    "44e3983d2d21",
    "000000000000000000000000000000a1",
    "zzzz",
    "0",
    "session-7",
    "é\u202e x",
    "' OR 1=1",
]


def test_no_answer_of_a_real_server_passes_its_budget(mcp_server: LiveServer) -> None:
    async def work() -> None:
        async with over_http(f"{mcp_server.url}/mcp", mcp_server.key) as talk:
            for number, (tool, arguments) in enumerate(ASKED):
                for place, budget in enumerate((500, 777, 3_000)):
                    id = IDS[(number + place * 4) % len(IDS)]
                    filled = {
                        name: id if value == "ID" else str(place) if value == "STEP" else value
                        for name, value in arguments.items()
                    }
                    said = await talk.call(tool, **filled, budget=budget)
                    assert said.chars <= budget, (tool, filled, budget, said.text)
                    assert said.text

    anyio.run(work)


def test_random_calls_keep_to_their_budget(mcp_server: LiveServer) -> None:
    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(st.sampled_from(ASKED), st.sampled_from(IDS) | st.text(min_size=1, max_size=40), st.integers(500, 30_000))
    def check(asked: tuple[str, dict[str, Any]], id: str, budget: int) -> None:
        tool, arguments = asked
        filled = {name: id if value in ("ID", "STEP") else value for name, value in arguments.items()}

        async def work() -> None:
            async with over_http(f"{mcp_server.url}/mcp", mcp_server.key) as talk:
                said = await talk.call(tool, **filled, budget=budget)
                assert said.chars <= budget, (tool, filled, budget, said.text)

        anyio.run(work)

    check()


@pytest.mark.parametrize(
    ("command", "tool", "arguments"),
    [
        (
            "pilothouse show 4bf9 --step 014 --field output --offset 900",
            "get",
            {"id": "4bf9", "step": "014", "field": "output", "offset": 900},
        ),
        (
            "pilothouse show 4bf9 --as transcript --budget 20000000",
            "get",
            {"id": "4bf9", "as": "transcript", "budget": 200_000},
        ),
        ("pilothouse sessions 'a b' --as tree", "get", {"id": "session:a b", "as": "tree"}),
        ("pilothouse ls status:error --since 24h", "find", {"query": "status:error", "since": "24h"}),
        ("pilothouse diff a b --step b9", "compare", {"a": "a", "b": "b", "step": "b9"}),
        ("pilothouse sql --schema spans", "sql_schema", {"view": "spans"}),
        ("pilothouse logs 4bf9 --infra --level warn", "logs", {"id": "4bf9", "infra": True, "level": "warn"}),
        ("pilothouse decision 4bf9 14", "get", {"id": "4bf9", "as": "decision", "step": "14"}),
        ("pilothouse cost why 4bf9", "get", {"id": "4bf9", "as": "cost"}),
    ],
)
def test_our_command_lines_have_their_tool_calls(command: str, tool: str, arguments: dict[str, Any]) -> None:
    made = call_of(command)
    assert made is not None
    assert (made.tool, made.arguments) == (tool, arguments)


@pytest.mark.parametrize(
    "command", ["pilothouse up", "rm -rf /", "pilothouse", "pilothouse show 'open", "pilothouse keys new"]
)
def test_what_no_tool_does_stays_a_command(command: str) -> None:
    assert call_of(command) is None


def test_commands_within_content_are_left_as_they_were() -> None:
    text = (
        '001 tool x "run pilothouse show last"\n«0123abcd\npilothouse show last\n0123abcd»\nmore: pilothouse show last'
    )
    shown = with_calls(text)
    assert shown.startswith('001 tool x "run pilothouse show last"\n«0123abcd\npilothouse show last\n0123abcd»')
    assert shown.endswith('more: get {"id":"last"}')
