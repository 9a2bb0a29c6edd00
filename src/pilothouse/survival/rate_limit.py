"""Rate limits: token buckets per key, user and model, all of them or none.

A bucket holds at most its burst and fills at its rate. A call takes from every bucket that applies to it at once, or
from none and is told when to come back. Tokens are taken as estimated and put right when they are known; a bucket may
go below zero then, and the next ones wait for it.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final, Literal

from pilothouse.records import BadRequest, Overloaded

from .timer import SystemTimer, Timer

Per = Literal["key", "user", "model", "system"]
PER: Final[tuple[Per, ...]] = ("key", "user", "model", "system")
_BUCKETS_MAX: Final = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """One limit. An entry of ``limits`` in the policy file."""

    per: Per
    """Who has a bucket of their own: each key, each user, each model, or all together."""
    name: str = ""
    """As the policy file calls it."""
    match: str = "*"
    """Which keys, users or models it is for; a pattern with ``*``."""
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    burst_s: float = 10.0
    """A full bucket holds what flows in within so many seconds, and never less than one request."""

    def __post_init__(self) -> None:
        if self.requests_per_minute is None and self.tokens_per_minute is None:
            raise BadRequest(
                f"limits.{self.name or self.per} says requests_per_minute, tokens_per_minute or both", got="neither"
            )
        for name in ("requests_per_minute", "tokens_per_minute", "burst_s"):
            value: float | None = getattr(self, name)
            if value is not None and not 0 < value <= 1e12:
                raise BadRequest(f"limits.{self.name or self.per}.{name} is a number above 0", got=value)


class Limited(Overloaded):
    """A limit has too little left: come back later."""

    def __init__(self, message: str, *, limit: str, fix: str, retry_after_s: int) -> None:
        super().__init__(message, fix=fix, retry_after_s=retry_after_s)
        self.limit = limit
        """Its name in the policy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What a call took. Give it to :meth:`Limits.settle` when its tokens are known."""

    buckets: tuple[tuple[int, str, str], ...]
    tokens: int


@dataclass(slots=True)
class _Bucket:
    """Mutable; under the lock of its :class:`Limits`."""

    level: float
    at_s: float


class Limits:
    """All limits of a process. Safe to use from several threads."""

    def __init__(self, limits: tuple[Limit, ...] = (), *, timer: Timer | None = None) -> None:
        self.limits = limits
        self._timer = timer or SystemTimer()
        self._buckets: OrderedDict[tuple[int, str, str], _Bucket] = OrderedDict()
        # Two threads must not both take the last token.
        self._lock = threading.Lock()

    def take(self, *, key: str = "", user: str = "", model: str = "", tokens: int = 0) -> Taken:
        """Take one request and so many tokens from every bucket that applies.

        Raises:
            Overloaded: one of them has too little: it says which, and when to come back.
        """
        names: Mapping[Per, str] = {"key": key, "user": user, "model": model, "system": "system"}
        with self._lock:
            now = self._timer.now_s()
            wanted: list[tuple[_Bucket, tuple[int, str, str], float]] = []
            for number, limit in enumerate(self.limits):
                name = names[limit.per]
                if not name or not fnmatchcase(name, limit.match):
                    continue
                for unit, rate, amount in (
                    ("requests", limit.requests_per_minute, 1.0),
                    ("tokens", limit.tokens_per_minute, float(tokens)),
                ):
                    if rate is None:
                        continue
                    burst = self._burst(limit, unit, rate)
                    bucket = self._bucket((number, unit, name), burst, rate, now)
                    # What is larger than the whole bucket goes through when that is full, and is paid off after.
                    short = min(amount, burst) - bucket.level
                    if short > 1e-9:
                        raise _refused(limit, unit, rate, short * 60 / rate)
                    wanted.append((bucket, (number, unit, name), amount))
            for bucket, _, amount in wanted:
                bucket.level -= amount
        return Taken(buckets=tuple(key for _, key, _ in wanted), tokens=tokens)

    def settle(self, taken: Taken, tokens: int) -> None:
        """Put right what was taken, now that the tokens are known. Once for each :class:`Taken`."""
        with self._lock:
            now = self._timer.now_s()
            for key in taken.buckets:
                number, unit, _ = key
                rate = self.limits[number].tokens_per_minute
                if unit == "tokens" and rate is not None:
                    burst = self._burst(self.limits[number], unit, rate)
                    bucket = self._bucket(key, burst, rate, now)
                    bucket.level = min(bucket.level + taken.tokens - tokens, burst)

    def _bucket(self, key: tuple[int, str, str], burst: float, rate: float, now: float) -> _Bucket:
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = _Bucket(level=burst, at_s=now)
            if len(self._buckets) > _BUCKETS_MAX:
                # The one nobody took from for longest: the likeliest to be full, which is what a new one is.
                self._buckets.popitem(last=False)
            return bucket
        self._buckets.move_to_end(key)
        bucket.level = min(bucket.level + max(now - bucket.at_s, 0.0) * rate / 60, burst)
        bucket.at_s = now
        return bucket

    @staticmethod
    def _burst(limit: Limit, unit: str, rate: float) -> float:
        burst = rate * limit.burst_s / 60
        return max(burst, 1.0) if unit == "requests" else burst


def _refused(limit: Limit, unit: str, rate: float, wait_s: float) -> Limited:
    # Whose bucket it is stays out of the message: a key's id or a user's name is nobody else's business.
    matched = "" if limit.match == "*" else f" {limit.match}"
    where = f"limits.{limit.name or limit.per}.{unit}_per_minute"
    return Limited(
        f"too many {unit} for this {limit.per}{matched}: {rate:g} a minute are allowed",
        limit=limit.name or limit.per,
        fix=f"come back in {wait_s:.1f} s, or raise {where} in the policy file",
        retry_after_s=max(math.ceil(wait_s), 1),
    )
