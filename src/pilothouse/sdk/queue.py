"""Where records wait for the shipping thread: bounded in bytes, never blocking whoever puts them there."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any, cast

from opentelemetry.sdk.trace import Event, ReadableSpan

from .encode import plain
from .log_entry import LogEntry
from .stats import Counters

Item = ReadableSpan | LogEntry

_ITEM_BYTES = 1_000
"""What a span takes beside its texts: attributes, context, locks. Measured with the tracer of OpenTelemetry 1.45."""
_VALUE_BYTES = 60
_DEPTH_MAX = 4
_EVENTS_WEIGHED = 20
"""The events of a span that are looked at; the others are taken to be like them."""
WAKE_ITEMS = 2_000
WAKE_BYTES = 4 * 1024 * 1024
"""So much waiting wakes the shipping thread before its interval is over."""


class Queue:
    """Items in the order they came, and the count of all bytes that the recorder holds in memory."""

    def __init__(self, counters: Counters, bytes_max: int, wake: Callable[[], None]) -> None:
        self._counters = counters
        self._bytes_max = bytes_max
        self._wake = wake
        self._wake_bytes = min(WAKE_BYTES, bytes_max // 4)
        self._items: deque[tuple[Item, int]] = deque()
        # Reentrant: a signal handler or a destructor may record within put() of the same thread.
        self._lock = threading.RLock()
        self._woken = False
        self.held = 0
        """Bytes in memory: of waiting items, and of batches that are neither sent nor on disk."""
        self.closed = False

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: Item, size: int) -> None:
        """Take an item, or drop and count it where the bound is reached."""
        if self.closed:
            self._counters.drop("closed", 1)
            return
        with self._lock:
            if self.held + size > self._bytes_max:
                full = True
            else:
                full = False
                self.held += size
                self._items.append((item, size))
                # After it is in: whoever reads the count finds as many in the queue, or gone from it.
                self._counters.taken += 1
        if full:
            self._counters.drop("queue_full", 1)
        if not self._woken and (full or self.held > self._wake_bytes or len(self._items) > WAKE_ITEMS):
            self._woken = True
            self._wake()

    def drain(self, bytes_max: int) -> tuple[list[Item], int]:
        """The oldest items up to a size, taken out, and their bytes, which are held until they are released.

        They stay in memory until they are encoded: what is recorded meanwhile must not take their place.
        """
        self._woken = False
        out: list[Item] = []
        total = 0
        while self._items and total < bytes_max:
            item, size = self._items.popleft()
            out.append(item)
            total += size
        return out, total

    def hold(self, size: int) -> None:
        """Count bytes that have taken the place of items."""
        with self._lock:
            self.held += size

    def release(self, size: int) -> None:
        """Count bytes that are gone from memory."""
        self.hold(-size)


def span_bytes(span: ReadableSpan) -> int:
    """About the memory of a span, without touching its texts: a few microseconds at most."""
    size = _ITEM_BYTES
    # The dict itself: the public property wraps and copies.
    for value in plain(getattr(span, "_attributes", None)).values():
        kind = cast("type[object]", type(value))
        if kind is str or kind is bytes:
            size += len(value)
        elif kind is tuple or kind is list or kind is dict:
            size += _deep_bytes(value, 0)
    events = cast("tuple[Event, ...]", getattr(span, "_events", ()))
    if count := len(events):
        some = sum(_deep_bytes(plain(event.attributes), 0) for event in islice(events, _EVENTS_WEIGHED))
        size += count * _ITEM_BYTES // 2 + some * count // min(count, _EVENTS_WEIGHED)
    return size


def log_bytes(entry: LogEntry) -> int:
    """About the memory of a log entry."""
    return _ITEM_BYTES // 2 + _deep_bytes(entry.body, 0) + _deep_bytes(entry.attributes, 0)


def _deep_bytes(value: Any, depth: int) -> int:
    if isinstance(value, str | bytes):
        return _VALUE_BYTES + len(value)
    if depth < _DEPTH_MAX:
        if isinstance(value, Mapping):
            items = cast("Mapping[Any, Any]", value).items()
            return sum(_VALUE_BYTES + len(str(key)) + _deep_bytes(item, depth + 1) for key, item in items)
        if isinstance(value, tuple | list):
            return sum(_deep_bytes(item, depth + 1) for item in cast("list[Any]", value))
    return _VALUE_BYTES
