"""Short ways to make the raw spans and logs of a test."""

from __future__ import annotations

from typing import Any

from pilothouse.conventions import read
from pilothouse.records import Emitter, RawEvent, RawSpan, Reading

TRACE = "1" * 32
SPAN = "2" * 16
PARENT = "3" * 16


def span(
    attributes: dict[str, Any],
    *,
    scope: str = "",
    name: str = "span",
    parent: str = PARENT,
    resource: dict[str, Any] | None = None,
    events: tuple[RawEvent, ...] = (),
    status: int = 0,
    message: str = "",
) -> RawSpan:
    """A span with these attributes, a second long."""
    return RawSpan(
        trace_id=TRACE,
        span_id=SPAN,
        parent_span_id=parent,
        name=name,
        start_ns=1_000_000_000,
        end_ns=2_000_000_000,
        status_code=status,
        status_message=message,
        attributes=attributes,
        events=events,
        emitter=Emitter(scope_name=scope, resource=resource or {}),
    )


def reading(attributes: dict[str, Any], **more: Any) -> Reading:
    """What is read out of such a span."""
    found = read(span(attributes, **more))
    assert not any(note.startswith("not read as") for note in found.notes), found.notes
    return found


def event(name: str, attributes: dict[str, Any]) -> RawEvent:
    """A span event in the middle of the span."""
    return RawEvent(time_ns=1_500_000_000, name=name, attributes=attributes)
