"""When to turn senders away: too much in memory, too much unread in the journal, too little disk.

Nothing is dropped in silence. A sender that is turned away is told when to come back, and OTLP exporters do.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pilothouse.records import DiskFull, Overloaded

from .settings import Settings


class BacklogFull(Overloaded):
    """The journal holds more than the ingest worker has yet stored."""

    kind = "backlog_full"
    http_status = 503


class DiskLow(DiskFull):
    """Free disk is below the floor."""

    kind = "disk_low"


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What the intake holds now."""

    in_flight_bytes: int
    """Bodies received and not answered."""
    backlog_bytes: int
    """Journal not yet consumed, at the last measurement."""
    disk_free_bytes: int
    """Free disk under the journal, at the last measurement."""


class Hold:
    """One request's share of the bytes in flight."""

    def __init__(self, pressure: Pressure) -> None:
        self._pressure = pressure
        self.bytes = 0

    def grow(self, size: int) -> None:
        """Take ``size`` bytes more. Raises Overloaded where they do not fit."""
        self._pressure.take(size)
        self.bytes += size


class Pressure:
    """Measures, and refuses. Used from the event loop only; :meth:`measure` may run elsewhere."""

    def __init__(self, directory: Path, backlog: Callable[[], int], settings: Settings) -> None:
        self._directory = directory
        self._backlog = backlog
        self._settings = settings
        self._in_flight = 0
        self._backlog_bytes = 0
        self._disk_free_bytes = settings.disk_free_bytes_min

    @property
    def load(self) -> Load:
        """The present state."""
        return Load(
            in_flight_bytes=self._in_flight,
            backlog_bytes=self._backlog_bytes,
            disk_free_bytes=self._disk_free_bytes,
        )

    def measure(self) -> None:
        """Look at the disk and the journal. Blocks for some system calls."""
        disk = os.statvfs(self._directory)
        self._disk_free_bytes = disk.f_bavail * disk.f_frsize
        self._backlog_bytes = self._backlog()

    def check(self, size: int) -> None:
        """Raise where a request of ``size`` bytes can not be taken now."""
        settings = self._settings
        if self._disk_free_bytes < settings.disk_free_bytes_min:
            raise DiskLow(
                f"{self._disk_free_bytes >> 20} MiB of disk are free, fewer than the {settings.disk_free_bytes_min >> 20}"
                " the store needs to work",
                got=self._disk_free_bytes,
                allowed=settings.disk_free_bytes_min,
                fix="free disk space or shorten retention; senders retry by themselves",
                retry_after_s=settings.retry_after_s,
            )
        if self._backlog_bytes > settings.backlog_bytes_max:
            raise BacklogFull(
                f"{self._backlog_bytes >> 20} MiB wait in the journal to be stored, more than"
                f" {settings.backlog_bytes_max >> 20}",
                got=self._backlog_bytes,
                allowed=settings.backlog_bytes_max,
                fix="see that the ingest worker runs; senders retry by themselves",
                retry_after_s=settings.retry_after_s,
            )
        if self._in_flight + size > settings.in_flight_bytes_max:
            raise self._too_much(size)

    def take(self, size: int) -> None:
        """Count ``size`` more bytes in flight, or raise Overloaded."""
        if self._in_flight + size > self._settings.in_flight_bytes_max:
            raise self._too_much(size)
        self._in_flight += size

    @contextmanager
    def hold(self) -> Generator[Hold]:
        """A share that starts empty, can grow, and is given back at the end."""
        share = Hold(self)
        try:
            yield share
        finally:
            self._in_flight -= share.bytes

    def _too_much(self, size: int) -> Overloaded:
        return Overloaded(
            f"{self._in_flight >> 20} MiB are being received: there is no room for {max(1, size >> 20)} more",
            got=self._in_flight + size,
            allowed=self._settings.in_flight_bytes_max,
            fix="wait and send again; OTLP exporters do so by themselves",
            retry_after_s=self._settings.retry_after_s,
        )
