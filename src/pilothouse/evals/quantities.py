"""Scalars as people write them: numbers with units, money, dates; so that ``2 s`` is ``2000 ms`` and ``1,000.0`` is ``1e3``.

Where a text can be read in two ways (``03/04/2026``), it is not read at all and stays text. What looks like a number but
is a name stays text too: ``007``, ``1.2.3``, ``+49 151 2345678``.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Final

_CHARS_MAX: Final = 80
"""Longer texts are no quantities."""
_DIGITS_MAX: Final = 60
_EXPONENT_MAX: Final = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    """A number in the base unit of its kind."""

    number: Decimal
    unit: str = ""
    """Base unit: ``s``, ``byte``, ``m``, ``g``, ``l``, or a currency's ISO 4217 code; empty for a plain number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """A point in time."""

    at: datetime
    """In UTC. Where the text names no zone: its figures as they stand, and ``zoned`` is false."""
    zoned: bool


# SI (BIPM brochure, 9th edition), IEC 80000-13 for binary prefixes, the international yard and pound of 1959.
_UNITS: Final[dict[str, tuple[str, Decimal]]] = {
    name: (base, Decimal(factor))
    for base, table in {
        "s": {
            "1e-9": "ns nanosecond nanoseconds",
            "1e-6": "us µs μs microsecond microseconds",
            "1e-3": "ms msec msecs millisecond milliseconds millis",
            "1": "s sec secs second seconds",
            "60": "min mins minute minutes",
            "3600": "h hr hrs hour hours",
            "86400": "d day days",
            "604800": "w wk week weeks",
        },
        "byte": {
            "1": "b byte bytes",
            "1e3": "kb kilobyte kilobytes",
            "1e6": "mb megabyte megabytes",
            "1e9": "gb gigabyte gigabytes",
            "1e12": "tb terabyte terabytes",
            "1024": "kib",
            "1048576": "mib",
            "1073741824": "gib",
            "1099511627776": "tib",
        },
        "m": {
            "1e-3": "mm millimetre millimetres millimeter millimeters",
            "1e-2": "cm centimetre centimetres centimeter centimeters",
            "1": "metre metres meter meters",
            "1e3": "km kilometre kilometres kilometer kilometers",
            "0.0254": "inch inches",
            "0.3048": "ft foot feet",
            "1609.344": "mi mile miles",
        },
        "g": {
            "1e-3": "mg milligram milligrams",
            "1": "g gram grams",
            "1e3": "kg kilo kilos kilogram kilograms",
            "453.59237": "lb lbs pound-mass",
            "28.349523125": "oz ounce ounces",
        },
        "l": {"1e-3": "ml millilitre millilitres milliliter milliliters", "1": "l litre litres liter liters"},
        "": {"1e-2": "% percent per-cent", "1e3": "k thousand", "1e6": "million", "1e9": "billion"},
    }.items()
    for factor, names in table.items()
    for name in names.split()
}
_MONEY: Final = {
    "$": "USD", "us$": "USD", "usd": "USD", "dollar": "USD", "dollars": "USD",
    "€": "EUR", "eur": "EUR", "euro": "EUR", "euros": "EUR",
    "£": "GBP", "gbp": "GBP", "¥": "JPY", "jpy": "JPY", "yen": "JPY", "cny": "CNY", "yuan": "CNY",
    "chf": "CHF", "cad": "CAD", "aud": "AUD", "inr": "INR", "₹": "INR", "brl": "BRL", "sek": "SEK",
}  # fmt: skip
_CENTS: Final = {"cent": "USD", "cents": "USD", "¢": "USD"}

_NUMBER = r"[+\-−]?(?:\d[\d,.'’_   ]*|[.,]\d+)(?:e[+\-]?\d+)?"
_QUANTITY = re.compile(
    rf"(?:(?P<sign>[\-−])(?=[^\d\s.,+\-−]))?(?P<before>[^\d\s.,+\-−]{{1,3}})?\s?(?P<number>{_NUMBER})\s?(?P<after>[^\d\s.,]{{1,14}}|per cent)?",
    re.IGNORECASE,
)
_LEADING_ZERO = re.compile(r"[+\-−]?0\d")
_MONTHS: Final = {
    name: number
    for number, names in enumerate(
        (
            *("january jan", "february feb", "march mar", "april apr", "may", "june jun", "july jul"),
            *("august aug", "september sep sept", "october oct", "november nov", "december dec"),
        ),
        start=1,
    )
    for name in names.split()
}
_ISO = re.compile(
    r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})(?:[T ](\d{1,2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,9}))?)?\s*(Z|[+\-]\d{2}:?\d{2})?)?"
)
_DAY_MONTH = re.compile(r"(\d{1,2})(?:st|nd|rd|th)?[ .]+([A-Za-z]{3,9})\.?,? +(\d{4})")
_MONTH_DAY = re.compile(r"([A-Za-z]{3,9})\.? +(\d{1,2})(?:st|nd|rd|th)?,? +(\d{4})")
_NUMBERS = re.compile(r"(\d{1,2})([/.\-])(\d{1,2})\2(\d{4})")


def quantity(value: Any) -> Quantity | None:
    """The number that a value is or says; None where it is none, or could be something else."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float | Decimal):
        number = _decimal(repr(value) if isinstance(value, float) else str(value))
        return Quantity(number=number) if number is not None else None
    if not isinstance(value, str) or not 0 < len(value.strip()) <= _CHARS_MAX:
        return None
    text = unicodedata.normalize("NFKC", value).strip()
    found = _QUANTITY.fullmatch(text)
    if found is None:
        return None
    number = _number(found["number"])
    if number is None:
        return None
    if found["sign"]:
        number = -number
    return _with_unit(number, (found["before"] or "").strip().casefold(), (found["after"] or "").strip().casefold())


def _with_unit(number: Decimal, before: str, after: str) -> Quantity | None:
    if before:
        currency = _MONEY.get(before)
        if currency is None:
            return None
        scale = _UNITS.get(after) if after else None
        if after and (scale is None or scale[0]) and _MONEY.get(after) != currency:
            return None
        return Quantity(number=number * (scale[1] if scale else 1), unit=currency)
    if not after:
        return Quantity(number=number)
    if after in _MONEY:
        return Quantity(number=number, unit=_MONEY[after])
    if after in _CENTS:
        return Quantity(number=number / 100, unit=_CENTS[after])
    unit = _UNITS.get(after.replace(" ", "-"))
    return Quantity(number=number * unit[1], unit=unit[0]) if unit else None


def _number(text: str) -> Decimal | None:
    text = text.strip().replace("−", "-").casefold()
    if _LEADING_ZERO.match(text):
        return None
    mantissa, mark, exponent = text.partition("e")
    for space in "'’_\u00a0\u202f":
        mantissa = mantissa.replace(space, " ")
    groups = re.split("[ .,]", mantissa)
    # A space only ever stands between thousands; digits in other groups are somebody's telephone number.
    if " " in mantissa and not _grouped(groups[: 1 + mantissa.count(" ")]):
        return None
    plain = _separators(mantissa.replace(" ", ""))
    return None if plain is None else _decimal(plain + mark + exponent)


def _separators(text: str) -> str | None:
    """The digits with a point for the decimal mark; None where the marks make no number."""
    commas, points = text.count(","), text.count(".")
    if commas and points:
        mark = max(",.", key=text.rindex)
        whole, _, rest = text.rpartition(mark)
        group = "." if mark == "," else ","
        if mark in whole or not _grouped(whole.split(group)):
            return None
        return whole.replace(group, "") + "." + rest
    if commas:
        groups = text.split(",")
        if _grouped(groups):
            return "".join(groups)
        return ".".join(groups) if commas == 1 else None
    if points > 1:
        groups = text.split(".")
        return "".join(groups) if _grouped(groups) else None
    return text


def _grouped(groups: list[str]) -> bool:
    return 1 <= len(groups[0].lstrip("+-")) <= 3 and all(len(group) == 3 for group in groups[1:])


def _decimal(text: str) -> Decimal | None:
    if len(text) > _DIGITS_MAX:
        return None
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    return number if number.is_finite() and abs(number.adjusted()) <= _EXPONENT_MAX else None


def moment(value: Any) -> Moment | None:
    """The date or time that a text says; None where it says none, or could say two."""
    if not isinstance(value, str) or not 6 <= len(value.strip()) <= _CHARS_MAX:
        return None
    text = value.strip()
    try:
        if found := _ISO.fullmatch(text):
            return _iso(found)
        if found := _DAY_MONTH.fullmatch(text):
            return _day(int(found[3]), _MONTHS.get(found[2].casefold(), 0), int(found[1]))
        if found := _MONTH_DAY.fullmatch(text):
            return _day(int(found[3]), _MONTHS.get(found[1].casefold(), 0), int(found[2]))
        if found := _NUMBERS.fullmatch(text):
            first, second = int(found[1]), int(found[3])
            if found[2] == "." or first > 12:
                return _day(int(found[4]), second, first)
            if second > 12 or first == second:
                return _day(int(found[4]), first, second)
    except (ValueError, OverflowError):
        return None
    return None


def _iso(found: re.Match[str]) -> Moment:
    year, month, day, hour, minute, second, part, zone = found.groups()
    micro = int((part or "0")[:6].ljust(6, "0"))
    at = datetime(
        int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0), micro, tzinfo=UTC
    )
    if zone is None:
        return Moment(at=at, zoned=False)
    sign, hours, minutes = (1, "0", "0") if zone == "Z" else (-1 if zone[0] == "-" else 1, zone[1:3], zone[-2:])
    return Moment(at=at - sign * timedelta(hours=int(hours), minutes=int(minutes)), zoned=True)


def _day(year: int, month: int, day: int) -> Moment:
    return Moment(at=datetime(year, month, day, tzinfo=UTC), zoned=False)
