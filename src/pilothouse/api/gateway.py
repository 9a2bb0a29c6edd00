"""The gateway as it stands: upstreams, keys by name, breakers, calls under way."""

from __future__ import annotations

from fastapi import APIRouter, Response

from pilothouse.gateway import GatewayStatus

from .context import Caller
from .envelope import Envelope, answer

router = APIRouter(tags=["gateway"])


@router.get("/gateway", response_model=Envelope[GatewayStatus])
def show_gateway(caller: Caller) -> Response:
    """The gateway now: upstreams and what is under way at each, the health of keys by name, breakers, routes."""
    return answer(caller.provider.gateway_status(), next=["pilothouse cache show", "pilothouse docs gateway"])
