"""A tool behind MCP has a span on both sides: it was called once."""

from __future__ import annotations

from dataclasses import replace

from .facts import found, run, tool


def test_a_call_seen_from_both_sides_is_one_call() -> None:
    calls = run(*(tool("check", '{"sku": 7}', "counting") for _ in range(3)))
    served = [
        replace(call, span_id=f"{call.span_id}-served", parent_span_id=call.span_id)
        for call in calls
        if call.kind == "tool"
    ]
    both = sorted([*calls, *served], key=lambda fact: fact.start_ns)
    assert "loop" not in found(both)
    apart = [replace(fact, parent_span_id="root") if fact in served else fact for fact in both]
    assert "loop" in found(apart)
