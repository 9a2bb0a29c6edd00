"""How far a receiver's journal is on disk, told to readers in other processes.

Readers MUST NOT pass the mark. A record that is written but not yet synced can vanish in a power cut; a reader that
took it would be ahead of the journal, and would then skip what is written in its place.

The mark is written after the data is synced and needs no sync of its own: an old mark only delays a reader, and the
receiver writes a new one when it starts.
"""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path
from typing import NamedTuple

_MARK = struct.Struct("<QQ")
_CHECKSUM = struct.Struct("<I")
_NAME = "durable"
_TRIES = 100


class Mark(NamedTuple):
    """Everything before ``offset`` of ``segment``, and all of the segments before it, is on disk."""

    segment: int
    offset: int


class MarkWriter:
    """Publishes one receiver's mark."""

    def __init__(self, directory: Path) -> None:
        self._descriptor = os.open(directory / _NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)

    def publish(self, mark: Mark) -> None:
        """Tell readers. Failing to (a full disk, at the very first mark) only delays them."""
        packed = _MARK.pack(*mark)
        try:
            os.pwrite(self._descriptor, packed + _CHECKSUM.pack(zlib.crc32(packed)), 0)
        except OSError:
            return

    def close(self) -> None:
        """Release the file."""
        os.close(self._descriptor)


def read_mark(directory: Path) -> Mark | None:
    """The mark of a receiver's directory, or None where there is none yet."""
    try:
        descriptor = os.open(directory / _NAME, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        # The checksum catches the rare read that meets a write half way; the next one sees it whole.
        for _ in range(_TRIES):
            found = os.pread(descriptor, _MARK.size + _CHECKSUM.size, 0)
            packed = found[: _MARK.size]
            if len(found) > _MARK.size and zlib.crc32(packed) == _CHECKSUM.unpack_from(found, _MARK.size)[0]:
                return Mark(*_MARK.unpack(packed))
            if not found:
                return None
    finally:
        os.close(descriptor)
    return None
