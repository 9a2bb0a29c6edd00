"""Inspect evaluation logs: ``.eval`` (a zip of JSON) and ``.json``.

Source: UKGovernmentBEIS/inspect_ai, src/inspect_ai/log/_log.py (``EvalLog``, ``EvalSample``), log/_recorders/eval.py (the
names of the zip's members), log/_pool.py (messages kept once) and event/ (``ModelEvent``, ``ToolEvent``, spans).

A sample of an epoch is a trace, the evaluation is their session, and its scores are scores.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

from .inspect_samples import Evaluation, sample_steps
from .reading import Unreadable, fields, items, parse
from .sources import DOCUMENT_BYTES_MAX, Opened, Source
from .trajectory import Foreign, Item, Skipped

MEMBERS_MAX = 200_000
_TOTAL_BYTES_MIN = 1 << 30
_TOTAL_RATIO = 300
"""All members together may unpack to 300 times the file, or to 1 GB where that is more."""
_ZSTD = 93
_WINDOW_MAX = 128 << 20
_CHUNK = 1 << 20


def read(source: Source) -> Iterator[Item]:
    """The samples of a log."""
    if packed(source):
        for found in archived(source):
            if isinstance(found, Skipped):
                yield found
            else:
                yield from _sample(Evaluation.of(fields(found.head.get("eval"))), found.sample, found.where, source)
        return
    if source.path.name.lower().endswith(".eval"):
        raise Foreign("no Inspect log: a file .eval is a zip archive")
    with Opened(source) as opened:
        try:
            log = fields(parse(opened.whole()))
        except Unreadable as error:
            yield Skipped(where="file", reason=str(error))
            return
    if not isinstance(log.get("eval"), dict) or "version" not in log:
        raise Foreign("no Inspect log: an object with version and eval")
    evaluation = Evaluation.of(fields(log.get("eval")))
    for position, sample in enumerate(items(log.get("samples")), 1):
        yield from _sample(evaluation, sample, f"sample {position}", source)


def _sample(evaluation: Evaluation, sample: Any, where: str, source: Source) -> Iterator[Item]:
    if not fields(sample):
        yield Skipped(where=where, reason="no object")
        return
    yield from sample_steps(evaluation, fields(sample), source.modified_ns)


# -- the archive -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One sample of an archive, as it stands in it."""

    head: Mapping[str, Any]
    where: str
    sample: Any


def packed(source: Source) -> bool:
    """Whether the log is an archive."""
    with source.path.open("rb") as file:
        return file.read(4) == b"PK\x03\x04"


def archived(source: Source) -> Iterator[Sample | Skipped]:
    """The samples of an archive, one at a time, within its bounds.

    Raises:
        Foreign: it is no log.
    """
    with source.path.open("rb") as file:
        try:
            archive = zipfile.ZipFile(file)
            members = {info.filename: info for info in archive.infolist()}
        except (zipfile.BadZipFile, ValueError, NotImplementedError, struct.error, EOFError, UnicodeError) as error:
            yield Skipped(where="file", reason=f"the archive is damaged: {error}")
            return
        with archive:
            yield from _members(archive, file, members, source)


def _members(
    archive: zipfile.ZipFile, file: BinaryIO, members: Mapping[str, zipfile.ZipInfo], source: Source
) -> Iterator[Sample | Skipped]:
    head = next((name for name in ("header.json", "_journal/start.json") if name in members), "")
    if not head:
        raise Foreign("no Inspect log: an archive without header.json")
    if len(members) > MEMBERS_MAX:
        yield Skipped(where="file", reason=f"more than {MEMBERS_MAX:,} members")
        return
    budget = max(_TOTAL_BYTES_MIN, _TOTAL_RATIO * source.size)
    try:
        content = _content(archive, file, members[head], budget)
        budget -= len(content)
        said = fields(parse(content))
    except Unreadable as error:
        yield Skipped(where=head, reason=str(error))
        return
    for name in sorted(members):
        # Names are looked at and never used as paths.
        if not name.startswith("samples/") or not name.endswith(".json"):
            continue
        if name.count("/") > 1:
            if name.endswith("/sample.json"):
                yield Skipped(where=_shown(name), reason="a sample in chunks (log version 3) is not read")
            continue
        try:
            content = _content(archive, file, members[name], budget)
            budget -= len(content)
            sample = parse(content)
        except Unreadable as error:
            yield Skipped(where=_shown(name), reason=str(error))
            continue
        yield Sample(head=said, where=_shown(name), sample=sample)


def _shown(name: str) -> str:
    return "".join(sign if sign.isprintable() else "?" for sign in name)[:200]


def _content(archive: zipfile.ZipFile, file: BinaryIO, member: zipfile.ZipInfo, budget: int) -> bytes:
    """A member, unpacked within the bounds, whatever its size is said to be.

    Raises:
        Unreadable: it passes a bound, is damaged, encrypted or packed in another way.
    """
    most = min(DOCUMENT_BYTES_MAX, budget)
    if member.flag_bits & 1:
        raise Unreadable("encrypted")
    try:
        if member.compress_type == _ZSTD:
            content = _unzstd(file, member, most)
        else:
            with archive.open(member) as stream:
                content = stream.read(most + 1)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, NotImplementedError, struct.error) as error:
        raise Unreadable(f"damaged: {error}") from error
    if len(content) > most:
        raise Unreadable(f"unpacks to more than {most:,} bytes")
    return content


def _unzstd(file: BinaryIO, member: zipfile.ZipInfo, most: int) -> bytes:
    """Zip's method 93, which zipfile reads from Python 3.14 on."""
    try:
        import zstandard
    except ImportError:
        raise Unreadable("packed with zstd: pip install 'pilothouse[server]', or zstandard") from None
    file.seek(member.header_offset)
    head = file.read(30)
    if len(head) < 30 or head[:4] != b"PK\x03\x04":
        raise Unreadable("damaged: no member where the index says")
    name, extra = struct.unpack("<HH", head[26:30])
    file.seek(member.header_offset + 30 + name + extra)
    packed = file.read(min(member.compress_size, DOCUMENT_BYTES_MAX))
    held: list[bytes] = []
    size = 0
    try:
        reader = zstandard.ZstdDecompressor(max_window_size=_WINDOW_MAX).stream_reader(packed)
        while size <= most and (chunk := reader.read(_CHUNK)):
            held.append(chunk)
            size += len(chunk)
    except zstandard.ZstdError as error:
        raise Unreadable(f"damaged: {error}") from error
    content = b"".join(held)
    if size <= most and zlib.crc32(content) != member.CRC:
        raise Unreadable("damaged: its checksum is another")
    return content
