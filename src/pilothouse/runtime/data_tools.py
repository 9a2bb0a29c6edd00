"""Tools a model looks into large values with: ``jq``, ``grep_json``, ``slice``, ``schema``.

They compose: a result too large to be shown is kept and becomes an id for the next question. Nothing they answer,
errors included, is longer than the limit. An error says what failed, what is there instead, and a query to try.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, Final, cast

from pilothouse.records import BadRequest, PilothouseError
from pilothouse.sdk.tool_playback import inner

from .handles import Handle, HandleStore
from .paths import follow, path_text, read_path
from .preview import BUDGET_CHARS, cut_text, preview, scalar, size_text
from .query import QueryLimits, run_query
from .shape import shape_lines

_GREP_HITS: Final = 200
_SIZES_SHOWN: Final = 30
_COMMENT: Final = re.compile(r"#[^\n]*")
_COLUMN: Final = re.compile(r"line 1, column (\d+)")
_PAST_THE_END: Final = re.compile(r" line 2, column \d+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a tool says to the model."""

    text: str
    is_error: bool = False
    handle: Handle | None = None
    """The value it became, where it was too large to be shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataTools:
    """The tools over one store of values."""

    store: HandleStore
    chars: int = BUDGET_CHARS
    """The most characters of any answer; at least 500."""
    limits: QueryLimits = field(default_factory=QueryLimits)

    def keep(self, value: object, *, label: str = "", media_type: str = "") -> Answer:
        """Keep what a tool returned and show it: whole where it fits, else its id and a preview."""
        try:
            handle = self.store.put(value, label=label, media_type=media_type)
            return self._shown(handle, intro=f"{label or 'the result'} is kept as")
        except PilothouseError as error:
            return self.failed(error)

    def show(self, id: str) -> Answer:
        """What is kept under an id: whole where it fits, else its preview; the id is named either way."""
        try:
            handle = self.store.get(id)
            named = f"kept as {handle.id}\n"
            narrower = replace(self, chars=self.room - len(named))
            shown = narrower._shown(handle, intro=f"{handle.label or 'the value'} is kept as")
            return shown if shown.handle is not None else self._said(named + shown.text, handle=handle)
        except PilothouseError as error:
            return self.failed(error)

    @inner
    def jq(self, id: str, program: str) -> Answer:
        """Run a jq program over a value; each result is a line of JSON."""
        try:
            return self._jq(self.store.get(id), program)
        except PilothouseError as error:
            return self.failed(error)

    @inner
    def grep_json(self, id: str, pattern: str, *, ignore_case: bool = False) -> Answer:
        """Find a regular expression in keys and values; each hit is a path that ``jq`` and ``slice`` take, and its text."""
        try:
            return self._grep(self.store.get(id), pattern, ignore_case)
        except PilothouseError as error:
            return self.failed(error)

    @inner
    def slice(self, id: str, path: str = ".", start: int = 0, count: int = 20) -> Answer:
        """Members ``start`` to ``start + count`` of an array, object or text, whole where they fit."""
        try:
            handle = self.store.get(id)
            return self._slice(handle, path, start, max(1, count))
        except PilothouseError as error:
            return self.failed(error)

    @inner
    def schema(self, id: str, path: str = ".") -> Answer:
        """Every path in a value with its types, how often it is there, and an example."""
        try:
            handle = self.store.get(id)
            value = follow(self.store.document(handle).value, read_path(path))
            return self._said("\n".join(shape_lines(value, self.room)))
        except PilothouseError as error:
            return self.failed(error)

    # -- one by one ----------------------------------------------------------------------------------------------

    def _jq(self, handle: Handle, program: str) -> Answer:
        if "\x00" in program:
            raise BadRequest("the program has a character that no text has (U+0000)", got=program.replace("\x00", "␀"))
        if not _COMMENT.sub("", program).strip():
            raise BadRequest("the program is empty", got=program, fix=_example(self.store.document(handle).value))
        with tempfile.TemporaryDirectory(prefix="pilothouse-query-") as folder:
            spill = Path(folder) / "results"
            asked = {"op": "jq", "path": str(self.store.json_path(handle)), "program": program, "chars": self.room}
            found = run_query(asked, spill, self.limits)
            if "error" in found:
                raise self._program_error(handle, program, found["error"], compiling=found.get("at") == "compile")
            if found["stopped_by"]:
                raise self._program_error(handle, program, found["stopped_by"], compiling=False)
            lines, count = cast("list[str]", found["shown"]), int(found["count"])
            if found["chars"] <= self.room:
                hint = self._null_hint(handle, program) if set(lines) <= {"null"} else ""
                return self._said("\n".join(lines) + hint if lines else "(no results)" + hint)
            if not found["complete"]:
                raise BadRequest(
                    f"the results passed {self.limits.spill_bytes >> 20:,} MB and were stopped after {count:,}",
                    fix="limit(100; …), or select(…) fewer",
                )
            raw = spill.read_bytes()
        kept = self.store.put(
            raw if count == 1 else _array(raw), label=f"jq {program}"[:200], media_type="application/json"
        )
        return self._shown(kept, intro=f"{count:,} {'result' if count == 1 else 'results'}, too long to show; kept as")

    def _grep(self, handle: Handle, pattern: str, ignore_case: bool) -> Answer:
        with tempfile.TemporaryDirectory(prefix="pilothouse-query-") as folder:
            asked = {
                "op": "grep",
                "path": str(self.store.json_path(handle)),
                "pattern": pattern,
                "ignore_case": ignore_case,
                "limit": _GREP_HITS,
            }
            found = run_query(asked, Path(folder) / "results", self.limits)
        if "error" in found:
            raise BadRequest(
                f"the pattern is not understood: {found['error']}"[:500], got=pattern, fix="card declined|card_declined"
            )
        if not int(found["count"]) and not ignore_case:
            return self._said(
                "no hit; with ignore_case=true upper and lower case are one. schema(id) shows which keys there are"
            )
        return self.said_hits(found)

    def said_hits(self, found: dict[str, Any], where: str = "") -> Answer:
        """The hits of a search, with their paths."""
        count = int(found["count"])
        if not count:
            return self._said(f"no hit{where}. schema(id) shows which keys there are")
        lines = [f"{count:,} {'hit' if count == 1 else 'hits'}{where}"]
        for path, text, at, length in found["hits"]:
            where = path_text(path)
            lines.append(
                f"{cut_text(where, 300)}  {scalar(text, 300)}"
                + (f"  (at {at:,} of {length:,})" if length > 300 else "")
            )
        return self._lines(lines, count, f"narrow the pattern, or jq first; the first {{}} of {count:,} are shown")

    def _slice(self, handle: Handle, path: str, start: int, count: int) -> Answer:
        value = follow(self.store.document(handle).value, read_path(path))
        if isinstance(value, str):
            return self._slice_text(value, path, start, count)
        if not isinstance(value, (dict, list)):
            return self._said(scalar(value, self.room))
        total = len(cast("dict[str, Any] | list[Any]", value))
        at = _begin(path, "members", start, count, total)
        chosen: Any = (
            dict(islice(cast("dict[str, Any]", value).items(), at, at + count))
            if isinstance(value, dict)
            else cast("list[Any]", value)[at : at + count]
        )
        head = f"{cut_text(path, 200)}: {at:,} to {min(at + count, total):,} of {total:,}\n"
        text, fits = _as_many_as_fit(chosen, self.room - len(head))
        if text is not None:
            return self._said(head + text)
        shown = preview(chosen, self.room - len(head) - 240)
        if fits:
            return self._said(f"{head}{shown.text}\n({shown.rule}; {fits:,} fit whole: count={fits})")
        step = next(iter(cast("dict[str, Any]", chosen))) if isinstance(value, dict) else at
        further = cut_text(path_text((*read_path(path), step)), 150)
        return self._said(f"{head}{shown.text}\n({shown.rule}; not one fits whole: slice(id, {further}))")

    def _slice_text(self, text: str, path: str, start: int, count: int) -> Answer:
        lines = text.removesuffix("\n").split("\n")
        path = cut_text(path, 200)
        if len(lines) == 1:
            # One line: by characters, as many as fit.
            at = max(0, min(start if start >= 0 else len(text) + start, len(text)))
            part = text[at : at + self.room - len(path) - 80]
            return self._said(f"{path}: characters {at:,} to {at + len(part):,} of {len(text):,}\n{part}")
        at = _begin(path, "lines", start, count, len(lines))
        chosen = lines[at : at + count]
        head = f"{path}: lines {at:,} to {at + len(chosen):,} of {len(lines):,}"
        return self._lines([head, *chosen], len(chosen), "fewer lines fit: {} of these are shown")

    # -- how it is said ------------------------------------------------------------------------------------------

    @property
    def room(self) -> int:
        """The most characters of any answer."""
        return max(500, self.chars)

    def _said(self, text: str, *, is_error: bool = False, handle: Handle | None = None) -> Answer:
        room = self.room
        if len(text) > room:
            text = text[: room - 40] + f"… cut, {len(text) - room + 40:,} more"
        return Answer(text=_writable(text[:room]), is_error=is_error, handle=handle)

    def _lines(self, lines: Sequence[str], count: int, hint: str) -> Answer:
        """As many lines as fit, and in words how many that were; the first is a heading."""
        room, shown = self.room - len(hint) - 40, [lines[0]]
        used = len(lines[0])
        for line in lines[1:]:
            used += len(line) + 1
            if used > room:
                break
            shown.append(line)
        hits = len(shown) - 1
        if hits == 0 and len(lines) > 1:
            shown.append(lines[1][: max(0, room - len(lines[0]) - 1)] + "…")
        if hits < count:
            shown.append("… " + hint.format(hits))
        return self._said("\n".join(shown))

    def _shown(self, handle: Handle, *, intro: str) -> Answer:
        document = self.store.document(handle)
        notes = "".join(f"\nnote: {note}"[:300] for note in document.notes[:3])
        value = document.value
        if handle.kind in ("json", "ndjson", "csv") and handle.bytes <= self.room - len(notes) - 50:
            return self._said(json.dumps(value, ensure_ascii=False) + notes)
        if handle.kind == "text" and len(value) <= self.room - len(notes) - 50:
            return self._said(value + notes)
        size = f"{handle.bytes:,} bytes, {size_text(value)}"
        head = f"{intro} {handle.id} ({handle.kind}, {size}){notes}\n"
        sizes = _sizes(value, self.room // 6)
        foot = f"{sizes}\nlook inside: jq, grep_json, slice or schema with id {handle.id}"
        shown = preview(value, self.room - len(head) - len(foot) - 120)
        return self._said(f"{head}{shown.text}\n({shown.rule})\n{foot}", handle=handle)

    def failed(self, error: PilothouseError) -> Answer:
        """An error as a tool says it: what failed, what is there instead, what to try."""
        parts = [f"error: {cut_text(error.message, 1_000)}"]
        if error.got is not None:
            parts.append(f"got: {cut_text(str(error.got), 300)}")
        if error.allowed:
            parts.append(f"there is: {cut_text(_listed(error.allowed), 500)}")
        if error.fix:
            parts.append(f"try: {cut_text(error.fix, 300)}")
        return self._said("\n".join(parts), is_error=True)

    def _program_error(self, handle: Handle, program: str, said: str, *, compiling: bool) -> BadRequest:
        # Our own wrapping must not be what the model is told of: neither its sign before the program nor its line after.
        plain = said.replace("at <top-level>, ", "").replace("jq: error: ", "").replace("<top-level>, ", "").strip()
        if compiling:
            plain = _COLUMN.sub(lambda found: f"line 1, column {int(found.group(1)) - 1}", plain.split("\n")[0])
            plain = _PAST_THE_END.sub(" at its end" if "\n" not in program.strip() else r"\g<0>", plain).rstrip(":")
        elif plain == "break":
            plain = "there is no other input: the value is `.`"
        what = "the program is not jq" if compiling else "jq stopped"
        value = self.store.document(handle).value
        return BadRequest(f"{what}: {plain[:600]}", got=program, allowed=_keys(value), fix=_example(value))

    def _null_hint(self, handle: Handle, program: str) -> str:
        """Nothing but null usually means a wrong key: say which, where the program is a path."""
        try:
            follow(self.store.document(handle).value, read_path(program))
        except PilothouseError as error:
            near = f"; there is: {cut_text(_listed(error.allowed), 300)}" if error.allowed else ""
            return f"\n({cut_text(error.message, 300)}{near})" if error.kind == "not_found" else ""
        return ""


def _begin(path: str, what: str, start: int, count: int, total: int) -> int:
    """Where a slice begins, counted from the end where ``start`` is below 0."""
    if total == 0:
        return 0
    if not -total <= start < total:
        raise BadRequest(f"{cut_text(path, 200)} has {total:,} {what}", got=start, fix=f"start={max(0, total - count)}")
    return start if start >= 0 else total + start


def _as_many_as_fit(chosen: Any, room: int) -> tuple[str | None, int]:
    """All of it as JSON where that fits, else how many of its first members do."""
    used, fits = 2, 0
    pairs = cast("dict[str, Any]", chosen).items() if isinstance(chosen, dict) else enumerate(cast("list[Any]", chosen))
    for key, member in pairs:
        used += len(json.dumps(member, ensure_ascii=False)) + 2
        if isinstance(key, str):
            used += len(json.dumps(key, ensure_ascii=False)) + 2
        # The last one has no comma after it.
        if used - 2 > room:
            return None, fits
        fits += 1
    return json.dumps(chosen, ensure_ascii=False), fits


def _writable(text: str) -> str:
    """Half characters as U+FFFD: a text that is sent on must be one."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _listed(allowed: Any) -> str:
    return ", ".join(map(str, cast("list[Any]", allowed))) if isinstance(allowed, list) else str(allowed)


def _array(raw: bytes) -> bytes:
    """Lines of JSON as one array, without reading them."""
    return b"[" + b",".join(raw.splitlines()) + b"]"


def _keys(value: Any) -> list[str]:
    if isinstance(value, list) and value:
        return [f".[0] is {size_text(value[0])}", *_keys(value[0])][:12]
    return (
        [cut_text(path_text((key,)), 80) for key in list(cast("dict[str, Any]", value))[:12]]
        if isinstance(value, dict)
        else []
    )


def _example(value: Any) -> str:
    if isinstance(value, list):
        return ".[0]"
    if isinstance(value, dict) and value:
        fields = cast("dict[str, Any]", value)
        long = next((key for key, member in fields.items() if isinstance(member, list)), None)
        return f"{path_text((long,))}[0:3]" if long is not None else path_text((next(iter(fields)),))
    return "."


def _sizes(value: Any, room: int) -> str:
    """How large each member is as JSON, the largest first, so that the next query can be made to fit."""
    if not isinstance(value, dict):
        return ""
    fields = cast("dict[str, Any]", value)
    if len(fields) > 500:
        return ""
    sized = sorted(((_json_chars(member), key) for key, member in fields.items()), reverse=True)
    told = ", ".join(f"{path_text((cut_text(key, 60),))} {chars:,}" for chars, key in sized[:_SIZES_SHOWN])
    return f"\ncharacters: {told}"[:room]


def _json_chars(value: Any) -> int:
    """The length of its JSON; of a large array by its first members."""
    if isinstance(value, list):
        items = cast("list[Any]", value)
        if len(items) > 1_000:
            return len(json.dumps(items[:200], ensure_ascii=False)) * len(items) // 200
    if isinstance(value, dict) and len(cast("dict[str, Any]", value)) > 1_000:
        fields = cast("dict[str, Any]", value)
        first = dict(list(fields.items())[:200])
        return len(json.dumps(first, ensure_ascii=False)) * len(fields) // 200
    return len(json.dumps(value, ensure_ascii=False))
