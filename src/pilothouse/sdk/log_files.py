"""Bytes to records: lines of bounded length, container wrappers taken off, tracebacks joined to the line above."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, cast

from .log_formats import Format, starts_record
from .log_line import read_time

LINE_BYTES_MAX: Final = 256 * 1024
"""What is longer is cut here, and the record says so."""
RECORD_LINES_MAX: Final = 1_000
RECORD_CHARS_MAX: Final = 64_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """The text of one record of a log, and where it ends."""

    text: str
    start: int
    """Byte offset of its first line."""
    end: int
    """Byte offset behind its last line: reading goes on there."""
    time_ns: int = 0
    """What the container runtime says; 0 without one."""
    stream: str = ""
    """stdout or stderr, where the container runtime says so."""
    cut_bytes: int = 0
    """Bytes of it that were left out because a line is too long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line without its end."""

    text: str
    start: int
    end: int
    cut_bytes: int = 0


class LineReader:
    """Splits bytes into lines; holds at most ``LINE_BYTES_MAX`` of a line that has no end."""

    def __init__(self, offset: int = 0) -> None:
        self.offset = offset
        """Where the next bytes are from."""
        self._start = offset
        self._held = bytearray()
        self._dropped = 0

    @property
    def partial(self) -> bool:
        """True where a line has begun and not ended."""
        return self.offset > self._start

    def feed(self, data: bytes) -> Iterator[Line]:
        """The lines that end in these bytes."""
        position = 0
        while (newline := data.find(b"\n", position)) >= 0:
            self._hold(data, position, newline)
            self.offset += newline + 1 - position
            yield self._line()
            position = newline + 1
        self._hold(data, position, len(data))
        self.offset += len(data) - position

    def flush(self) -> Iterator[Line]:
        """The last line, though it has no end: nobody will write on it any more."""
        if self.partial:
            yield self._line()

    def _hold(self, data: bytes, start: int, end: int) -> None:
        room = max(0, LINE_BYTES_MAX - len(self._held))
        self._held += data[start : min(end, start + room)]
        self._dropped += max(0, end - start - room)

    def _line(self) -> Line:
        text = self._held.decode("utf-8", "replace").rstrip("\r")
        line = Line(text=text, start=self._start, end=self.offset, cut_bytes=self._dropped)
        self._held, self._dropped, self._start = bytearray(), 0, self.offset
        return line


_CRI: Final = re.compile(
    r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)) (stdout|stderr) ([FP])(?::\S{0,40})? ?(.*)$",
    re.DOTALL,
)
_DOCKER_KEYS: Final = frozenset(("log", "stream", "time", "attrs"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Unwrapped:
    """What a program wrote, without what its container runtime put around it."""

    text: str
    time_ns: int = 0
    stream: str = ""
    partial: bool = False
    """The runtime broke the line here; it goes on in the next."""


def unwrap(text: str) -> Unwrapped:
    """Take off Docker's JSON or the prefix of the container runtime interface; text without either stays as it is."""
    if text.startswith("{") and '"log"' in text[:10_000] and '"stream"' in text:
        try:
            data: object = json.loads(text)
        except (ValueError, RecursionError):
            return Unwrapped(text=text)
        if isinstance(data, dict):
            fields = cast("dict[str, object]", data)
            log = fields.get("log")
            if isinstance(log, str) and fields.keys() <= _DOCKER_KEYS:
                return Unwrapped(
                    text=log.rstrip("\r\n"),
                    time_ns=read_time(fields.get("time", "")),
                    stream=str(fields.get("stream", ""))[:10],
                    partial=not log.endswith("\n"),
                )
        return Unwrapped(text=text)
    if found := _CRI.match(text):
        return Unwrapped(text=found[4], time_ns=read_time(found[1]), stream=found[2], partial=found[3] == "P")
    return Unwrapped(text=text)


_TRACE_STARTS: Final = (
    *("Traceback (most recent call last)", "Exception in thread", "Caused by:", "During handling of the above"),
    *("The above exception was", "panic:", "goroutine ", "Suppressed:", "  + Exception Group", "Stack trace:"),
)
_TRACE_BEGINS: Final = ("Traceback (most recent call last)", "Exception in thread", "panic:")
_THROWN: Final = re.compile(
    r"(?:[\w$]{1,80}\.){0,12}[A-Z]\w{0,80}(?:Error|Exception|Warning|Exit|Interrupt|Failure|Iteration)?(?::|$)"
)


@dataclass(slots=True)
class Joiner:
    """Joins the lines of one log into records.

    A line that begins with white space or looks like part of a traceback belongs to the record above it. Where records
    have heads (a time or a level), so does every line without one.
    """

    format: Format = "auto"
    headed: bool = False
    """Whether the records seen so far had heads."""
    _lines: list[str] = field(default_factory=list[str])
    _chars: int = 0
    _start: int = 0
    _end: int = 0
    _time_ns: int = 0
    _stream: str = ""
    _cut: int = 0
    _json: bool = False
    _tracing: bool = False
    _broken: bool = False

    @property
    def waiting(self) -> bool:
        """True where a record is open: its next line may still come."""
        return bool(self._lines)

    def push(self, line: Line) -> list[Record]:
        """Take a line; gives the records that are whole now. One without text only says how far was read."""
        inner = unwrap(line.text)
        if self._broken and self._lines:
            # The runtime broke this line in two.
            self._lines[-1] += inner.text[: max(0, RECORD_CHARS_MAX - self._chars)]
            self._count(inner.text, line)
            self._broken = inner.partial
            return self._whole()
        if self._lines and self._belongs(inner.text):
            if len(self._lines) < RECORD_LINES_MAX and self._chars < RECORD_CHARS_MAX:
                self._lines.append(inner.text)
                self._count(inner.text, line)
            else:
                self._cut += len(inner.text)
                self._end = line.end
            self._broken = inner.partial
            return []
        closed = self.flush()
        done = [closed] if closed is not None else []
        if inner.text.strip() or inner.partial:
            self._open(inner, line)
            return done + self._whole()
        return [*done, Record(text="", start=line.start, end=line.end)]

    def _whole(self) -> list[Record]:
        """A line of JSON is a record by itself: nothing is waited for."""
        if self._json and not self._broken and self._lines[0].endswith("}") and (closed := self.flush()) is not None:
            return [closed]
        return []

    def flush(self) -> Record | None:
        """The open record, ended here."""
        if not self._lines:
            return None
        record = Record(
            text="\n".join(self._lines),
            start=self._start,
            end=self._end,
            time_ns=self._time_ns,
            stream=self._stream,
            cut_bytes=self._cut,
        )
        self._lines = []
        self._broken = self._tracing = False
        return record

    def _open(self, inner: Unwrapped, line: Line) -> None:
        head = starts_record(inner.text)
        self._json = inner.text.startswith("{")
        self.headed = self.headed or (head and not self._json)
        self._tracing = inner.text.startswith(_TRACE_BEGINS)
        self._lines, self._chars, self._cut = [inner.text], 0, 0
        self._start, self._time_ns, self._stream = line.start, inner.time_ns, inner.stream
        self._broken = inner.partial
        self._count(inner.text, line)

    def _count(self, text: str, line: Line) -> None:
        self._chars += len(text)
        self._cut += line.cut_bytes
        self._end = line.end

    def _belongs(self, text: str) -> bool:
        if self._json and not self._tracing:
            # JSON is whole on its line; only a traceback beside it spreads over several.
            return False
        if not text.strip():
            return self._tracing
        if text[0] in " \t":
            return True
        if text.startswith(_TRACE_STARTS):
            belongs = not text.startswith(_TRACE_BEGINS) or self.headed or self._tracing or len(self._lines) == 1
            self._tracing = True
            return belongs
        if self._tracing and _THROWN.match(text[:400]):
            return True
        return self.headed and not starts_record(text)
