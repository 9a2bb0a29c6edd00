"""How hard a call is, from its body: the same messages that its trace will have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

from pilothouse.sdk.messages import sent

from .call import Call
from .rules import Difficulty

_BYTES_MAX: Final = 256 * 1024
"""Longer requests are not rated: other calls would wait for it. A rule that asks is passed over then."""


def rate(call: Call, body: Mapping[str, Any], said: Mapping[str, str], routing: Difficulty) -> float | None:
    """How likely the cheap model is to do badly on a call; None where that is not known."""
    if len(call.request) > _BYTES_MAX or not routing.knows(call.project_id):
        return None
    given = body.get("messages") if body.get("messages") is not None else body.get("input")
    system = body.get("system") if body.get("system") is not None else body.get("instructions")
    tools = body.get("tools")
    call.difficulty = routing.difficulty(
        call.project_id,
        sent(system, given),
        tools=len(cast("list[Any]", tools)) if isinstance(tools, list) else 0,
        task=said.get("task") or said.get("feature") or said.get("agent") or "",
    )
    return call.difficulty
