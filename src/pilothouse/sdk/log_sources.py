"""What is followed: files that grow, rotate and are truncated; standard input; the journal of systemd."""

from __future__ import annotations

import contextlib
import glob
import hashlib
import os
import queue
import re
import subprocess
import threading
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final, cast

from pilothouse.records import BadRequest

from .log_files import Joiner, LineReader, Record
from .log_formats import Format

CHUNK_BYTES: Final = 64 * 1024
READY_CHARS_MAX: Final = 1_000_000
"""Text of one source that waits to be sent; at the bound it is not read on."""
IDLE_S: Final = 1.0
"""After so long without a new line, the last record is taken to be whole."""
_HEAD_BYTES: Final = 256


class Source:
    """Something that is read record by record. ``key`` names it in the state file."""

    key = ""
    path = ""
    finished = False
    """Nothing more will come, and everything was taken."""

    def __init__(self, format: Format, *, offset: int = 0, headed: bool = False) -> None:
        self.reader = LineReader(offset)
        self.joiner = Joiner(format, headed)
        self.ready: deque[Record] = deque()
        self.ready_chars = 0
        self.position: int = offset
        """Everything before it was taken."""
        self._heard = time.monotonic()

    def fill(self) -> None:
        """Read what is there, up to the bound."""
        raise NotImplementedError

    def take(self, room: int) -> list[Record]:
        """At most so many records, in order."""
        if not self.ready and self.joiner.waiting and time.monotonic() - self._heard >= IDLE_S:
            self._keep(self.joiner.flush())
        taken = [self.ready.popleft() for _ in range(min(room, len(self.ready)))]
        self.ready_chars -= sum(len(record.text) + 100 for record in taken)
        if taken:
            self.position = taken[-1].end
        return [record for record in taken if record.text]

    def end(self) -> None:
        """Take the last line and the last record as they are."""
        for line in self.reader.flush():
            self._keep(*self.joiner.push(line))
        self._keep(self.joiner.flush())

    def close(self) -> None:
        """Let go of it."""

    def _feed(self, data: bytes) -> None:
        self._heard = time.monotonic()
        for line in self.reader.feed(data):
            self._keep(*self.joiner.push(line))

    def _keep(self, *records: Record | None) -> None:
        for record in records:
            if record is not None:
                self.ready.append(record)
                self.ready_chars += len(record.text) + 100


class FileSource(Source):
    """A file by its inode, whatever it is called meanwhile."""

    def __init__(self, path: Path, format: Format, *, name: str = "", offset: int = 0, headed: bool = False) -> None:
        super().__init__(format, offset=offset, headed=headed)
        self.path = name or str(path)
        """What it was called when it was found first."""
        self._known_head: tuple[int, str] | None = None
        self._file = open(path, "rb", buffering=0)  # noqa: SIM115  # followed until it is rotated away
        about = os.fstat(self._file.fileno())
        self.key = f"{about.st_dev}:{about.st_ino}"
        self.gone = False
        """Its path leads to another file now: read to the end and left."""
        self.replaced = 0
        """How often it was truncated or written anew."""

    def fill(self) -> None:
        size = os.fstat(self._file.fileno()).st_size
        if size < self.reader.offset or (size > self.reader.offset and self._rewritten()):
            self._restart()
        while self.ready_chars < READY_CHARS_MAX and (
            data := os.pread(self._file.fileno(), CHUNK_BYTES, self.reader.offset)
        ):
            self._feed(data)
        self._remember_head()
        if self.gone and self.ready_chars < READY_CHARS_MAX and time.monotonic() - self._heard >= 2 * IDLE_S:
            self.end()
            self.finished = not self.ready

    def replay(self, end: int) -> list[Record]:
        """The records up to a position at which a batch ended that may or may not have arrived."""
        while self.reader.offset < end:
            data = os.pread(self._file.fileno(), min(CHUNK_BYTES, end - self.reader.offset), self.reader.offset)
            if not data:
                break
            self._feed(data)
        self.end()
        taken = list(self.ready)
        self.ready.clear()
        self.ready_chars = 0
        self.position = max(self.position, end)
        return [record for record in taken if record.text]

    @property
    def head(self) -> str:
        """A mark of how the file begins: tells a file from another that took its inode or its place."""
        return head_of(self._file, self.position)

    def _rewritten(self) -> bool:
        """Copied and truncated, and already longer than before: only its beginning tells."""
        if self._known_head is None:
            return False
        length, mark = self._known_head
        return _mark(os.pread(self._file.fileno(), length, 0)) != mark

    def _remember_head(self) -> None:
        length = min(self.reader.offset, _HEAD_BYTES)
        if length and (self._known_head is None or self._known_head[0] < length):
            self._known_head = (length, _mark(os.pread(self._file.fileno(), length, 0)))

    def _restart(self) -> None:
        self.replaced += 1
        self.end()
        self.reader = LineReader(0)
        self._known_head = None

    def close(self) -> None:
        self._file.close()


def head_of(file: BinaryIO, position: int) -> str:
    """``length:digest`` of a file's first bytes before ``position``."""
    length = min(position, _HEAD_BYTES)
    return f"{length}:{_mark(os.pread(file.fileno(), length, 0))}"


def same_head(path: Path, head: str) -> bool:
    """True where a file still begins as it did."""
    length, _, mark = head.partition(":")
    with contextlib.suppress(OSError, ValueError), open(path, "rb") as file:
        return _mark(os.pread(file.fileno(), int(length), 0)) == mark
    return False


def _mark(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=8).hexdigest()


class PipeSource(Source):
    """Standard input: read by a thread, so that other sources go on; a full queue holds the writer back."""

    def __init__(self, stream: BinaryIO, format: Format, *, path: str = "") -> None:
        super().__init__(format)
        self.path = path
        self._stream = stream
        self._chunks: queue.Queue[bytes] = queue.Queue(16)
        self._over = False
        threading.Thread(target=self._pump, name="pilothouse-logs-pipe", daemon=True).start()

    def _pump(self) -> None:
        descriptor = self._stream.fileno()
        with contextlib.suppress(OSError, ValueError):
            while data := os.read(descriptor, CHUNK_BYTES):
                self._chunks.put(data)
        self._chunks.put(b"")

    def fill(self) -> None:
        while self.ready_chars < READY_CHARS_MAX and not self._over:
            try:
                data = self._chunks.get_nowait()
            except queue.Empty:
                return
            if data:
                self._feed(data)
            else:
                self._over = True
                self.end()
        self.finished = self._over and not self.ready


class JournalSource(PipeSource):
    """The journal of systemd through ``journalctl``, from behind a cursor on."""

    key = "journald"

    def __init__(self, unit: str, cursor: str, *, from_start: bool) -> None:
        command = ["journalctl", "-o", "json", "--follow", "--all"]
        if cursor:
            command += ["--after-cursor", cursor]
        else:
            command += ["--no-tail"] if from_start else ["--lines", "0"]
        if unit:
            command += ["--unit", unit]
        self.cursor = cursor
        self.unit = unit
        self.key = f"journald:{unit}"
        try:
            self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
        except OSError as error:
            raise BadRequest(
                f"journalctl cannot be run: {error.strerror}", got="--journald", fix="install systemd's journalctl"
            ) from error
        assert self._process.stdout is not None
        super().__init__(cast("BinaryIO", self._process.stdout), "json", path="journald")

    @property
    def exit_code(self) -> int | None:
        """What ``journalctl`` ended with; None while it runs."""
        return self._process.poll()

    def take(self, room: int) -> list[Record]:
        taken = super().take(room)
        for record in reversed(taken):
            if found := _CURSOR.search(record.text):
                self.cursor = found[1]
                break
        return taken

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(timeout=2)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


_CURSOR: Final = re.compile(r'"__CURSOR"\s*:\s*"([^"\\]{1,500})"')


def matching(pattern: str) -> Iterator[Path]:
    """The files that a path or a pattern with ``*``, ``?``, ``[…]`` and ``**`` names now, sorted."""
    for name in sorted(glob.glob(pattern, recursive=True)):  # noqa: PTH207  # absolute patterns
        path = Path(name)
        if path.is_file():
            yield path
