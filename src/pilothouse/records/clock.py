"""Time, as something a test can hold still."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What time it is."""

    def now_ns(self) -> int:
        """Nanoseconds since 1970 UTC."""
        ...


class SystemClock:
    """The machine's clock."""

    def now_ns(self) -> int:
        """Nanoseconds since 1970 UTC."""
        return time.time_ns()


def utc(ns: int) -> datetime:
    """The moment as a datetime in UTC, to the microsecond."""
    return datetime.fromtimestamp(ns // 1000 / 1e6, tz=UTC)


def iso(ns: int) -> str:
    """The moment as ISO 8601 in UTC with milliseconds, e.g. ``2026-11-20T10:00:00.123Z``; empty for 0."""
    if ns <= 0:
        return ""
    seconds, rest = divmod(ns, 1_000_000_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{rest // 1_000_000:03d}Z"
