"""The system map: the components of a window, who calls whom, and which prompts are sent."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from .lists import Window

ComponentKind = Literal[
    "agent", "model", "tool", "retrieval", "embedding", "guard", "evaluator", "mcp", "external", "human", "service"
]
COMPONENT_KINDS: tuple[ComponentKind, ...] = (
    "agent",
    "model",
    "tool",
    "retrieval",
    "embedding",
    "guard",
    "evaluator",
    "mcp",
    "external",
    "human",
    "service",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """One part of the system, as its spans show it."""

    id: str
    """``agent:refunds``, ``tool:get_order``, ``mcp:github``, ``external:api.stripe.com``, ``human:approval``, …"""
    kind: ComponentKind
    label: str
    services: tuple[str, ...]
    """The services (``service.name``) whose spans name it, at most ten; the first hosts it most."""
    calls: int
    """Its spans; duplicates of a second instrumentation left out."""
    errors: int
    """Those that failed, soft errors of tools included."""
    error_share: float
    p95_ms: float | None
    """Of what has ended; None where nothing has."""
    cost_usd: Decimal | None
    """Of its own calls: for an agent nothing but what is reported on its own span; see ``spent_usd``."""
    spent_usd: Decimal | None
    """For an agent: what the model calls that name it cost. None elsewhere."""
    versions: tuple[str, ...]
    """Of an agent, at most ten."""
    provider: str
    """Of a model."""
    last_seen: str
    prompts: int = 0
    """Of an agent: different prompts seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MapEdge:
    """Who calls whom."""

    source: str
    target: str
    kind: Literal["calls", "handoff", "hosts"]
    """``hosts``: the tools that an MCP server offers."""
    calls: int
    """Scaled up where the edges were sampled."""
    errors: int
    error_share: float
    p95_ms: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptUse:
    """A prompt as one agent sends it: by its managed name and version, else by the hash of the system message."""

    id: str
    """``name@version``, ``name``, or the first twelve digits of the hash."""
    agent: str
    """Empty where no agent is named."""
    name: str
    version: str
    hash: str
    """Content hash of the system message: ``contents.hash`` in SQL; empty where only a name is known."""
    head: str
    """How it begins, at most 160 characters."""
    calls: int
    errors: int
    cost_usd: Decimal | None
    models: tuple[str, ...]
    last_seen: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceUse:
    """A process as it names itself, and where it runs."""

    service: str
    hosts: tuple[str, ...]
    """Hosts seen in its newest spans, at most ten."""
    spans: int
    errors: int
    components: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemMap:
    """The components of a window and who calls whom, derived from spans."""

    window: Window
    filter: str
    spans: int
    components: tuple[Component, ...]
    """Busiest first within their kind, at most 500."""
    components_cut: int
    edges: tuple[MapEdge, ...]
    """Busiest first, at most 3,000."""
    edges_cut: int
    edges_share: float
    """The share of traces whose spans were joined to their callers; counts of edges are scaled up by it. 1: exact."""
    prompts: tuple[PromptUse, ...]
    """Busiest first, at most 1,000."""
    prompts_cut: int
    prompts_share: float
    """The share of traces in which prompts were looked for; their counts are scaled up by it. 1: exact."""
    services: tuple[ServiceUse, ...]
    notes: tuple[str, ...] = ()
    """What the reader should know: sampled, cut, calls without a named caller."""
