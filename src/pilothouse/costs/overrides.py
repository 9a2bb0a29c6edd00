"""Local prices: dated rows of a table that win over the price book."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from fnmatch import fnmatchcase
from typing import Any, Final, cast

from pilothouse.records import BadRequest

from .rates import Rate, Rates, complete

BOOK: Final = "local prices"

_COLUMNS: Final = {
    "input": "input_uncached",
    "cache_read": "cache_read",
    "cache_write": "cache_write_5m",
    "cache_write_1h": "cache_write_1h",
    "audio_input": "audio_input",
    "output": "output_text",
    "reasoning": "reasoning",
    "audio_output": "audio_output",
}
_KEYS: Final = frozenset({"provider", "model", "from", "request", *_COLUMNS})


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceRow:
    """One row: which model it prices, since when, and the prices in US dollars per million tokens."""

    model: str
    """The model's name, or a pattern with ``*``; case does not matter."""
    provider: str = ""
    """The provider's id; empty matches every provider."""
    start_date: date = date.min
    """The first day it holds, in UTC. Of several rows that match, the latest start wins, then the last row."""
    rates: Mapping[str, Rate]
    request: Decimal | None = None
    """US dollars for each call."""

    def matches(self, provider: str, model: str) -> bool:
        """True where the row prices this model of this provider."""
        if self.provider and self.provider != provider:
            return False
        return fnmatchcase(model.lower(), self.model.lower())


def price_rows(table: str | Iterable[Mapping[str, Any]]) -> tuple[PriceRow, ...]:
    """Read rows from TOML text (``[[price]]`` tables) or from plain objects.

    Columns: ``model`` (needed), ``provider``, ``from`` (a date), ``request``, and in US dollars per million tokens
    ``input``, ``output``, ``cache_read``, ``cache_write``, ``cache_write_1h``, ``reasoning``, ``audio_input``,
    ``audio_output``. Raises :class:`~pilothouse.records.BadRequest` naming the row and the column.
    """
    if isinstance(table, str):
        try:
            rows: Any = tomllib.loads(table, parse_float=Decimal).get("price", [])
        except tomllib.TOMLDecodeError as error:
            raise BadRequest(
                f"the price table is not TOML: {error}",
                fix='write each price as a [[price]] table: model = "name*", input = 1.0, output = 2.0',
            ) from error
    else:
        rows = table
    return tuple(_row(number, row) for number, row in enumerate(rows, start=1))


def rates_of(row: PriceRow, provider: str, model: str) -> Rates:
    """The row's prices, completed by the rules for what it leaves out."""
    return Rates(
        provider=row.provider or provider,
        model=row.model,
        book=BOOK,
        rates=complete(row.rates, model),
        request=row.request,
    )


def find(rows: tuple[PriceRow, ...], provider: str, model: str, day: date) -> PriceRow | None:
    """The row that prices this model on this day, or ``None``."""
    best: PriceRow | None = None
    for row in rows:
        newest = best is None or row.start_date >= best.start_date
        if newest and row.start_date <= day and row.matches(provider, model):
            best = row
    return best


def _row(number: int, row: Any) -> PriceRow:
    if not isinstance(row, Mapping):
        raise BadRequest(f"price row {number} is not a table", got=row)
    given = cast("Mapping[str, Any]", row)
    unknown = sorted(set(given) - _KEYS)
    if unknown:
        raise BadRequest(f"price row {number} has unknown columns: {', '.join(unknown)}", allowed=sorted(_KEYS))
    model = given.get("model")
    if not isinstance(model, str) or not model:
        raise BadRequest(f"price row {number} names no model", got=model, fix='add model = "name" or a pattern with *')
    rates = {
        bucket: Rate(base=_price(number, column, given[column]))
        for column, bucket in _COLUMNS.items()
        if given.get(column) is not None
    }
    request = given.get("request")
    if "input_uncached" not in rates and "output_text" not in rates and request is None:
        raise BadRequest(f"price row {number} ({model}) has no price", fix="add input and output")
    return PriceRow(
        model=model,
        provider=str(given.get("provider") or ""),
        start_date=_date(number, given.get("from")),
        rates=rates,
        request=None if request is None else _price(number, "request", request),
    )


def _price(number: int, column: str, value: Any) -> Decimal:
    try:
        price = Decimal(str(value)) if not isinstance(value, bool) else Decimal("NaN")
    except InvalidOperation:
        price = Decimal("NaN")
    if not price.is_finite() or price < 0:
        raise BadRequest(f"price row {number}: {column} is not a price", got=value, allowed="a number from 0")
    return price


def _date(number: int, value: Any) -> date:
    if value is None:
        return date.min
    if isinstance(value, datetime):
        return value.astimezone(UTC).date() if value.tzinfo else value.date()
    if isinstance(value, date):
        return value
    try:
        return date.fromisoformat(str(value))
    except ValueError:
        raise BadRequest(f"price row {number}: from is not a date", got=value, allowed="2026-11-20") from None
