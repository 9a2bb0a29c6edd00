"""How every command answers: one envelope for agents, text for people, within the budget, errors in one shape."""

from __future__ import annotations

import contextlib
import difflib
import json
import shlex
import sys
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO, cast

from pilothouse.records import BadRequest, PilothouseError

from .budget import dumps, fit
from .settings import BUDGET_MAX, CliSettings
from .terminal import clean, visible

Lines = Callable[[Any], Iterable[str]]
"""Makes lines for people out of ``data``."""

_ENVELOPE_ROOM = 400
"""Kept free for what stands around the data."""


class Output:
    """Where a command's answer goes. Made once for each run."""

    def __init__(self, settings: CliSettings) -> None:
        self.settings = settings

    def answer(
        self,
        data: Any,
        *,
        human: Lines,
        page: Mapping[str, Any] | None = None,
        cut: Sequence[Mapping[str, Any]] = (),
        next: Sequence[str] = (),
        brief: Sequence[str] = (),
    ) -> None:
        """Give data: as an envelope, or as the lines that ``human`` makes of it.

        ``brief`` are the fields of a row that are shown unless ``--fields`` says otherwise; a dot reaches inside.
        """
        settings = self.settings
        if settings.json:
            shown = self._chosen(data, () if settings.out else brief)
            self._envelope(shown, page, cut, next)
            return
        lines = fields_as_lines(self._chosen(data, ())) if settings.fields else human(data)
        # A line's own line breaks are recorded ones: indented, what follows them cannot pass for a line of ours.
        text = "\n".join(clean(line).replace("\n", "\n    ") for line in lines)
        self.text(text + _afterwards(page, self._following(page, next)), rows=True)

    def envelope(self, envelope: Mapping[str, Any], *, human: Lines, brief: Sequence[str] = ()) -> None:
        """Give on an envelope of the API."""
        self.answer(
            envelope["data"],
            human=human,
            page=envelope.get("page"),
            cut=[{**one, "path": _in_data(str(one["path"]))} for one in envelope.get("cut") or ()],
            next=envelope.get("next") or (),
            brief=brief,
        )

    def text(self, text: str, *, rows: bool = False) -> None:
        """Give text as it is, within the budget; ``rows`` where it may be cut between lines."""
        settings = self.settings
        if settings.out is not None:
            self._to_file(text)
            return
        text = clean(text) if settings.terminal else text
        text = text.rstrip("\n")
        # The line break at the end counts too: the budget is a promise about everything that is printed.
        room = settings.budget - 1
        if len(text) > room:
            hint = f"… cut at {settings.budget:,} of {len(text):,} characters; all of it: "
            hint += self._within(room - len(hint), budget=len(text) + 200)
            text = text[: max(0, room - len(hint) - 1)]
            if rows and "\n" in text:
                text = text[: text.rindex("\n")]
            text += "\n" + hint
        _write(text + "\n")

    @contextlib.contextmanager
    def lines(self) -> Generator[TextIO]:
        """Where a command writes that goes on for long: the file of ``--out``, else stdout. It keeps the budget itself."""
        path = self.settings.out
        if path is None:
            yield sys.stdout
            return
        try:
            written = path.open("w", encoding="utf-8", errors="replace")
        except OSError as error:
            raise _unwritable(path, error) from error
        with written:
            yield written

    def _chosen(self, data: Any, otherwise: Sequence[str]) -> Any:
        fields = self.settings.fields or otherwise
        try:
            return pick(data, fields)
        except BadRequest as error:
            if error.allowed:
                better = [str(error.allowed[0]) if field == error.got else field for field in fields]
                error.fix = shlex.join(["pilothouse", *self.settings.words, "--fields", ",".join(better)])
            raise

    def repeat(self, *, budget: int | None = None, cursor: str = "") -> str:
        """The command that was run, once more; with another budget, or from a cursor on."""
        settings = self.settings
        words = list(settings.words)
        own = [*(["--json"] if settings.json_asked else []), *(["--human"] if settings.human_asked else [])]
        if settings.fields:
            own += ["--fields", ",".join(settings.fields)]
        if budget is not None:
            own += ["--budget", str(min(budget, BUDGET_MAX))]
        if cursor:
            # Where it went on before is no more of interest.
            from .mend import without_option  # only where there is a page before

            words = without_option(words, "--cursor")
            own += ["--cursor", cursor]
        # Flags of ours before a command's own words: behind -- they would be another program's.
        place = words.index("--") if "--" in words else len(words)
        return shlex.join(["pilothouse", *words[:place], *own, *words[place:]])

    def _within(self, room: int, *, budget: int) -> str:
        """The command that gives everything, or words for it where the command itself is too long."""
        command = self.repeat(budget=budget)
        return command if len(command) <= room else f"again, with --budget {budget}"[: max(0, room)]

    def _following(self, page: Mapping[str, Any] | None, next: Sequence[str]) -> list[str]:
        """What to run next, at most three: the next page by this very command, whose filter and fields it keeps."""
        going_on = str(page.get("next") or "") if page and page.get("more") else ""
        if not going_on:
            return list(next)[:3]
        others = [command for command in next if f"--cursor {going_on}" not in command]
        return [*others[:2], self.repeat(cursor=going_on)]

    def _envelope(
        self, data: Any, page: Mapping[str, Any] | None, cut: Sequence[Mapping[str, Any]], next: Sequence[str]
    ) -> None:
        settings = self.settings
        around: dict[str, Any] = {}
        if page:
            around["page"] = page
        following = self._following(page, next)
        if following:
            around["next"] = following
        cuts = [dict(one) for one in cut]
        if settings.out is not None:
            self._to_file(dumps({"ok": True, "data": data, **around, **({"cut": cuts} if cuts else {})}) + "\n")
            return
        # Measured as it is written: an invisible character takes six.
        size = len(visible(dumps(data))) + len(dumps(around)) + len(dumps(cuts)) + _ENVELOPE_ROOM
        room = settings.budget - len(dumps(around)) - len(dumps(cuts)) - 60
        fitted = fit(data, room, self.repeat(budget=size))
        cuts = [*fitted.cut, *cuts]
        if cuts:
            around["cut"] = cuts
        text = visible(dumps({"ok": True, "data": fitted.data, **around}))
        if len(text) >= settings.budget:
            get = self._within(settings.budget - 80, budget=size)
            text = dumps({"ok": True, "data": None, "cut": [{"path": "data", "bytes": size, "get": get}]})
        _write(text + "\n")

    def _to_file(self, text: str) -> None:
        path = cast(Path, self.settings.out)
        try:
            path.write_text(text, encoding="utf-8", errors="replace")
        except OSError as error:
            raise _unwritable(path, error) from error
        lines = text.splitlines()
        head = clean(lines[0])[:200] if lines else ""
        facts = {"path": str(path), "bytes": len(text.encode("utf-8", "replace")), "lines": len(lines), "head": head}
        if self.settings.json:
            _write(visible(dumps({"ok": True, "data": facts})) + "\n")
        else:
            _write(f"{facts['path']}: {facts['bytes']:,} bytes, {facts['lines']:,} lines\n")


def _in_data(path: str) -> str:
    """Where something was cut, as this end says it: the API counts from within ``data``."""
    return path if path.split(".")[0] == "data" else f"data.{path}".rstrip(".")


def _unwritable(path: Path, error: OSError) -> BadRequest:
    return BadRequest(f"the file cannot be written: {error.strerror}", got=str(path), fix="--out FILE")


def pick(data: Any, fields: Sequence[str]) -> Any:
    """Only these fields of a row, or of every row; ``tokens.total`` reaches inside.

    Raises:
        BadRequest: no row has such a field.
    """
    if not fields:
        return data
    if isinstance(data, list):
        rows = cast("list[Any]", data)
        if not rows:
            return rows
        for field in fields:
            if not any(_has(row, field) for row in rows):
                raise _no_field(field, rows[0])
        return [_picked(row, fields) for row in rows]
    if isinstance(data, dict):
        for field in fields:
            if not _has(data, field):
                raise _no_field(field, data)
        return _picked(data, fields)
    return data


def _picked(row: Any, fields: Sequence[str]) -> Any:
    return {field: _reach(row, field) for field in fields} if isinstance(row, dict) else row


def _has(row: Any, field: str) -> bool:
    head, _, rest = field.partition(".")
    if not isinstance(row, dict) or head not in row:
        return False
    inner = cast("dict[str, Any]", row)[head]
    return not rest or inner is None or _has(inner, rest)


def _reach(row: Any, field: str) -> Any:
    for name in field.split("."):
        if not isinstance(row, dict):
            return None
        row = cast("dict[str, Any]", row).get(name)
    return row


def _no_field(field: str, row: Any) -> BadRequest:
    known = sorted(cast("dict[str, Any]", row)) if isinstance(row, dict) else []
    head, dot, _ = field.partition(".")
    if dot and head in known:
        inner = cast("dict[str, Any]", row)[head]
        known = (
            [f"{head}.{name}" for name in sorted(cast("dict[str, Any]", inner))] if isinstance(inner, dict) else [head]
        )
    close = difflib.get_close_matches(field, known, n=3, cutoff=0.5)
    return BadRequest(
        f"there is no field '{field}' in this answer",
        got=field,
        allowed=close or known,
    )


def fields_as_lines(data: Any) -> list[str]:
    """Chosen fields for people: tab-separated, names first."""
    rows = cast("list[Any]", data) if isinstance(data, list) else [data]
    if not rows or not isinstance(rows[0], dict):
        return [_cell(row) for row in rows]
    names = list(cast("dict[str, Any]", rows[0]))
    return ["\t".join(names), *("\t".join(_cell(row.get(name)) for name in names) for row in rows)]


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return " ".join(value.split()) if isinstance(value, str) else dumps(value)


def _afterwards(page: Mapping[str, Any] | None, following: Sequence[str]) -> str:
    """What a person may want to know or do next, below the answer."""
    lines: list[str] = []
    if page:
        if page.get("emptied_by"):
            lines.append(f"nothing matches; without {' or '.join(page['emptied_by'])} something does")
        if page.get("more") and page.get("next"):
            about = "about " if page.get("total_is") == "estimate" else ""
            more = f" of {about}{page['total']:,}" if page.get("total") else ""
            lines.append(f"more{more}: {following[-1]}")
            following = following[:-1]
    lines += [f"next: {command}" for command in following]
    return "\n" + "\n".join(lines) if lines else ""


def complain(error: PilothouseError, settings: CliSettings | None) -> None:
    """Say on stderr what went wrong: one line of JSON, or words with a way out on a terminal."""
    if settings is None or settings.errors_json:
        sys.stderr.write(
            visible(json.dumps({"error": error.as_dict()}, ensure_ascii=False, separators=(",", ":"), default=str))
            + "\n"
        )
        return
    lines = [f"error: {clean(error.message)}"]
    if error.got not in (None, ""):
        lines.append(f"  got: {clean(str(error.got))}")
    if error.allowed:
        several = isinstance(error.allowed, list | tuple)
        allowed = ", ".join(map(str, cast("list[Any]", error.allowed))) if several else str(error.allowed)
        lines.append(f"  allowed: {clean(allowed)}")
    if error.retry_after_s:
        lines.append(f"  try again in {error.retry_after_s} s")
    if error.fix:
        lines.append(f"hint: {clean(error.fix)}")
    sys.stderr.write("\n".join(lines) + "\n")


def _write(text: str) -> None:
    sys.stdout.write(text)
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.flush()
