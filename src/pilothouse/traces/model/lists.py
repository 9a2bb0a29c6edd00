"""Queries, pages and rows: what lists of traces, hits and sessions are made of."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Generic, Literal, TypeVar

T = TypeVar("T")

Sort = Literal["newest", "oldest", "slowest", "dearest", "tokens", "errors", "spans"]
SORTS: tuple[Sort, ...] = ("newest", "oldest", "slowest", "dearest", "tokens", "errors", "spans")

DEFAULT_WINDOW_NS = 7 * 24 * 3600 * 1_000_000_000
"""Seven days: the time bound of a list that names none."""


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
class Resolved:
    """What a short id, ``last`` or ``last-error`` stands for."""

    kind: Literal["trace", "span", "session"]
    id: str
    trace_id: str
    """The trace (of the span); empty for a session."""
