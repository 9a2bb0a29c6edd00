"""Text for terminals: recorded content made harmless, and plain tables."""

from __future__ import annotations

import json
import re
import shutil
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pilothouse.records import clean, visible

__all__ = ["clean", "columns", "count", "dollars", "duration", "moment", "one_line", "table", "visible", "width"]


def one_line(text: str, width: int) -> str:
    """Cleaned text on one line, at most so many columns wide."""
    joined = " ".join(clean(text[: width * 8]).split())
    if columns(joined) <= width:
        return joined
    kept: list[str] = []
    left = width - 1
    for character in joined:
        left -= columns(character)
        if left < 0:
            break
        kept.append(character)
    return "".join(kept) + "…"


def columns(text: str) -> int:
    """How many columns text takes on a terminal."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


_LIKE_OURS = re.compile(r"(?i)(?:next|hint|fix|more|error|cut|note|got|allowed|data)\b[^:]{0,30}:|[#`«|>$]|-{2}")


def first_cell(text: str) -> str:
    """What begins a line: in quotes where it could pass for a line of ours."""
    return json.dumps(text, ensure_ascii=False) if _LIKE_OURS.match(text) else text


def width() -> int:
    """Columns of the terminal; 120 where there is none."""
    return max(60, shutil.get_terminal_size((120, 40)).columns)


def code_line(place: Mapping[str, Any]) -> str:
    """Where in the code a step was made, as ``file:line``."""
    text = f"{place['file']}:{place['line']}" if place["line"] else place["file"]
    around = f"  (step {place['step']:03d} around it)" if place["step"] else ""
    raised = "  (where it was raised)" if place["found"] == "stack" else ""
    return f"code {text}  {place['function']}{around}{raised}".rstrip()


def table(heads: Sequence[str], rows: Iterable[Sequence[object]], *, right: str = "") -> list[str]:
    """Lines of a plain table. Names in ``right`` are aligned to the right; the last column takes what room is left."""
    cells = [[one_line("" if value is None else str(value), 200) for value in row] for row in rows]
    cells = [[first_cell(row[0]), *row[1:]] for row in cells]
    widths = [max([columns(head), *(columns(row[i]) for row in cells)]) for i, head in enumerate(heads)]
    to_the_right = set(right.split())
    room = width() - sum(widths[:-1]) - 2 * (len(heads) - 1)
    lines: list[str] = []
    for row in [list(heads), *cells]:
        parts: list[str] = []
        for i, text in enumerate(row):
            if i == len(heads) - 1:
                text = one_line(text, max(room, 20))
                parts.append(" " * (widths[i] - columns(text)) + text if heads[i] in to_the_right else text)
            else:
                gap = " " * (widths[i] - columns(text))
                parts.append(gap + text if heads[i] in to_the_right else text + gap)
        lines.append("  ".join(parts).rstrip())
    return lines


def duration(ms: object) -> str:
    """Milliseconds for people: ``850us``, ``12ms``, ``1.9s``, ``4m05s``."""
    if not isinstance(ms, int | float):
        return ""
    if ms < 1:
        return f"{ms * 1000:.0f}us"
    if ms < 1000:
        return f"{ms:.3g}ms"
    seconds = ms / 1000
    if seconds < 59.95:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02d}m" if hours else f"{minutes}m{rest:02d}s"


def count(number: object) -> str:
    """A count for people: ``812``, ``2.1k``, ``1.2M``."""
    if not isinstance(number, int | float):
        return ""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:.1f}{unit}"
    return str(number)


def dollars(amount: object) -> str:
    """Money as it stands, from the string the API gives; ``?`` where it is unknown."""
    if not isinstance(amount, str) or not amount:
        return "?"
    return f"${amount[: max(9, amount.find('.') + 3)]}"


def moment(text: object) -> str:
    """A moment without its date's century and its fractions: ``11-20 10:00:00``."""
    return str(text or "")[5:19].replace("T", " ")
