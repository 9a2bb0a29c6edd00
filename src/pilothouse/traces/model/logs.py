"""Log lines: of a search, and of a trace with the reason why each belongs to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Reason = Literal["trace_id", "request_id", "session_id", "user_id", "time"]
REASONS: tuple[Reason, ...] = ("trace_id", "request_id", "session_id", "user_id", "time")
Confidence = Literal["certain", "high", "medium", "low"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRow:
    """One log record."""

    id: str
    """Tells it from others of the same moment."""
    time: str
    severity: str
    """TRACE, DEBUG, INFO, WARN, ERROR, FATAL, the sender's own word, or empty."""
    severity_number: int
    """1 to 24; 0 unknown. From 17 on it is an error."""
    service: str
    host: str
    body: str
    """The text, at most 4,000 characters."""
    body_chars: int
    """How long the whole text is."""
    event_name: str
    trace_id: str
    span_id: str
    logger: str
    """The logger or instrumentation that wrote it."""
    error_type: str
    stack: str
    """Of an exception: where it was raised."""
    attributes: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class LogQuery:
    """Which log records; what is empty does not matter."""

    text: str = ""
    """Words that stand together, whole words."""
    service: str = ""
    host: str = ""
    level: str = ""
    """At least: trace, debug, info, warn, error or fatal."""
    trace_id: str = ""
    since_ns: int | None = None
    until_ns: int | None = None
    limit: int = 50
    cursor: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceLogRow:
    """A log record that belongs to a trace, or may."""

    time: str
    offset_ms: float
    """From the start of the trace; negative before it."""
    reason: Reason
    confidence: Confidence
    why: str
    """What joins it, e.g. ``request_id r-17, also on step 4``."""
    step: int
    """The step that was at work then; 0: none was."""
    span_id: str
    """Its span."""
    step_label: str
    never_a_span: bool
    """True for an error at whose moment no step failed."""
    severity: str
    severity_number: int
    service: str
    host: str
    body: str
    logger: str
    log: LogRow


@dataclass(frozen=True, slots=True, kw_only=True)
class LogGroup:
    """The lines that one reason joins to a trace, oldest first."""

    reason: Reason
    confidence: Confidence
    why: str
    """The rule in a sentence."""
    count: int
    """How many there are; of more than 1,000 that many."""
    rows: tuple[TraceLogRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceLogs:
    """The log lines of servers and infrastructure that belong to a trace, each with the reason and how sure it is."""

    trace_id: str
    since: str
    """The trace's first moment."""
    until: str
    groups: tuple[LogGroup, ...]
    """The surest first."""
    lost: tuple[TraceLogRow, ...]
    """Errors that never became spans: no step failed at their moment."""
    infra_left_out: int
    """Lines of the same places at the same time that were not asked for."""
    hosts: tuple[str, ...]
    """Where the trace ran, as its spans say."""
    services: tuple[str, ...]
    clock_allowance_ms: int
    """How far clocks of different machines may differ."""
    notes: tuple[str, ...] = field(default_factory=tuple[str, ...])
    """What keeps the answer from being whole, e.g. that the spans name no host."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LostError:
    """An error in a log whose trace does not tell of it."""

    kind: Literal["no_span", "no_failed_span"]
    """Whether the trace has no span at all, or none that failed."""
    agent: str
    """The agent of the trace, or the name of its root."""
    trace_status: str
    """ok or running; empty where there is no trace."""
    row: LogRow


@dataclass(frozen=True, slots=True, kw_only=True)
class LogFacet:
    """The commonest values of a field among the records of a query."""

    field: str
    values: tuple[LogCount, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LogCount:
    """One value of a facet."""

    value: str
    count: int
    errors: int
