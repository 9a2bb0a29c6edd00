"""What a crash left in the last segment: cut where nothing sound follows, kept where something does."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from .checkpoint import sync_directory
from .segment import HEAD_BYTES, Damage, read_marker, scan


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """What was found when a journal was opened."""

    records: int
    """Sound records in the last segment."""
    end: int
    """Its length after the cut."""
    cut_bytes: int
    """Bytes cut from its end: a record the crash interrupted, and that no sender was told is stored."""
    damaged_bytes: int
    """Bytes between sound records that are none. Readers pass them by; they are left where they are."""
    kept_aside: Path | None
    """Where the cut bytes are, if they look like more than an interrupted write."""


NOTHING_RECOVERED = Recovery(records=0, end=0, cut_bytes=0, damaged_bytes=0, kept_aside=None)


def recover_segment(path: Path) -> Recovery:
    """Cut the segment after its last sound record and sync it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        size = os.fstat(descriptor).st_size
        marker = read_marker(descriptor)
        if marker is None:
            # The crash came between the file's creation and its head: it can hold no record. The file stays, empty,
            # because its number is used.
            kept = _keep(descriptor, path, 0, size) if size > HEAD_BYTES else None
            os.ftruncate(descriptor, 0)
            os.fsync(descriptor)
            return Recovery(records=0, end=0, cut_bytes=size, damaged_bytes=0, kept_aside=kept)
        records = 0
        damaged = 0
        tail: Damage | None = None
        for found in scan(descriptor, marker, HEAD_BYTES, size):
            if not isinstance(found, Damage):
                records += 1
            elif found.end < size:
                damaged += found.end - found.offset
            else:
                tail = found
        kept = None
        if tail is not None:
            if not tail.torn:
                kept = _keep(descriptor, path, tail.offset, size)
            os.ftruncate(descriptor, tail.offset)
        os.fsync(descriptor)
        return Recovery(
            records=records,
            end=size if tail is None else tail.offset,
            cut_bytes=0 if tail is None else size - tail.offset,
            damaged_bytes=damaged,
            kept_aside=kept,
        )
    finally:
        os.close(descriptor)


def _keep(descriptor: int, path: Path, start: int, end: int) -> Path | None:
    """Copy the bytes beside the segment, unless they are only zeros."""
    content = os.pread(descriptor, end - start, start)
    if not content.strip(b"\0"):
        return None
    aside = path.with_name(f"{path.name}.cut-{start}")
    with open(aside, "wb") as file:
        file.write(content)
        os.fsync(file.fileno())
    sync_directory(path.parent)
    return aside
