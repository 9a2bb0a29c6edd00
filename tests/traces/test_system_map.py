"""The system map of fleets whose truth is known."""

from __future__ import annotations

import sys

import pytest

from pilothouse import traces
from pilothouse.records import NotFound, text_message
from pilothouse.store import TraceStore
from pilothouse.traces.system_map import find, focused, system_map
from tests.fleets import SEED, Fleet, fleet, store_all

from .support import NOW_NS, PROJECT, TraceBuilder, support_trace, trace_id


@pytest.fixture(scope="module")
def whole() -> Fleet:
    """Sixty components and three hundred prompts."""
    print("seed", SEED)
    return fleet()


def test_every_component_call_and_prompt_of_a_fleet_is_on_the_map(store: TraceStore, whole: Fleet) -> None:
    store_all(store, whole.traces)
    made = system_map(store, PROJECT)
    servers = {"mcp:github", "mcp:calendar"}
    assert {one.id: one.calls for one in made.components if one.id not in servers} == dict(whole.calls)
    assert {one.id: one.errors for one in made.components if one.errors and one.id not in servers} == {
        id: number for id, number in whole.errors.items() if number
    }
    assert {(one.source, one.target): one.calls for one in made.edges if one.kind != "hosts"} == dict(whole.edges)
    assert {f"{one.agent}/{one.id}" for one in made.prompts} == whole.prompts
    assert len(made.components) == 60 and len(made.prompts) == 300
    assert made.edges_share == 1 and made.notes == ()


def test_components_know_what_they_cost_and_where_they_run(store: TraceStore, whole: Fleet) -> None:
    store_all(store, whole.traces)
    made = {one.id: one for one in system_map(store, PROJECT).components}
    front, model = made["agent:front router"], made["model:gpt-5"]
    assert str(front.spent_usd) == "0.072" and front.versions == ("1.0", "1.1") and front.services == ("gateway",)
    assert str(model.cost_usd) == "0.072" and model.p95_ms == 900 and model.provider == "openai"
    assert made["tool:write_mail"].error_share > 0.1
    assert made["mcp:github"].calls == made["tool:mcp__github__create_issue"].calls * 2
    services = {one.service: one for one in system_map(store, PROJECT).services}
    assert services["gateway"].hosts == ("node-0", "node-1", "node-2", "node-3")
    assert sum(one.spans for one in services.values()) == sum(len(trace.spans) for trace in whole.traces)


def test_prompts_say_how_they_begin_and_a_name_wins_over_a_hash(store: TraceStore, whole: Fleet) -> None:
    store_all(store, whole.traces)
    prompts = system_map(store, PROJECT).prompts
    named = [one for one in prompts if one.name]
    assert len(named) == 100 and all(one.id == f"{one.name}@{one.version}" for one in named)
    assert all(one.head.startswith(f"You are the {one.agent}.") for one in prompts)


def test_callers_are_found_through_wrappers_that_name_no_agent(store: TraceStore) -> None:
    trace = TraceBuilder(trace_id(1))
    trace.span(1, "agent", agent="boss")
    trace.span(2, "chain", "step", parent=1)
    trace.span(3, "chain", "sequence", parent=2)
    trace.span(4, "model", "chat", parent=3, model="gpt-x")
    trace.span(5, "agent", parent=3, agent="helper")
    trace.span(6, "chain", "step", parent=5)
    trace.span(7, "tool", "look", parent=6, tool_name="look")
    trace.span(8, "model", "chat", parent=7, model="gpt-x", agent="helper")
    trace.store(store)
    edges = {(one.source, one.target) for one in system_map(store, PROJECT).edges}
    assert edges == {
        ("agent:boss", "model:gpt-x"),
        ("agent:boss", "agent:helper"),
        ("agent:helper", "tool:look"),
        ("tool:look", "model:gpt-x"),
    }


def test_a_program_without_agents_is_its_service(store: TraceStore) -> None:
    trace = TraceBuilder(trace_id(1), agent="")
    trace.span(1, "other", "POST /chat", service="shop")
    trace.span(2, "model", "chat", parent=1, model="gpt-x", service="shop")
    trace.store(store)
    made = system_map(store, PROJECT)
    assert [(one.source, one.target) for one in made.edges] == [("service:shop", "model:gpt-x")]
    assert find(made, "shop").kind == "service"


def test_a_tool_that_hands_over_is_a_handoff(store: TraceStore) -> None:
    trace = TraceBuilder(trace_id(1))
    trace.span(1, "chain", "workflow")
    trace.span(2, "agent", parent=1, agent="concierge")
    trace.span(3, "tool", "transfer_to_house_keeping", parent=2, tool_name="transfer_to_house_keeping")
    trace.span(4, "agent", parent=1, agent="House Keeping", at_ms=500)
    trace.store(store)
    made = system_map(store, PROJECT)
    assert [(one.source, one.target, one.kind) for one in made.edges] == [
        ("agent:concierge", "agent:House Keeping", "handoff")
    ]
    assert not [one for one in made.components if one.kind == "tool"]


def test_an_mcp_server_is_told_by_attributes(store: TraceStore) -> None:
    trace = TraceBuilder(trace_id(1))
    trace.span(1, "agent", agent="boss")
    attributes = {"mcp.method.name": "tools/call", "server.address": "weather.example"}
    trace.span(2, "tool", "tools/call forecast", parent=1, tool_name="forecast", agent="boss", attributes=attributes)
    trace.store(store)
    edges = {(one.source, one.target): one.kind for one in system_map(store, PROJECT).edges}
    assert edges == {("agent:boss", "tool:forecast"): "calls", ("tool:forecast", "mcp:weather.example"): "hosts"}


def test_waits_that_are_for_nobody_are_no_component(store: TraceStore) -> None:
    trace = TraceBuilder(trace_id(1))
    trace.span(1, "agent", agent="boss")
    trace.span(2, "waiting", parent=1, attributes={"pilothouse.wait.for": "rate_limit"})
    trace.span(3, "waiting", parent=1, attributes={"pilothouse.wait.for": "human"})
    trace.store(store)
    assert {one.id for one in system_map(store, PROJECT).components} == {"agent:boss", "human:a person"}


def test_second_views_of_a_call_count_once(store: TraceStore) -> None:
    trace = support_trace(1)
    trace.span(150, "model", "twin", parent=101, model="gpt-x", agent="refunds", duplicate_of="x")
    trace.store(store)
    assert find(system_map(store, PROJECT), "gpt-x").calls == 3


def test_a_filter_and_a_window_choose_traces(store: TraceStore) -> None:
    support_trace(1, environment="staging").store(store)
    support_trace(2).store(store)
    old = support_trace(3, start_ns=NOW_NS - 3 * 86_400_000_000_000)
    old.store(store)
    assert find(system_map(store, PROJECT), "refunds").calls == 2
    assert find(system_map(store, PROJECT, filters="env:staging"), "refunds").calls == 1
    week = system_map(store, PROJECT, since_ns=NOW_NS - 7 * 86_400_000_000_000)
    assert find(week, "refunds").calls == 3
    assert system_map(store, PROJECT, filters="env:nowhere").components == ()
    assert system_map(store, "prj_other").components == ()


def test_a_component_is_shown_with_its_neighbours(store: TraceStore, whole: Fleet) -> None:
    store_all(store, whole.traces)
    made = system_map(store, PROJECT)
    near = focused(made, "Letter_Writer")
    assert find(made, "letter writer").id == "agent:letter writer"
    assert {edge.source for edge in near.edges if edge.target == "agent:letter writer"} == {
        "agent:refund manager", "agent:research manager", "agent:onboarding manager"
    }  # fmt: skip
    assert {one.agent for one in near.prompts} == {"letter writer"}
    assert "mcp:calendar" in {one.id for one in near.components}
    assert len(near.components) < 20
    with pytest.raises(NotFound) as error:
        focused(made, "letter")
    assert error.value.allowed == ["agent:letter writer"]


def test_a_busy_window_is_sampled_and_says_so(store: TraceStore, whole: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    store_all(store, whole.traces)
    monkeypatch.setattr(sys.modules["pilothouse.traces.system_map"], "JOINED_SPANS_MAX", 1_000)
    made = system_map(store, PROJECT)
    assert made.edges_share == round(1 / 3, 4) and "one trace in 3" in made.notes[0]
    assert {one.id: one.calls for one in made.components}["agent:front router"] == 60
    edges = {(one.source, one.target): one.calls for one in made.edges if one.kind != "hosts"}
    assert set(edges) <= set(whole.edges) and all(calls % 3 == 0 for calls in edges.values())
    assert 0.4 < sum(edges.values()) / sum(whole.edges.values()) < 1.8


def test_the_map_is_a_verb_of_traces(store: TraceStore) -> None:
    trace = TraceBuilder(trace_id(1))
    trace.span(1, "agent", agent="boss")
    first = text_message("user", "hello")
    trace.span(2, "model", parent=1, agent="boss", model="gpt-x", input=[first])
    trace.store(store)
    made = traces.system_map(store, PROJECT)
    assert made.prompts == (), "what a user says is no prompt"
