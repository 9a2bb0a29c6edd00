"""A disk that fails on purpose, for the tests of the journal and of what senders are told."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from pilothouse.intake.journal import Disk


class FaultyDisk(Disk):
    """A disk that fails on request; ``syncs`` and ``writes`` count its calls."""

    def __init__(self) -> None:
        self.write_error: int | None = None
        self.write_bytes_max: int | None = None
        self.sync_error: int | None = None
        self.truncate_error: int | None = None
        self.syncs = 0
        self.writes = 0
        self.before_sync: Any = None

    def write(self, descriptor: int, pieces: Sequence[bytes], offset: int) -> int:
        self.writes += 1
        whole = b"".join(pieces)
        if self.write_bytes_max is not None:
            whole = whole[: self.write_bytes_max]
        written = os.pwrite(descriptor, whole, offset)
        if self.write_error is not None:
            if self.write_bytes_max:
                self.write_bytes_max = 0
                return written
            raise OSError(self.write_error, os.strerror(self.write_error))
        return written

    def sync(self, descriptor: int) -> None:
        self.syncs += 1
        if self.before_sync is not None:
            self.before_sync()
        if self.sync_error is not None:
            raise OSError(self.sync_error, os.strerror(self.sync_error))
        super().sync(descriptor)

    def truncate(self, descriptor: int, length: int) -> None:
        if self.truncate_error is not None:
            raise OSError(self.truncate_error, os.strerror(self.truncate_error))
        super().truncate(descriptor, length)
