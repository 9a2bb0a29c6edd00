"""The time window a page shows: a length that ends now, or two moments."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from pilothouse.records import BadRequest, iso

from .context import told
from .format import moment_ns

SECOND_NS = 1_000_000_000
LENGTHS = {"1h": 3600, "24h": 86_400, "7d": 7 * 86_400, "30d": 30 * 86_400}
"""The windows of the picker, in seconds."""
NAMES = {"1h": "last hour", "24h": "last 24 hours", "7d": "last 7 days", "30d": "last 30 days"}
DEFAULT = "24h"
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """The window of a page."""

    since: str = field(metadata=told("from this moment on, ISO 8601 UTC"))
    until: str = field(metadata=told("before this moment, ISO 8601 UTC"))
    choice: str = field(metadata=told("the picker's word, e.g. 24h; empty for two moments"))
    label: str = field(metadata=told("the window in words"))
    live: bool = field(metadata=told("true where it ends now, so the page may refresh itself"))

    @property
    def since_ns(self) -> int:
        """The start in nanoseconds since 1970."""
        return moment_ns(self.since)

    @property
    def until_ns(self) -> int:
        """The end in nanoseconds since 1970."""
        return moment_ns(self.until)

    @property
    def query(self) -> str:
        """The part of an address that asks for the same window again."""
        return f"window={self.choice}" if self.choice else f"since={self.since}&until={self.until}"

    @property
    def flags(self) -> str:
        """The same for the command line."""
        return f"--since {self.choice}" if self.choice else f"--since {self.since} --until {self.until}"


def choose(window: str, since: str, until: str, now_ns: int) -> Chosen:
    """Read a window from the words of an address. Two moments win over a length."""
    if since or until:
        end = _moment(until, now_ns) if until else now_ns
        start = _moment(since, now_ns) if since else end - LENGTHS[DEFAULT] * SECOND_NS
        if start >= end:
            raise BadRequest("the window ends before it starts", got=f"{since} to {until}", fix="?window=24h")
        label = f"{iso(start)[:16].replace('T', ' ')} to {iso(end)[:16].replace('T', ' ')} UTC"
        return Chosen(since=iso(start), until=iso(end), choice="", label=label, live=not until)
    word = window or DEFAULT
    length = LENGTHS.get(word) or _length(word)
    start = max(now_ns - length * SECOND_NS, SECOND_NS)
    label = NAMES.get(word, f"last {word}")
    return Chosen(since=iso(start), until=iso(now_ns), choice=word, label=label, live=True)


def _moment(word: str, now_ns: int) -> int:
    if re.fullmatch(r"\d{1,6}[smhdw]", word):
        return now_ns - _length(word) * SECOND_NS
    try:
        found = moment_ns(word)
    except ValueError:
        raise BadRequest(
            "a moment is ISO 8601 or an age", got=word, allowed="2026-11-20T14:00:00Z, 15m, 24h, 7d"
        ) from None
    return min(max(found, SECOND_NS), 4_000_000_000 * SECOND_NS)


def _length(word: str) -> int:
    found = re.fullmatch(r"(\d{1,6})([smhdw])", word)
    if found is None or int(found[1]) == 0:
        raise BadRequest("a window is a number and a unit", got=word, allowed=["15m", *LENGTHS], fix="?window=24h")
    return min(int(found[1]) * _UNITS[found[2]], 3650 * 86_400)
