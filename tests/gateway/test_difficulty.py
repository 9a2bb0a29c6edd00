"""A route that asks how hard a call is: rated as its stored prompt would be, passed over where nobody can say."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import httpx
import pytest

from pilothouse.gateway import RulesReader, read_gateway
from pilothouse.records import BadRequest, Message
from pilothouse.routing import Request, features_of
from pilothouse.routing.features import NUMBERS

from .chaos import Chaos
from .harness import KEY, Running, running_gateway


class Rater:
    """Rates by one sign, and remembers what it was shown."""

    def __init__(self) -> None:
        self.seen: list[Request] = []
        self.known = True

    def knows(self, project: str) -> bool:
        return self.known

    def difficulty(self, project: str, messages: Sequence[Message], *, tools: int = 0, task: str = "") -> float | None:
        self.seen.append(Request(messages=messages, tools=tools, task=task))
        return 0.9 if "prove" in messages[-1].text else 0.1


@pytest.fixture(scope="module")
def rater() -> Rater:
    return Rater()


@pytest.fixture(scope="module")
def running(rater: Rater) -> Iterator[Running]:
    with Chaos() as chaos:
        route = {"model": "auto", "upstream": "up", "send_as": "closing", "by": []}
        route["by"] = [{"difficulty": {"below": 0.3}, "when": "tools == 0", "send_as": "good"}]
        section = {"upstreams": {"up": {"wire": "openai", "url": chaos.url}}, "routes": [route]}
        with running_gateway(section, routing=rater) as found:
            yield found


def ask(running: Running, text: str, **more: Any) -> dict[str, Any]:
    running.forget()
    body = {"model": "auto", "messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": text}]}
    headers = {"authorization": f"Bearer {KEY}", "x-pilothouse-task": "triage"}
    answer = httpx.post(f"{running.openai_url}/chat/completions", json={**body, **more}, headers=headers, timeout=20)
    assert answer.status_code == 200, answer.text
    return dict(running.raw()[0].attributes)


def test_easy_calls_go_to_the_cheap_model_and_the_trace_says_why(running: Running, rater: Rater) -> None:
    rater.known = True
    found = ask(running, "hello?")
    assert found["gen_ai.request.model"] == "good" and found["pilothouse.gateway.difficulty"] == 0.1
    assert found["pilothouse.gateway.chosen_by"] == "difficulty < 0.3 && (tools == 0)"
    assert found["pilothouse.gateway.task"] == "triage"
    assert ask(running, "prove it")["gen_ai.request.model"] == "closing"
    tool = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
    assert ask(running, "hello?", tools=[tool])["gen_ai.request.model"] == "closing", "both must hold"


def test_what_is_rated_is_what_the_trace_will_have(running: Running, rater: Rater) -> None:
    """Trained on stored prompts, asked about requests: the two must look the same."""
    rater.known, rater.seen = True, []
    ask(running, "Which {of} these 12\nis it?")
    (request,) = rater.seen
    (reading,) = running.readings()
    stored = Request(messages=reading.input, tools=len(reading.tools), task="triage")
    assert dict(zip(NUMBERS, features_of(stored).numbers, strict=True)) == dict(
        zip(NUMBERS, features_of(request).numbers, strict=True)
    )
    assert features_of(stored).places == features_of(request).places


def test_without_a_model_the_rule_is_passed_over(running: Running, rater: Rater) -> None:
    rater.known = False
    found = ask(running, "hello?")
    assert found["gen_ai.request.model"] == "closing" and "pilothouse.gateway.difficulty" not in found


@pytest.mark.parametrize("wrong", [{}, {"under": 0.3}, {"below": 2}, {"below": True}, 0.3, {"below": "x"}])
def test_a_difficulty_that_is_none_is_refused(wrong: Any) -> None:
    up = {"wire": "openai", "url": "http://127.0.0.1:9/v1"}
    rule = {"difficulty": wrong, "send_as": "small"}
    with pytest.raises(BadRequest, match="below or from which difficulty"):
        read_gateway({"upstreams": {"up": up}, "routes": [{"model": "*", "upstream": "up", "by": [rule]}]}, {})


def test_rating_costs_nothing_where_no_rule_asks() -> None:
    up = {"wire": "openai", "url": "http://127.0.0.1:9/v1"}
    rule = {"when": "tokens < 10", "send_as": "small"}
    section = {"upstreams": {"up": up}, "routes": [{"model": "*", "upstream": "up", "by": [rule]}]}
    assert RulesReader({}, routing=Rater()).read({"gateway": section}).routing is None
    rule["when"] = "difficulty < 0.2"
    assert RulesReader({}, routing=Rater()).read({"gateway": json.loads(json.dumps(section))}).routing is not None
