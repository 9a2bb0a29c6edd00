"""Time ranges: what people write (``15m``, ``24h``, ``7d``, ISO 8601) and what a list covers."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime

from pilothouse.records import BadRequest, iso

from .model import DEFAULT_WINDOW_NS, Window

_SECOND = 1_000_000_000
_UNITS = {"s": _SECOND, "m": 60 * _SECOND, "h": 3600 * _SECOND, "d": 86_400 * _SECOND, "w": 604_800 * _SECOND}
_LATEST_NS = 4_102_444_800 * _SECOND
"""The year 2100: later moments are a mistake."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """A time range in nanoseconds since 1970 UTC, the end excluded."""

    since_ns: int
    until_ns: int
    assumed: bool = False
    """True where nobody named a start."""

    def as_window(self) -> Window:
        """The range as answers show it."""
        return Window(since=iso(self.since_ns), until=iso(self.until_ns), assumed=self.assumed)


def time_range(since_ns: int | None, until_ns: int | None, *, now_ns: int | None = None) -> Range:
    """Fill in what is missing: until now (and a minute for clocks ahead), from seven days before that."""
    until = until_ns if until_ns is not None else (now_ns or time.time_ns()) + 60 * _SECOND
    since = since_ns if since_ns is not None else until - DEFAULT_WINDOW_NS
    if not 0 <= since <= _LATEST_NS or not 0 <= until <= _LATEST_NS:
        raise BadRequest("a moment lies outside 1970 to 2100", got=str(since if until <= _LATEST_NS else until))
    if since >= until:
        raise BadRequest(
            "the time range is empty: it starts when it has ended",
            got=f"since {iso(since)} until {iso(until)}",
            fix="give an earlier since, e.g. since=24h",
        )
    return Range(since_ns=since, until_ns=until, assumed=since_ns is None)


_SLICES = (1 / 28, 1 / 7, 1 / 2, 1.0)
"""Of a week: six hours, a day, half of it, the rest."""


def slices(since_ns: int, until_ns: int) -> list[tuple[int, int]]:
    """A time range in growing pieces, newest first.

    What is common is found in the newest piece; what is rare is found by an index, however long the range is.
    """
    pieces: list[tuple[int, int]] = []
    upper = until_ns
    for share in _SLICES:
        lower = since_ns if share == 1.0 else until_ns - int((until_ns - since_ns) * share)
        if lower < upper:
            pieces.append((lower, upper))
            upper = lower
    return pieces


def parse_moment(text: str, *, now_ns: int | None = None, name: str = "since") -> int:
    """A moment: ``15m`` (that long ago), ``now``, or ISO 8601 (UTC where it names no zone)."""
    now = now_ns or time.time_ns()
    word = text.strip()
    if word == "now":
        return now
    relative = re.fullmatch(r"([0-9]{1,6})([smhdw])", word)
    if relative:
        return max(0, now - int(relative[1]) * _UNITS[relative[2]])
    try:
        moment = datetime.fromisoformat(word)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        at = int(moment.timestamp() * 1_000_000) * 1000
    except (ValueError, OverflowError):
        raise BadRequest(
            f"{name} is no time",
            got=text[:100],
            allowed="15m, 24h, 7d, 2w, now, or ISO 8601 such as 2026-11-20T10:00:00Z",
            fix=f"{name}=24h",
        ) from None
    if not 0 <= at <= _LATEST_NS:
        raise BadRequest(f"{name} lies outside 1970 to 2100", got=text[:100])
    return at
