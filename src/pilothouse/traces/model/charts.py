"""Traces of a window, summed up: facets, the heatmap, the fleet, the overview."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

from .lists import Tokens, Window


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
    """Open traces in which nothing happens, or whose process has died."""
    p50_ms: float | None
    p95_ms: float | None
    cost_usd: Decimal | None
    total_tokens: int
    last_seen: str
    state: str
    """died, stuck, waiting, rate_limited, failing, running, idle or ok: the first that holds for any of its traces."""
    signals: Mapping[str, int] = field(default_factory=dict[str, int])
    """How many traces show each signal."""
    now: Mapping[str, int] = field(default_factory=dict[str, int])
    """How many of its open traces are in each live state."""
    spend_now_usd: Decimal | None = None
    """Spent in the last hour."""
    spend_usual_usd: Decimal | None = None
    """Spent in an hour of the window, on average."""
    runs: tuple[int, ...] = ()
    """Traces by stretch of the window, oldest first."""
    failures: tuple[int, ...] = ()
    """Of these, those that failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """All agents in a window, those that need attention first."""

    window: Window
    agents: tuple[FleetRow, ...]
    bucket_s: int = 3600
    """Length of a stretch of ``runs``, in seconds."""


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
