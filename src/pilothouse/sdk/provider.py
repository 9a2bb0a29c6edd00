"""A tracer provider of our own, whose spans hang together even where another provider's spans lie between them."""

from __future__ import annotations

from contextvars import ContextVar
from functools import partial
from typing import Any, Final, cast

from opentelemetry import trace
from opentelemetry.context import Context, get_current
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, Tracer, TracerProvider
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON

from .context import CALL

OWN_SPAN: Final = "pilothouse-own-span"
"""Context key of the innermost span that the recorder opened itself."""

_ATTRIBUTES_MAX: Final = 20_000
"""OpenTelemetry's 128 would drop the beginning of any long conversation that is written as flat attributes."""
_EVENTS_MAX: Final = 10_000

_MODEL_SCOPES: Final = ("openinference.", "opentelemetry.instrumentation.")
"""Scopes of instrumentors that are switched on for this provider: quiet within a model call that we record ourselves."""
_PYDANTIC_AI: Final = "pydantic-ai"
"""The scope of pydantic-ai's own spans: its model calls say all that the instrumentor of a library below would."""

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
        tracer = super().get_tracer(*args, **kwargs)
        if isinstance(tracer, Tracer):
            # By the class, not on the instance: there are instrumentors that call the method of a tracer's class.
            tracer.__class__ = OwnTracer
            scope = args[0] if args else kwargs.get("instrumenting_module_name", "")
            cast("OwnTracer", tracer).watches_models = str(scope).startswith(_MODEL_SCOPES)
        return tracer


class OwnTracer(Tracer):
    """A tracer of :class:`OwnProvider`."""

    watches_models = False
    """True for an instrumentor of a model library."""

    def start_span(self, name: str, context: Context | None = None, *args: Any, **kwargs: Any) -> trace.Span:
        """Start a span below the right parent; none for an instrumentor within a model call of ours."""
        start = partial(Tracer.start_span, self)
        base = get_current() if context is None else context
        if self.watches_models and (call := _model_call(base)) is not None:
            return trace.NonRecordingSpan(call)
        stranger = _stranger(base, self.resource)
        if stranger is None:
            return start(name, base, *args, **kwargs)
        own = base.get(OWN_SPAN)
        if isinstance(own, trace.Span) and getattr(own, "resource", None) is self.resource:
            return start(name, trace.set_span_in_context(own, base), *args, **kwargs)
        token = _borrowed_trace.set(stranger.trace_id)
        try:
            span = start(name, trace.set_span_in_context(trace.INVALID_SPAN, base), *args, **kwargs)
        finally:
            _borrowed_trace.reset(token)
        span.add_link(stranger)
        return span


def _stranger(context: Context, ours: Resource) -> trace.SpanContext | None:
    """The span in the context, where it is local and not ours."""
    current = trace.get_current_span(context)
    where = current.get_span_context()
    if not where.is_valid or where.is_remote or getattr(current, "resource", None) is ours:
        return None
    return where


def _model_call(context: Context) -> trace.SpanContext | None:
    """The model call that the context lies directly in, where it is ours or pydantic-ai's on our provider.

    Recording it a second time would double what it cost.
    """
    call: Any = context.get(CALL)
    if getattr(call, "kind", "") == "model":
        return call.span.get_span_context()
    current: Any = trace.get_current_span(context)
    scope = getattr(current, "instrumentation_scope", None)
    if scope is None or scope.name != _PYDANTIC_AI:
        return None
    return current.get_span_context() if current.attributes.get("gen_ai.operation.name") == "chat" else None
