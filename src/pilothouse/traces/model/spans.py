"""A trace and its spans, with and without their content."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from .lists import Tokens, TraceRow

Form = Literal["tree", "card", "transcript", "preview", "json", "md", "atif"]
FORMS: tuple[Form, ...] = ("tree", "card", "transcript", "preview", "json", "md", "atif")

DEFAULT_BUDGET = 10_000
"""Characters of a text form, unless the caller asks for more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """One step of a trace, without its long content: what trees, waterfalls and graphs need."""

    step: int
    """Place in the trace by start time, from 1; the same number on every surface."""
    span_id: str
    parent_span_id: str
    """Empty at a root. It may name a span that never arrived."""
    depth: int
    """Ancestors present in the trace."""
    kind: str
    name: str
    agent: str
    agent_version: str
    model: str
    provider: str
    dialect: str
    status: str
    """ok, error or running."""
    error_type: str
    error_message: str
    """The first 300 characters."""
    tool_name: str
    tool_call_id: str
    tool_error: str
    """Why a tool failed although its span says ok."""
    start_time: str
    offset_ms: float
    """From the start of the trace."""
    duration_ms: float
    ttft_ms: float | None
    tokens: Tokens | None
    """None where the span reports no usage."""
    usage_scope: str
    """leaf, aggregate or empty."""
    duplicate_of: str
    """The span that is the same call seen by another instrumentation."""
    cost_usd: Decimal | None
    """As priced; it counts in sums only where ``counted``."""
    counted: bool
    """False for aggregates and duplicates."""
    finish_reason: str
    input_head: str
    """What was new in the input, its first 120 characters."""
    output_head: str
    """The output, its first 120 characters."""
    notes: tuple[str, ...]

    @property
    def failed(self) -> bool:
        """True for an error, soft tool errors included."""
        return self.status == "error" or bool(self.tool_error)

    @property
    def label(self) -> str:
        """The one word people know it by: the tool, the model, the agent, else the span's name."""
        return {"tool": self.tool_name, "model": self.model, "agent": self.agent}.get(self.kind, "") or self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """A whole trace: its row and its spans in step order."""

    row: TraceRow
    spans: tuple[Span, ...]
    cut: int = 0
    """Spans beyond the 100,000 that are read at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageView:
    """One message as it is shown."""

    role: str
    text: str
    """The words: text and tool results."""
    parts: tuple[Mapping[str, Any], ...]
    """All parts: text, reasoning, tool_call, tool_result, media, other."""
    hash: str
    missing: bool = False
    """True where the content is not stored (any more)."""
    chars: int = 0
    """Length of the stored words; a transcript shows at most 4,000 characters of each part."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventView:
    """Something a span noted on its way."""

    time: str
    name: str
    attributes: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreView:
    """A judgement on a span, a trace or a session."""

    name: str
    value: float | None
    label: str
    explanation: str
    source: str
    time: str
    span_id: str = ""
    score_id: str = ""
    """Of one that was written afterwards; empty for one that came with the telemetry."""
    actor_kind: str = ""
    """person, agent or evaluator; empty for one that came with the telemetry."""
    run: str = ""
    """The run that wrote it afterwards."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteView:
    """A note or a label on a step, a trace or a session, and who left it."""

    annotation_id: str
    kind: str
    """note or label."""
    name: str
    """The label; empty for a note."""
    text: str
    actor: str
    actor_kind: str
    """person, agent or evaluator."""
    run: str
    time: str
    span_id: str = ""
    session_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallBefore:
    """A call that ended before a failed one did."""

    step: int
    """0 where it is not stored."""
    span_id: str
    name: str
    status: str
    """ok, error or soft_error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CodePlace:
    """Where in the code a step was made."""

    file: str
    """Below the program's folder or its library's, never absolute."""
    line: int
    """0 where it is not known."""
    function: str
    found: Literal["attributes", "stack"]
    """``attributes``: the sender says so; ``stack``: where the step's error was raised."""
    step: int = 0
    """Of the step around, where the step itself does not say; else 0."""

    @property
    def text(self) -> str:
        """``file:line``, as editors and terminals open it."""
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanDetail:
    """One step with all its content."""

    trace_id: str
    span: Span
    input: tuple[MessageView, ...]
    """The whole conversation sent (model and agent spans)."""
    output: tuple[MessageView, ...]
    input_value: str
    """What was given where it is not a conversation: tool arguments, a query."""
    output_value: str
    """What came back where it is not a conversation: a tool's raw result."""
    tools: tuple[Mapping[str, Any], ...]
    """Definitions of the tools the model could choose from."""
    documents: tuple[Mapping[str, Any], ...]
    """Retrieved documents."""
    parameters: Mapping[str, Any]
    error_message: str
    error_stack: str
    attributes: Mapping[str, Any]
    """Every raw attribute, with its type."""
    resource: Mapping[str, str]
    scope_name: str
    scope_version: str
    session_id: str
    user_id: str
    environment: str
    service: str
    feature: str
    tags: tuple[str, ...]
    prompt_name: str
    prompt_version: str
    operation: str
    request_model: str
    response_id: str
    usage_rule: str
    usage_ambiguous: bool
    cost_source: str
    cost_given_usd: Decimal | None
    links: tuple[Mapping[str, Any], ...]
    events: tuple[EventView, ...]
    scores: tuple[ScoreView, ...]
    received_at: str
    notes_left: tuple[NoteView, ...] = ()
    """Notes and labels on this step and on the whole trace, oldest first."""
    error_inputs: str = ""
    """Of a failed step: what it was given, as the recorder kept it; empty where the input above says it."""
    led_by: tuple[CallBefore, ...] = ()
    """Of a failed step: the last ten calls of the trace that ended before it did, the newest last."""
    code: CodePlace | None = None
    """Where in the code it was made; of the nearest step around it where it does not say itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscriptStep:
    """One step of a transcript: what is new in it."""

    span: Span
    said: tuple[MessageView, ...]
    """Input messages that no earlier step showed."""
    output: tuple[MessageView, ...]
    """Output messages that this step made; an agent's only where none of its model calls made them."""
    input_value: str
    """What was given where it is not a conversation; its head."""
    input_chars: int
    """How long it is as a whole."""
    output_value: str
    """What came back where it is not a conversation; its head."""
    output_chars: int
    """How long it is as a whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcript:
    """A page of a trace's transcript: each message once, in order."""

    trace_id: str
    steps: tuple[TranscriptStep, ...]
    next_step: int | None
    """``after_step`` of the next page; None at the end."""
    total: int
    """Steps in the whole trace."""
