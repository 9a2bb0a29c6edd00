"""OTLP files: what the collector's file exporter, and others, wrote of OTLP requests.

Specification: the OTLP/JSON and protobuf encodings of opentelemetry-proto, and the OpenTelemetry Protocol File Exporter
(JSON lines). Read are a JSON document, JSON lines, one protobuf message, and protobuf messages each behind its length
in four bytes, big-endian, as the collector's file exporter writes them; each also as gzip.

What is in them is sent on unchanged, in pieces the server takes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, NamedTuple

from .reading import Unreadable, fields, items, parse, word
from .said import dumps
from .sources import DOCUMENT_BYTES_MAX, Opened, Source
from .trajectory import Foreign, Item, Posted, Skipped

BODY_BYTES_MAX = 12 << 20
"""Requests are cut to this much; the server takes 16 MB."""

_SIGNALS = {
    "resourceSpans": ("traces", "scopeSpans", "spans"),
    "resourceLogs": ("logs", "scopeLogs", "logRecords"),
    "resourceMetrics": ("metrics", "scopeMetrics", "metrics"),
}
_SNAKE = {"resource_spans": "resourceSpans", "resource_logs": "resourceLogs", "resource_metrics": "resourceMetrics"}
_JSON = "application/json"
_PROTOBUF = "application/x-protobuf"


def read(source: Source) -> Iterator[Item]:
    """The requests of a file."""
    with Opened(source) as opened:
        head = opened.read(1 << 16).lstrip()
    if not head:
        raise Foreign("the file is empty")
    if head[:1] not in (b"{", b"["):
        with Opened(source) as opened:
            yield from _protobuf_file(opened)
    elif ".jsonl" in source.path.name.lower() or ".ndjson" in source.path.name.lower() or _is_lines(source):
        with Opened(source) as opened:
            yield from _json_lines(opened)
    else:
        with Opened(source) as opened:
            yield from _json_document(opened)


def _is_lines(source: Source) -> bool:
    """Whether one of the first two lines is an object of its own: then a broken one does not spoil the rest."""
    with Opened(source) as opened:
        for line in islice(opened.lines(), 2):
            try:
                if not isinstance(line, Skipped) and fields(parse(line[1])):
                    return True
            except Unreadable:
                continue
    return False


def _json_lines(opened: Opened) -> Iterator[Item]:
    known = False
    for line in opened.lines():
        if isinstance(line, Skipped):
            yield line
            continue
        try:
            told = fields(parse(line[1]))
        except Unreadable as error:
            yield Skipped(where=f"line {line[0]}", reason=str(error))
            continue
        found = list(_requests(told, line[1]))
        if not found:
            if not known:
                raise Foreign("no OTLP: its first line has no resourceSpans, resourceLogs or resourceMetrics")
            yield Skipped(where=f"line {line[0]}", reason="no resourceSpans, resourceLogs or resourceMetrics")
        known = True
        yield from found


def _json_document(opened: Opened) -> Iterator[Item]:
    content = opened.whole()
    try:
        document = parse(content)
    except Unreadable as error:
        yield Skipped(where="file", reason=str(error))
        return
    several = items(document)
    if not several:
        found = list(_requests(fields(document), content))
    else:
        found = [one for each in several for one in _requests(fields(each), b"")]
    if not found:
        raise Foreign("no OTLP: no resourceSpans, resourceLogs or resourceMetrics")
    yield from found


def _requests(told: Mapping[str, Any], content: bytes) -> Iterator[Posted]:
    """One request a signal; ``content`` is sent where it is just this, so that nothing is written anew."""
    for key, value in told.items():
        name = _SNAKE.get(key, key)
        if name not in _SIGNALS or not items(value):
            continue
        blocks = items(value)
        alone = len(told) == 1 and name == key
        if alone and content and len(content) <= BODY_BYTES_MAX:
            yield _posted(name, blocks, content)
            continue
        group: list[Any] = []
        size = 0
        for block in blocks:
            for piece in _cut(name, block):
                grown = len(dumps(piece))
                if group and size + grown > BODY_BYTES_MAX:
                    yield _posted(name, group, dumps({name: group}))
                    group, size = [], 0
                group.append(piece)
                size += grown
        yield _posted(name, group, dumps({name: group}))


def _cut(name: str, block: Any) -> Iterator[Any]:
    """A block, or where it alone is too large for a request, its scopes and their items by the hundred."""
    if len(dumps(block)) <= BODY_BYTES_MAX:
        yield block
        return
    _, scopes, members = _SIGNALS[name]
    for scope in map(fields, items(fields(block).get(scopes))):
        all_of_it = items(scope.get(members))
        step = max(1, len(all_of_it) * BODY_BYTES_MAX // max(1, 2 * len(dumps(scope))))
        for first in range(0, len(all_of_it), step):
            part = {**scope, members: all_of_it[first : first + step]}
            yield {**fields(block), scopes: [part]}


def _posted(name: str, blocks: list[Any], body: bytes) -> Posted:
    signal, scopes, members = _SIGNALS[name]
    found = [
        one
        for block in blocks
        for scope in items(fields(block).get(scopes))
        for one in items(fields(scope).get(members))
    ]
    traces = {word(fields(one).get("traceId")) for one in found} - {""} if signal == "traces" else set[str]()
    return Posted(signal=signal, content_type=_JSON, body=body, items=len(found), traces=frozenset(traces))


# -- protobuf --------------------------------------------------------------------------------------------------------


class Field(NamedTuple):
    """One field of a message: its number, and where its content lies."""

    number: int
    wire: int
    start: int
    end: int
    head: int
    """Where its tag begins."""


def walk(data: memoryview, start: int, end: int) -> Iterator[Field]:
    """The fields of a message.

    Raises:
        Unreadable: these bytes are no message.
    """
    at = start
    while at < end:
        head = at
        tag, at = _varint(data, at, end)
        number, wire = tag >> 3, tag & 7
        if wire == 0:
            _, after = _varint(data, at, end)
        elif wire == 1:
            after = at + 8
        elif wire == 2:
            size, at = _varint(data, at, end)
            after = at + size
        elif wire == 5:
            after = at + 4
        else:
            raise Unreadable(f"no protobuf at byte {head}")
        if after > end or number == 0:
            raise Unreadable(f"no protobuf, or cut off, at byte {head}")
        yield Field(number, wire, at, after, head)
        at = after


def _varint(data: memoryview, at: int, end: int) -> tuple[int, int]:
    number = shift = 0
    while at < end and shift < 70:
        byte = data[at]
        at += 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number, at
        shift += 7
    raise Unreadable(f"no protobuf, or cut off, at byte {at}")


def _protobuf_file(opened: Opened) -> Iterator[Item]:
    """A message alone, or messages behind their lengths.

    A message of OTLP begins with its first field, the byte 0x0a; a length in four bytes begins with a zero unless the
    message has more than 16 MB.
    """
    first = opened.read(4)
    if len(first) < 4:
        raise Foreign("no OTLP: neither JSON nor protobuf")
    if first[0] == 0x0A:
        yield from _message(first + opened.whole(DOCUMENT_BYTES_MAX), "file", known=False)
        return
    place, known = 0, False
    while first:
        where = f"message {place + 1}"
        size = int.from_bytes(first, "big")
        if len(first) < 4 or size > DOCUMENT_BYTES_MAX:
            if not known:
                raise Foreign("no OTLP: neither JSON nor protobuf")
            yield Skipped(where=where, reason="cut off, or no length: what follows is not read")
            return
        body = _exactly(opened, size)
        if len(body) < size:
            if not known:
                raise Foreign("no OTLP: neither JSON nor protobuf")
            yield Skipped(where=where, reason=f"cut off: {len(body):,} of {size:,} bytes are there")
            return
        yield from _message(body, where, known=known)
        known = True
        place += 1
        first = _exactly(opened, 4)


def _exactly(opened: Opened, size: int) -> bytes:
    held = b""
    while len(held) < size and (chunk := opened.read(min(size - len(held), 1 << 20))):
        held += chunk
    return held


def _message(body: bytes, where: str, *, known: bool) -> Iterator[Item]:
    view = memoryview(body)
    try:
        blocks = [found for found in walk(view, 0, len(view)) if found.number == 1 and found.wire == 2]
        signal = next((found for block in blocks if (found := _signal(view, block))), "")
    except Unreadable as error:
        if not known:
            raise Foreign(f"no OTLP: {error}") from None
        yield Skipped(where=where, reason=str(error))
        return
    if not signal:
        if not known and not blocks:
            raise Foreign("no OTLP: a message without resources")
        return
    group: list[Field] = []
    for block in blocks:
        if group and block.end - group[0].head > BODY_BYTES_MAX:
            yield _posted_message(body, view, group, signal)
            group = []
        group.append(block)
    yield _posted_message(body, view, group, signal)


def _posted_message(body: bytes, view: memoryview, blocks: list[Field], signal: str) -> Posted:
    found = 0
    traces: set[str] = set()
    for item in _items(view, blocks):
        found += 1
        if signal == "traces" and body[item.start : item.start + 2] == b"\x0a\x10":
            traces.add(bytes(view[item.start + 2 : item.start + 18]).hex())
    content = body[blocks[0].head : blocks[-1].end]
    return Posted(signal=signal, content_type=_PROTOBUF, body=content, items=found, traces=frozenset(traces))


def _items(view: memoryview, blocks: list[Field]) -> Iterator[Field]:
    for block in blocks:
        for scope in walk(view, block.start, block.end):
            if scope.number == 2 and scope.wire == 2:
                for item in walk(view, scope.start, scope.end):
                    if item.number == 2 and item.wire == 2:
                        yield item


def _signal(view: memoryview, block: Field) -> str:
    """What the items of a block are: a span begins with a 16-byte and an 8-byte id, a log record has its time as
    field 1, 64 bits wide, a metric its name as text."""
    for item in _items(view, [block]):
        inner = {found.number: found for found in walk(view, item.start, item.end)}
        first, second = inner.get(1), inner.get(2)
        if first is not None and second is not None and first.wire == 2 == second.wire:
            sizes = (first.end - first.start, second.end - second.start)
            return "traces" if sizes == (16, 8) and 7 in inner and inner[7].wire == 1 else "metrics"
        if first is not None and first.wire == 2:
            return "metrics"
        return "logs"
    return ""
