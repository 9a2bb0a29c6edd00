"""What keeps the recorded picture from being the whole truth, and what the store takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from .lists import Tokens, Window


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
class Forwarded:
    """Another backend that gets what arrives here too, and how far it is. Counts are requests."""

    name: str
    sent: int
    refused: int
    """It said it will never take them; they were passed over."""
    undecodable: int
    """They could not be masked, and so were not passed on."""
    skipped: int
    """How often the journal no longer reached back to where it was."""
    pending_bytes: int
    failing_since: str
    """ISO 8601 UTC; empty while it answers."""
    last_error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerFacts:
    """What only the running server knows."""

    refused: tuple[Refused, ...] = ()
    """Writes refused in the window."""
    forwards: tuple[Forwarded, ...] = ()
    """The backends that records are passed on to."""


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
