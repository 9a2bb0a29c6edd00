"""What the intake took and what it turned away, by reason, project and sender: so that nobody has to guess.

A sender whose key is wrong sees nothing but its own log. Here every refused write is counted with the address it came
from and the last message it was given; other parts show the snapshot.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace

from pilothouse.records import Clock, PilothouseError, SystemClock

from .check import Checked

KEYS_MAX = 1000
"""Distinct senders and projects told apart; later ones are counted together under ``other``."""
OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptedWrites:
    """What one project sent of one signal and was told is stored."""

    signal: str
    project_id: str
    requests: int = 0
    items: int = 0
    """Spans, log records or data points taken."""
    items_refused: int = 0
    """Items of the same requests that were refused one by one."""
    bytes: int = 0
    """Size of the bodies as received."""
    last_ns: int = 0
    """When the last came, in nanoseconds since 1970 UTC."""
    last_refusal: str = ""
    """Why the last of the refused items was refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedWrites:
    """Requests that were refused whole, for one reason, from one sender."""

    reason: str
    """The error's kind, e.g. ``not_allowed`` or ``overloaded``."""
    status: int
    """The HTTP status, also for gRPC."""
    signal: str
    project_id: str
    """Empty where the key was not good."""
    remote: str
    """The sender's address."""
    requests: int = 0
    last_ns: int = 0
    last_message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """All counts since the start."""

    since_ns: int
    accepted: list[AcceptedWrites]
    refused: list[RefusedWrites]

    @property
    def refused_by_reason(self) -> dict[str, int]:
        """Refused requests, summed over senders."""
        sums: dict[str, int] = {}
        for row in self.refused:
            sums[row.reason] = sums.get(row.reason, 0) + row.requests
        return sums


class Counters:
    """Counts from any thread; bounded by :data:`KEYS_MAX`."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._since_ns = self._clock.now_ns()
        # HTTP and gRPC may run in threads of their own, and snapshots are taken from others.
        self._lock = threading.Lock()
        self._accepted: dict[tuple[str, str], AcceptedWrites] = {}
        self._refused: dict[tuple[str, int, str, str, str], RefusedWrites] = {}

    def accept(self, *, signal: str, project_id: str, checked: Checked, size: int) -> None:
        """Count a request that was answered with success, wholly or in part."""
        now_ns = self._clock.now_ns()
        with self._lock:
            if (signal, project_id) not in self._accepted and len(self._accepted) >= KEYS_MAX:
                project_id = OTHER
            key = (signal, project_id)
            row = self._accepted.get(key) or AcceptedWrites(signal=signal, project_id=project_id)
            self._accepted[key] = replace(
                row,
                requests=row.requests + 1,
                items=row.items + checked.accepted,
                items_refused=row.items_refused + checked.refused_count,
                bytes=row.bytes + size,
                last_ns=now_ns,
                last_refusal=checked.refused[-1].reason if checked.refused else row.last_refusal,
            )

    def refuse(self, error: PilothouseError, *, signal: str, project_id: str, remote: str) -> None:
        """Count a request that was answered with an error."""
        now_ns = self._clock.now_ns()
        with self._lock:
            key = (error.kind, error.http_status, signal, project_id, remote)
            if key not in self._refused and len(self._refused) >= KEYS_MAX:
                key = (error.kind, error.http_status, signal, OTHER, OTHER)
            row = self._refused.get(key) or RefusedWrites(
                reason=key[0], status=key[1], signal=key[2], project_id=key[3], remote=key[4]
            )
            self._refused[key] = replace(row, requests=row.requests + 1, last_ns=now_ns, last_message=error.message)

    def snapshot(self) -> Snapshot:
        """The counts as they are now; the largest first."""
        with self._lock:
            accepted, refused = list(self._accepted.values()), list(self._refused.values())
        return Snapshot(
            since_ns=self._since_ns,
            accepted=sorted(accepted, key=lambda row: -row.items),
            refused=sorted(refused, key=lambda row: -row.requests),
        )
