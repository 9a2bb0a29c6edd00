"""Records on disk while the server is away: a folder that all processes of a user share.

    spill/                                  0700
        <destination>/                      one for each address and key, named by their hash
            destination.json                {"endpoint": …}: for people; a key is never written
            lock                            flock: whoever holds it delivers for all
            <time>-<instance>-<n>-<signal>-<records>.otlp.gz
            .…tmp                           being written; swept up when its writer is gone
            refused/                        what the server will never take, each with its reason

A file appears by renaming, whole and synced. Any process may deliver any file, twice at worst: the server keeps one
span of an id.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from pilothouse.otlp.destination import Destination

from .batch import Batch, gunzip, gzip
from .encode import Signal
from .split import halves
from .stats import Counters

SUFFIX = ".otlp.gz"
REFUSED_FILES_MAX = 200
"""Refused requests kept for each destination, with the reason; the oldest go first."""
_REFUSED_SHARE = 8
"""Refused requests take at most this fraction of the bound."""
_COUNT_EVERY_S = 10.0
"""How often the size of the folder is measured rather than carried forward: other processes write too."""
_TEMPORARY_S_MAX = 3_600.0
"""A temporary file of this age belongs to nobody."""
_LETTER: dict[Signal, str] = {"traces": "t", "logs": "l"}
_SIGNAL: dict[str, Signal] = {"t": "traces", "l": "logs"}


@dataclass(frozen=True, slots=True, kw_only=True)
class SpillFile:
    """One request on disk."""

    path: Path
    signal: Signal
    count: int
    """Records in it."""
    size: int


class Spill:
    """The part of the folder for one destination."""

    def __init__(self, root: Path, destination: Destination, bytes_max: int, counters: Counters, instance: str) -> None:
        self.root = root
        self.folder = root / destination.identity
        self._endpoint = destination.endpoint
        self._bytes_max = bytes_max
        self._counters = counters
        self._instance = instance[:8]
        self._number = 0
        self._newest_ns = 0
        self._ready = False
        self._bytes = 0
        self._counted = float("-inf")
        self._lock_file: int | None = None

    def write(self, batch: Batch) -> Path:
        """Put a batch on disk, synced; makes room by dropping the oldest.

        Raises:
            OSError: the folder cannot be written, or the disk is full.
        """
        body = batch.gzip_body()
        self._prepare()
        self._make_room(len(body))
        # Names are in order even where the clock steps back.
        self._newest_ns = max(self._newest_ns + 1, batch.created_ns)
        self._number += 1
        name = f"{self._newest_ns:020d}-{self._instance}-{self._number}-{_LETTER[batch.signal]}-{batch.count}{SUFFIX}"
        path = self.folder / name
        try:
            _write_whole(path, body)
        except FileNotFoundError:
            # Somebody removed the folder under us.
            self._ready = False
            self._prepare()
            _write_whole(path, body)
        self._bytes += len(body)
        return path

    def files(self) -> list[SpillFile]:
        """What waits for this destination, oldest first."""
        return sorted(_files(self.folder), key=lambda file: file.path.name)

    def any_waiting(self) -> bool:
        """True where something waits, without reading the whole folder."""
        return next(_files(self.folder), None) is not None

    def read(self, file: SpillFile) -> bytes | None:
        """The plain body of a file; None where another process delivered it meanwhile. A damaged one is set aside."""
        try:
            return gunzip(file.path.read_bytes())
        except FileNotFoundError:
            return None
        except (ValueError, OSError) as error:
            self.refuse(file, f"damaged: {error}")
            return None

    def remove(self, path: Path) -> bool:
        """Remove a delivered file; False where it was gone."""
        try:
            size = path.stat().st_size
            path.unlink()
        except OSError:
            return False
        self._bytes -= size
        return True

    def split(self, file: SpillFile, body: bytes) -> bool:
        """Replace a file by two halves in its place; False where it holds but one record."""
        parts = halves(body)
        if len(parts) < 2:
            return False
        stem = file.path.name.removesuffix(SUFFIX).rsplit("-", 3)
        for letter, part, count in zip("ab", parts, (file.count - file.count // 2, file.count // 2), strict=True):
            # The letter keeps the halves in order, and before whatever came after them.
            name = f"{stem[0]}-{stem[1]}{letter}-{_LETTER[file.signal]}-{count}{SUFFIX}"
            _write_whole(self.folder / name, gzip(part))
        self.remove(file.path)
        return True

    def refuse(self, file: SpillFile, reason: str) -> None:
        """Set a file aside for good, with the reason beside it, and count its records as lost."""
        aside = self.folder / "refused"
        try:
            aside.mkdir(mode=0o700, exist_ok=True)
            file.path.rename(aside / file.path.name)
        except FileNotFoundError:
            return
        except OSError:
            self.remove(file.path)
        else:
            told = {"reason": reason, "endpoint": self._endpoint, "records": file.count, "at_ns": time.time_ns()}
            with contextlib.suppress(OSError):
                _write_whole(aside / (file.path.name.removesuffix(SUFFIX) + ".json"), json.dumps(told).encode())
            self._bound_refused(aside)
        self._counters.drop("refused", file.count)

    def lock(self) -> bool:
        """Become the one that delivers; False while another process is."""
        if self._lock_file is not None:
            return True
        try:
            descriptor = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            return False
        self._lock_file = descriptor
        self._sweep()
        return True

    @property
    def locked(self) -> bool:
        """True while this is the one that delivers."""
        return self._lock_file is not None

    def unlock(self) -> None:
        """Let others deliver."""
        descriptor, self._lock_file = self._lock_file, None
        if descriptor is not None:
            # Closing alone: in a forked child the parent's lock must outlive the child's copy.
            os.close(descriptor)

    @staticmethod
    def endpoint_of(folder: Path) -> str:
        """The address that a folder is for, as its note says; empty where it has none."""
        try:
            found: object = json.loads((folder / "destination.json").read_bytes())
        except (OSError, ValueError):
            return ""
        return str(cast("dict[str, object]", found).get("endpoint", "")) if isinstance(found, dict) else ""

    def total_bytes(self) -> int:
        """Bytes of all that waits, for any destination."""
        return sum(file.size for file in all_files(self.root))

    def _prepare(self) -> None:
        if self._ready:
            return
        for folder in (*reversed(self.root.parents), self.root, self.folder):
            folder.mkdir(mode=0o700, exist_ok=True)
        if self.folder.stat().st_uid != os.getuid() != 0:
            raise PermissionError(errno.EPERM, "the spill folder belongs to somebody else")
        note = self.folder / "destination.json"
        if not note.exists():
            _write_whole(note, json.dumps({"endpoint": self._endpoint}).encode())
        self._ready = True

    def _make_room(self, size: int) -> None:
        now = time.monotonic()
        if self._bytes + size > self._bytes_max or now - self._counted > _COUNT_EVERY_S:
            self._bytes = self.total_bytes()
            self._counted = now
        if size > self._bytes_max:
            raise OSError(errno.EFBIG, "larger than the bound of the spill folder")
        if self._bytes + size <= self._bytes_max:
            return
        # A tenth more than needed, so that the folder is not read again for every batch.
        target = self._bytes_max - size - self._bytes_max // 10
        for file in sorted(all_files(self.root), key=lambda file: file.path.name):
            if self._bytes <= target:
                break
            if self.remove(file.path):
                self._counters.drop("spill_full", file.count)

    def _sweep(self) -> None:
        """Remove what processes left behind that were killed while they wrote."""
        with contextlib.suppress(OSError):
            for entry in os.scandir(self.folder):
                if entry.name.endswith(".tmp") and time.time() - entry.stat().st_mtime > _TEMPORARY_S_MAX:
                    Path(entry.path).unlink()

    def _bound_refused(self, aside: Path) -> None:
        kept = sorted(_files(aside), key=lambda file: file.path.name)
        size = sum(file.size for file in kept)
        while kept and (len(kept) > REFUSED_FILES_MAX or size > self._bytes_max // _REFUSED_SHARE):
            oldest = kept.pop(0)
            size -= oldest.size
            oldest.path.unlink(missing_ok=True)
            oldest.path.with_name(oldest.path.name.removesuffix(SUFFIX) + ".json").unlink(missing_ok=True)


def all_files(root: Path) -> Iterator[SpillFile]:
    """What waits in a spill folder, for every destination."""
    try:
        folders = [Path(entry.path) for entry in os.scandir(root) if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return
    for folder in folders:
        yield from _files(folder)


def _files(folder: Path) -> Iterator[SpillFile]:
    try:
        for entry in os.scandir(folder):
            file = _parse(entry)
            if file is not None:
                yield file
    except OSError:
        return


def _parse(entry: os.DirEntry[str]) -> SpillFile | None:
    name = entry.name
    if not name.endswith(SUFFIX) or name.startswith("."):
        return None
    *_, letter, count = ("", *name.removesuffix(SUFFIX).split("-"))
    signal = _SIGNAL.get(letter)
    if signal is None or not count.isdigit():
        return None
    try:
        size = entry.stat(follow_symlinks=False).st_size
    except OSError:
        return None
    return SpillFile(path=Path(entry.path), signal=signal, count=int(count), size=size)


def _write_whole(path: Path, content: bytes) -> None:
    """The file is there with all of its content, even after a loss of power, or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb", buffering=0) as file:
            rest = memoryview(content)
            while rest:
                rest = rest[file.write(rest) or 0 :]
            os.fsync(descriptor)
        temporary.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
