"""What went through the gateway: calls, errors, latency and cost by upstream and route, from stored traces."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from pilothouse.store import TraceStore
from pilothouse.store.gateway_reads import By, gateway_calls

from .model.gateway import GatewayCalls, GatewayTraffic
from .windows import Range

_ROWS_MAX: Final = 200
_NONE: Final[Mapping[str, Any]] = {"name": "", "calls": 0, "ms": [], "cost_usd": "0"}
_COUNTS: Final = ("errors", "retried", "fell_back", "stood_in", "cached", "blocked", "over_budget", "limited")


def gateway_traffic(store: TraceStore, project: str, covered: Range) -> GatewayTraffic:
    """The calls of a window."""

    def rows(by: By) -> list[dict[str, Any]]:
        return gateway_calls(store, project, covered.since_ns, covered.until_ns, by=by, limit=_ROWS_MAX)

    total = _calls(next(iter(rows("all")), _NONE), 0)
    if not total.calls:
        return GatewayTraffic(window=covered.as_window(), total=total, upstreams=(), routes=())
    return GatewayTraffic(
        window=covered.as_window(),
        total=total,
        upstreams=tuple(_calls(row, total.calls) for row in rows("upstream")),
        routes=tuple(_calls(row, total.calls) for row in rows("route")),
    )


def _calls(row: Mapping[str, Any], of: int) -> GatewayCalls:
    calls, ms = int(row["calls"]), row["ms"]
    return GatewayCalls(
        name=row["name"],
        calls=calls,
        share=round(calls / (of or calls), 4) if calls else 0.0,
        p50_ms=round(ms[0], 1) if ms else None,
        p95_ms=round(ms[1], 1) if ms else None,
        cost_usd=Decimal(row["cost_usd"]),
        **{name: int(row.get(name, 0)) for name in _COUNTS},
    )
