"""The agent graph: who works with whom, derived from the spans of one trace."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Literal

from .graph_roles import AgentRun, roles, side_by_side
from .model import AgentGraph, GraphEdge, GraphNode, Span, Trace
from .system_map import handoff_target, same_name

_NODE_KINDS = ("agent", "model", "tool", "retrieval", "embedding", "guard", "evaluator")
_CALLER_KINDS = ("agent", "tool")
NODES_MAX = 200
FOLD_FROM = 3
"""So many agents or tools that differ in a number only become one node."""
_MEMBERS_MAX = 50
_NUMBERED = re.compile(r"[-_ #:./(\[]*(?:[0-9a-f]{8}-[0-9a-f-]{20,}|[0-9a-f]{12,}|\d+)[)\]]?$")


@dataclass(slots=True)
class _Node:
    kind: str
    label: str
    first_step: int
    calls: int = 0
    errors: int = 0
    total_ms: float = 0.0
    cost: Decimal | None = None
    members: dict[str, None] = field(default_factory=dict[str, None])


def graph(trace: Trace, *, expand: Collection[str] = ()) -> AgentGraph:
    """Agents with the agents, models and tools they called, at most 200 nodes, the busiest.

    An edge goes from the nearest agent or tool above a span. Spans that are the same call seen twice count once. Where
    no agent span lies above, the trace's own agent stands. Three or more agents or tools whose names differ in a
    number only are one node, unless ``expand`` names it or is ``*``.
    """
    ids = _ids(trace.spans, expand)
    nodes: dict[str, _Node] = {}
    edges: dict[tuple[str, str], list[int]] = {}
    callers = _callers(trace)
    top = f"agent:{trace.row.agent or trace.row.root_name or 'agent'}"
    for span in trace.spans:
        if span.kind not in _NODE_KINDS or span.duplicate_of:
            continue
        here = ids[span.kind, span.label]
        node = nodes.setdefault(here, _Node(span.kind, here.partition(":")[2], span.step))
        node.calls += 1
        node.errors += span.failed
        node.total_ms += span.duration_ms
        node.members[span.label] = None
        if span.counted and span.cost_usd is not None:
            node.cost = (node.cost or Decimal(0)) + span.cost_usd
        caller = callers.get(span.span_id)
        source = ids.get((caller.kind, caller.label), f"{caller.kind}:{caller.label}") if caller else top
        if source == here or (caller is None and span.kind == "agent"):
            continue
        nodes.setdefault(source, _Node("agent", source.partition(":")[2], span.step))
        counts = edges.setdefault((source, here), [0, 0])
        counts[0] += 1
        counts[1] += span.failed
    handed = _handoffs(nodes, edges)
    runs = _runs(trace, ids, callers)
    found = roles(runs, handed)
    beside = side_by_side(runs)
    kept = sorted(nodes, key=lambda id: (nodes[id].kind != "agent", -nodes[id].calls, nodes[id].first_step))[:NODES_MAX]
    chosen = set(kept)
    made = [_made(id, node) for id, node in nodes.items() if id in chosen]
    return AgentGraph(
        nodes=tuple(
            replace(node, role=found[node.id].role, role_why=found[node.id].why, parallel=beside.get(node.id, 0))
            if node.id in found
            else replace(node, parallel=beside.get(node.id, 0))
            for node in made
        ),
        edges=tuple(
            GraphEdge(source=source, target=target, calls=calls, errors=errors, kind=_kind(handed, source, target))
            for (source, target), (calls, errors) in edges.items()
            if source in chosen and target in chosen
        ),
        nodes_cut=len(nodes) - len(kept),
    )


def _made(id: str, node: _Node) -> GraphNode:
    several = len(node.members) > 1
    return GraphNode(
        id=id,
        kind=node.kind,
        label=node.label,
        calls=node.calls,
        errors=node.errors,
        total_ms=round(node.total_ms, 3),
        cost_usd=node.cost,
        first_step=node.first_step,
        members=tuple(node.members)[:_MEMBERS_MAX] if several else (),
        instances=len(node.members) if several else 1,
    )


def _kind(handed: Collection[tuple[str, str]], source: str, target: str) -> Literal["calls", "handoff"]:
    return "handoff" if (source, target) in handed else "calls"


def _ids(spans: Sequence[Span], expand: Collection[str]) -> dict[tuple[str, str], str]:
    """The node of every kind and label: its own, or the one it is folded into."""
    labels = dict.fromkeys((span.kind, span.label) for span in spans if span.kind in _NODE_KINDS)
    stems: dict[tuple[str, str], list[str]] = defaultdict(list)
    for kind, label in labels:
        stem = _NUMBERED.sub("", label)
        if kind in _CALLER_KINDS and stem != label and len(stem) > 1:
            stems[kind, stem].append(label)
    ids = {(kind, label): f"{kind}:{label}" for kind, label in labels}
    for (kind, stem), members in stems.items():
        folded = f"{kind}:{stem}*"
        if len(members) >= FOLD_FROM and folded not in expand and "*" not in expand:
            ids.update(((kind, label), folded) for label in members)
    return ids


def _callers(trace: Trace) -> dict[str, Span]:
    """The nearest agent or tool above each span. Parents have smaller steps, so one pass in step order is enough."""
    spans = {span.span_id: span for span in trace.spans}
    nearest: dict[str, Span] = {}
    for span in trace.spans:
        parent = spans.get(span.parent_span_id)
        if parent is None or parent is span:
            continue
        if parent.kind in _CALLER_KINDS:
            nearest[span.span_id] = parent
        elif parent.span_id in nearest:
            nearest[span.span_id] = nearest[parent.span_id]
    return nearest


def _handoffs(nodes: dict[str, _Node], edges: dict[tuple[str, str], list[int]]) -> set[tuple[str, str]]:
    """Tools that do nothing but hand over to an agent of this trace become edges from agent to agent."""
    agents = [id for id, node in nodes.items() if node.kind == "agent"]
    handed: set[tuple[str, str]] = set()
    for id in [id for id, node in nodes.items() if node.kind == "tool"]:
        wanted = handoff_target(nodes[id].label)
        taker = next((agent for agent in agents if wanted and same_name(nodes[agent].label, wanted)), None)
        if taker is None:
            continue
        for source, target in [edge for edge in edges if id in edge]:
            calls, errors = edges.pop((source, target))
            if target != id or source == taker:
                continue
            counts = edges.setdefault((source, taker), [0, 0])
            counts[0] += calls
            counts[1] += errors
            handed.add((source, taker))
        del nodes[id]
    return handed


def _agent_above(span: Span, callers: dict[str, Span], known: dict[str, Span]) -> Span | None:
    """The nearest agent above a span: through the tools that agents are offered as, to the agent that used them."""
    caller = callers.get(span.span_id)
    passed: set[str] = set()
    while caller is not None and caller.kind == "tool":
        # Tools within tools may be thousands deep, or go round in a circle.
        if caller.span_id in known:
            return known[caller.span_id]
        if caller.span_id in passed:
            return None
        passed.add(caller.span_id)
        caller = callers.get(caller.span_id)
    return caller


def _runs(trace: Trace, ids: dict[tuple[str, str], str], callers: dict[str, Span]) -> list[AgentRun]:
    """Every run of an agent, with the run that called it and when its own model calls began."""
    models: dict[str, list[float]] = defaultdict(list)
    tools = Counter[str]()
    agent_above: dict[str, Span] = {}
    for span in trace.spans:
        caller = _agent_above(span, callers, agent_above)
        if caller is None:
            continue
        agent_above[span.span_id] = caller
        if span.kind == "model":
            models[caller.span_id].append(span.offset_ms)
        tools[caller.span_id] += span.kind == "tool"
    runs: list[AgentRun] = []
    for span in trace.spans:
        if span.kind != "agent" or span.duplicate_of:
            continue
        above = agent_above.get(span.span_id)
        runs.append(
            AgentRun(
                span_id=span.span_id,
                node=ids["agent", span.label],
                label=span.label,
                caller=above.span_id if above else "",
                start_ms=span.offset_ms,
                end_ms=span.offset_ms + span.duration_ms,
                last_model_ms=max(models[span.span_id], default=-1.0),
                tools=tools[span.span_id],
            )
        )
    return runs
