"""The journal of one receiver: what :meth:`Journal.append` returned for is on disk, whatever happens next.

One thread writes. It takes all records that wait, writes them at once, syncs once, and wakes their senders: the more
wait, the cheaper each becomes. A group that can not be made durable is taken back whole: the file is cut to where it
was, each sender of that group is told DiskFull, and the next group tries again.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import queue
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from pilothouse.records import BadRequest, Broken, DiskFull, PilothouseError, Refused, TooLarge

from .checkpoint import sync_directory
from .mark import Mark, MarkWriter
from .segment import (
    BODY_BYTES_MAX,
    HEAD_BYTES,
    MARKER_BYTES,
    Position,
    Record,
    file_name,
    head,
    pack,
    packed_bytes,
    segments,
)
from .segment_recovery import NOTHING_RECOVERED, Recovery, recover_segment
from .settings import Settings

_DEFAULTS = Settings()
_PIECES_MAX = 512
_sync = getattr(os, "fdatasync", os.fsync)  # macOS has only fsync.
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class Disk:
    """The calls that can fail when the disk does; a test replaces them to fail on purpose."""

    def write(self, descriptor: int, pieces: Sequence[bytes], offset: int) -> int:
        """Write at an offset and return how many bytes were taken, which may be fewer."""
        return os.pwritev(descriptor, pieces, offset)

    def sync(self, descriptor: int) -> None:
        """Return when the file's data is on disk."""
        _sync(descriptor)

    def truncate(self, descriptor: int, length: int) -> None:
        """Cut the file."""
        os.ftruncate(descriptor, length)


@dataclass(slots=True, kw_only=True)
class JournalStats:
    """What one journal has done since it was opened."""

    records: int = 0
    bytes: int = 0
    groups: int = 0
    """Groups made durable: one sync each."""
    failures: int = 0
    """Groups taken back."""
    segments: int = 0
    """Segments begun."""


class _Waiter(NamedTuple):
    record: Record
    bytes: int
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Position]


class _Open(NamedTuple):
    """The segment being written."""

    number: int
    descriptor: int
    marker: bytes


class Journal:
    """An append-only journal in a directory of its own, written by one process at a time.

    Raises BadRequest where another process has the directory open, DiskFull where it can not be made.
    """

    def __init__(self, directory: Path, settings: Settings = _DEFAULTS, *, disk: Disk | None = None) -> None:
        self.directory = directory
        self.receiver = directory.name
        self.stats = JournalStats()
        self._settings = settings
        self._disk = disk or Disk()
        self._lock = _lock(directory)
        try:
            self.recovery = self._recover()
            self._mark = MarkWriter(directory)
        except OSError as error:
            os.close(self._lock)
            raise _disk_full(error, settings) from error
        except BaseException:
            os.close(self._lock)
            raise
        # A new segment for every run: whatever an earlier run left in its last one, no offset is used twice.
        self._last = (segments(directory) or [0])[-1]
        self._mark.publish(Mark(self._last, self.recovery.end))
        self._open: _Open | None = None
        self._end = 0
        self._closed = False
        self._waiting: queue.SimpleQueue[_Waiter | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=f"journal-{self.receiver}", daemon=True)
        self._thread.start()

    def __repr__(self) -> str:
        return f"Journal({str(self.directory)!r})"

    async def append(self, record: Record) -> Position:
        """Return when the record is on disk. Raises DiskFull where it could not be put there: it then is not.

        Cancelling the wait leaves open whether the record is kept.
        """
        if self._closed:
            raise Refused("the receiver is stopping", retry_after_s=self._settings.retry_after_s)
        if len(record.body) > BODY_BYTES_MAX:
            raise TooLarge(f"a record's body is larger than {BODY_BYTES_MAX} bytes", allowed=BODY_BYTES_MAX)
        size = packed_bytes(record)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Position] = loop.create_future()
        self._waiting.put(_Waiter(record, size, loop, future))
        return await future

    def close(self) -> None:
        """Write what waits, then release the directory. May block for one sync; calling it twice is harmless."""
        if self._closed:
            return
        self._closed = True
        self._waiting.put(None)
        self._thread.join()
        self._let_go()
        self._mark.close()
        os.close(self._lock)

    # ── start ────────────────────────────────────────────────────────────────

    def _recover(self) -> Recovery:
        existing = segments(self.directory)
        if not existing:
            return NOTHING_RECOVERED
        return recover_segment(self.directory / file_name(existing[-1]))

    # ── the writer's thread ──────────────────────────────────────────────────

    def _run(self) -> None:
        stop = False
        while not stop:
            waiter = self._waiting.get()
            group: list[_Waiter] = []
            group_bytes = 0
            while True:
                if waiter is None:
                    stop = True
                    break
                group.append(waiter)
                group_bytes += waiter.bytes
                if group_bytes >= self._settings.group_bytes_max:
                    break
                try:
                    waiter = self._waiting.get_nowait()
                except queue.Empty:
                    break
            if group:
                _settle(group, self._store(group, group_bytes))
        while not self._waiting.empty():
            late = self._waiting.get()
            if late is not None:
                _settle([late], Refused("the receiver is stopping", retry_after_s=self._settings.retry_after_s))

    def _store(self, group: list[_Waiter], group_bytes: int) -> list[Position] | PilothouseError:
        try:
            segment = self._segment_for(group_bytes)
            positions = self._write(segment, group)
        except OSError as error:
            self.stats.failures += 1
            return _disk_full(error, self._settings)
        except Exception as error:
            self.stats.failures += 1
            self._retreat()
            broken = Broken("the journal failed for a reason that is not the disk's")
            broken.__cause__ = error
            return broken
        self._end = positions[-1].end
        self._mark.publish(Mark(segment.number, self._end))
        self.stats.records += len(group)
        self.stats.bytes += group_bytes
        self.stats.groups += 1
        return positions

    def _write(self, segment: _Open, group: list[_Waiter]) -> list[Position]:
        positions: list[Position] = []
        pieces: list[bytes] = []
        at = self._end
        for waiter in group:
            packed = pack(segment.marker, waiter.record)
            end = at + sum(map(len, packed))
            positions.append(Position(self.receiver, segment.number, at, end))
            pieces += packed
            at = end
        try:
            _write_all(self._disk, segment.descriptor, pieces, self._end)
        except OSError:
            self._retreat()
            raise
        try:
            self._disk.sync(segment.descriptor)
        except OSError:
            # After a failed sync the kernel may hold lost pages for clean ones: nothing more is written here.
            self._retreat()
            self._let_go()
            raise
        return positions

    def _retreat(self) -> None:
        """Cut the segment to its last durable record; where even that fails, leave it for a new one."""
        if self._open is None:
            return
        try:
            self._disk.truncate(self._open.descriptor, self._end)
        except OSError:
            self._let_go()

    def _segment_for(self, group_bytes: int) -> _Open:
        if self._open is not None:
            if self._end == HEAD_BYTES or self._end + group_bytes <= self._settings.segment_bytes:
                return self._open
            self._let_go()
        self._open = self._begin()
        self._end = HEAD_BYTES
        self.stats.segments += 1
        return self._open

    def _begin(self) -> _Open:
        # Numbered by the clock, so that no number returns even if somebody empties the directory: a checkpoint
        # made before would take the new segments for consumed ones.
        number = max(self._last + 1, time.time_ns() // 1_000_000)
        path = self.directory / file_name(number)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        marker = os.urandom(MARKER_BYTES)
        try:
            _write_all(self._disk, descriptor, [head(marker)], 0)
            self._disk.sync(descriptor)
            sync_directory(self.directory)
        except BaseException:
            os.close(descriptor)
            with contextlib.suppress(OSError):
                path.unlink()
            raise
        self._last = number
        return _Open(number, descriptor, marker)

    def _let_go(self) -> None:
        if self._open is not None:
            os.close(self._open.descriptor)
            self._open = None


def recover(root: Path) -> dict[str, Recovery]:
    """Recover every receiver's directory that no process has open, so that readers see all that is durable there.

    For directories of receivers that are configured no more; a receiver recovers its own when it opens it.
    """
    recovered: dict[str, Recovery] = {}
    for directory in sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else ():
        try:
            journal = Journal(directory)
        except BadRequest:
            continue
        recovered[directory.name] = journal.recovery
        journal.close()
    return recovered


def _write_all(disk: Disk, descriptor: int, pieces: list[bytes], offset: int) -> None:
    for first in range(0, len(pieces), _PIECES_MAX):
        left = pieces[first : first + _PIECES_MAX]
        while left:
            written = disk.write(descriptor, left, offset)
            if written == 0 and any(left):
                raise OSError(errno.ENOSPC, "the write took nothing")
            offset += written
            left = _after(left, written)


def _after(pieces: list[bytes], written: int) -> list[bytes]:
    """What a write has not taken."""
    for index, piece in enumerate(pieces):
        if written < len(piece):
            return [piece[written:], *pieces[index + 1 :]] if written else pieces[index:]
        written -= len(piece)
    return []


def _settle(group: list[_Waiter], result: list[Position] | PilothouseError) -> None:
    """Wake the waiters: one call into each event loop, not one per waiter."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Position], Position | PilothouseError]]] = {}
    for index, waiter in enumerate(group):
        outcome = result[index] if isinstance(result, list) else result
        by_loop.setdefault(waiter.loop, []).append((waiter.future, outcome))
    for loop, outcomes in by_loop.items():
        # A loop that is closed has nobody waiting any more.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(_wake, outcomes)


def _wake(outcomes: list[tuple[asyncio.Future[Position], Position | PilothouseError]]) -> None:
    for future, outcome in outcomes:
        if future.done():
            continue
        if isinstance(outcome, PilothouseError):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)


def _lock(directory: Path) -> int:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        sync_directory(directory.parent)
        descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise _disk_full(error, _DEFAULTS) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        owner = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"
        os.close(descriptor)
        raise BadRequest(
            f"the journal {directory} is open in another process",
            got=f"process {owner}",
            fix="stop that process, or give this receiver a directory of its own",
        ) from error
    with contextlib.suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor


def _disk_full(error: OSError, settings: Settings) -> DiskFull:
    name = errno.errorcode.get(error.errno or 0, "unknown")
    full = error.errno in _FULL
    return DiskFull(
        "the journal's disk is full: nothing was stored"
        if full
        else f"the journal's disk failed ({name}): nothing was stored",
        got=name,
        fix="free disk space; senders retry by themselves" if full else "check the disk; senders retry by themselves",
        retry_after_s=settings.retry_after_s,
    )
