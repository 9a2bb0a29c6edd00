"""Rules of a route: which model is asked, by what a call says, and what the trace tells of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from pilothouse.gateway import read_gateway
from pilothouse.records import BadRequest
from pilothouse.testing import ModelServer

from .harness import KEY, Running, running_gateway

openai = pytest.importorskip("openai")

RULES = [
    {"when": "has_images", "send_as": "gpt-4o"},
    {"when": "task == 'summary' || (tokens < 100 && tools == 0)", "send_as": "gpt-4.1-nano"},
    {"when": "feature == 'deep'", "send_as": "gpt-5", "upstream": "other"},
]


@pytest.fixture(scope="module")
def model() -> Iterator[ModelServer]:
    with ModelServer(seed=4) as server:
        yield server


@pytest.fixture(scope="module")
def gateway(model: ModelServer) -> Iterator[Running]:
    upstreams = {name: {"wire": "openai", "url": model.openai_url} for name in ("main", "other")}
    routes = [{"model": "auto", "upstream": "main", "send_as": "gpt-4.1", "by": RULES}]
    with running_gateway({"upstreams": upstreams, "routes": routes}) as running:
        yield running


LONG = "word " * 200
PICTURE = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}]


@pytest.mark.parametrize(
    ("content", "headers", "sent", "upstream", "rule"),
    [
        ("short", {}, "gpt-4.1-nano", "main", 1),
        (LONG, {}, "gpt-4.1", "main", None),
        (LONG, {"x-pilothouse-task": "summary"}, "gpt-4.1-nano", "main", 1),
        (LONG, {"x-pilothouse-feature": "deep"}, "gpt-5", "other", 2),
        (PICTURE, {}, "gpt-4o", "main", 0),
    ],
)
def test_the_first_rule_that_holds_names_the_model(
    gateway: Running,
    model: ModelServer,
    content: Any,
    headers: dict[str, str],
    sent: str,
    upstream: str,
    rule: int | None,
) -> None:
    gateway.forget()
    client = openai.OpenAI(base_url=gateway.openai_url, api_key=KEY, max_retries=0)
    client.chat.completions.create(model="auto", messages=[{"role": "user", "content": content}], extra_headers=headers)
    found = gateway.raw()[0].attributes
    assert (found["gen_ai.request.model"], found["pilothouse.gateway.upstream"]) == (sent, upstream)
    assert found["pilothouse.gateway.asked_model"] == "auto"
    assert found.get("pilothouse.gateway.chosen_by") == (None if rule is None else RULES[rule]["when"])


@pytest.mark.parametrize(
    ("by", "said"),
    [
        ([{"when": "tokens <", "send_as": "m"}], "is no expression"),
        ([{"when": "weather > 1", "send_as": "m"}], "not known"),
        ([{"when": "true"}], "which model then"),
        ([{"when": "true", "send_as": "m", "upstream": "claude"}], "none that speaks openai"),
        ("tokens", "list of at most"),
    ],
)
def test_a_rule_that_is_wrong_is_refused_with_its_place(by: Any, said: str) -> None:
    upstreams = {
        "main": {"wire": "openai", "url": "http://localhost:1"},
        "claude": {"wire": "anthropic", "url": "http://localhost:2"},
    }
    with pytest.raises(BadRequest, match=said) as raised:
        read_gateway({"upstreams": upstreams, "routes": [{"model": "a", "upstream": "main", "by": by}]}, {})
    assert "gateway.routes[0].by" in raised.value.message
