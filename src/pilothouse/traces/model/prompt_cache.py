"""What providers' prompt caches did for an agent, and what broke the prefix that they need."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from .lists import Window

BreakKind = Literal[
    "system_changes",
    "tools_reordered",
    "tools_change",
    "message_changed",
    "too_short",
    "expired",
    "not_asked",
    "missed",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptCacheRow:
    """One agent, version and model."""

    agent: str
    version: str
    model: str
    provider: str
    calls: int
    input_tokens: int
    read_tokens: int
    """Served from the provider's cache."""
    written_tokens: int
    hit_rate: float | None
    """Share of the input that was served from the cache; None without input."""
    possible_tokens: int
    """Input that stood at the beginning of a call before, long enough and in time: what a cache could have served."""
    possible_rate: float | None
    saved_usd: Decimal | None
    """What reading saved less what writing cost more; below zero where it cost. None: the model has no price."""
    lost_usd: Decimal | None
    """What the possible tokens that were not served would have saved."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PrefixBreak:
    """One way in which prompts of an agent lose their prefix."""

    kind: BreakKind
    what: str
    """In a sentence: what breaks it, and what to do."""
    agent: str
    version: str
    model: str
    calls: int
    """That lost it so."""
    lost_tokens: int
    lost_usd: Decimal | None
    trace_id: str
    """An example: the dearest."""
    step: int
    span_id: str
    before_trace_id: str
    """The call that it is compared with."""
    before_step: int
    message: int | None
    """The first message that differs, from 1; None where it is not about a message."""
    role: str
    offset: int | None
    """The first character of it that differs."""
    before: str
    """The text around that character, then."""
    after: str
    """And now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptCache:
    """Prompt caches in a window."""

    window: Window
    calls: int
    more: bool
    """True where the window has more calls than are read at once: the newest are."""
    rows: tuple[PromptCacheRow, ...]
    breaks: tuple[PrefixBreak, ...]
    notes: tuple[str, ...]
