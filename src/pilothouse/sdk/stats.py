"""What became of everything that was recorded: counted, shown by ``stats()``, and said once a minute where it matters."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass, field

LOG = logging.getLogger("pilothouse")

LINE_EVERY_S = 60.0
"""The recorder says at most one line in so many seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """Counts of spans and log records since the process (or its fork) began."""

    queued: int
    """Recorded, and neither with the server nor on disk yet."""
    sent: int
    """Taken by the server, early copies and heartbeats not counted."""
    spilled: int
    """Written to disk since the server did not answer."""
    delivered_from_spill: int
    """Delivered from disk by this process, those of earlier processes too."""
    dropped: int
    """Lost."""
    dropped_by_reason: dict[str, int] = field(default_factory=dict[str, int])
    """``queue_full``, ``spill_full``, ``spill_failed``, ``not_encodable``, ``refused``, ``closed``."""
    spill_files: int = 0
    """Files that wait on disk for this destination."""
    spill_bytes: int = 0
    """Bytes of all that waits on disk, for any destination."""
    state: str = "ok"
    """``ok``, or what is wrong with the server, such as ``unreachable: connection refused``."""


class Counters:
    """Counts, shared by the threads of a recorder."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self.taken = 0
        """Accepted into the queue. Only ever changed under the queue's lock."""
        self.sent = 0
        self.spilled = 0
        self.delivered_from_spill = 0
        self.settled = 0
        """Of those taken, how many are with the server, on disk or lost."""
        self.dropped: dict[str, int] = {}
        self._told = 0.0
        self._since: dict[str, int] = {}

    def drop(self, reason: str, count: int) -> None:
        """Count what is lost."""
        if count:
            with self._lock:
                self.dropped[reason] = self.dropped.get(reason, 0) + count
                # What daemon threads record after the end is counted, and no news to anybody.
                if reason != "closed":
                    self._since[reason] = self._since.get(reason, 0) + count

    def add(self, *, sent: int = 0, spilled: int = 0, delivered: int = 0, settled: int = 0) -> None:
        """Count what went well."""
        with self._lock:
            self.sent += sent
            self.spilled += spilled
            self.delivered_from_spill += delivered
            self.settled += settled

    def tell(self, trouble: str, remedy: str, *, last: bool = False) -> None:
        """Log one line where records were lost or the server has trouble, at most once in :data:`LINE_EVERY_S`.

        The last line of a process is said in any case where records were lost since the one before.
        """
        now = time.monotonic()
        with self._lock:
            early = bool(self._told) and now - self._told < LINE_EVERY_S and not (last and self._since)
            if early or not (trouble or self._since):
                return
            self._told = now
            lost, self._since = self._since, {}
        told = [trouble] if trouble else []
        if lost:
            told.append("dropped " + ", ".join(f"{count:,} ({reason})" for reason, count in sorted(lost.items())))
        LOG.warning("%s; %s", "; ".join(told), remedy or "pilothouse.stats() shows the counts")
