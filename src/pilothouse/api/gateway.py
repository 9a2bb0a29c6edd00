"""The gateway as it stands, and what went through it: upstreams, keys by name, breakers, calls of an hour and a day."""

from __future__ import annotations

import time
from dataclasses import dataclass, fields
from typing import Any, Final

from fastapi import APIRouter, Response

from pilothouse import traces
from pilothouse.gateway import GatewayStatus as StatusNow
from pilothouse.gateway import hosts_only
from pilothouse.traces.model.gateway import GatewayTraffic

from .context import Caller
from .envelope import Envelope, answer

router = APIRouter(tags=["gateway"])

_HOUR_NS: Final = 3_600_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayStatus(StatusNow):
    """The gateway as it stands, with what went through it."""

    hour: GatewayTraffic
    """Calls of this project in the last hour."""
    day: GatewayTraffic
    """Calls of this project in the last 24 hours."""


@router.get("/gateway", response_model=Envelope[GatewayStatus])
def show_gateway(caller: Caller) -> Response:
    """The gateway now: upstreams and what is under way at each, the health of keys by name, breakers, routes, traffic.

    Whole addresses of upstreams and where keys come from are shown to those who may write; others see hosts and numbers.
    """
    status = caller.provider.gateway_status()
    if not caller.grant.allows("write"):
        status = hosts_only(status)
    now_ns = time.time_ns()
    hour, day = (
        traces.gateway_traffic(
            caller.store, caller.project_id, traces.Range(since_ns=now_ns - hours * _HOUR_NS, until_ns=now_ns)
        )
        for hours in (1, 24)
    )
    known: dict[str, Any] = {one.name: getattr(status, one.name) for one in fields(StatusNow)}
    return answer(GatewayStatus(**known, hour=hour, day=day), next=["pilothouse cache show", "pilothouse docs gateway"])
