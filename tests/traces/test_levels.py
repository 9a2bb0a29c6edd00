"""Agent levels from traces that show them, and the controls each demands."""

from __future__ import annotations

import pytest

from pilothouse import traces
from pilothouse.records import NotFound
from pilothouse.store import TraceStore
from pilothouse.traces.model import AgentLevel, Control
from tests.fleets import fleet, store_all

from .support import NOW_NS, PROJECT, TraceBuilder, said, stored_time, support_trace, trace_id


def level(store: TraceStore, agent: str) -> AgentLevel:
    return traces.levels(store, PROJECT, agent=agent).agents[0]


def controls(one: AgentLevel) -> dict[str, Control]:
    return {control.name: control for control in one.controls}


def stateless(number: int) -> TraceBuilder:
    trace = TraceBuilder(trace_id(number), agent="greeter")
    trace.span(1, "agent", agent="greeter", agent_version="1")
    trace.span(2, "model", parent=1, agent="greeter", model="m", output=[said("assistant", "Hello.")])
    return trace


def rounds(number: int, agent: str = "digger", count: int = 4) -> TraceBuilder:
    """A model that decides to call a tool again and again."""
    trace = TraceBuilder(trace_id(number), agent=agent)
    trace.span(1, "agent", agent=agent, ms=9000)
    for place in range(count):
        trace.span(10 + place * 2, "model", parent=1, agent=agent, model="m", at_ms=place * 100)
        trace.span(11 + place * 2, "tool", parent=1, agent=agent, tool_name="dig", at_ms=place * 100 + 50,
                   output_text='{"found": 1}')  # fmt: skip
    return trace


def test_who_only_answers_is_stateless(store: TraceStore) -> None:
    stateless(1).store(store)
    one = level(store, "greeter")
    assert (one.level, one.name) == (1, "stateless")
    assert set(controls(one)) == {"versions_recorded"} and one.present == 1


def test_who_uses_tools_is_tool_augmented_and_names_the_step(store: TraceStore) -> None:
    support_trace(1).store(store)
    one = level(store, "refunds")
    assert (one.level, one.name) == (2, "tool-augmented")
    trait = next(trait for trait in one.traits if trait.name == "tools")
    assert (
        trait.counts and trait.share == 1 and trait.examples[0].trace_id == trace_id(1) and trait.examples[0].step == 3
    )
    seen = controls(one)
    assert seen["tool_errors_recorded"].state == "present"
    assert seen["effects_annotated"].state == "missing" and "get_order, refund" in seen["effects_annotated"].why
    assert seen["arguments_validated"].state == "unknown"
    assert "step_or_cost_limit" not in seen, "its level does not demand one"


def test_who_goes_on_by_itself_is_autonomous(store: TraceStore) -> None:
    rounds(1).store(store)
    one = level(store, "digger")
    assert one.level == 3
    assert controls(one)["state_recorded"].state == "missing"
    assert controls(one)["step_or_cost_limit"].state == "unknown"


def test_a_plan_told_as_a_state_makes_autonomous_and_is_a_control(store: TraceStore) -> None:
    trace = rounds(1, count=1)
    trace.event(1, "pilothouse.state", **{"pilothouse.state.from": "", "pilothouse.state.to": "planning"})
    trace.store(store)
    one = level(store, "digger")
    assert one.level == 3 and controls(one)["state_recorded"].state == "present"


def test_limits_and_loops_are_seen_where_they_worked(store: TraceStore) -> None:
    stopped = rounds(1)
    stopped.spans[0].update(status="error", error_type="MaxTurnsExceeded", error_message="Max turns (4) exceeded")
    stopped.store(store, signals=["loop"])
    seen = controls(level(store, "digger"))
    assert seen["step_or_cost_limit"].state == "present" and seen["loop_detection"].state == "present"
    rounds(2, "endless", 60).store(store, signals=["loop"])
    seen = controls(level(store, "endless"))
    assert seen["step_or_cost_limit"].state == "missing" and "60 model calls" in seen["step_or_cost_limit"].why
    assert seen["loop_detection"].state == "missing" and seen["loop_detection"].examples


def test_the_levels_of_a_fleet_are_what_its_agents_do(store: TraceStore) -> None:
    whole = fleet(30)
    store_all(store, whole.traces)
    found = {one.agent: one.level for one in traces.levels(store, PROJECT).agents}
    assert found["front router"] == 4 and found["refund manager"] == 4
    assert found["letter writer"] == 3 and found["refund judge"] == 1
    assert len(found) == 16


def test_who_is_judged_and_works_again_corrects_itself(store: TraceStore) -> None:
    for number in (1, 2):
        trace = TraceBuilder(trace_id(number), agent="lead")
        trace.span(1, "agent", agent="lead", ms=9000)
        trace.span(2, "agent", parent=1, agent="writer", at_ms=100, ms=300)
        trace.span(3, "agent", parent=1, agent="style critic", at_ms=500, ms=300)
        trace.span(4, "agent", parent=1, agent="writer", at_ms=900, ms=300)
        if number == 1:
            trace.score("style", 0.7)
        trace.store(store)
    one = level(store, "lead")
    assert (one.level, one.name) == (5, "self-correcting")
    seen = controls(one)
    assert seen["corrections_evaluated"].state == "present" and seen["human_gate"].state == "unknown"
    assert seen["context_crosses_agents"].state == "present" and seen["handoff_contracts"].state == "unknown"
    assert level(store, "writer").level == 1, "the writer itself is called, and calls nobody"


def test_one_odd_trace_does_not_make_a_level(store: TraceStore) -> None:
    for number in range(1, 13):
        made = stateless(number)
        if number == 1:
            made.span(3, "tool", parent=1, agent="greeter", tool_name="clock")
        made.store(store)
    one = level(store, "greeter")
    assert one.level == 1
    assert next(trait for trait in one.traits if trait.name == "tools").traces == 1


def test_an_agent_that_did_not_run_has_no_level(store: TraceStore) -> None:
    with pytest.raises(NotFound, match="has that agent"):
        traces.levels(store, PROJECT, agent="nobody")
    assert traces.levels(store, PROJECT).agents == ()


def test_only_its_own_runs_count(store: TraceStore) -> None:
    """What the rest of the trace does is not the helper's doing."""
    trace = rounds(1, "boss")
    trace.span(50, "agent", parent=1, agent="helper", at_ms=5000)
    trace.span(51, "model", parent=50, agent="helper", model="m", at_ms=5010)
    trace.store(store, start_time=stored_time(NOW_NS - 600_000_000_000))
    assert level(store, "helper").level == 1 and level(store, "boss").level == 4
