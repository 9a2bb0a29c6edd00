"""The agent graph of one trace: folded, with inferred roles, quick at any size."""

from __future__ import annotations

from typing import Any

import pytest

from pilothouse import traces
from pilothouse.store import TraceStore
from pilothouse.traces.model import AgentGraph, GraphNode
from tests.fleets import fleet, store_all

from .support import PROJECT, TraceBuilder, trace_id


def made(store: TraceStore, trace: TraceBuilder, **options: Any) -> AgentGraph:
    return traces.graph(traces.load(store, PROJECT, trace.store(store)), **options)


def by_id(graph: AgentGraph) -> dict[str, GraphNode]:
    return {node.id: node for node in graph.nodes}


def team() -> TraceBuilder:
    """A manager gives three numbered workers work side by side, a critic looks, the writer writes twice."""
    trace = TraceBuilder(trace_id(1))
    trace.span(1, "agent", agent="team lead", ms=9000)
    trace.span(2, "model", "chat", parent=1, agent="team lead", model="m", at_ms=10)
    for place in range(3):
        here = 10 + place * 5
        trace.span(here, "agent", parent=1, agent=f"worker-{place + 1}", at_ms=100 + place, ms=1000)
        trace.span(here + 1, "tool", parent=here, tool_name="search", at_ms=150 + place)
    trace.span(40, "agent", parent=1, agent="writer", at_ms=2000, ms=500)
    trace.span(41, "agent", parent=1, agent="second eye", at_ms=2600, ms=500)
    trace.span(42, "model", "chat", parent=41, model="m", at_ms=2700)
    trace.span(43, "agent", parent=1, agent="writer", at_ms=3200, ms=500)
    trace.span(44, "model", "chat", parent=1, model="m", at_ms=4000)
    return trace


def test_numbered_workers_are_one_node_until_it_is_opened(store: TraceStore) -> None:
    folded = by_id(made(store, team()))
    workers = folded["agent:worker*"]
    assert workers.instances == 3 and workers.calls == 3 and workers.members == ("worker-1", "worker-2", "worker-3")
    opened = by_id(made(store, team(), expand=("agent:worker*",)))
    assert "agent:worker*" not in opened and opened["agent:worker-2"].instances == 1
    assert set(by_id(made(store, team(), expand=("*",)))) == set(opened)


def test_two_of_a_kind_are_not_folded(store: TraceStore) -> None:
    trace = TraceBuilder(trace_id(1))
    trace.span(1, "agent", agent="boss")
    trace.span(2, "model", parent=1, model="gpt-4")
    trace.span(3, "model", parent=1, model="gpt-5")
    trace.span(4, "model", parent=1, model="gpt-6")
    trace.span(5, "tool", parent=1, tool_name="step_1")
    trace.span(6, "tool", parent=1, tool_name="step_2")
    assert set(by_id(made(store, trace))) == {
        *("agent:boss", "model:gpt-4", "model:gpt-5", "model:gpt-6", "tool:step_1", "tool:step_2")
    }


def test_roles_are_told_with_the_rule_that_told(store: TraceStore) -> None:
    nodes = by_id(made(store, team()))
    roles = {id: node.role for id, node in nodes.items() if node.kind == "agent"}
    assert roles == {
        "agent:team lead": "manager",
        "agent:worker*": "worker",
        "agent:writer": "worker",
        "agent:second eye": "critic",
    }
    assert nodes["agent:second eye"].role_why == "it runs between two runs of writer"
    assert nodes["agent:team lead"].role_why.startswith("it calls worker*, writer, second eye")
    assert nodes["agent:worker*"].parallel == 3 and nodes["agent:writer"].parallel == 1
    assert nodes["model:m"].role == "" and nodes["model:m"].parallel == 0


def test_an_agent_alone_has_no_role(store: TraceStore) -> None:
    trace = TraceBuilder(trace_id(1))
    trace.span(1, "agent", agent="judge of everything")
    trace.span(2, "tool", parent=1, tool_name="search")
    assert by_id(made(store, trace))["agent:judge of everything"].role == ""


def test_who_hands_over_is_a_router(store: TraceStore) -> None:
    trace = TraceBuilder(trace_id(1))
    trace.span(1, "chain", "workflow")
    trace.span(2, "agent", parent=1, agent="concierge")
    trace.span(3, "tool", "handoff to housekeeping", parent=2, tool_name="handoff to housekeeping")
    trace.span(4, "agent", parent=1, agent="housekeeping", at_ms=500)
    graph = made(store, trace)
    assert [(edge.source, edge.target, edge.kind) for edge in graph.edges] == [
        ("agent:concierge", "agent:housekeeping", "handoff")
    ]
    roles = {node.id: node.role for node in graph.nodes}
    assert roles == {"agent:concierge": "router", "agent:housekeeping": "worker"}


def test_the_roles_of_a_fleet_are_what_its_agents_are(store: TraceStore) -> None:
    """Ten traces: a router, managers, critics and workers, named so that names alone would not do for workers."""
    whole = fleet(10)
    store_all(store, whole.traces)
    for trace in whole.traces:
        nodes = traces.graph(traces.load(store, PROJECT, trace.id)).nodes
        for node in nodes:
            if node.kind == "agent":
                word = node.label.rsplit(" ", 1)[-1]
                wanted = {"router": "router", "manager": "manager", "judge": "critic", "reviewer": "critic"}
                assert node.role == wanted.get(word, "worker"), (node.label, node.role_why)


@pytest.mark.parametrize("agents", [60, 700])
def test_a_trace_of_very_many_agents_stays_small(store: TraceStore, agents: int) -> None:
    trace = TraceBuilder(trace_id(1))
    trace.span(1, "agent", agent="boss", ms=90_000)
    for place in range(agents):
        letters = "".join(chr(97 + place // 26**k % 26) for k in range(3))
        trace.span(10 + place, "agent", parent=1, agent=f"agent {letters}", at_ms=place)
    graph = made(store, trace)
    assert len(graph.nodes) == min(agents + 1, 200) and graph.nodes_cut == max(agents + 1 - 200, 0)
    assert by_id(graph)["agent:boss"].role == "manager"
