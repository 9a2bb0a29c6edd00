"""A span as it arrives (:class:`RawSpan`) and as a dialect reads it (:class:`Reading`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

from .message import Message
from .usage import Usage

Kind = Literal["agent", "model", "tool", "retrieval", "embedding", "guard", "evaluator", "waiting", "chain", "other"]
KINDS: tuple[Kind, ...] = (
    "agent",
    "model",
    "tool",
    "retrieval",
    "embedding",
    "guard",
    "evaluator",
    "waiting",
    "chain",
    "other",
)
Status = Literal["ok", "error", "running"]

Attributes = Mapping[str, Any]
"""OTLP attributes as plain data: str, bool, int, float, bytes, list and dict."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Emitter:
    """Who sent it: the resource and the instrumentation scope, shared by all spans of one block."""

    resource: Attributes = field(default_factory=dict[str, Any])
    """The resource's attributes, e.g. ``service.name``."""
    scope_name: str = ""
    """The instrumentation's name, e.g. ``openinference.instrumentation.openai``: decides the dialect."""
    scope_version: str = ""
    scope_attributes: Attributes = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True, kw_only=True)
class RawEvent:
    """A span event as it arrived."""

    time_ns: int
    name: str
    attributes: Attributes


@dataclass(frozen=True, slots=True, kw_only=True)
class RawLink:
    """A link to another span, as it arrived."""

    trace_id: str
    span_id: str
    attributes: Attributes


@dataclass(frozen=True, slots=True, kw_only=True)
class RawSpan:
    """One OTLP span, decoded and checked, before any convention is applied."""

    trace_id: str
    """32 lower-case hex digits, not all zero."""
    span_id: str
    """16 lower-case hex digits, not all zero."""
    parent_span_id: str = ""
    """16 lower-case hex digits, or empty at the root."""
    name: str
    otel_kind: int = 1
    """0 unspecified, 1 internal, 2 server, 3 client, 4 producer, 5 consumer."""
    start_ns: int
    """Nanoseconds since 1970 UTC, as sent."""
    end_ns: int
    """Nanoseconds since 1970 UTC, as sent; 0 where the span has not ended."""
    status_code: int = 0
    """0 unset, 1 ok, 2 error."""
    status_message: str = ""
    trace_state: str = ""
    attributes: Attributes = field(default_factory=dict[str, Any])
    events: tuple[RawEvent, ...] = ()
    links: tuple[RawLink, ...] = ()
    emitter: Emitter = field(default_factory=Emitter)


@dataclass(frozen=True, slots=True, kw_only=True)
class RawLog:
    """One OTLP log record, decoded and checked."""

    time_ns: int
    observed_ns: int = 0
    severity_number: int = 0
    severity_text: str = ""
    body: Any = None
    event_name: str = ""
    trace_id: str = ""
    """32 lower-case hex digits, or empty."""
    span_id: str = ""
    attributes: Attributes = field(default_factory=dict[str, Any])
    emitter: Emitter = field(default_factory=Emitter)


@dataclass(frozen=True, slots=True, kw_only=True)
class RawPoint:
    """One OTLP metric data point, decoded and checked."""

    metric: str
    unit: str = ""
    description: str = ""
    type: Literal["gauge", "sum", "histogram", "exponential_histogram", "summary"]
    temporality: Literal["", "delta", "cumulative"] = ""
    monotonic: bool = False
    start_ns: int = 0
    time_ns: int
    value: float = 0.0
    """The number, or the sum of a histogram or summary."""
    count: int = 0
    """Observations in a histogram or summary."""
    detail: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Bounds and bucket counts, quantiles, min and max: what the type has beyond value and count."""
    attributes: Attributes = field(default_factory=dict[str, Any])
    emitter: Emitter = field(default_factory=Emitter)


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolDefinition:
    """A tool offered to the model."""

    name: str
    definition: Any
    """The definition as sent: name, description, JSON Schema of the parameters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A retrieved document."""

    id: str = ""
    content: str = ""
    score: float | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a dialect reads out of one raw span: the canonical fields, none of them required.

    Messages hold conversation; ``input_value``/``output_value`` hold what a tool, chain or agent got and gave
    where it is not a conversation. Neither repeats the other.
    """

    dialect: str
    """Which rules read it, e.g. ``openinference``."""
    kind: Kind = "other"
    name: str = ""
    """The name to show; empty keeps the span's own."""
    agent: str = ""
    """The agent this span *is* (kind agent) or says it belongs to."""
    agent_id: str = ""
    agent_version: str = ""
    operation: str = ""
    """The emitter's own word for what is done, e.g. ``chat`` or ``execute_tool``."""
    model: str = ""
    """The model that answered, else the one asked for."""
    request_model: str = ""
    provider: str = ""
    """Lower-case provider id as genai-prices knows it where possible: openai, anthropic, google, azure, aws, …"""
    response_id: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Request parameters: temperature, max_tokens, …"""
    finish_reason: str = ""
    input: tuple[Message, ...] = ()
    """The whole conversation sent, system instructions first."""
    begins_with_request: bool = False
    """True where the input is known to be one run's alone: its first message of a user is what was asked."""
    output: tuple[Message, ...] = ()
    input_value: str = ""
    """Input that is not a conversation: tool arguments (JSON), a query, a chain's input."""
    output_value: str = ""
    """Output that is not a conversation: a tool's raw result, a chain's output."""
    tools: tuple[ToolDefinition, ...] = ()
    tool_name: str = ""
    tool_call_id: str = ""
    tool_error: str = ""
    """Why a tool failed although the span says ok (``isError``, an error body): empty where it did not."""
    documents: tuple[Document, ...] = ()
    session_id: str = ""
    user_id: str = ""
    tags: tuple[str, ...] = ()
    environment: str = ""
    feature: str = ""
    prompt_name: str = ""
    prompt_version: str = ""
    prompt_template: str = ""
    usage: Usage | None = None
    cost_given_usd: Decimal | None = None
    """What the emitter says it cost."""
    ttft_ns: int | None = None
    """Nanoseconds from the start to the first token."""
    error_type: str = ""
    error_message: str = ""
    error_stack: str = ""
    running: bool = False
    """True for a placeholder of a span that has not ended (it is replaced when the real one comes)."""
    span_id: str = ""
    """Set where the placeholder stands for another span id than its own."""
    parent_span_id: str | None = None
    """Set where the placeholder states its real parent (empty string: it is a root)."""
    consumed: frozenset[str] = frozenset()
    """Attribute keys whose content is held above in full and need not be kept raw (messages, values, definitions)."""
    notes: tuple[str, ...] = ()
    """What the reader should know, e.g. ``cache counts dropped by the emitter: cost is a lower bound``."""
