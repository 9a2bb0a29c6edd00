"""Reads the journals of all receivers, in order, from a checkpoint: the ingest worker's side.

::

    reader = JournalReader(root)
    checkpoint = reader.load()
    batch = reader.read(checkpoint, bytes_max=8 << 20, records_max=1000)
    for position, record in batch: ...
    ...                               # fix the range: write down checkpoint and batch.after, then insert
    checkpoint = batch.after
    reader.save(checkpoint)
    reader.release(checkpoint, keep_bytes=1 << 30)

A worker that wrote down a range and crashed reads exactly that range again with ``read(start, until=after)``.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from .checkpoint import Checkpoint, Spot
from .mark import Mark, read_mark
from .segment import HEAD_BYTES, Damage, Found, Position, Record, file_name, read_marker, scan, segments

CHECKPOINT_NAME = "checkpoint.json"


def forward_name(upstream: str) -> str:
    """The file that says how far the records were passed on to another backend."""
    return f"forward-{upstream}.json"


class Entry(NamedTuple):
    """A record and where it lies."""

    position: Position
    record: Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Records in the order of each receiver, and the checkpoint behind them. Iterates over its entries."""

    entries: list[Entry]
    after: Checkpoint
    """Where the next read begins. It moves over damage too, so it can differ though there are no entries."""

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)


@dataclass(slots=True, kw_only=True)
class ReaderStats:
    """What a reader met that should not be."""

    damages: int = 0
    """Places in segments that were no record and were passed by."""
    damaged_bytes: int = 0


class JournalReader:
    """Tails ``root/<receiver>/`` of every receiver. Reads only what is on disk (see ``mark``); locks nothing.

    One reader of a ``name`` at a time may save checkpoints, and one of all may release segments. Not safe for use by several threads at once.
    """

    def __init__(self, root: Path, *, name: str = CHECKPOINT_NAME) -> None:
        self.root = root
        self._name = name
        self.stats = ReaderStats()
        # Where damage was met, so that reading it twice does not count it twice.
        self._damages_seen: set[tuple[str, int, int]] = set()

    def __repr__(self) -> str:
        return f"JournalReader({str(self.root)!r})"

    def receivers(self) -> list[str]:
        """The names of the receivers that have a directory, in order."""
        try:
            return sorted(entry.name for entry in os.scandir(self.root) if entry.is_dir())
        except FileNotFoundError:
            return []

    def load(self) -> Checkpoint:
        """The saved checkpoint, or the very beginning."""
        return Checkpoint.load(self.root / self._name)

    def save(self, checkpoint: Checkpoint) -> None:
        """Make the checkpoint durable."""
        checkpoint.save(self.root / self._name)

    def read(
        self,
        start: Checkpoint,
        *,
        bytes_max: int = 16 << 20,
        records_max: int = 10_000,
        until: Checkpoint | None = None,
    ) -> Batch:
        """What follows ``start``, up to the bounds; an empty batch where nothing does.

        The bounds are shared out among receivers, so that a busy one does not starve the others, and passed by the
        one record that no receiver is refused. With ``until`` the bounds do not count: exactly the records between
        the two checkpoints are read, in the order they had when ``until`` was a batch's ``after``.
        """
        entries: list[Entry] = []
        spots = dict(start.spots)
        behind: list[tuple[str, Mark]] = []
        for receiver in self.receivers():
            limit = until.spots.get(receiver) if until is not None else read_mark(self.root / receiver)
            if limit is not None and tuple(limit) > tuple(spots.get(receiver, (0, 0))):
                behind.append((receiver, Mark(*limit)))
        for index, (receiver, limit) in enumerate(behind):
            shares = len(behind) - index
            bytes_share, records_share = max(1, bytes_max // shares), max(1, records_max // shares)
            first = len(entries)
            spots[receiver] = self._read_receiver(
                receiver,
                spots.get(receiver, Spot(0, 0)),
                limit,
                entries,
                bytes_share if until is None else None,
                records_share,
            )
            bytes_max -= sum(entry.position.end - entry.position.offset for entry in entries[first:])
            records_max -= len(entries) - first
        return Batch(entries=entries, after=Checkpoint(spots=spots))

    def pending(self, start: Checkpoint) -> int:
        """Bytes on disk behind a checkpoint, over all receivers."""
        return sum(_pending(self.root / name, start.spots.get(name, Spot(0, 0))) for name in self.receivers())

    def missing(self, start: Checkpoint) -> int:
        """How many receivers' journals no longer reach back to a checkpoint."""
        oldest = {name: next(iter(segments(self.root / name)), 0) for name in start.spots}
        return sum(oldest[name] > spot.segment + (spot.offset > 0) for name, spot in start.spots.items())

    def held(self, checkpoint: Checkpoint, forwards: Iterable[str], bytes_max: int) -> Checkpoint:
        """Up to where segments may go, for the sake of the backends that records are passed on to.

        One that is further behind than ``bytes_max`` is waited for no longer.
        """
        covered = self.pending(checkpoint)
        for name in forwards:
            path = self.root / forward_name(name)
            if path.exists() and self.pending(place := Checkpoint.load(path)) - covered <= bytes_max:
                checkpoint = checkpoint.before(place)
        return checkpoint

    def release(self, checkpoint: Checkpoint, keep_bytes: int = 0) -> int:
        """Delete segments that lie wholly before the checkpoint, oldest first; return the bytes that were freed.

        The newest consumed ones are kept up to ``keep_bytes``. A receiver's last segment always stays.
        """
        consumed: list[tuple[int, Path, int]] = []
        for receiver in self.receivers():
            spot = checkpoint.spots.get(receiver)
            if spot is None:
                continue
            for number in segments(self.root / receiver)[:-1]:
                if number < spot.segment:
                    path = self.root / receiver / file_name(number)
                    consumed.append((number, path, path.stat().st_size))
        freed = 0
        kept = 0
        for _, path, size in sorted(consumed, reverse=True):
            if kept + size <= keep_bytes:
                kept += size
                continue
            kept = keep_bytes  # Everything older goes too: what stays is one stretch of time without holes.
            path.unlink()
            freed += size
        return freed

    def _read_receiver(
        self,
        receiver: str,
        spot: Spot,
        limit: Mark,
        entries: list[Entry],
        bytes_max: int | None,
        records_max: int,
    ) -> Spot:
        """Append what lies between two spots to ``entries``; return how far it came. No ``bytes_max``: no bounds."""
        directory = self.root / receiver
        bytes_read = 0
        records_read = 0
        for number in segments(directory):
            if number < spot.segment:
                continue
            if number > limit.segment:
                break
            offset = spot.offset if number == spot.segment else 0
            for found in self._scan(receiver, number, offset, limit):
                if isinstance(found, Damage):
                    self._count(receiver, number, found)
                else:
                    if bytes_max is not None and (bytes_read >= bytes_max or records_read >= records_max):
                        return spot
                    entries.append(Entry(Position(receiver, number, found.offset, found.end), found.record))
                    bytes_read += found.end - found.offset
                    records_read += 1
                spot = Spot(number, found.end)
            if spot.segment != number:
                spot = Spot(number, 0)
        # The limit itself, even where its segment is gone or shorter: else every later read would look here again.
        return Spot(*max(tuple(spot), tuple(limit)))

    def _scan(self, receiver: str, number: int, offset: int, limit: Mark) -> Iterator[Found | Damage]:
        path = self.root / receiver / file_name(number)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return
        try:
            size = os.fstat(descriptor).st_size
            end = min(size, limit.offset) if number == limit.segment else size
            marker = read_marker(descriptor)
            if marker is not None:
                yield from scan(descriptor, marker, max(offset, HEAD_BYTES), end)
            elif end > offset:
                yield Damage(offset, end, torn=False)
        finally:
            os.close(descriptor)

    def _count(self, receiver: str, number: int, damage: Damage) -> None:
        place = (receiver, number, damage.offset)
        if place not in self._damages_seen:
            self._damages_seen.add(place)
            self.stats.damages += 1
            self.stats.damaged_bytes += damage.end - damage.offset


def backlog_bytes(root: Path) -> int:
    """Bytes in the journals under ``root`` that the saved checkpoint does not cover."""
    reader = JournalReader(root)
    return reader.pending(reader.load())


def _pending(directory: Path, spot: Spot) -> int:
    total = 0
    for number in segments(directory):
        if number < spot.segment:
            continue
        try:
            size = (directory / file_name(number)).stat().st_size
        except FileNotFoundError:
            continue
        total += max(0, size - max(spot.offset if number == spot.segment else 0, HEAD_BYTES))
    return total
