"""Plain rules: any value as bounded JSON, what a result says failed, what a decision is worth."""

from __future__ import annotations

import json
from collections import OrderedDict, deque
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilothouse.records import Message, Part, failure_in, judge, next_actions, tool_names
from pilothouse.sdk.jsons import plain, to_json


class Colour(Enum):
    RED = "red"


@dataclass
class Order:
    id: int
    parent: Any = None


class Pair(NamedTuple):
    left: int
    right: int


class Loud(str):
    def __str__(self) -> str:
        raise ValueError


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Order(1, Order(2)), {"id": 1, "parent": {"id": 2, "parent": None}}),
        (Pair(1, 2), {"left": 1, "right": 2}),
        (Colour.RED, "red"),
        (deque([1]), [1]),
        ({2}, [2]),
        (OrderedDict(a=1), {"a": 1}),
        (Loud("x"), "x"),
        (datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02 00:00:00+00:00"),
        (Decimal("1.10"), "1.10"),
        (float("inf"), "inf"),
        (b"ab", "data:;base64,YWI="),
        ({1: {True: None}}, {"1": {"True": None}}),
    ],
)
def test_values_are_shown_as_what_they_are(value: Any, expected: Any) -> None:
    assert json.loads(to_json(value)) == expected


odd = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=[]), max_size=20)
    | st.binary(max_size=20)
    | st.builds(Order, st.integers())
    | st.just(Loud("x")),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.integers() | st.text(max_size=4), inner, max_size=4)
        | st.tuples(inner)
    ),
    max_leaves=20,
)


@given(odd, st.integers(1, 200))
def test_any_value_becomes_json_within_its_bound(value: Any, bound: int) -> None:
    text = to_json(value, bound)
    text.encode()
    json.loads(text)
    words: list[str] = []

    def walk(found: Any) -> None:
        if isinstance(found, str):
            words.append(found)
        elif isinstance(found, dict):
            for inner in found.values():
                walk(inner)
        elif isinstance(found, list):
            for inner in found:
                walk(inner)

    walk(plain(value, bound))
    assert sum(len(word) for word in words) <= bound + 60 * len(words)


@given(odd)
def test_any_result_can_be_asked_whether_it_failed(value: Any) -> None:
    assert isinstance(failure_in(plain(value)), str)


TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "book",
            "parameters": {
                "type": "object",
                "properties": {
                    "nights": {"type": "integer"},
                    "room": {"enum": ["single", "double"]},
                    "guests": {"type": "array", "items": {"type": "string"}},
                },
                "required": ["nights"],
                "additionalProperties": False,
            },
        },
    },
    {"name": "look", "input_schema": {"type": "object"}},
    {"functionDeclarations": [{"name": "fly"}]},
]


def call(tool: str, arguments: Any) -> list[dict[str, Any]]:
    return [{"type": "tool_call", "tool": tool, "arguments": arguments, "id": "c"}]


@pytest.mark.parametrize(
    ("actions", "reason"),
    [
        (call("book", {"nights": 2}), ""),
        (call("book", {"nights": 2, "room": "double", "guests": ["Ada"]}), ""),
        (call("look", {}), ""),
        (call("fly", {"to": "Rome"}), ""),
        (call("swim", {}), "no tool 'swim' was offered: book, look, fly"),
        (call("", {}), "a tool call names no tool"),
        (call("book", "{nights"), "the arguments of book are not JSON: '{nights'"),
        (call("book", [1]), "the arguments of book are no object but list"),
        (call("book", {}), "the arguments of book do not fit: nights is missing"),
        (call("book", {"nights": "two"}), "the arguments of book do not fit: nights is no integer"),
        (call("book", {"nights": True}), "the arguments of book do not fit: nights is no integer"),
        (
            call("book", {"nights": 1, "room": "x"}),
            'the arguments of book do not fit: room is none of ["single","double"]',
        ),
        (call("book", {"nights": 1, "guests": [1]}), "the arguments of book do not fit: guests[0] is no string"),
        (call("book", {"nights": 1, "sea": 1}), "the arguments of book do not fit: sea is unknown"),
        ([{"type": "answer", "text": "yes"}], ""),
        ([{"type": "none"}], "the answer is empty: neither text nor a tool call"),
    ],
)
def test_a_decision_is_judged_by_the_tools_that_were_offered(actions: list[dict[str, Any]], reason: str) -> None:
    verdict = judge(actions, TOOLS)
    assert (verdict.valid, verdict.reason) == (not reason, reason)
    assert tool_names(TOOLS) == ["book", "look", "fly"]


def test_without_known_tools_a_name_cannot_be_checked() -> None:
    assert judge(call("anything", {}), []).valid


def test_an_answer_with_tool_calls_is_no_answer_yet() -> None:
    said = Message(
        role="assistant",
        parts=(Part(type="text", text="I will look."), Part(type="tool_call", name="look", arguments={})),
    )
    assert [action["type"] for action in next_actions([said])] == ["tool_call"]
    server_side = Part(type="tool_call", name="web_search", extra={"server": True})
    assert next_actions([Message(role="assistant", parts=(server_side,))]) == [{"type": "none"}]
    assert next_actions([Message(role="assistant", parts=(Part(type="reasoning", text="hm"),))]) == [{"type": "none"}]


@given(odd, odd)
def test_judging_never_raises(arguments: Any, schema: Any) -> None:
    tools = [{"name": "t", "parameters": plain(schema)}, plain(schema)]
    judge(call("t", plain(arguments)), tools)
