"""Replies kept for a moment of need: the answer of the same call earlier, when no model answers now."""

from __future__ import annotations

import hashlib
import json
import threading
from collections import OrderedDict
from typing import Any, Generic, TypeVar

from .timer import SystemTimer, Timer

T = TypeVar("T")


class Replies(Generic[T]):
    """The newest replies by request, bounded in number and age. Safe to use from several threads."""

    def __init__(self, *, replies_max: int = 1_000, age_max_s: float = 86_400.0, timer: Timer | None = None) -> None:
        self._replies_max, self._age_max_s = replies_max, age_max_s
        self._timer = timer or SystemTimer()
        self._kept: OrderedDict[str, tuple[float, T]] = OrderedDict()
        self._lock = threading.Lock()

    def keep(self, key: str, reply: T) -> None:
        """Keep a reply; the oldest makes room."""
        with self._lock:
            self._kept.pop(key, None)
            self._kept[key] = (self._timer.now_s(), reply)
            while len(self._kept) > self._replies_max:
                self._kept.popitem(last=False)

    def find(self, key: str) -> T | None:
        """The reply of the same call, where one is kept and not too old."""
        with self._lock:
            found = self._kept.get(key)
        return found[1] if found and self._timer.now_s() - found[0] <= self._age_max_s else None


def request_key(*parts: Any) -> str:
    """The key of a request: everything that may change its reply, whose it is included (user, tenant, prompt, model)."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()
