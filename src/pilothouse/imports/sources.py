"""Files to import: found, opened and read piece by piece, none of it trusted."""

from __future__ import annotations

import gzip
import os
import stat
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from pilothouse.records import BadRequest, NotFound

from .trajectory import Skipped

LINE_BYTES_MAX = 64 << 20
"""A longer line is passed over: its parsed form would take half a gigabyte."""
DOCUMENT_BYTES_MAX = 256 << 20
"""A file that is one JSON document is held in memory as a whole."""
_RATIO_MAX = 200
_RATIO_FROM_BYTES = 64 << 20
"""Beyond so much, what unpacks to 200 times its size was made to fill a disk."""
_CHUNK = 1 << 20
_GZIP = b"\x1f\x8b"


class TooMuch(Exception):
    """A file passes a bound; the message says which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One file."""

    path: Path
    name: str
    """As it is shown."""
    named: bool
    """True where it was asked for by name, rather than found in a folder."""
    size: int
    modified_ns: int
    """When it was last written: the moment of what has no time of its own."""

    @property
    def stem(self) -> str:
        """The file's name without its endings."""
        return self.path.name.removesuffix(".gz").rsplit(".", 1)[0]


def find(paths: Sequence[Path], endings: Sequence[str]) -> Iterator[Source]:
    """The files that are named, and those with these endings below the folders that are named, in order.

    Raises:
        NotFound: a path does not exist.
        BadRequest: it is neither file nor folder.
    """
    for path in paths:
        try:
            found = path.stat()
        except (OSError, ValueError) as error:
            raise NotFound("there is no such file or folder", got=str(path)) from error
        if stat.S_ISREG(found.st_mode):
            yield _source(path, path.name, found, named=True)
        elif stat.S_ISDIR(found.st_mode):
            yield from _below(path, tuple(endings))
        else:
            # A pipe would be waited for, a device never ends.
            raise BadRequest("this is neither a file nor a folder", got=str(path), fix="write it to a file first")


def _below(folder: Path, endings: tuple[str, ...]) -> Iterator[Source]:
    for place, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            if not name.lower().removesuffix(".gz").endswith(endings):
                continue
            path = Path(place) / name
            try:
                found = path.stat()
            except OSError:
                continue
            if stat.S_ISREG(found.st_mode):
                yield _source(path, str(path.relative_to(folder)), found, named=False)


def _source(path: Path, name: str, found: os.stat_result, *, named: bool) -> Source:
    return Source(path=path, name=name, named=named, size=found.st_size, modified_ns=found.st_mtime_ns)


class Opened:
    """A file's content, unpacked where it is gzip, with its bounds watched over."""

    def __init__(self, source: Source) -> None:
        self._raw = source.path.open("rb")
        packed = self._raw.read(2) == _GZIP
        self._raw.seek(0)
        self._file: BinaryIO = cast("BinaryIO", gzip.GzipFile(fileobj=self._raw)) if packed else self._raw
        self._packed = packed
        self._given = 0

    def __enter__(self) -> Opened:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._raw.close()

    @property
    def position(self) -> int:
        """How far the file on disk is read."""
        return self._raw.tell()

    def read(self, size: int) -> bytes:
        """The next bytes; empty at the end.

        Raises:
            TooMuch: the file is a bomb, or its packing is damaged.
        """
        try:
            chunk = self._file.read(size)
        except (OSError, EOFError, zlib.error) as error:
            raise TooMuch(f"the file cannot be unpacked further: {error}") from error
        self._given += len(chunk)
        if self._packed and self._given > max(_RATIO_FROM_BYTES, _RATIO_MAX * self._raw.tell()):
            raise TooMuch(f"the file unpacks to more than {_RATIO_MAX} times its size")
        return chunk

    def lines(self, bytes_max: int = LINE_BYTES_MAX) -> Iterator[tuple[int, bytes] | Skipped]:
        """Each line with its number, counted from 1; empty ones are left out, too long ones are told of."""
        held: list[bytes] = []
        size = number = 0
        over = False
        while chunk := self.read(_CHUNK):
            pieces = chunk.split(b"\n")
            for place, piece in enumerate(pieces):
                if not over:
                    held.append(piece)
                size += len(piece)
                if size > bytes_max and not over:
                    over, held = True, []
                if place == len(pieces) - 1:
                    break
                number += 1
                if over:
                    yield Skipped(where=f"line {number}", reason=f"{size:,} bytes: a line has at most {bytes_max:,}")
                elif line := b"".join(held).strip():
                    yield number, line
                held, size, over = [], 0, False
        number += 1
        if over:
            yield Skipped(where=f"line {number}", reason=f"{size:,} bytes: a line has at most {bytes_max:,}")
        elif line := b"".join(held).strip():
            yield number, line

    def whole(self, bytes_max: int = DOCUMENT_BYTES_MAX) -> bytes:
        """All of it.

        Raises:
            TooMuch: it is larger than the bound.
        """
        held: list[bytes] = []
        size = 0
        while chunk := self.read(_CHUNK):
            held.append(chunk)
            size += len(chunk)
            if size > bytes_max:
                raise TooMuch(f"larger than {bytes_max:,} bytes: a document is held in memory as a whole")
        return b"".join(held)
