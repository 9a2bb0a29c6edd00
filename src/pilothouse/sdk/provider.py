"""A tracer provider of our own, whose spans hang together even where another provider's spans lie between them."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any, Final

from opentelemetry import trace
from opentelemetry.context import Context, get_current
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON

OWN_SPAN: Final = "pilothouse-own-span"
"""Context key of the innermost span that the recorder opened itself."""

_ATTRIBUTES_MAX: Final = 20_000
"""OpenTelemetry's 128 would drop the beginning of any long conversation that is written as flat attributes."""
_EVENTS_MAX: Final = 10_000

_borrowed_trace: ContextVar[int] = ContextVar("pilothouse-borrowed-trace", default=0)


class _Ids(RandomIdGenerator):
    def generate_trace_id(self) -> int:
        return _borrowed_trace.get() or super().generate_trace_id()


class OwnProvider(TracerProvider):
    """A provider that records everything and never takes a span for its parent that it does not know.

    Such a span (another vendor's, the program's own OpenTelemetry) is in nobody's hands here: a child of it would be an
    orphan. The child goes to our innermost span instead; without one it is a root, in the same trace, linked to it.
    """

    def __init__(self, resource: Resource) -> None:
        limits = SpanLimits(max_span_attributes=_ATTRIBUTES_MAX, max_attributes=_ATTRIBUTES_MAX, max_events=_EVENTS_MAX)
        super().__init__(
            sampler=ALWAYS_ON,
            resource=resource,
            shutdown_on_exit=False,
            id_generator=_Ids(),
            span_limits=limits,
        )

    def get_tracer(self, *args: Any, **kwargs: Any) -> trace.Tracer:
        """A tracer whose spans find their parents among our own."""
        tracer: Any = super().get_tracer(*args, **kwargs)
        start = tracer.start_span

        def start_span(name: str, context: Context | None = None, *more: Any, **further: Any) -> trace.Span:
            stranger = self._stranger(context)
            if stranger is None:
                return start(name, context, *more, **further)
            return self._beside(stranger, start, name, context, *more, **further)

        tracer.start_span = start_span
        return tracer

    def _stranger(self, context: Context | None) -> trace.SpanContext | None:
        """The span in the context, where it is local and not ours."""
        current = trace.get_current_span(context)
        where = current.get_span_context()
        if not where.is_valid or where.is_remote or getattr(current, "resource", None) is self.resource:
            return None
        return where

    def _beside(
        self, stranger: trace.SpanContext, start: Any, name: str, context: Context | None, *more: Any, **further: Any
    ) -> trace.Span:
        base = get_current() if context is None else context
        own = base.get(OWN_SPAN)
        if isinstance(own, trace.Span) and getattr(own, "resource", None) is self.resource:
            return start(name, trace.set_span_in_context(own, base), *more, **further)
        token = _borrowed_trace.set(stranger.trace_id)
        try:
            span: trace.Span = start(name, trace.set_span_in_context(trace.INVALID_SPAN, base), *more, **further)
        finally:
            _borrowed_trace.reset(token)
        span.add_link(stranger)
        return span
