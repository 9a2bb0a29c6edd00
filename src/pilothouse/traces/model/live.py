"""What runs now: one row for each open trace, and what changes from moment to moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

LiveState = Literal[
    "died", "stalled", "waiting_human", "rate_limited", "retrying", "quiet", "queued", "running", "ended"
]
LIVE_STATES: tuple[LiveState, ...] = (
    "died",
    "stalled",
    "waiting_human",
    "rate_limited",
    "retrying",
    "quiet",
    "queued",
    "running",
    "ended",
)
"""Every state, what needs somebody first."""
ATTENTION: tuple[LiveState, ...] = ("died", "stalled", "waiting_human", "rate_limited")
"""The states somebody should look at."""
WATCHED_SIGNALS = ("loop", "ping_pong", "retry_storm", "no_answer", "unexpected_cost", "unexpected_latency")
"""Signals for which somebody should look at a trace while it runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveStep:
    """A step that runs, or the last one that ended."""

    span_id: str
    step: int
    """0 where its span has not arrived: then a heartbeat told of it."""
    kind: str
    name: str
    """The tool, model or agent, else the span's name."""
    status: str
    """running, ok or error."""
    since: str
    """When it began (running) or ended, ISO 8601 UTC."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveRow:
    """One trace that runs, or ended within the last minute."""

    trace_id: str
    root_name: str
    agent: str
    agent_version: str
    environment: str
    service: str
    session_id: str
    state: LiveState
    reason: str
    """Why it is in this state, in one sentence."""
    since: str
    """Since when, ISO 8601 UTC."""
    attention: bool
    """Somebody should look: by its state, or by a signal while it runs."""
    status: str
    """running while it is open, else ok or error."""
    doing: LiveStep | None
    """The innermost step that runs."""
    last: LiveStep | None
    """The step that ended last."""
    heartbeat: Literal["alive", "stopped", "none"]
    """Whether the process says it lives; none: its SDK sends no heartbeats."""
    sign_of_life: str
    """When a span or a heartbeat of it last arrived."""
    start_time: str
    elapsed_ms: float
    """From its start until now, or to its end."""
    usual_p50_ms: float | None
    """Half of this agent's traces of the last seven days took less; None where it has not ended five times."""
    usual_p95_ms: float | None
    spans: int
    model_calls: int
    tool_calls: int
    errors: int
    total_tokens: int
    cost_usd: Decimal | None
    usual_cost_usd: Decimal | None
    """What a trace of this agent costs on average."""
    last_error: str
    signals: tuple[str, ...]
    input_text: str
    """What it was asked, its first 200 characters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """What runs now, those that need somebody first."""

    now: str
    rows: tuple[LiveRow, ...]
    total: int
    """How many fit the filter; more than there are rows where the limit cut."""
    counts: Mapping[str, int]
    """How many of all are in each state that occurs, whatever states were asked for."""
    attention: int
    """At how many somebody should look."""
    cursor: str
    """Where the stream of changes goes on from this picture."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanChange:
    """A span arrived: it began, or it ended."""

    cursor: str
    time: str
    """When it arrived, ISO 8601 UTC."""
    trace_id: str
    span_id: str
    step: int
    kind: str
    name: str
    agent: str
    """Its own, else that of its trace."""
    environment: str
    status: str
    """running, ok or error; soft_error for a tool that returned a failure."""
    duration_ms: float
    total_tokens: int
    cost_usd: Decimal | None
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What arrived after a cursor, in the order of arrival."""

    spans: tuple[SpanChange, ...]
    traces: tuple[LiveRow, ...]
    """The traces these spans belong to, and those that changed otherwise, as they are now."""
    cursor: str
    """Where to go on."""
    more: bool = False
    """True where there is more already."""
    skipped: int = 0
    """Traces that changed and are not told of: the cursor was too far behind."""
