"""Replays through the server's own gateway: its upstreams, its keys, its budgets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pilothouse.gateway import Gateway
from pilothouse.gateway.replaying import aimed, replay
from pilothouse.routing import Answered, Asker, Target
from pilothouse.routing.asking import Wire


def make_asker(gateway: Gateway) -> Asker:
    """Asks models through a gateway."""

    def target(project: str, wire: Wire, body: Mapping[str, Any], said: Mapping[str, Any]) -> Target:
        found, model = aimed(gateway, project, wire, body, said)
        return Target(model=model, provider=found.upstream.provider or found.upstream.wire)

    def ask(project: str, wire: Wire, body: Mapping[str, Any], said: Mapping[str, str]) -> Answered:
        found = replay(gateway, project, wire, body, said)
        return Answered(
            messages=found.messages,
            usage=found.usage,
            model=found.model,
            provider=found.provider,
            seconds=found.seconds,
            trace_id=found.trace_id,
            error=found.error,
        )

    return Asker(target, ask)
