"""Providers' prompt caches from stored calls: what was served, what was possible, and what broke the prefix."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from pilothouse.records import Message, text_message
from pilothouse.store import TraceStore
from pilothouse.traces.model.prompt_cache import PrefixBreak, PromptCache
from pilothouse.traces.prompt_breaks import Text, common, lifetime_s, minimum_tokens, part
from pilothouse.traces.prompt_cache import prompt_cache

from .support import NOW_NS, PROJECT, TraceBuilder, trace_id

SYSTEM = "You are a careful assistant of a shop. " * 200


def said(role: Any, text: str) -> Message:
    return text_message(role, text)


def calls(
    number: int,
    prompts: list[list[Message]],
    *,
    read: list[int] | None = None,
    model: str = "gpt-4o",
    gap_s: float = 10,
    start_s: float = 0,
    tools: list[list[str]] | None = None,
    **columns: Any,
) -> TraceBuilder:
    """A trace whose model calls have these prompts; each has 2,000 input tokens and 500 more than the one before."""
    trace = TraceBuilder(id=trace_id(number), start_ns=NOW_NS - 3_600_000_000_000 + int(start_s * 1e9))
    for place, prompt in enumerate(prompts):
        given, served = 2_000 + 500 * place, read[place] if read else 0
        names = tools[place] if tools else []
        trace.span(
            place + 1,
            "model",
            at_ms=place * gap_s * 1000,
            input=prompt,
            tokens={"input_uncached": given - served, "cache_read": served, "output_text": 10},
            model=model,
            provider="anthropic" if "claude" in model else "openai",
            agent="shop",
            step=place + 1,
            tools_offered=names,
            tools_ref="".join(names),
            **columns,
        )
    return trace


def look(store: TraceStore, *traces: TraceBuilder) -> PromptCache:
    for trace in traces:
        trace.store(store)
    return prompt_cache(store, PROJECT, since_ns=NOW_NS - 2 * 3_600_000_000_000)


def only(found: PromptCache) -> PrefixBreak:
    (one,) = found.breaks
    return one


def growing(system: str = SYSTEM, turns: int = 3) -> list[list[Message]]:
    start = [said("system", system), said("user", "hello")]
    more = [[said("assistant", f"answer {n}"), said("user", f"question {n}")] for n in range(turns)]
    return [start + [message for turn in more[:count] for message in turn] for count in range(turns)]


def test_a_prompt_that_only_grows_and_is_served_breaks_nothing(store: TraceStore) -> None:
    found = look(store, calls(1, growing(), read=[0, 1_920, 2_432]))
    (row,) = found.rows
    assert found.breaks == ()
    assert (row.calls, row.input_tokens, row.read_tokens) == (3, 7_500, 4_352)
    assert row.possible_tokens == 2_000 + 2_500
    assert row.saved_usd == Decimal(4_352) * Decimal("1.25") / 1_000_000


def test_a_moment_in_the_system_text_is_named_with_its_place_and_its_price(store: TraceStore) -> None:
    prompts = growing()
    for place, prompt in enumerate(prompts):
        prompt[0] = said("system", f"It is 2026-11-29 12:0{place}:00. {SYSTEM}")
    one = only(look(store, calls(1, prompts)))
    assert (one.kind, one.role, one.message, one.offset) == ("system_changes", "system", 1, 21)
    assert "moment" in one.what and "12:0" in one.before and one.before != one.after
    assert (one.calls, one.lost_tokens) == (2, 4_500)
    assert one.lost_usd == Decimal(4_500) * Decimal("1.25") / 1_000_000
    assert (one.trace_id, one.step, one.before_step) == (trace_id(1), 3, 2)


def test_an_id_in_the_system_text_is_told_from_a_moment_across_sessions(store: TraceStore) -> None:
    ids = ("3f2504e0-4f89-11d3-9a0c-0305e82c3301", "9b2504e0-4f89-11d3-9a0c-0305e82c3302")
    pairs = [
        calls(n + 1, [[said("system", f"Run {ids[n]}. {SYSTEM}"), said("user", f"q{n}")]], start_s=n * 20)
        for n in (0, 1)
    ]
    one = only(look(store, *pairs))
    assert one.kind == "system_changes" and "an id" in one.what
    assert 1_900 < one.lost_tokens <= 2_000


def test_tools_in_another_order_and_other_tools(store: TraceStore) -> None:
    one = only(look(store, calls(1, growing(turns=2), tools=[["a", "b"], ["b", "a"]])))
    assert one.kind == "tools_reordered" and one.lost_tokens == 2_000


def test_other_tools_than_before(store: TraceStore) -> None:
    assert only(look(store, calls(1, growing(turns=2), tools=[["a"], ["a", "b"]]))).kind == "tools_change"


def test_a_message_that_was_changed_later(store: TraceStore) -> None:
    prompts = growing("Be brief.")
    prompts[2][1] = said("user", f"Now: {SYSTEM}")
    one = only(look(store, calls(1, prompts, read=[0, 1_920, 0])))
    assert (one.kind, one.message, one.role, one.offset) == ("message_changed", 2, "user", 0)
    assert one.calls == 1 and 2_400 <= one.lost_tokens <= 2_500


def test_calls_that_come_too_late_and_prompts_that_are_too_short(store: TraceStore) -> None:
    late = only(look(store, calls(1, growing(turns=2), gap_s=1_200)))
    assert (late.kind, late.lost_tokens) == ("expired", 2_000)


def test_a_short_prompt_has_nothing_to_gain(store: TraceStore) -> None:
    trace = calls(1, growing(turns=2))
    for span in trace.spans:
        span["input_uncached_tokens"] = 500
    one = only(look(store, trace))
    assert (one.kind, one.lost_tokens, one.lost_usd) == ("too_short", 0, Decimal(0))


def test_what_nobody_asked_to_be_cached_and_what_was_not_served(store: TraceStore) -> None:
    found = look(
        store, calls(1, growing(turns=2), model="claude-sonnet-4-5"), calls(2, growing(turns=2), start_s=2_000)
    )
    assert {one.kind for one in found.breaks} == {"not_asked", "missed"}


def test_sessions_that_only_ask_something_else_break_nothing(store: TraceStore) -> None:
    two = [
        calls(n + 1, [[said("system", SYSTEM), said("user", f"q{n}")]], start_s=n * 20, read=[1_920 * n])
        for n in (0, 1)
    ]
    assert look(store, *two).breaks == ()


def test_calls_without_messages_are_counted_and_said(store: TraceStore) -> None:
    found = look(store, calls(1, [[], []], read=[0, 1_000]))
    assert found.rows[0].hit_rate == round(1_000 / 4_500, 4)
    assert "2 of 2 calls were recorded without their messages" in found.notes[0]


@pytest.mark.parametrize(
    ("model", "provider", "tokens"),
    [
        ("gpt-5", "openai", 1_024),
        ("claude-opus-4-5", "anthropic", 4_096),
        ("claude-3-5-haiku", "anthropic", 2_048),
        ("claude-sonnet-4-5", "anthropic", 1_024),
    ],
)
def test_each_provider_has_its_minimum(model: str, provider: str, tokens: int) -> None:
    assert minimum_tokens(provider, model) == tokens


def test_prompts_part_where_the_first_message_differs() -> None:
    texts = {"a": Text(role="user", text="one two"), "b": Text(role="user", text="one three")}
    assert common(["s", "a"], ["s", "b"]) == 1
    found = part(["s", "a"], ["s", "b"], 1, texts)
    assert found is not None and (found.message, found.offset, found.cause) == (1, 5, "text")
    assert part(["s", "a", "b"], ["s", "a"], 2, texts) is None
    assert lifetime_s("anthropic", "claude-x", long=True) == 3_600
