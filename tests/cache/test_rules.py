"""What makes two requests the same, what is never looked up, and what the policy may say."""

from __future__ import annotations

from typing import Any

import pytest

from pilothouse.cache import Asker, CacheRule, key_of, names_twice, not_kept, read_cache, streamed
from pilothouse.records import BadRequest

RULE = CacheRule(ttl_s=60)
BODY: dict[str, Any] = {"model": "m", "temperature": 0, "messages": [{"role": "user", "content": "hi"}]}


def asker(**more: Any) -> Asker:
    given: dict[str, Any] = {
        "project_id": "prj",
        "wire": "openai",
        "path": "/chat/completions",
        "model": "up/m",
        **more,
    }
    return Asker(**given)


def key(body: dict[str, Any], rule: CacheRule = RULE, **more: Any) -> str:
    return key_of(body, asker(**more), rule, asked=False).key


def test_the_order_of_names_and_how_it_travels_make_no_difference() -> None:
    turned = dict(reversed(list(BODY.items())))
    assert key(BODY) == key(turned) == key({**BODY, "stream": True, "stream_options": {"include_usage": True}})
    assert key(BODY) == key({**BODY, "user": "ann", "metadata": {"run": "1"}})
    assert key_of({**BODY, "stream": True}, asker(), RULE, asked=False).form == "stream"


@pytest.mark.parametrize(
    "other",
    [
        {"messages": [{"role": "user", "content": "Hi"}]},
        {"max_tokens": 5},
        {"tools": [{"type": "function", "function": {"name": "f"}}]},
        {"seed": 2},
        {"field_of_tomorrow": True},
    ],
)
def test_whatever_may_change_the_answer_makes_another_key(other: dict[str, Any]) -> None:
    assert key({**BODY, **other}) != key(BODY)


@pytest.mark.parametrize(
    "more",
    [
        {"tenant": "t"},
        {"project_id": "other"},
        {"model": "elsewhere/m"},
        {"wire": "anthropic"},
        {"versions": ("anthropic-beta=x",)},
    ],
)
def test_whoever_shares_nothing_has_another_key(more: dict[str, Any]) -> None:
    assert key(BODY, **more) != key(BODY)


def test_the_scope_says_who_shares() -> None:
    everybody = CacheRule(ttl_s=60, scope="global")
    assert key(BODY, everybody, project_id="one", tenant="a") == key(BODY, everybody, project_id="two")
    each = CacheRule(ttl_s=60, scope="user")
    assert key(BODY, each, user="ann") != key(BODY, each, user="bob")
    assert key_of(BODY, asker(), each, asked=False).refused == "the scope is user, and the call names none"


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"temperature": 0.2}, "temperature"),
        ({"previous_response_id": "r"}, "more than the request"),
        ({"tools": [{"type": "web_search"}]}, "provider's own"),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "provider's own"),
        ({"messages": [{"role": "user", "content": "\ud800"}]}, "half a character"),
    ],
)
def test_what_depends_on_more_than_the_request_has_no_key(more: dict[str, Any], why: str) -> None:
    found = key_of({**BODY, **more}, asker(), RULE, asked=False)
    assert why in found.refused and not found.key


def test_who_asks_for_it_needs_no_temperature() -> None:
    warm = {**BODY, "temperature": 1}
    assert key_of(warm, asker(), RULE, asked=True).key
    assert key_of(BODY, asker(), CacheRule(ttl_s=1, when="asked"), asked=False).refused
    assert key_of(warm, asker(), CacheRule(ttl_s=1, when="always"), asked=False).key


def test_a_body_that_names_something_twice_is_seen() -> None:
    assert names_twice(b'{"a": 1, "b": {"c": 1, "c": 2}}')
    assert not names_twice(b'{"a": 1, "b": [{"a": 1}, {"a": 2}]}')


def test_an_answer_cut_short_by_a_budget_is_not_the_requests() -> None:
    answer = {"choices": [{"message": {"content": "long"}, "finish_reason": "length"}]}
    assert not_kept(answer, RULE, operation="chat") == ""
    assert "budget" in not_kept(answer, RULE, operation="chat", bounded=True)


def test_what_a_stream_cannot_say_is_not_made_one() -> None:
    choice = {"index": 0, "message": {"role": "assistant", "content": "x"}, "finish_reason": "stop"}
    whole: dict[str, Any] = {"id": "c", "model": "m", "object": "chat.completion", "choices": [choice]}
    assert streamed(whole, wire="openai", operation="chat", options={})
    for other in ({**choice, "logprobs": {"content": [1]}}, {**choice, "message": {**choice["message"], "audio": {}}}):
        assert streamed({**whole, "choices": [other]}, wire="openai", operation="chat", options={}) is None


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({}, "says not how long"),
        ({"ttl": "soon"}, "a length of time"),
        ({"ttl": "0s"}, "a length of time"),
        ({"ttl": "1h", "scope": "world"}, "one of these"),
        ({"ttl": "1h", "keep": True}, "no such setting"),
        ({"ttl": "1h", "mb": True}, "is a number"),
        ({"ttl": "1h", "tool_calls": "yes"}, "true or false"),
        ("1h", "names and values"),
    ],
)
def test_a_policy_that_is_wrong_is_refused_with_its_place(section: Any, said: str) -> None:
    with pytest.raises(BadRequest, match=said) as raised:
        read_cache(section, "gateway.routes[0].cache")
    assert "gateway.routes[0].cache" in raised.value.message


def test_lengths_of_time_have_units() -> None:
    assert [read_cache({"ttl": one}, "p").ttl_s for one in (90, "90s", "1.5m", "2h", "1d")] == [
        90,
        90,
        90,
        7_200,
        86_400,
    ]
