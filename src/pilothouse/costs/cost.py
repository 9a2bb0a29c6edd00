"""What a call cost, and every number that went into it."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

CostSource = Literal["price book", "emitter", "unknown model", "no usage"]
"""Where the amount comes from, or why there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CostLine:
    """The tokens of one bucket at one price."""

    bucket: str
    """The field of :class:`~pilothouse.records.Usage`, or ``requests`` for a price per call."""
    tokens: int
    usd_per_million: Decimal
    usd: Decimal
    rule: str = ""
    """Why this price, where the book has none of its own for the bucket; empty where it has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """The cost of one call. ``usd`` is ``None``, never zero, where it is not known."""

    usd: Decimal | None
    """The amount in US dollars, exact."""
    source: CostSource
    reason: str = ""
    """Why there is no amount, or what the reader should know about it."""
    provider: str = ""
    """The provider whose price was used, as the book names it."""
    model: str = ""
    """The model whose price was used, as the book names it."""
    book: str = ""
    """The price book and its version, e.g. ``genai-prices 0.2.3`` or ``local prices``."""
    lines: tuple[CostLine, ...] = ()
    """The amount bucket by bucket; they add up to ``usd`` where the source is the price book."""
    given_usd: Decimal | None = None
    """What the emitter says it cost, whether or not it was used."""
    other_usd: Decimal | None = None
    """The cost under the other reading, where the usage is ambiguous (input without the cached tokens)."""

    @property
    def gap_usd(self) -> Decimal | None:
        """How far apart the two readings of an ambiguous usage are, or ``None``."""
        if self.usd is None or self.other_usd is None:
            return None
        return self.other_usd - self.usd
