"""The agent graph: who works with whom, derived from the spans of one trace."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from .model import AgentGraph, GraphEdge, GraphNode, Span, Trace

_NODE_KINDS = ("agent", "model", "tool", "retrieval", "embedding", "guard", "evaluator")
_CALLER_KINDS = ("agent", "tool")


@dataclass(slots=True)
class _Node:
    kind: str
    label: str
    first_step: int
    calls: int = 0
    errors: int = 0
    total_ms: float = 0.0
    cost: Decimal | None = None


def graph(trace: Trace) -> AgentGraph:
    """Agents with the agents, models and tools they called. An edge goes from the nearest agent or tool above a span.

    Spans that are the same call seen twice count once. Where no agent span lies above, the trace's own agent stands.
    """
    nodes: dict[str, _Node] = {}
    edges: dict[tuple[str, str], list[int]] = {}
    callers = _callers(trace)
    top = _id("agent", trace.row.agent or trace.row.root_name or "agent")
    for span in trace.spans:
        if span.kind not in _NODE_KINDS or span.duplicate_of:
            continue
        here = _id(span.kind, span.label)
        node = nodes.setdefault(here, _Node(span.kind, span.label, span.step))
        node.calls += 1
        node.errors += span.failed
        node.total_ms += span.duration_ms
        if span.counted and span.cost_usd is not None:
            node.cost = (node.cost or Decimal(0)) + span.cost_usd
        caller = callers.get(span.span_id)
        source = _id(caller.kind, caller.label) if caller else top
        if source == here or (caller is None and span.kind == "agent"):
            continue
        nodes.setdefault(source, _Node("agent", source.partition(":")[2], span.step))
        counts = edges.setdefault((source, here), [0, 0])
        counts[0] += 1
        counts[1] += span.failed
    return AgentGraph(
        nodes=tuple(
            GraphNode(
                id=id,
                kind=node.kind,
                label=node.label,
                calls=node.calls,
                errors=node.errors,
                total_ms=round(node.total_ms, 3),
                cost_usd=node.cost,
                first_step=node.first_step,
            )
            for id, node in nodes.items()
        ),
        edges=tuple(
            GraphEdge(source=source, target=target, calls=calls, errors=errors)
            for (source, target), (calls, errors) in edges.items()
        ),
    )


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


def _id(kind: str, label: str) -> str:
    return f"{kind}:{label}"
