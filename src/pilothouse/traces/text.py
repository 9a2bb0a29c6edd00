"""Trace content in text: made harmless and fenced (see ``records.harmless``), cut, and measured in words people read."""

from __future__ import annotations

from decimal import Decimal

from pilothouse.records import Fence, clean
from pilothouse.records.harmless import label, line, quoted

from .jsons import money_text

__all__ = ["Fence", "clean", "count", "cut", "dollars", "duration", "label", "line", "quoted", "size"]


def cut(text: str, chars: int) -> str:
    """Cleaned text of at most so many characters, and a note of how much is missing."""
    whole = clean(text)
    if len(whole) <= chars:
        return whole
    return f"{whole[:chars]}… [+{len(whole) - chars:,} characters]"


def duration(ms: float) -> str:
    """A duration with three significant digits: ``850us``, ``12.3ms``, ``1.9s``, ``4m05s``, ``2h03m``."""
    if ms < 1:
        return f"{ms * 1000:.0f}us"
    if ms < 1000:
        return f"{ms:.3g}ms" if ms < 999.5 else "1.0s"
    seconds = ms / 1000
    if seconds < 59.95:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}m{rest:02d}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02d}m"


def dollars(amount: Decimal | None) -> str:
    """Money as it stands, ``$0.0612``; ``?`` where it is unknown."""
    if amount is None:
        return "?"
    if amount >= 1:
        return f"${amount:,.2f}"
    # Three significant digits of a small amount: rounding to cents would say that most calls are free.
    return "$" + money_text(Decimal(f"{amount:.3g}"))


def count(number: int) -> str:
    """A count in few characters: ``812``, ``2.1k``, ``18.4k``, ``1.2M``."""
    if number < 1000:
        return str(number)
    for unit, size in (("k", 1_000), ("M", 1_000_000)):
        if number < size * 999.5 or unit == "M":
            value = number / size
            return f"{value:.1f}{unit}" if value < 99.95 else f"{value:.0f}{unit}"
    raise AssertionError(number)


def size(chars: int) -> str:
    """The length of a text in few characters: ``340B``, ``3.4kB``."""
    return f"{chars}B" if chars < 1000 else f"{count(chars)}B"
