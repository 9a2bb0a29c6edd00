"""What travels with the OpenTelemetry context beside the span: our innermost call, labels for all spans, the attempt."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from contextvars import Token
from dataclasses import dataclass
from typing import Any, Final, cast

from opentelemetry import context as otel

CALL: Final = "pilothouse-call"
"""Context key of the innermost :class:`~pilothouse.sdk.calls.Call`."""
LABELS: Final = "pilothouse-labels"
"""Context key of attributes that every span inside gets."""
ATTEMPT: Final = "pilothouse-attempt"
"""Context key of an :class:`Attempt`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try of a call that is repeated."""

    number: int
    """From 1."""
    most: int
    parent_span_id: int
    """The span in which the call is made: only its direct children are the attempt, not what they call."""


def labels(context: Mapping[str, Any]) -> Mapping[str, Any]:
    """The attributes that every span gets in this context."""
    found = context.get(LABELS)
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}


def labelled(attributes: Mapping[str, Any]) -> otel.Context:
    """The current context with these attributes added for every span inside."""
    current = otel.get_current()
    return otel.set_value(LABELS, {**labels(current), **attributes}, current)


def attach(context: otel.Context) -> Any:
    """Make a context the current one; give the result to :func:`detach`."""
    return otel.attach(context)


def detach(token: Any) -> None:
    """Bring the context before back; quietly nothing where the code has moved to another task meanwhile.

    An async generator that is dropped is closed by the event loop, in a context where nothing was attached.
    OpenTelemetry's own ``detach`` would log an error there.
    """
    if not isinstance(token, Token):
        otel.detach(token)
        return
    with contextlib.suppress(ValueError, RuntimeError):
        token.var.reset(token)  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]  # Token[Unknown]
