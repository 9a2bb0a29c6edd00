"""How values are written for people: durations, money, counts, moments, and text nobody may trust."""

from __future__ import annotations

import json
import re
import unicodedata
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from markupsafe import Markup, escape

NONE = "–"


def duration(ms: float | None) -> str:
    """Milliseconds as ``820 ms``, ``1.24 s``, ``2m 05s`` or ``3h 12m``."""
    if ms is None:
        return NONE
    if ms < 1:
        return f"{ms:.2f} ms" if ms else "0 ms"
    if ms < 999.5:
        return f"{ms:.0f} ms" if ms >= 9.95 else f"{ms:.1f} ms"
    seconds = ms / 1000
    if seconds < 59.95:
        return f"{seconds:.2f} s" if seconds < 9.995 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}m {rest:02d}s"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours}h {minutes:02d}m"
    return f"{hours // 24}d {hours % 24}h"


def money(usd: Decimal | float | None) -> str:
    """US dollars with the digits that matter: ``$12.40``, ``$0.0372``, ``$0.000632``; a dash where unknown."""
    if usd is None:
        return NONE
    value = Decimal(str(usd))
    if value == 0:
        return "$0"
    size = value.copy_abs()
    if size >= 1000:
        return f"${value:,.0f}"
    if size >= 1:
        return f"${value:,.2f}"
    if size < Decimal("0.000001"):
        return "<$0.000001"
    places = 2 - size.adjusted()
    text = f"{value:.{min(places, 8)}f}".rstrip("0")
    whole, _, part = text.partition(".")
    return f"${whole}.{part:0<2}"


def count(number: int | float | None) -> str:
    """A whole number with separators, shortened from 100,000 on: ``8,120``, ``123k``, ``4.6M``."""
    if number is None:
        return NONE
    if abs(number) < 100_000:
        return f"{number:,.0f}"
    for size, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= size * 0.9995:
            scaled = number / size
            return f"{scaled:.1f}{unit}" if scaled < 99.95 else f"{scaled:.0f}{unit}"
    return f"{number:,.0f}"


def tokens(number: int | float | None) -> str:
    """Tokens: as :func:`count`, shortened from 10,000 on: ``9,420``, ``18.4k``."""
    if number is None:
        return NONE
    if 9_999.5 <= number < 999_500:
        return f"{number / 1000:.1f}k" if number < 99_950 else f"{number / 1000:.0f}k"
    return count(number)


def percent(share: float | None) -> str:
    """A share as ``0 %``, ``0.3 %``, ``12 %``."""
    if share is None:
        return NONE
    value = share * 100
    if value == 0 or value >= 9.95:
        return f"{value:.0f} %"
    return f"{value:.1f} %" if value >= 0.1 else "<0.1 %"


def size(number: int | float) -> str:
    """Bytes as ``812 B``, ``3.4 kB``, ``1.2 MB``."""
    if number < 1000:
        return f"{number:.0f} B"
    for unit in ("kB", "MB", "GB"):
        number /= 1000
        if number < 999.5:
            return f"{number:.1f} {unit}" if number < 99.95 else f"{number:.0f} {unit}"
    return f"{number / 1000:.1f} TB"


def plural(number: int, word: str, many: str = "") -> str:
    """``1 span``, ``12 spans``."""
    return f"{count(number)} {word if number == 1 else many or word + 's'}"


def moment_ns(iso: str) -> int:
    """Nanoseconds since 1970 of an ISO moment in UTC; 0 for an empty one."""
    if not iso:
        return 0
    text = iso.replace("Z", "+00:00").replace(" ", "T", 1)
    head, dot, tail = text.partition(".")
    if dot:
        digits = re.match(r"\d+", tail)
        fraction = digits.group() if digits else ""
        zone = tail[len(fraction) :]
        base = datetime.fromisoformat(head + zone)
        return _epoch_ns(base) + int(fraction.ljust(9, "0")[:9] or 0)
    return _epoch_ns(datetime.fromisoformat(text))


def _epoch_ns(when: datetime) -> int:
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return round(when.timestamp()) * 1_000_000_000


def ago(iso: str, now_ns: int) -> str:
    """How long ago: ``4s ago``, ``12m ago``, ``3h ago``, ``5d ago``."""
    if not iso:
        return NONE
    seconds = (now_ns - moment_ns(iso)) // 1_000_000_000
    if seconds < 0:
        return "in the future" if seconds < -5 else "now"
    for limit, unit, letter in ((60, 1, "s"), (3600, 60, "m"), (48 * 3600, 3600, "h")):
        if seconds < limit:
            return f"{seconds // unit}{letter} ago"
    return f"{seconds // 86400}d ago"


def clock(iso: str) -> str:
    """A moment as ``11-20 14:03:22`` (UTC)."""
    return iso[5:19].replace("T", " ") if iso else NONE


def stamp(iso: str) -> str:
    """A moment as ``2026-11-20 14:03:22.123`` (UTC)."""
    return iso.replace("T", " ").rstrip("Z")[:23] if iso else NONE


# What renders as nothing, turns text around or drives a terminal. Joiners (200C, 200D) and variation selectors 1-16
# are left alone: languages and emoji need them.
_HIDDEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00ad\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f"
    "\u2028-\u202e\u2060-\u206f\u3164\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e01ef]+"
)
_RUN_SHOWN = 8


def visible(text: Any) -> Markup:
    """Text of a trace as HTML: escaped, with control, bidirectional and invisible characters shown as marks."""
    if isinstance(text, Markup):
        return text
    value = str(text)
    if not _HIDDEN.search(value):
        return escape(value)
    parts: list[Markup] = []
    end = 0
    for found in _HIDDEN.finditer(value):
        parts.append(escape(value[end : found.start()]))
        parts.append(_mark(found.group()))
        end = found.end()
    parts.append(escape(value[end:]))
    return Markup("").join(parts)


def revealed(text: str) -> str:
    """The same as plain text: marks in brackets."""
    return _HIDDEN.sub(lambda found: f"[{_named(found.group())}]", text)


def _mark(run: str) -> Markup:
    title = ", ".join(_character_name(character) for character in run[:_RUN_SHOWN])
    return Markup('<span class="hidden-mark" title="{}">{}</span>').format(title, _named(run))


def _named(run: str) -> str:
    if all("\U000e0020" <= character <= "\U000e007e" for character in run):
        # Letters of the tag block: invisible to people, read by models.
        spelled = "".join(chr(ord(character) - 0xE0000) for character in run[:200])
        return f"hidden tag text: {spelled}"
    shown = " ".join(f"U+{ord(character):04X}" for character in run[:_RUN_SHOWN])
    return shown if len(run) <= _RUN_SHOWN else f"{shown} and {len(run) - _RUN_SHOWN:,} more"


def _character_name(character: str) -> str:
    return unicodedata.name(character, f"control character {ord(character):#04x}").lower()


def pretty(text: str, limit: int = 200_000) -> str:
    """JSON indented for reading; any other text as it is."""
    start = text[:1]
    if start not in ("{", "[") or len(text) > limit:
        return text
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return json_text(value)


def own_name(root_name: str, agent: str) -> str:
    """What the root span's name says beyond the agent's: empty for ``refunds`` and ``invoke_agent refunds`` of refunds."""
    # The conventions name an agent's span by its operation and its name.
    return "" if agent and root_name.removeprefix("invoke_agent ") == agent else root_name


def gist(text: str) -> str:
    """What was said, where a value is JSON around one piece of text: ``{"args": ["hello"], "kwargs": {}}`` is hello."""
    if text[:1] not in ("{", "[", '"') or len(text) > 2_000:
        return text
    try:
        leaves = _leaves(json.loads(text))
    except (ValueError, RecursionError):
        return text
    return leaves[0] if len(leaves) == 1 and isinstance(leaves[0], str) and leaves[0].strip() else text


def _leaves(value: Any) -> list[Any]:
    if isinstance(value, dict):
        entries: dict[str, Any] = value  # pyright: ignore[reportUnknownVariableType]
        return [leaf for entry in entries.values() for leaf in _leaves(entry)]
    if isinstance(value, list):
        items: list[Any] = value  # pyright: ignore[reportUnknownVariableType]
        return [leaf for item in items for leaf in _leaves(item)]
    return [value]


def json_text(value: Any) -> str:
    """Any plain value as indented JSON, or the string itself."""
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value, ensure_ascii=False, indent=2, default=str)
    except (ValueError, RecursionError):
        return str(value)


def json_line(value: Any) -> str:
    """Any plain value as one line of JSON, or the string itself."""
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value, ensure_ascii=False, default=str)
    except (ValueError, RecursionError):
        return str(value)


def short_id(id: str) -> str:
    """The first characters of an id: enough to name it in practice."""
    return id[:8]
