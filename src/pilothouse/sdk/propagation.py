"""Trace context across processes: W3C ``traceparent``, ``tracestate`` and ``baggage`` out of and into any carrier.

A carrier is whatever travels with a request: HTTP headers, the headers of a queue message, ``params._meta`` of an MCP
request, the environment of a child process. Nothing here raises: a carrier that cannot be read is one without context.
"""

from __future__ import annotations

import functools
import os
import subprocess
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from types import TracebackType
from typing import Any, Final, Self, cast

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from .provider import OWN_SPAN

FIELDS: Final = ("traceparent", "tracestate", "baggage")
"""The names in a carrier; in the environment they are written in capitals."""

VALUE_CHARS_MAX: Final = 8192
"""Longer values are not read: the W3C baggage limit, which is the largest of the three."""

Carrier = Mapping[Any, Any] | Iterable[tuple[Any, Any]]
"""Names and values: a mapping, or pairs as ASGI and Kafka give them. Names match in any case, text or bytes."""

_PATCHED: Final = "__pilothouse_patched__"
"""The mark of a function that is ours. Not the mark of a wrapped tool: a patched method may be wrapped as one, too."""

_TRACE = TraceContextTextMapPropagator()
_BAGGAGE = W3CBaggagePropagator()


class Continued:
    """The trace of whoever sent something: inside the block, spans are children of the sender's span.

    Without a sender's context the block changes nothing.
    """

    def __init__(self, context: Context | None) -> None:
        self.context = context
        """For APIs of OpenTelemetry that take a context; None where the carrier had none."""
        self._token: Any = None  # opentelemetry's Token is a private generic of contextvars

    @property
    def trace_id(self) -> str:
        """The sender's trace as 32 hex digits; empty where there is none."""
        found = trace.get_current_span(self.context).get_span_context() if self.context is not None else None
        return trace.format_trace_id(found.trace_id) if found is not None and found.is_valid else ""

    def __enter__(self) -> Self:
        if self.context is not None:
            self._token = otel_context.attach(self.context)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if self._token is not None:
            otel_context.detach(self._token)
            self._token = None

    def __repr__(self) -> str:
        return f"Continued(trace_id={self.trace_id!r})"


def inject(carrier: MutableMapping[str, Any] | None = None, context: Context | None = None) -> MutableMapping[str, Any]:
    """Write the current trace context into a carrier and return it; a new dict where none is given.

    Outside of any span nothing is written. Inside another provider's span our innermost span is written: the receiver
    shall hang below a span that is known here.
    """
    target: MutableMapping[str, Any] = {} if carrier is None else carrier
    try:
        context = _ours(context)
        if trace.get_current_span(context).get_span_context().is_valid:
            # Into a dict of our own first: the carrier may hold the names in another case.
            found: dict[str, str] = {}
            _TRACE.inject(found, context)
            _BAGGAGE.inject(found, context)
            for name in [name for name in target if _plain(name) in found]:
                del target[name]
            target.update(found)
    except Exception:  # noqa: S110  # recording never disturbs a caller
        pass
    return target


def _ours(context: Context | None) -> Context:
    base = otel_context.get_current() if context is None else context
    own: Any = base.get(OWN_SPAN)
    current: Any = trace.get_current_span(base)
    where = current.get_span_context()
    if own is None or where.is_remote or getattr(current, "resource", None) is getattr(own, "resource", None):
        return base
    return trace.set_span_in_context(own, base)


def extract(carrier: Carrier | None) -> Continued:
    """Read the sender's trace context from a carrier; ``with pilothouse.extract(headers):`` continues its trace."""
    return Continued(_read(carrier))


def environment_context(environment: Mapping[str, str] | None = None) -> Context | None:
    """The trace that this process was started in: ``TRACEPARENT``, ``TRACESTATE`` and ``BAGGAGE``; None without."""
    known = os.environ if environment is None else environment
    return _read({name: known[name.upper()] for name in FIELDS if name.upper() in known})


def child_environment(environment: Mapping[Any, Any] | None = None) -> Mapping[Any, Any] | None:
    """The environment for a child process that continues the current trace; as given outside of any span."""
    found = inject()
    if not found:
        return environment
    known: Mapping[Any, Any] = os.environ if environment is None else environment
    return {**known, **{name.upper(): value for name, value in found.items()}}


def continue_environment() -> None:
    """Go on with the trace this process was started in: in the calling thread, and in what it starts from here on."""
    if trace.get_current_span().get_span_context().is_valid:
        return
    context = environment_context()
    if context is not None:
        otel_context.attach(context)


def carry_into_subprocesses() -> None:
    """Let children started by :mod:`subprocess` (and so by asyncio) continue the trace; a second call does nothing."""
    original = subprocess.Popen.__init__
    if hasattr(original, _PATCHED):
        return

    @functools.wraps(original)
    def start(self: Any, *args: Any, **kwargs: Any) -> None:
        original(self, *_with_environment(args, kwargs), **kwargs)

    setattr(start, _PATCHED, True)
    subprocess.Popen.__init__ = start  # type: ignore[method-assign]  # the one place all children pass


_ENVIRONMENT_POSITION: Final = 10
"""Where ``env`` stands among the arguments of Popen that may be given by position."""


def _with_environment(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
    try:
        if len(args) > _ENVIRONMENT_POSITION:
            at = _ENVIRONMENT_POSITION
            return (*args[:at], child_environment(args[at]), *args[at + 1 :])
        changed = child_environment(kwargs.get("env"))
        if changed is not None:
            kwargs["env"] = changed
    except Exception:  # noqa: S110  # an environment of an odd kind is Popen's business
        pass
    return args


def wrap_method(owner: Any, name: str, make: Callable[[Callable[..., Any]], Callable[..., Any]]) -> bool:
    """Replace a method by ``make(method)``, once; False where it is missing or ours already."""
    original = getattr(owner, name, None)
    if original is None or hasattr(original, _PATCHED):
        return False
    replacement = functools.wraps(original)(make(original))
    setattr(replacement, _PATCHED, True)
    setattr(owner, name, replacement)
    return True


def _read(carrier: Carrier | None) -> Context | None:
    try:
        found = _fields(carrier)
        if "traceparent" not in found:
            return None
        sender = trace.get_current_span(_TRACE.extract(found, Context()))
        if not sender.get_span_context().is_valid:
            return None
        # On top of what is current: only the span and the baggage are the sender's.
        return _BAGGAGE.extract(found, trace.set_span_in_context(sender))
    except Exception:
        return None


def _fields(carrier: Carrier | None) -> dict[str, str]:
    if not carrier:
        return {}
    pairs = cast("Mapping[Any, Any]", carrier).items() if isinstance(carrier, Mapping) else carrier
    found: dict[str, str] = {}
    for name, value in pairs:
        plain = _plain(name)
        if plain in FIELDS:
            first = cast("list[Any]", value)[0] if isinstance(value, list | tuple) and value else cast("Any", value)
            text = first.decode("latin-1") if isinstance(first, bytes) else first
            if isinstance(text, str) and len(text) <= VALUE_CHARS_MAX:
                found.setdefault(plain, text)
    return found


def _plain(name: Any) -> str:
    text = name.decode("latin-1") if isinstance(name, bytes) else name
    return text.lower() if isinstance(text, str) else ""
