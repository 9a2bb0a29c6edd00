"""The journal's file format: what one segment holds, how it is scanned, and what counts as damage.

    segment   HEAD  then records, one after the other
    HEAD      "PHJOURN1", then a marker of 8 random bytes
    record    marker, received_ns u64, meta length u16, body length u32, crc32 u32, meta, body

The marker differs in every segment, so a scan that lost its place finds the next record by it, and a sender who
writes a record's bytes into a body can not have them taken for one. The checksum covers everything but itself.
"""

from __future__ import annotations

import json
import os
import re
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Literal

from pilothouse.records import Broken

from .check import SIGNALS, Signal

MAGIC = b"PHJOURN1"
MARKER_BYTES = 8
HEAD_BYTES = len(MAGIC) + MARKER_BYTES
BODY_BYTES_MAX = 1 << 30
"""A length above it is damage, whatever the checksum."""

_RECORD = struct.Struct("<8sQHI")
_CHECKSUM = struct.Struct("<I")
RECORD_BYTES = _RECORD.size + _CHECKSUM.size
_NAME = re.compile(r"(\d{16})\.seg")


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One request as it was received and accepted."""

    project_id: str
    """Whose key it came with."""
    signal: Signal
    content_type: str
    """The ``Content-Type`` header."""
    encoding: str
    """The ``Content-Encoding`` header; empty for none."""
    received_ns: int
    """Nanoseconds since 1970 UTC, by the receiver's clock."""
    body: bytes
    """The body as received, still compressed."""


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """Where a record lies. Positions of one receiver are ordered as they were written."""

    receiver: str
    """The name of the receiver's directory."""
    segment: int
    offset: int
    """Where the record begins in the segment."""
    end: int
    """Where the next one begins."""


@dataclass(frozen=True, slots=True)
class Found:
    """A sound record in a segment."""

    offset: int
    end: int
    record: Record


@dataclass(frozen=True, slots=True)
class Damage:
    """Bytes of a segment that are no record."""

    offset: int
    end: int
    """Where the next sound record begins, or the end of what was scanned."""
    torn: bool
    """True where it is just a record that was cut off: its header is sound as far as it goes."""


def file_name(segment: int) -> str:
    """The name of a segment's file; names sort as their numbers do."""
    return f"{segment:016d}.seg"


def segments(directory: Path) -> list[int]:
    """The numbers of a directory's segments, oldest first; empty where there is no such directory."""
    try:
        names = [path.name for path in directory.iterdir()]
    except FileNotFoundError:
        return []
    return sorted(int(found[1]) for name in names if (found := _NAME.fullmatch(name)))


def head(marker: bytes) -> bytes:
    """The first bytes of a segment."""
    return MAGIC + marker


def read_marker(descriptor: int) -> bytes | None:
    """The marker of an open segment, or None where its head is not whole."""
    found = os.pread(descriptor, HEAD_BYTES, 0)
    if len(found) < HEAD_BYTES or found[: len(MAGIC)] != MAGIC:
        return None
    return found[len(MAGIC) :]


def pack(marker: bytes, record: Record) -> list[bytes]:
    """A record as the pieces to write."""
    meta = _meta(record.project_id, record.signal, record.content_type, record.encoding)
    header = _RECORD.pack(marker, record.received_ns, len(meta), len(record.body))
    crc = crc32()
    checksum = crc(record.body, crc(meta, crc(header, 0)))
    return [header + _CHECKSUM.pack(checksum) + meta, record.body]


def packed_bytes(record: Record) -> int:
    """What a record takes in a segment."""
    meta = _meta(record.project_id, record.signal, record.content_type, record.encoding)
    return RECORD_BYTES + len(meta) + len(record.body)


def scan(descriptor: int, marker: bytes, start: int, end: int) -> Iterator[Found | Damage]:
    """Read the records between two offsets. Every byte is covered by one Found or Damage, in order."""
    at = start
    while at < end:
        found = _read(descriptor, marker, at, end)
        if isinstance(found, Found):
            yield found
            at = found.end
        else:
            resumed = _resume(descriptor, marker, at + 1, end)
            yield Damage(at, resumed, torn=found == "torn" and resumed == end)
            at = resumed


def _read(descriptor: int, marker: bytes, at: int, end: int) -> Found | Literal["torn", "broken"]:
    """The record at an offset; ``torn`` where one begins there that ``end`` cuts off."""
    header = os.pread(descriptor, min(RECORD_BYTES, end - at), at)
    if len(header) < RECORD_BYTES:
        return "torn" if header[:MARKER_BYTES] == marker[: len(header)] else "broken"
    sent_marker, received_ns, meta_length, body_length = _RECORD.unpack_from(header)
    if sent_marker != marker or body_length > BODY_BYTES_MAX:
        return "broken"
    length = meta_length + body_length
    if at + RECORD_BYTES + length > end:
        return "torn"
    content = os.pread(descriptor, length, at + RECORD_BYTES)
    if len(content) < length:
        return "torn"
    crc = crc32()
    if crc(content, crc(header[: _RECORD.size], 0)) != _CHECKSUM.unpack_from(header, _RECORD.size)[0]:
        return "broken"
    record = _record(content[:meta_length], received_ns, content[meta_length:])
    return "broken" if record is None else Found(at, at + RECORD_BYTES + length, record)


def _resume(descriptor: int, marker: bytes, at: int, end: int) -> int:
    """Where the next sound record begins."""
    window = 1 << 20
    while at < end:
        # The windows overlap by a marker less one byte, so that none falls between two of them.
        piece = os.pread(descriptor, min(window + MARKER_BYTES - 1, end - at), at)
        place = piece.find(marker)
        if place < 0:
            if len(piece) < window:
                return end
            at += window
        elif isinstance(_read(descriptor, marker, at + place, end), Found):
            return at + place
        else:
            at += place + 1
    return end


@lru_cache(maxsize=1024)
def _meta(project_id: str, signal: str, content_type: str, encoding: str) -> bytes:
    meta = json.dumps([project_id, signal, content_type, encoding], separators=(",", ":")).encode()
    if len(meta) > 65535:
        raise Broken("a record's project id and headers are longer than 65535 bytes", got=len(meta))
    return meta


@lru_cache(maxsize=1024)
def _parse_meta(meta: bytes) -> tuple[str, Signal, str, str] | None:
    try:
        project_id, signal, content_type, encoding = json.loads(meta)
    except (ValueError, TypeError):
        return None
    return (project_id, signal, content_type, encoding) if signal in SIGNALS else None


def _record(meta: bytes, received_ns: int, body: bytes) -> Record | None:
    parsed = _parse_meta(meta)
    if parsed is None:
        return None
    project_id, signal, content_type, encoding = parsed
    return Record(
        project_id=project_id,
        signal=signal,
        content_type=content_type,
        encoding=encoding,
        received_ns=received_ns,
        body=body,
    )


@cache
def crc32() -> Callable[[bytes, int], int]:
    """The checksum: isal's where it is installed, which is some ten times as fast and gives the same number."""
    try:
        from isal import isal_zlib
    except ImportError:
        return zlib.crc32
    library: Any = isal_zlib  # Any: its stub leaves the buffer untyped.
    return library.crc32
