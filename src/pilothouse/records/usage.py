"""Token usage in disjoint buckets: every token is in exactly one, whatever the emitter's habits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

UsageScope = Literal["leaf", "aggregate"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """The tokens of one span. All counts are whole tokens; the total is the plain sum of the buckets."""

    input_uncached: int = 0
    """Input tokens read at the full price."""
    cache_read: int = 0
    """Input tokens served from the provider's prompt cache."""
    cache_write_5m: int = 0
    """Input tokens written to a cache that lives five minutes."""
    cache_write_1h: int = 0
    """Input tokens written to a cache that lives one hour."""
    cache_write_other: int = 0
    """Input tokens written to a cache of unstated life."""
    audio_input: int = 0
    """Audio input tokens (not counted in ``input_uncached``)."""
    output_text: int = 0
    """Output tokens that are neither reasoning nor audio."""
    reasoning: int = 0
    """Reasoning tokens (billed as output, not counted in ``output_text``)."""
    audio_output: int = 0
    """Audio output tokens."""
    scope: UsageScope = "leaf"
    """``aggregate``: a repeat of what descendants report; it never enters a sum."""
    rule: str = ""
    """Which rule read the numbers, e.g. ``openinference/anthropic: prompt includes cache``."""
    ambiguous: bool = False
    """True where the emitter is unknown and both readings (input with or without cache) fit."""
    reported: tuple[tuple[str, int], ...] = ()
    """The numbers as they came, by attribute key: what ``rule`` was applied to."""

    @property
    def cache_write(self) -> int:
        """All tokens written to a cache."""
        return self.cache_write_5m + self.cache_write_1h + self.cache_write_other

    @property
    def input_total(self) -> int:
        """All input tokens."""
        return self.input_uncached + self.cache_read + self.cache_write + self.audio_input

    @property
    def output_total(self) -> int:
        """All output tokens, reasoning and audio included."""
        return self.output_text + self.reasoning + self.audio_output

    @property
    def total(self) -> int:
        """All tokens."""
        return self.input_total + self.output_total
