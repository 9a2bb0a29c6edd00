"""Spans that have begun and not ended: what the server is told of them before they end."""

from __future__ import annotations

import json
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from opentelemetry.sdk.trace import Event, ReadableSpan, Span
from opentelemetry.trace import SpanContext

from pilothouse.records import names

from .encode import plain

OPEN_MAX = 20_000
"""Open spans that are watched at once. Further ones are recorded when they end, without an early copy."""
COPY_AGE_S = 1.0
"""Shorter spans are sent once, when they end."""
COPY_AGAIN_S = 1.0
"""A span that changes is copied again at most so often."""
COPIES_MAX = 500
"""Early copies at one tick; the rest follow at the next."""
VALUE_CHARS_MAX = 16_000
"""Longer texts are cut in an early copy; the span itself brings them whole."""
COPY_CHARS_MAX = 100_000
COPY_EVENTS_MAX = 50
"""The newest events of an early copy."""
LISTED_MAX = 300
"""Open spans named in a heartbeat, the oldest first."""


@dataclass(slots=True)
class _Watched:
    """What is known of an open span from earlier ticks."""

    seen: float
    copied: float = 0.0
    shape: tuple[Any, ...] = ()


class OpenSpans:
    """The open spans of a process. Spans are not kept alive by being watched."""

    def __init__(self, mask: Callable[[str], str] | None) -> None:
        self._mask = mask
        self._open: dict[int, weakref.ref[Span]] = {}
        self._watched: dict[int, _Watched] = {}
        self.foreign: frozenset[int] = frozenset()
        """Spans of the process that this one was forked from: it ends them."""

    def __len__(self) -> int:
        return len(self._open)

    def add(self, span: Span) -> None:
        """Called when a span starts."""
        if len(self._open) < OPEN_MAX:
            self._open[cast("SpanContext", span.context).span_id] = weakref.ref(span)

    def ended(self, span_id: int) -> None:
        """Called when a span ends."""
        self._open.pop(span_id, None)

    def forked(self) -> None:
        """In a forked child: what was open belongs to the parent, which ends it."""
        self.foreign |= frozenset(self._open)
        self._open = {}
        self._watched = {}

    def early_copies(self, now: float, *, everything: bool = False) -> list[ReadableSpan]:
        """Copies of those that are open for a while and are new to the server or have changed since."""
        copies: list[ReadableSpan] = []
        watched: dict[int, _Watched] = {}
        for span_id, span in self._alive():
            known = watched[span_id] = self._watched.get(span_id) or _Watched(now)
            if len(copies) >= COPIES_MAX or not (everything or now - known.seen >= COPY_AGE_S):
                continue
            if known.shape and now - known.copied < COPY_AGAIN_S and not everything:
                continue
            shape = _shape(span)
            if shape != known.shape:
                known.shape, known.copied = shape, now
                copies.append(_copy(span))
        self._watched = watched
        return copies

    def describe(self, interval_s: float, instance: str) -> str:
        """The body of a heartbeat, as :data:`~pilothouse.records.names.HEARTBEAT_EVENT` documents it."""
        listed = [self._described(span) for _, span in self._alive()[:LISTED_MAX]]
        body = {"interval_s": interval_s, "instance": instance, "open": listed}
        return json.dumps(body, ensure_ascii=False)

    def any_older(self, now: float) -> bool:
        """True where a span is open that was copied early, or would be now."""
        return any(now - known.seen >= COPY_AGE_S for known in self._watched.values())

    def _alive(self) -> list[tuple[int, Span]]:
        found: list[tuple[int, Span]] = []
        for span_id, ref in self._open.copy().items():
            span = ref()
            if span is None:
                # Dropped by the program without being ended.
                self._open.pop(span_id, None)
            elif span.is_recording():
                found.append((span_id, span))
        return found

    def _described(self, span: Span) -> dict[str, Any]:
        context = span.get_span_context()
        values = plain(getattr(span, "_attributes", None))
        name = self._mask(span.name) if self._mask else span.name
        return {
            "trace_id": f"{context.trace_id:032x}",
            "span_id": f"{context.span_id:016x}",
            "name": name[:200],
            "kind": str(values.get(names.KIND, "")),
            "state": _state(span),
            "wait_for": str(values.get(names.WAIT_FOR, "")),
            "since_ns": span.start_time or 0,
        }


def _events(span: Span) -> list[Event]:
    return list(cast("tuple[Event, ...]", getattr(span, "_events", ())))


def _state(span: Span) -> str:
    """The last state that the span's events tell of."""
    for event in reversed(_events(span)):
        if event.name == names.STATE_EVENT:
            return str((event.attributes or {}).get(names.STATE_TO, ""))[:100]
    return ""


def _shape(span: Span) -> tuple[Any, ...]:
    """What changes when something worth showing has changed."""
    values = plain(getattr(span, "_attributes", None))
    newest = next(reversed(values), "") if isinstance(values, dict) else ""
    events = len(cast("tuple[Event, ...]", getattr(span, "_events", ())))
    return (span.name, len(values), newest, events, span.status.status_code, values.get(names.WAIT_FOR))


def _copy(span: Span) -> ReadableSpan:
    """The span as it is now, its long texts cut."""
    values = _cut(plain(getattr(span, "_attributes", None)))
    values[names.RUNNING] = True
    events = _events(span)[-COPY_EVENTS_MAX:]
    return ReadableSpan(
        name=span.name,
        context=cast("SpanContext", span.context),
        parent=span.parent,
        resource=span.resource,
        attributes=values,
        events=[Event(event.name, _cut(plain(event.attributes)), event.timestamp) for event in events],
        links=span.links,
        kind=span.kind,
        status=span.status,
        start_time=span.start_time,
        end_time=0,
        instrumentation_scope=span.instrumentation_scope,
    )


def _cut(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values that are short enough, long texts cut, and nothing past the bound."""
    kept: dict[str, Any] = {}
    room = COPY_CHARS_MAX
    for key, value in values.copy().items() if isinstance(values, dict) else values.items():
        if isinstance(value, str) and len(value) > VALUE_CHARS_MAX:
            value = f"{value[:VALUE_CHARS_MAX]}… [{len(value) - VALUE_CHARS_MAX:,} more characters when the span ends]"
        elif not isinstance(value, str | int | float | bool) and len(str(value)) > VALUE_CHARS_MAX:
            continue
        room -= len(value) if isinstance(value, str) else 100
        if room < 0:
            break
        kept[key] = value
    return kept
