"""The plan in a request does not spoil the provider's prompt cache: where it stands, and what is billed."""

from __future__ import annotations

from typing import Any

import pytest
from benchmarks.placement import WAYS, Provider, billed, breakpoints, cost, long_run, sent_bodies
from pydantic_ai.messages import CachePoint, ModelRequest, SystemPromptPart, UserPromptPart

from pilothouse.runtime.adapters.pydantic_ai import placed

RUN = long_run(12)
BY_NAME = {way.name: way for way in WAYS}


@pytest.mark.parametrize("name", ["tail", "tail, cache not set"])
def test_the_breakpoint_stands_before_the_plan(name: str) -> None:
    for body in sent_bodies("anthropic", BY_NAME[name], RUN):
        last: Any = body["messages"][-1]["content"]
        assert "The plan (" in last[-1]["text"] and "cache_control" not in last[-1]
        assert "cache_control" in last[-2] and "The plan (" not in str(last[-2])
        assert len(breakpoints(body)) <= 4


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
def test_the_tail_costs_little_and_the_system_prompt_much(provider: Provider) -> None:
    plain, tail, system = (
        cost(provider, billed(provider, BY_NAME[name], [RUN]))
        for name in ("no plan", "tail", "after the system prompt")
    )
    assert tail < plain * 5 / 4 and system > tail * 3 / 2


def test_without_its_breakpoint_the_tail_would_spoil_the_cache() -> None:
    tail, spoiled = (billed("anthropic", BY_NAME[name], [RUN]) for name in ("tail", "tail, no breakpoint before it"))
    assert spoiled.read < tail.read / 2


def test_a_breakpoint_with_nothing_before_it_is_left_out() -> None:
    first = ModelRequest(parts=[SystemPromptPart(content="Be kind.")])
    (message,) = placed([first], "The plan (0 of 1 done)", "tail")
    assert message.parts[-1].content == "The plan (0 of 1 done)"  # type: ignore[union-attr]
    (message,) = placed([ModelRequest(parts=[UserPromptPart(content="Do it")])], "The plan", "tail")
    assert message.parts[-1].content == [CachePoint(), "The plan"]  # type: ignore[union-attr]
