"""Prices per million tokens for every bucket of usage, with the rule behind each price the book does not have.

Rules for what genai-prices leaves out:

- A cache write of five minutes or of unstated life costs the book's cache write price; where it has none, 1.25 times
  the input price on Claude models, and the input price elsewhere.
- A cache write of an hour costs the book's one-hour price; where it has none, twice the input price on Claude models,
  and the plain cache write price elsewhere. Both factors are Anthropic's published multipliers (its prompt caching
  documentation, "Pricing"), which Bedrock and Vertex AI apply to Claude as well.
- Other providers publish no surcharge for writing to a cache where the book has none, so the input price holds.
- A cache read without a price of its own costs the input price: an upper bound, as no provider charges more.
- Reasoning and audio without a price of their own cost what text costs in the same direction.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

BUCKETS: Final = (
    "input_uncached",
    "cache_read",
    "cache_write_5m",
    "cache_write_1h",
    "cache_write_other",
    "audio_input",
    "output_text",
    "reasoning",
    "audio_output",
)
"""The buckets of usage, in the order they are shown."""

INPUT_BUCKETS: Final = frozenset(BUCKETS[:6])

_CLAUDE_WRITE: Final = Decimal("1.25")
_CLAUDE_WRITE_1H: Final = Decimal(2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """A price per million tokens, with its tiers."""

    base: Decimal
    tiers: tuple[tuple[int, Decimal], ...] = ()
    """From more than this many input tokens on, all tokens cost this much; ascending."""
    rule: str = ""
    """Why this price, where the book has none of its own."""

    def at(self, input_total: int) -> Decimal:
        """The price for a call with this many input tokens."""
        price = self.base
        for start, tier in self.tiers:
            if input_total > start:
                price = tier
        return price

    def times(self, factor: Decimal, rule: str) -> Rate:
        """The same price times a factor, by a rule."""
        return Rate(
            base=self.base * factor, tiers=tuple((start, tier * factor) for start, tier in self.tiers), rule=rule
        )

    def by(self, rule: str) -> Rate:
        """The same price, used by a rule for something else."""
        return Rate(base=self.base, tiers=self.tiers, rule=rule)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """The price of every bucket for one model at one time."""

    provider: str
    model: str
    book: str
    rates: Mapping[str, Rate]
    """By bucket; a bucket that is missing cannot be priced."""
    request: Decimal | None = None
    """US dollars for each call, whatever its tokens."""
    reason: str = ""


def complete(known: Mapping[str, Rate], model: str) -> dict[str, Rate]:
    """Fill the buckets that have no price of their own, by the rules above."""
    rates = dict(known)
    inputs = rates.get("input_uncached")
    outputs = rates.get("output_text")
    claude = "claude" in model.lower()
    if inputs is not None:
        write = rates.get("cache_write_5m") or rates.get("cache_write_other")
        if write is None and claude:
            write = inputs.times(_CLAUDE_WRITE, "no price for cache writes: 1.25 times the input price (Anthropic)")
        if write is None:
            write = inputs.by("no price for cache writes: the input price")
        rates.setdefault("cache_write_5m", write)
        rates.setdefault("cache_write_other", write)
        if "cache_write_1h" not in rates:
            if claude:
                rule = "no price for one-hour cache writes: twice the input price (Anthropic)"
                rates["cache_write_1h"] = inputs.times(_CLAUDE_WRITE_1H, rule)
            else:
                rates["cache_write_1h"] = write.by("no price for one-hour cache writes: the plain cache write price")
        rates.setdefault("cache_read", inputs.by("no price for cache reads: the input price"))
        rates.setdefault("audio_input", inputs.by("no price for audio input: the input price"))
    if outputs is not None:
        rates.setdefault("reasoning", outputs.by("reasoning is billed as output"))
        rates.setdefault("audio_output", outputs.by("no price for audio output: the output price"))
    return rates
