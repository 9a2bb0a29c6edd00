"""The data tools over ``data://…`` as well: small selections are held as a value, larger ones stream through a query.

Bounds, and what is said at them: a selection that is held has at most 50,000 rows and 32 MB; one that streams, which
programs of the form ``.[] | …`` and searches do, is read for at most a minute. Past either the answer says how large the
selection is, and what would do: a narrower one, groups, SQL.
"""

from __future__ import annotations

import json
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, cast

from pilothouse.records import BadRequest, PilothouseError
from pilothouse.sdk.tool_playback import inner

from .data_tools import Answer, DataTools
from .handles import Handle
from .query import QueryLimits, stream_query
from .shape import shape_lines
from .sources import RowPage, RowReader, Source, is_source, pages, read_source

ROWS_HELD_MAX: Final = 50_000
BYTES_HELD_MAX: Final = 32 << 20
STREAM_TIME_S: Final = 60.0
_SMALL: Final = 2_000
"""Up to so many rows a selection is held even where it could stream: the next question finds it there."""
_SHAPE_ROWS: Final = 2_000
_SLICE_FROM_MAX: Final = 100_000
_FRESH_S: Final = 60.0

# A pipe after all elements: each may be asked by itself. Not the assignment |=.
_EACH = re.compile(r"\s*\.\[\]\s*\|(?!=)(.*)", re.DOTALL)
_COUNT_EACH = re.compile(r"\s*\[\s*\.\[\]\s*\|(?!=)(.*)\]\s*\|\s*length\s*", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Held:
    handle: Handle
    read: str
    at: float
    count: int
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceTools:
    """``jq``, ``grep_json``, ``slice`` and ``schema`` over kept values and over what Pilothouse recorded."""

    data: DataTools
    rows: RowReader | None = None
    """Who reads what was recorded; None: nobody does."""
    rows_held_max: int = ROWS_HELD_MAX
    bytes_held_max: int = BYTES_HELD_MAX
    _held: dict[str, _Held] = field(default_factory=dict[str, _Held], repr=False)

    @inner
    def jq(self, id: str, program: str) -> Answer:
        """Run a jq program; one of the form ``.[] | …`` over a selection of any size."""
        if not is_source(id):
            return self.data.jq(id, program)
        return self._guarded(lambda: self._jq(read_source(id), program))

    @inner
    def grep_json(self, id: str, pattern: str, *, ignore_case: bool = False) -> Answer:
        """Find a regular expression in keys and values."""
        if not is_source(id):
            return self.data.grep_json(id, pattern, ignore_case=ignore_case)
        return self._guarded(lambda: self._grep(read_source(id), pattern, ignore_case))

    @inner
    def slice(self, id: str, path: str = ".", start: int = 0, count: int = 20) -> Answer:
        """Rows ``start`` to ``start + count``, or members of what lies at a path."""
        if not is_source(id):
            return self.data.slice(id, path, start, count)
        return self._guarded(lambda: self._slice(read_source(id), path, start, max(1, count)))

    @inner
    def schema(self, id: str, path: str = ".") -> Answer:
        """Every path with its types; of a large selection that of its first rows."""
        if not is_source(id):
            return self.data.schema(id, path)
        return self._guarded(lambda: self._schema(read_source(id), path))

    def keep(self, uri: str) -> Answer:
        """Hold a selection as it is now, as a value."""

        def held() -> Answer:
            found = self._hold(read_source(uri), fresh=True)
            return self._noted(found, lambda tools: tools.show(found.handle.id))

        return self._guarded(held)

    # -- one by one ----------------------------------------------------------------------------------------------

    def _jq(self, source: Source, program: str) -> Answer:
        reader = self._reader()
        if program.strip() == "length" and source.kind != "spans":
            return Answer(text=str(reader.page(source.kind, source.params, limit=1, cursor="").total))
        counted = _COUNT_EACH.fullmatch(program)
        each = counted or _EACH.fullmatch(program)
        if each is not None and source.key not in self._held:
            reading = pages(reader, source)
            first = next(reading)
            if first.next and first.total > _SMALL:
                return self._streamed(source, first, reading, each[1], count_only=counted is not None)
        found = self._hold(source)
        return self._noted(found, lambda tools: tools.jq(found.handle.id, program))

    def _streamed(
        self, source: Source, first: RowPage, reading: Iterator[RowPage], program: str, *, count_only: bool
    ) -> Answer:
        feed = _Feed(first, reading)
        asked = {"op": "jq_rows", "program": program, "chars": self.data.room}
        with tempfile.TemporaryDirectory(prefix="pilothouse-query-") as folder:
            spill = Path(folder) / "results"
            found = stream_query(asked, feed.lines(), spill, self._limits())
            self._checked(found, feed, source, program)
            count = int(found["count"])
            about = f"\n({feed.rows:,} rows of {first.total:,} {source.noun} read)"
            if count_only:
                return Answer(text=f"{count}{about}")
            if found["chars"] + len(about) <= self.data.room:
                return Answer(
                    text="\n".join(cast("list[str]", found["shown"])) + about if count else f"(no results){about}"
                )
            if not found["complete"]:
                raise BadRequest(
                    f"the results of {feed.rows:,} rows passed {self.data.limits.spill_bytes >> 20:,} MB",
                    got=program,
                    fix="select(…) fewer, or data://groups?by=…",
                )
            raw = b"[" + b",".join(spill.read_bytes().splitlines()) + b"]"
        kept = self.data.store.put(raw, label=f"jq {program}"[:200], media_type="application/json")
        shown = replace(self.data, chars=self.data.room - len(about)).show(kept.id)
        return replace(shown, text=f"{shown.text}{about}")

    def _grep(self, source: Source, pattern: str, ignore_case: bool) -> Answer:
        reading = pages(self._reader(), source)
        first = next(reading)
        if source.key in self._held or not first.next or first.total <= _SMALL:
            found = self._hold(source)
            return self._noted(found, lambda tools: tools.grep_json(found.handle.id, pattern, ignore_case=ignore_case))
        feed = _Feed(first, reading)
        asked = {"op": "grep_rows", "pattern": pattern, "ignore_case": ignore_case, "limit": 200}
        with tempfile.TemporaryDirectory(prefix="pilothouse-query-") as folder:
            hits = stream_query(asked, feed.lines(), Path(folder) / "results", self._limits())
        self._checked(hits, feed, source, pattern)
        return self.data.said_hits(hits, f" in {feed.rows:,} rows of {first.total:,} {source.noun}")

    def _slice(self, source: Source, path: str, start: int, count: int) -> Answer:
        if path.strip() not in ("", ".") or start < 0 or source.key in self._held:
            found = self._hold(source)
            return self._noted(found, lambda tools: tools.slice(found.handle.id, path, start, count))
        if start > _SLICE_FROM_MAX:
            raise BadRequest("so far into a selection nobody reads", got=start, fix="a narrower since and until")
        chosen: list[dict[str, Any]] = []
        at = total = 0
        for page in pages(self._reader(), source):
            total = max(total, page.total)
            chosen += page.rows[max(0, start - at) : max(0, start + count - at)]
            at += len(page.rows)
            if at >= start + count:
                break
        if not chosen:
            raise BadRequest(
                f"the selection ends before: it has {at:,} rows", got=start, fix=f"start={max(0, at - count)}"
            )
        about = f"rows {start:,} to {start + len(chosen):,}, of {total:,} {source.noun}\n"
        handle = self.data.store.put(chosen, label=f"rows {start:,} to {start + len(chosen):,}")
        shown = replace(self.data, chars=self.data.room - len(about)).show(handle.id)
        return replace(shown, text=about + shown.text)

    def _schema(self, source: Source, path: str) -> Answer:
        if path.strip() not in ("", ".") or source.key in self._held:
            found = self._hold(source)
            return self._noted(found, lambda tools: tools.schema(found.handle.id, path))
        rows: list[dict[str, Any]] = []
        total, more = 0, False
        for page in pages(self._reader(), source):
            total = max(total, page.total)
            rows += page.rows
            more = bool(page.next)
            if len(rows) >= _SHAPE_ROWS:
                break
        about = f"{'the first ' if more else ''}{len(rows):,} rows, of {total:,} {source.noun}"
        return Answer(text="\n".join([about, *shape_lines(rows, self.data.room - len(about) - 1)]))

    # -- holding and saying ---------------------------------------------------------------------------------------

    def _hold(self, source: Source, *, fresh: bool = False) -> _Held:
        """The selection as a kept value; one read within the last minute is not read again."""
        known = self._held.get(source.key)
        if known is not None and not fresh and time.monotonic() - known.at < _FRESH_S:
            return known
        rows: list[dict[str, Any]] = []
        notes: tuple[str, ...] = ()
        held = 0
        for page in pages(self._reader(), source):
            if page.total > self.rows_held_max:
                raise self._too_large(source, page.total, held, len(rows))
            rows += page.rows
            notes += page.notes
            held += sum(len(json.dumps(row)) for row in page.rows)
            if held > self.bytes_held_max or len(rows) > self.rows_held_max:
                raise self._too_large(source, page.total, held, len(rows))
        handle = self.data.store.put(rows, label=f"data://{source.kind}", media_type="application/json")
        read = time.strftime("%H:%M:%SZ", time.gmtime())
        found = _Held(handle=handle, read=read, at=time.monotonic(), count=len(rows), notes=notes[:3])
        while len(self._held) >= 20:
            self._held.pop(next(iter(self._held)))
        self._held[source.key] = found
        return found

    def _too_large(self, source: Source, total: int, held: int, rows: int) -> BadRequest:
        so_far = f"; the first {rows:,} rows have {held / 1e6:,.1f} MB" if rows else ""
        return BadRequest(
            f"this selection has {total:,} {source.noun}{so_far}: more than {self.rows_held_max:,} rows or "
            f"{self.bytes_held_max >> 20:,} MB are no one value",
            got=source.key,
            allowed=[
                'a program of the form ".[] | …" (each row by itself), or "[.[] | …] | length"',
                "data://groups?by=… (counted and summed in the store)",
                "a narrower filter, since and until",
                "SQL: count(), sum(), GROUP BY over the views",
            ],
            fix="data://groups?by=agent" + _same_window(source),
        )

    def _checked(self, found: dict[str, Any], feed: _Feed, source: Source, asked: str) -> None:
        if "error" in found:
            raise BadRequest(f"not understood: {str(found['error'])[:500]}", got=asked, fix=".[] | {trace_id, status}")
        if found.get("stopped_by"):
            raise BadRequest(f"jq stopped: {str(found['stopped_by'])[:500]}", got=asked)
        if feed.failed is not None:
            raise feed.failed
        if not feed.complete and found.get("complete", True):
            raise BadRequest(
                f"{feed.rows:,} rows were read in {STREAM_TIME_S:g} s, and there are more: {feed.total:,} {source.noun}",
                got=asked,
                fix="a narrower since and until, or data://groups?by=agent" + _same_window(source),
            )

    def _noted(self, found: _Held, ask: Callable[[DataTools], Answer]) -> Answer:
        """An answer over a held selection, and by which id the same rows are had again."""
        notes = "".join(f"; {note[:100]}" for note in found.notes)
        about = f"\n({found.count:,} rows, read {found.read}; the same rows again: {found.handle.id}{notes})"
        answer = ask(replace(self.data, chars=self.data.room - len(about)))
        return replace(answer, text=answer.text + about)

    def _limits(self) -> QueryLimits:
        return replace(self.data.limits, time_s=STREAM_TIME_S)

    def _reader(self) -> RowReader:
        if self.rows is None:
            raise BadRequest("no server is known here whose records could be read", fix="keep(file=…) or keep(data=…)")
        return self.rows

    def _guarded(self, work: Callable[[], Answer]) -> Answer:
        try:
            return work()
        except PilothouseError as error:
            return self.data.failed(error)


class _Feed:
    """Rows as lines of JSON, read while they are used up; what went wrong on the way."""

    def __init__(self, first: RowPage, reading: Iterator[RowPage]) -> None:
        self._first = first
        self._reading = reading
        self.rows = 0
        self.total = first.total
        self.complete = False
        self.failed: PilothouseError | None = None

    def lines(self) -> Iterator[str]:
        """One row a line."""
        page: RowPage | None = self._first
        while page is not None:
            for row in page.rows:
                self.rows += 1
                yield json.dumps(row) + "\n"
            try:
                page = next(self._reading, None)
            except PilothouseError as error:
                self.failed = error
                return
        self.complete = True


def _same_window(source: Source) -> str:
    return "".join(f"&{name}={source.params[name]}" for name in ("filter", "since", "until") if name in source.params)
