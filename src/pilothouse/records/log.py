"""What a log record says about an agent: messages for a span, a score, or a span of its own."""

from __future__ import annotations

from dataclasses import dataclass

from .message import Message
from .span import RawSpan, Reading


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """A judgement about a span, as an emitter reports it."""

    name: str
    """What is judged, e.g. ``relevance``."""
    value: float | None = None
    label: str = ""
    """The verdict in words, e.g. ``pass``."""
    explanation: str = ""
    source: str = ""
    """Who judged: the emitter's scope name, or the judge it names."""
    trace_id: str = ""
    span_id: str = ""
    """The span judged; empty where only ``response_id`` tells which it is."""
    response_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogReading:
    """What a dialect reads out of one log record. ``input`` and ``output`` belong to the record's span."""

    spans: tuple[tuple[RawSpan, Reading], ...] = ()
    """Spans made from the record, for emitters that report only logs."""
    input: tuple[Message, ...] = ()
    output: tuple[Message, ...] = ()
    score: Score | None = None
