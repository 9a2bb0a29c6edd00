"""What went through the gateway in a window, as stored traces tell it."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from .lists import Window


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayCalls:
    """Calls of one upstream, one route, or all."""

    name: str
    """Of the upstream, or the route's pattern of models; empty: it went by none, as where a gate stopped it before."""
    calls: int
    share: float
    """Of all calls of the window."""
    errors: int
    """That ended with an error for the caller."""
    p50_ms: float | None
    """Of answers that came from a model; None where none did."""
    p95_ms: float | None
    cost_usd: Decimal
    retried: int
    """For which an upstream was asked more than once."""
    fell_back: int
    """That another model answered than the one that was asked for."""
    stood_in: int
    """That were answered by a kept answer or a template, since no model did."""
    cached: int
    """Answered by the response cache."""
    blocked: int
    """Refused by a guard."""
    over_budget: int
    limited: int
    """Refused by a rate limit, ours or the provider's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayTraffic:
    """A window of the gateway."""

    window: Window
    total: GatewayCalls
    upstreams: tuple[GatewayCalls, ...]
    routes: tuple[GatewayCalls, ...]
