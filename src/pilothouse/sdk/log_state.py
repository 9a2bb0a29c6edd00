"""How far each followed log has been delivered: one small file, written whole and synced."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, cast

from pilothouse.records import BadRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """How far one file was delivered."""

    path: str
    offset: int
    headed: bool = False
    head: str = ""
    """How the file begins, to tell it from another with its inode."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """A batch that was about to be sent: after a crash it is made again exactly, and a copy of it changes nothing."""

    observed_ns: int
    ends: Mapping[str, int]
    """By file: where the batch ended."""


@dataclass(slots=True)
class State:
    """The state file. One follower at a time holds it."""

    path: Path
    positions: dict[str, Position] = field(default_factory=dict[str, Position])
    """By device and inode."""
    cursors: dict[str, str] = field(default_factory=dict[str, str])
    """By journal: the cursor of the last entry delivered."""
    pending: Pending | None = None
    _lock: IO[str] | None = None

    def open(self) -> None:
        """Read what is there and keep others out.

        Raises:
            BadRequest: another follower uses it, or the folder cannot be written.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = open(self.path.with_suffix(".lock"), "w")  # noqa: SIM115  # held to the end
        except OSError as error:
            raise BadRequest(
                f"the state cannot be kept: {error.strerror}", got=str(self.path), fix="--state /a/folder/follow.json"
            ) from error
        with contextlib.suppress(ImportError):
            import fcntl  # not on Windows, where nothing keeps a second follower out

            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise BadRequest(
                    "another `pilothouse logs follow` is at these files", got=str(self.path), fix="--state FILE"
                ) from None
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
            self._read(json.loads(self.path.read_text()))

    def save(self) -> None:
        """Write it whole; when it returns, it survives a power cut."""
        data = {
            "positions": {
                key: {"path": p.path, "offset": p.offset, "headed": p.headed, "head": p.head}
                for key, p in self.positions.items()
            },
            "cursors": self.cursors,
            "pending": {"observed_ns": self.pending.observed_ns, "ends": dict(self.pending.ends)}
            if self.pending
            else None,
        }
        fresh = self.path.with_suffix(".new")
        with open(fresh, "w") as file:
            file.write(json.dumps(data))
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self.path)
        with contextlib.suppress(OSError):
            folder = os.open(self.path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def close(self) -> None:
        """Let others in."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _read(self, data: Any) -> None:
        for key, entry in cast("dict[str, dict[str, Any]]", data["positions"]).items():
            self.positions[key] = Position(
                path=str(entry["path"]),
                offset=int(entry["offset"]),
                headed=bool(entry["headed"]),
                head=str(entry["head"]),
            )
        self.cursors = {str(key): str(value) for key, value in data["cursors"].items()}
        pending = data.get("pending")
        if pending:
            self.pending = Pending(
                observed_ns=int(pending["observed_ns"]),
                ends={str(key): int(end) for key, end in pending["ends"].items()},
            )
