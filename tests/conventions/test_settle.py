"""Every token of a trace is counted once, however many spans report it."""

from __future__ import annotations

import time
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pilothouse.conventions import SpanFacts, settle


def span(span_id: str, parent: str = "", tokens: int | None = None, **more: Any) -> SpanFacts:
    fields: dict[str, Any] = {"kind": "model", "start_ns": 10, "end_ns": 20, "model": "gpt-4o", "scope_name": "a"}
    return SpanFacts(
        span_id=span_id,
        parent_span_id=parent,
        has_usage=tokens is not None,
        input_tokens=tokens or 0,
        **{**fields, **more},
    )


def counted(*spans: SpanFacts) -> int:
    settled = settle(spans)
    return sum(one.input_tokens for one in spans if one.has_usage and settled[one.span_id].counts)


def test_an_agent_that_repeats_its_calls_is_an_aggregate() -> None:
    spans = (
        span("agent", tokens=30, kind="agent", declared="aggregate"),
        span("step", "agent", kind="chain"),
        span("one", "step", 10, response_id="r1"),
        span("two", "step", 20, response_id="r2"),
    )

    settled = settle(spans)

    assert settled["agent"].scope == "aggregate"
    assert (settled["agent"].leaf_tokens, settled["agent"].gap_tokens) == (30, 0)
    assert settled["agent"].notes == []
    assert "step" not in settled
    assert counted(*spans) == 30


def test_an_aggregate_that_disagrees_says_by_how_much() -> None:
    settled = settle((span("agent", tokens=50, kind="agent"), span("one", "agent", 10)))

    assert settled["agent"].gap_tokens == 40
    assert settled["agent"].notes == ["reports 50 tokens, the calls below it 10"]


def test_a_total_with_nothing_below_it_counts() -> None:
    spans = (span("agent", tokens=50, kind="agent", declared="aggregate"), span("tool", "agent", kind="tool"))

    assert settle(spans)["agent"].counts
    assert counted(*spans) == 50


def test_two_instrumentations_of_one_call_count_once() -> None:
    nested = (
        span("outer", tokens=10, scope_name="langchain", model="gpt-4o"),
        span("http", "outer", scope_name="httpx", kind="other"),
        span("inner", "http", 10, scope_name="openai", model="gpt-4o-2024-08-06"),
    )

    assert settle(nested)["outer"].duplicate_of == "inner"
    assert counted(*nested) == 10


def test_three_layers_all_point_to_the_innermost() -> None:
    layers = (
        span("a", tokens=10, scope_name="x"),
        span("b", "a", 10, scope_name="y"),
        span("c", "b", 10, scope_name="z"),
    )

    settled = settle(layers)

    assert [settled[name].duplicate_of for name in "abc"] == ["c", "c", ""]


def test_siblings_with_one_response_id_count_once() -> None:
    spans = (
        span("root", kind="agent"),
        span("one", "root", 10, response_id="r"),
        span("two", "root", 11, response_id="r", scope_name="b", start_ns=11),
    )

    assert settle(spans)["two"].duplicate_of == "one"
    assert counted(*spans) == 10


def test_parallel_calls_that_look_alike_are_kept_apart_within_a_scope() -> None:
    one_scope = [span(f"s{i}", "root", 10) for i in range(4)]
    assert counted(span("root", kind="agent"), *one_scope) == 40

    both = [*one_scope, *(span(f"t{i}", "root", 10, scope_name="b") for i in range(4))]
    assert counted(span("root", kind="agent"), *both) == 40


def test_equal_usage_at_another_time_or_of_another_model_is_another_call() -> None:
    assert counted(span("a", "r", 10), span("b", "r", 10, scope_name="b", start_ns=50, end_ns=60)) == 20
    assert counted(span("a", "r", 10), span("b", "r", 10, scope_name="b", model="claude")) == 20
    assert counted(span("a", "r", 10, response_id="x"), span("b", "r", 10, scope_name="b", response_id="y")) == 20


def test_a_call_below_an_unrelated_call_does_not_swallow_it() -> None:
    spans = (span("first", tokens=10, response_id="r1"), span("second", "first", 20, response_id="r2"))

    assert counted(*spans) == 30
    assert settle(spans)["first"].notes == ["a call of its own, although other calls hang below it"]


def test_the_last_of_several_facts_about_a_span_counts() -> None:
    assert counted(span("a", tokens=1)) == 1
    settled = settle((span("a", tokens=1), span("a", tokens=5)))
    assert len(settled) == 1


def test_no_usage_settles_nothing() -> None:
    assert settle((span("a"), span("b", "a"))) == {}
    assert settle(()) == {}


def test_cycles_and_missing_parents_are_survived() -> None:
    spans = (
        span("a", "b", 1),
        span("b", "a", 2, response_id="q"),
        span("self", "self", 4),
        span("orphan", "nowhere", 8),
        span("under", "a", 16, kind="tool"),
    )

    settled = settle(spans)

    assert set(settled) == {"a", "b", "self", "orphan", "under"}
    assert settled["self"].counts
    assert settled["orphan"].counts


@given(
    st.lists(
        st.tuples(
            st.integers(-1, 12),
            st.integers(0, 3),
            st.integers(0, 3),
            st.sampled_from("ab"),
            st.sampled_from(["", "r", "q"]),
        ),
        max_size=12,
    )
)
def test_any_tree_or_tangle_settles_and_duplicates_point_to_what_counts(rows: list[Any]) -> None:
    spans = [
        span(
            f"{i}",
            f"{parent}",
            tokens or None,
            start_ns=start,
            end_ns=start + 1,
            scope_name=scope,
            response_id=response,
        )
        for i, (parent, tokens, start, scope, response) in enumerate(rows)
    ]

    settled = settle(spans)

    assert set(settled) == {one.span_id for one in spans if one.has_usage}
    for one in settled.values():
        if one.duplicate_of:
            assert not settled[one.duplicate_of].duplicate_of
    if settled:
        assert any(one.counts for one in settled.values())


def test_fifty_thousand_spans_settle_quickly() -> None:
    spans = [span("root", kind="agent", tokens=1)]
    for i in range(50_000):
        parent = "root" if i < 100 else f"s{i - 100 if i % 3 else i - 1}"
        tokens = 10 if i % 2 else None
        spans.append(
            span(f"s{i}", parent, tokens, start_ns=i, end_ns=i + 5, response_id=f"r{i}", scope_name="ab"[i % 2])
        )

    started = time.process_time()
    settle(spans)

    # The budget is half a second; the bound leaves room for a busy machine and still catches a quadratic step.
    assert time.process_time() - started < 5


def test_a_deep_chain_does_not_recurse() -> None:
    spans = [span("s0", tokens=1)]
    spans.extend(span(f"s{i}", f"s{i - 1}", 1 if i % 2 else None, kind="chain") for i in range(1, 50_000))

    assert len(settle(spans)) > 20_000
