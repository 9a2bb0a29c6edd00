"""Several addresses and keys of one upstream: calls take turns, and one that just failed is passed over for a while."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from .config import Upstream, UpstreamKey

TRIES_MAX: Final = 4
"""Addresses and keys that one call tries at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One address with one key."""

    url: str
    key: UpstreamKey | None


class Turns:
    """Whose turn it is. Used from one event loop."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._next: dict[str, int] = {}
        self._only: dict[str, tuple[Upstream, list[Turn]]] = {}
        self._resting: dict[tuple[str, str], float] = {}

    def order(self, upstream: Upstream) -> list[Turn]:
        """Address and key for each try of one call: those that rest come last, for a call is better tried than not."""
        only = self._only.get(upstream.name)
        if only is not None and only[0] is upstream:
            return only[1]
        start = self._next.get(upstream.name, 0)
        self._next[upstream.name] = start + 1
        urls, keys = upstream.urls, upstream.keys or (None,)
        count = max(len(urls), len(keys))
        if count == 1:
            turns = [Turn(url=urls[0], key=keys[0])]
            self._only[upstream.name] = upstream, turns
            return turns
        turns = [Turn(url=urls[(start + i) % len(urls)], key=keys[(start + i) % len(keys)]) for i in range(count)]
        now = self._clock()
        turns.sort(key=lambda turn: self._rests(upstream, turn, now))
        return turns[:TRIES_MAX]

    def rest(self, upstream: Upstream, what: str, seconds: float) -> None:
        """Pass an address, or a key by its source, over for a while."""
        self._resting[upstream.name, what] = self._clock() + seconds

    def rests_s(self, upstream: Upstream, what: str) -> float:
        """For how many seconds an address, or a key by its source, is still passed over."""
        return round(max(0.0, self._resting.get((upstream.name, what), 0.0) - self._clock()), 1)

    def _rests(self, upstream: Upstream, turn: Turn, now: float) -> bool:
        whats = (turn.url, turn.key.source if turn.key is not None else "")
        return any(self._resting.get((upstream.name, what), 0.0) > now for what in whats)
