"""What the verbs of :mod:`pilothouse.traces` take and give: frozen data whose JSON form is stable.

Moments are ISO 8601 in UTC, durations are milliseconds with their unit in the name, money is Decimal (a string in
JSON). Keys are only ever added, never renamed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Generic, Literal, TypeVar

T = TypeVar("T")

Form = Literal["tree", "card", "transcript", "preview", "json", "md"]
FORMS: tuple[Form, ...] = ("tree", "card", "transcript", "preview", "json", "md")

Sort = Literal["newest", "oldest", "slowest", "dearest", "tokens", "errors", "spans"]
SORTS: tuple[Sort, ...] = ("newest", "oldest", "slowest", "dearest", "tokens", "errors", "spans")

DEFAULT_WINDOW_NS = 7 * 24 * 3600 * 1_000_000_000
"""Seven days: the time bound of a list that names none."""
DEFAULT_BUDGET = 10_000
"""Characters of a text form, unless the caller asks for more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceQuery:
    """Which traces, in which order. All times in nanoseconds since 1970 UTC."""

    text: str = ""
    """The filter language: ``status:error agent:refunds cost>0.1 -tag:test "card declined"``."""
    since_ns: int | None = None
    """From this moment on; None: seven days before ``until_ns``."""
    until_ns: int | None = None
    """Before this moment; None: now."""
    sort: Sort = "newest"
    """Ties are broken by the id, so the order is stable."""
    limit: int = 50
    """Rows a page, 1 to 1,000."""
    cursor: str = ""
    """``next`` of the page before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The time range an answer covers."""

    since: str
    """From, ISO 8601 UTC."""
    until: str
    """Before, ISO 8601 UTC."""
    assumed: bool = False
    """True where the caller named no start and seven days were taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[T]):
    """Some rows of a list, and how to get the next ones."""

    items: tuple[T, ...]
    next: str = ""
    """The cursor of the next page; empty at the end."""
    more: bool = False
    """True where there is a next page."""
    total: int = 0
    """How many there are on all pages."""
    total_is: Literal["exact", "estimate"] = "exact"
    window: Window
    """The time range searched."""
    emptied_by: tuple[str, ...] = ()
    """Where nothing was found: the filters without which there is something."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """Tokens in disjoint buckets; the total is their plain sum."""

    input_uncached: int = 0
    cache_read: int = 0
    cache_write: int = 0
    audio_input: int = 0
    output: int = 0
    """Output that is neither reasoning nor audio."""
    reasoning: int = 0
    audio_output: int = 0
    total: int = 0

    @property
    def input_total(self) -> int:
        """All input tokens."""
        return self.input_uncached + self.cache_read + self.cache_write + self.audio_input

    @property
    def output_total(self) -> int:
        """All output tokens, reasoning and audio included."""
        return self.output + self.reasoning + self.audio_output


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceRow:
    """One trace in a list: one request to an agent."""

    trace_id: str
    """32 hex digits."""
    root_name: str
    agent: str
    """The agent asked."""
    agent_version: str
    agents: tuple[str, ...]
    """All agents seen in it."""
    models: tuple[str, ...]
    tools: tuple[str, ...]
    dialects: tuple[str, ...]
    status: str
    """ok, error or running."""
    start_time: str
    duration_ms: float
    """Wall clock from the first start to the last end."""
    spans: int
    model_calls: int
    tool_calls: int
    errors: int
    """Spans with an error, soft tool errors included."""
    tokens: Tokens
    """Sums over leaf spans."""
    cost_usd: Decimal | None
    """None where no span has a known price."""
    cost_unknown: int
    """Model calls whose price is unknown: the cost is a lower bound where this is not 0."""
    session_id: str
    user_id: str
    environment: str
    service: str
    feature: str
    tags: tuple[str, ...]
    signals: tuple[str, ...]
    """What is odd about it: error, soft_error, loop, no_answer, orphans, double_instrumented, …"""
    input_text: str
    """The request, its first 1,000 characters (lists: 200)."""
    output_text: str
    """The final answer, its first 1,000 characters (lists: 200)."""
    first_error: str
    root_span_id: str = ""
    """Empty while the root has not arrived."""
    duplicates: int = 0
    """Spans that are the same call seen by another instrumentation."""
    orphans: int = 0
    """Spans whose parent never arrived."""
    usage_gap: int = 0
    """Tokens the outermost aggregate reports beyond the sum of the leaves; 0 where they agree."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """What a short id, ``last`` or ``last-error`` stands for."""

    kind: Literal["trace", "span", "session"]
    id: str
    trace_id: str
    """The trace (of the span); empty for a session."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FacetValue:
    """One value of a field and how many traces have it."""

    value: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Facet:
    """The commonest values of one field among the traces of a query."""

    field: str
    values: tuple[FacetValue, ...]
    """The twenty commonest, most first."""
    others: int
    """Distinct values beyond them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heatmap:
    """Traces by time and duration. Cells are columnar: the i-th of each list belong together; empty cells are left out."""

    window: Window
    bucket_s: int
    """Width of a column in seconds."""
    times: tuple[int, ...]
    """Start of every column, seconds since 1970 UTC."""
    edges_ms: tuple[float, ...]
    """Lower edges of the rows (logarithmic), and the upper edge of the last one."""
    column: tuple[int, ...]
    row: tuple[int, ...]
    count: tuple[int, ...]
    errors: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """One place where the words occur."""

    trace_id: str
    span_id: str
    role: str
    """The role of the message, or the kind of value (tool input, tool output)."""
    snippet: str
    """About 160 characters around the first word found."""
    time: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRow:
    """One conversation in a list."""

    session_id: str
    user_id: str
    agent: str
    environment: str
    traces: int
    """Turns."""
    status: str
    """error where a turn failed, running where one runs, else ok."""
    start_time: str
    end_time: str
    spans: int
    model_calls: int
    tool_calls: int
    errors: int
    total_tokens: int
    cost_usd: Decimal | None
    first_input: str
    last_output: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One conversation: its totals and its turns, oldest first."""

    row: SessionRow
    turns: tuple[TraceRow, ...]
    """At most 1,000 a page."""
    next: str = ""
    """The cursor of the next turns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetRow:
    """One agent: what it does now and how it has done in the window."""

    agent: str
    environment: str
    versions: tuple[str, ...]
    """Newest first."""
    traces: int
    running: int
    errors: int
    """Traces that failed."""
    error_share: float
    stuck: int
    """Running traces from which nothing has come for five minutes."""
    p50_ms: float | None
    p95_ms: float | None
    cost_usd: Decimal | None
    total_tokens: int
    last_seen: str
    state: str
    """running, stuck, failing, idle or ok."""
    signals: Mapping[str, int] = field(default_factory=dict[str, int])
    """How many traces show each signal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """All agents in a window, those that need attention first."""

    window: Window
    agents: tuple[FleetRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """The overview's charts: the i-th of each list belong together; None where a bucket has no trace."""

    bucket_s: int
    times: tuple[int, ...]
    """Start of each bucket, seconds since 1970 UTC."""
    traces: tuple[int, ...]
    errors: tuple[int, ...]
    p50_ms: tuple[float | None, ...]
    p95_ms: tuple[float | None, ...]
    p99_ms: tuple[float | None, ...]
    cost_usd: tuple[float | None, ...]
    """US dollars in the bucket. A float here and below: points of a chart, not an account."""
    cost_per_trace_usd: tuple[float | None, ...]
    tokens_per_trace: tuple[float | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakdownRow:
    """One value of one dimension."""

    value: str
    traces: int
    errors: int
    error_share: float
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    total_tokens: int
    cost_usd: Decimal | None
    cost_per_trace_usd: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Breakdown:
    """The window by one dimension, dearest first."""

    by: str
    """agent, model, version, environment or user. Of a model the counts are calls, not traces."""
    counts: Literal["traces", "calls"]
    rows: tuple[BreakdownRow, ...]
    """At most 20."""
    others: int
    """Values beyond them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """The first page: the two primary charts, the totals and the tables."""

    window: Window
    traces: int
    errors: int
    running: int
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    cost_usd: Decimal | None
    cost_per_trace_usd: Decimal | None
    cost_unknown: int
    """Model calls without a known price: the cost is a lower bound where this is not 0."""
    tokens: Tokens
    series: Series
    breakdowns: tuple[Breakdown, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Waterfall:
    """A trace's spans as columns, in step order: small to send and quick to draw, however many there are."""

    trace_id: str
    start_time: str
    duration_ms: float
    spans: int
    step: tuple[int, ...]
    span_id: tuple[str, ...]
    parent: tuple[int, ...]
    """Index of the parent in these lists; -1 at a root or where the parent never arrived."""
    depth: tuple[int, ...]
    kind: tuple[int, ...]
    """Index into ``kinds``."""
    name: tuple[int, ...]
    """Index into ``names``."""
    start_ms: tuple[float, ...]
    """From the start of the trace."""
    duration: tuple[float, ...]
    """Milliseconds."""
    status: tuple[int, ...]
    """0 ok, 1 error, 2 running, 3 a tool that failed although its span says ok."""
    tokens: tuple[int, ...]
    """All tokens, 0 where not counted."""
    cost_usd: tuple[float, ...]
    """0 where not counted or unknown."""
    critical: tuple[int, ...]
    """1 on the critical path."""
    kinds: tuple[str, ...]
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PathPart:
    """A stretch of the critical path: until it ended, nothing after it could."""

    step: int
    span_id: str
    kind: str
    label: str
    start_ms: float
    """From the start of the trace."""
    duration_ms: float
    """Of the stretch, not of the span."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """How much of a trace's time and money went into one thing."""

    what: str
    """model, tool, guard, retrieval, …, agent (its own work), waiting."""
    label: str
    """The model, tool or agent; empty for the sum of its kind."""
    calls: int
    self_ms: float
    """Wall clock of it alone: each moment belongs to the deepest spans running, shared evenly among parallel ones."""
    total_ms: float
    """Sum of the durations, parallel ones counted each."""
    cost_usd: Decimal | None
    total_tokens: int
    errors: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceBreakdown:
    """Where the time and the money of one trace went."""

    duration_ms: float
    by_kind: tuple[Share, ...]
    """``self_ms`` of all adds up to the duration."""
    by_label: tuple[Share, ...]
    """Most time first, at most 30."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphNode:
    """An agent, a model or a tool in the agent graph."""

    id: str
    """``agent:manager``, ``tool:get_order``, ``model:gpt-x``."""
    kind: str
    label: str
    calls: int
    errors: int
    total_ms: float
    cost_usd: Decimal | None
    first_step: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphEdge:
    """Who called whom, and how often."""

    source: str
    target: str
    calls: int
    errors: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentGraph:
    """Who works with whom: agents, the models and tools they call, derived from the spans."""

    nodes: tuple[GraphNode, ...]
    edges: tuple[GraphEdge, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CostRow:
    """Money and tokens of one combination of values."""

    key: Mapping[str, str]
    """Value by dimension, e.g. ``{"agent": "refunds", "model": "gpt-x"}``."""
    calls: int
    tokens: Tokens
    cost_usd: Decimal | None
    cost_unknown: int
    """Calls without a known price."""
    cost_from_cache_share: float
    """Cache reads over all input tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """What was spent in a window, by the dimensions asked for, dearest first."""

    window: Window
    by: tuple[str, ...]
    total_usd: Decimal | None
    calls: int
    cost_unknown: int
    ambiguous: int
    """Calls whose usage can be read in two ways."""
    rows: tuple[CostRow, ...]
    others: int
    """Combinations beyond the rows shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """One span's usage and cost, number by number."""

    step: int
    span_id: str
    kind: str
    model: str
    provider: str
    counted: bool
    """Whether it enters the sums."""
    why: str
    """Why it is counted or not, in a sentence."""
    reported: Mapping[str, Any]
    """The usage attributes as they came."""
    rule: str
    """The rule that read them."""
    ambiguous: bool
    buckets: Mapping[str, int]
    """The disjoint buckets that are not 0."""
    prices: tuple[Mapping[str, Any], ...]
    """One row a bucket: ``bucket, tokens, usd_per_mtok, usd, source``."""
    cost_usd: Decimal | None
    cost_source: str
    cost_given_usd: Decimal | None
    """What the emitter itself said."""
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CostWhy:
    """Why a trace or span costs what it costs."""

    trace_id: str
    cost_usd: Decimal | None
    """The sum over counted spans."""
    counted: int
    aggregates: int
    duplicates: int
    unknown: int
    gap_tokens: int
    """What aggregates report beyond the sum of their leaves; 0 where they agree."""
    spans: tuple[Explained, ...]
    """At most 200, dearest first for a trace."""
    cut: int
    """Spans with usage beyond those."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Writes that were refused for one reason: somebody believes they are recorded, and they are not."""

    reason: str
    """Status and reason, e.g. ``401 not_allowed``; ``partial`` where single items of a good request were refused."""
    source: str
    """Which signal from where."""
    count: int
    last: str
    """When the last one came, ISO 8601 UTC."""
    detail: str
    """What the sender was told last."""
    ours: bool = True
    """False where the key named no project: it may have been meant for this one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing the doctor found."""

    check: str
    """refused, skewed_clocks, orphans, double_instrumented, unknown_prices, ambiguous_usage, unknown_dialect, dropped, …"""
    level: Literal["ok", "note", "warn", "bad"]
    count: int
    summary: str
    """One sentence: what, how many, where."""
    examples: tuple[Mapping[str, Any], ...]
    fix: str
    """A command or a step that helps; empty where nothing is wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Doctor:
    """Everything that keeps the recorded picture from being the whole truth."""

    window: Window
    healthy: bool
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """What was recorded in a window, in numbers."""

    window: Window
    traces: int
    spans: int
    model_calls: int
    tool_calls: int
    errors: int
    """Spans that failed."""
    traces_with_errors: int
    sessions: int
    users: int
    agents: int
    duplicates: int
    """Spans that are the same call seen by another instrumentation."""
    orphans: int
    """Spans whose parent never arrived."""
    tokens: Tokens
    cost_usd: Decimal | None
    cost_unknown: int
    """Model calls without a known price."""
    dialects: Mapping[str, int]
    """Traces by the conventions their spans came in."""
    events: int
    logs: int
    points: int
    scores: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TableStats:
    """One stored table."""

    table: str
    rows: int
    bytes: int
    bytes_raw: int
    """Before compression."""
    parts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreStats:
    """What is stored, what it takes, what storing messages once has saved."""

    spans: int
    traces: int
    messages: int
    bytes: int
    bytes_per_span: float
    """Everything on disk over the number of spans."""
    tables: tuple[TableStats, ...]
    references: int
    """Times a span refers to a stored message."""
    dedup_share_saved: float
    """Share of message text that did not need storing again, as seen in the newest traces."""
    bytes_saved_raw: int
    """Message text that would have been stored without it, before compression: an estimate by that share."""
    oldest: str
    newest: str
    memory_bytes: int
