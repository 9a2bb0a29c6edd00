"""The shape of one trace: drawn as a waterfall, as a critical path, as shares of its time and money, as a graph."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Waterfall:
    """A trace's spans as columns, in step order: small to send and quick to draw, however many there are."""

    trace_id: str
    start_time: str
    duration_ms: float
    spans: int
    step: tuple[int, ...]
    span_id: tuple[str, ...]
    parent: tuple[int, ...]
    """Index of the parent in these lists; -1 at a root or where the parent never arrived."""
    depth: tuple[int, ...]
    kind: tuple[int, ...]
    """Index into ``kinds``."""
    name: tuple[int, ...]
    """Index into ``names``."""
    start_ms: tuple[float, ...]
    """From the start of the trace."""
    duration: tuple[float, ...]
    """Milliseconds."""
    status: tuple[int, ...]
    """0 ok, 1 error, 2 running, 3 a tool that failed although its span says ok."""
    tokens: tuple[int, ...]
    """All tokens, 0 where not counted."""
    cost_usd: tuple[float, ...]
    """0 where not counted or unknown."""
    critical: tuple[int, ...]
    """1 on the critical path."""
    kinds: tuple[str, ...]
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PathPart:
    """A stretch of the critical path: until it ended, nothing after it could."""

    step: int
    span_id: str
    kind: str
    label: str
    start_ms: float
    """From the start of the trace."""
    duration_ms: float
    """Of the stretch, not of the span."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """How much of a trace's time and money went into one thing."""

    what: str
    """model, tool, guard, retrieval, …, agent (its own work), waiting."""
    label: str
    """The model, tool or agent; empty for the sum of its kind."""
    calls: int
    self_ms: float
    """Wall clock of it alone: each moment belongs to the deepest spans running, shared evenly among parallel ones."""
    total_ms: float
    """Sum of the durations, parallel ones counted each."""
    cost_usd: Decimal | None
    total_tokens: int
    errors: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceBreakdown:
    """Where the time and the money of one trace went."""

    duration_ms: float
    by_kind: tuple[Share, ...]
    """``self_ms`` of all adds up to the duration."""
    by_label: tuple[Share, ...]
    """Most time first, at most 30."""


Role = Literal["", "manager", "router", "worker", "critic"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphNode:
    """An agent, a model or a tool in the agent graph; or several that differ in a number only, folded."""

    id: str
    """``agent:manager``, ``tool:get_order``, ``model:gpt-x``; folded: ``agent:worker*``."""
    kind: str
    label: str
    calls: int
    errors: int
    total_ms: float
    cost_usd: Decimal | None
    first_step: int
    role: Role = ""
    """What an agent does among the others, inferred from the trace alone; empty where nothing tells."""
    role_why: str = ""
    """The rule that told, in words."""
    parallel: int = 0
    """Runs of agents side by side under one caller, at most, while one of this agent ran; 0 of what is no agent."""
    members: tuple[str, ...] = ()
    """The labels that are folded into this node, at most fifty; empty where it is one."""
    instances: int = 1
    """How many are folded into this node."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphEdge:
    """Who called whom, and how often."""

    source: str
    target: str
    calls: int
    errors: int
    kind: Literal["calls", "handoff"] = "calls"
    """``handoff``: the one gave its work away to the other instead of asking for an answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentGraph:
    """Who works with whom: agents, the models and tools they call, derived from the spans."""

    nodes: tuple[GraphNode, ...]
    edges: tuple[GraphEdge, ...]
    nodes_cut: int = 0
    """Nodes of fewer calls that are left out."""
