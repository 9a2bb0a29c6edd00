"""What was spent, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from .lists import Tokens, Window


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
