"""An open span of the recorder: where it stands, what went wrong in it, and what every span of ours gets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import context as otel
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace import Span as SdkSpan
from opentelemetry.trace import SpanKind, Status, StatusCode

from pilothouse.records import names

from .books import Books
from .context import ATTEMPT, CALL, Attempt, attach, detach, labels
from .jsons import readable
from .provider import OWN_SPAN
from .stacks import describe

if TYPE_CHECKING:
    from .recorder import Recorder

_STOPPED: Final = (KeyboardInterrupt, SystemExit, asyncio.CancelledError)
"""Ends that say somebody stopped the work, not that it failed: errors all the same, with a plain message."""
_AGENT_NAME: Final = "gen_ai.agent.name"
_INPUT_CHARS: Final = 20_000


class Call:
    """One open span. Nothing here raises; everything after :meth:`end` is without effect."""

    __slots__ = (
        *("_context", "_ended", "_token", "agent", "inputs", "kind", "name", "recorder", "span", "state", "subject"),
    )

    def __init__(
        self, recorder: Recorder, span: trace.Span, context: otel.Context, kind: str, agent: Call | None
    ) -> None:
        self.recorder = recorder
        self.span = span
        self.kind = kind
        self.agent: Call | None = self if kind == "agent" else agent
        """The agent in which this happens."""
        self.name = ""
        """Of an agent, or of the agent in which this happens."""
        self.state = ""
        """Of an agent: the state it said it is in."""
        self.inputs: str | Callable[[], str] = ""
        """What the call was given, as JSON, for a failure's report; empty where the span holds it as messages."""
        self.subject: Any = None
        """What a plan keeps between the beginning and the end."""
        self._context = context
        self._token: Any = None
        self._ended = False

    @property
    def trace_id(self) -> int:
        """The trace."""
        return self.span.get_span_context().trace_id

    def enter(self) -> None:
        """Make this the current span."""
        self._token = attach(self._context)

    def leave(self) -> None:
        """Make the span before the current one again."""
        token, self._token = self._token, None
        if token is not None:
            detach(token)

    def set(self, attributes: Mapping[str, Any]) -> None:
        """Add attributes of OpenTelemetry's types."""
        self.span.set_attributes(attributes)

    def fail(self, error: BaseException) -> None:
        """Record what went wrong, with what was given and what led here."""
        if isinstance(error, GeneratorExit):
            # Whoever read the stream had enough of it.
            self.span.set_attribute(names.CLOSED_EARLY, True)
            return
        told = describe(error)
        self.span.add_event(
            "exception",
            {"exception.type": told.type, "exception.message": told.message, "exception.stacktrace": told.stack},
        )
        attributes: dict[str, Any] = {"error.type": told.type}
        if self.recorder.settings.capture_content:
            inputs = self.inputs() if callable(self.inputs) else self.inputs
            if inputs:
                attributes[names.INPUTS] = inputs[:_INPUT_CHARS]
        if led_by := self.recorder.books.led_by(self.trace_id):
            attributes[names.LED_BY] = led_by
        self.span.set_attributes(attributes)
        message = told.message or ("stopped" if isinstance(error, _STOPPED) else told.type)
        self.span.set_status(Status(StatusCode.ERROR, message[:2_000]))

    def end(self) -> None:
        """End the span, once."""
        if not self._ended:
            self._ended = True
            self.span.end()
            # Whatever was started in here may keep its context for long: it shall not keep what the call was given.
            self._context, self.inputs, self.subject = otel.Context(), "", None


def open_call(
    recorder: Recorder,
    kind: str,
    name: str,
    attributes: Mapping[str, Any],
    context: otel.Context | None = None,
) -> Call:
    """Start a span of ours in the current context, or in a given one; it is not made the current span yet."""
    base = otel.get_current() if context is None else context
    outer = base.get(CALL)
    agent = outer.agent if isinstance(outer, Call) else None
    told: dict[str, Any] = {names.KIND: kind, **attributes}
    if agent is not None and agent.name:
        told.setdefault(_AGENT_NAME, agent.name)
    otel_kind = SpanKind.CLIENT if kind == "model" else SpanKind.INTERNAL
    span = recorder.tracer.start_span(readable(name), base, otel_kind, told)
    inside = trace.set_span_in_context(span, base)
    call = Call(recorder, span, inside, kind, agent)
    call.name = str(told.get(_AGENT_NAME, ""))
    # The context is a dict that forbids changes by its methods alone: one copy, not three.
    dict[str, object].update(inside, {OWN_SPAN: span, CALL: call})
    return call


def current_call() -> Call | None:
    """The innermost open call of ours in the current context."""
    found = otel.get_current().get(CALL)
    return found if isinstance(found, Call) else None


class Bookkeeping(SpanProcessor):
    """Labels every span that starts in our provider, whoever starts it, and keeps the books of open traces."""

    def __init__(self, books: Books) -> None:
        self._books = books

    def on_start(self, span: SdkSpan, parent_context: otel.Context | None = None) -> None:
        """Add the labels of the context, and the number of the attempt."""
        context = otel.get_current() if parent_context is None else parent_context
        found = labels(context)
        if found:
            span.set_attributes(found)
        attempt = context.get(ATTEMPT)
        if isinstance(attempt, Attempt) and attempt.parent_span_id == (span.parent.span_id if span.parent else 0):
            span.set_attributes({names.RETRY_ATTEMPT: attempt.number, names.RETRY_MAX: attempt.most})
        self._books.opened(span.get_span_context().trace_id)

    def on_end(self, span: ReadableSpan) -> None:
        """Remember the call for the errors that follow."""
        where = span.get_span_context()
        if where is not None:
            outcome = str((span.attributes or {}).get(names.TOOL_OUTCOME, "ok"))
            status = "error" if span.status.status_code is StatusCode.ERROR else outcome
            self._books.ended(where.trace_id, where.span_id, span.name, status)
