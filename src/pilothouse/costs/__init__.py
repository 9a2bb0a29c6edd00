"""Usage to money: dated, tiered, exact, and explained line by line."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from pilothouse.records import Usage

from .book import PriceBook
from .cost import Cost, CostLine, CostSource
from .explanation import ExplanationLine, explain
from .overrides import PriceRow, price_rows
from .windows import context_window

__all__ = [
    "Cost",
    "CostLine",
    "CostSource",
    "ExplanationLine",
    "PriceBook",
    "PriceRow",
    "context_window",
    "explain",
    "price",
    "price_rows",
]

_book = PriceBook()


def price(
    usage: Usage | None,
    *,
    model: str,
    provider: str,
    at_ns: int,
    given_usd: Decimal | None = None,
    context: Mapping[str, Any] | None = None,
) -> Cost:
    """What the usage cost at that time by genai-prices, without local prices; see :meth:`PriceBook.price`."""
    return _book.price(usage, model=model, provider=provider, at_ns=at_ns, given_usd=given_usd, context=context)
