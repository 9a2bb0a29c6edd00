"""Clocks that lie: what is done with times that cannot be true, and how times are written for the store."""

from __future__ import annotations

import time
from typing import NamedTuple

DAY_NS = 86_400 * 1_000_000_000
LAST_NS = 9_223_372_036_000_000_000
"""The last moment the store can hold: the year 2262."""


class Moment(NamedTuple):
    """When a span ran, as it is stored."""

    start_ns: int
    duration_ns: int
    notes: tuple[str, ...]


def settle_times(start_ns: int, end_ns: int, received_ns: int, *, running: bool) -> Moment:
    """Choose start and duration. Any past time is taken as sent; 0 and the far future are replaced by the arrival.

    The far future is more than a day after arrival: such a span would stay on top of every list for good.
    """
    notes: list[str] = []
    duration = 0 if running or end_ns == 0 else end_ns - start_ns
    if start_ns <= 0:
        start = end_ns if 0 < end_ns <= received_ns + DAY_NS else received_ns
        return Moment(start, 0, ("clock: no start time; the end or the arrival stands in",))
    if duration < 0:
        notes.append(f"clock: ended {-duration / 1e6:.3f} ms before it started")
        duration = 0
    start = start_ns
    if start_ns > received_ns + DAY_NS:
        days = (start_ns - received_ns) // DAY_NS
        notes.append(f"clock: started {days} days after it arrived; the arrival stands in")
        start = received_ns - (duration if duration < DAY_NS else 0)
    return Moment(min(start, LAST_NS), min(duration, LAST_NS), tuple(notes))


def stored_time(ns: int) -> str:
    """A time for a DateTime64(9) column: seconds and nanoseconds since 1970."""
    seconds, rest = divmod(min(max(ns, 0), LAST_NS), 1_000_000_000)
    return f"{_seconds(seconds)}.{rest:09d}"


def stored_milliseconds(ns: int) -> str:
    """A time for a DateTime64(3) column."""
    seconds, rest = divmod(min(max(ns, 0), LAST_NS), 1_000_000_000)
    return f"{_seconds(seconds)}.{rest // 1_000_000:03d}"


def _seconds(seconds: int) -> str:
    # The engine takes a number of few digits for the beginning of a date: such times are written out.
    return str(seconds) if seconds >= 1_000_000_000 else time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(seconds))
