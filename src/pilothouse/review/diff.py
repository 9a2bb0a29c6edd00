"""Unified diffs: files, hunks and lines, as git and ``diff -u`` write them; what cannot be read is refused by its line."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from pilothouse.records import BadRequest, TooLarge

DIFF_BYTES_MAX: Final = 16 << 20
_HUNK = re.compile(r"@@ -(\d{1,9})(?:,(\d{1,9}))? \+(\d{1,9})(?:,(\d{1,9}))? @@(.*)")
_QUOTED = re.compile(r'\\([abtnvfr"\\]|[0-7]{3})')
_ESCAPED: Final = {
    "a": 7, "b": 8, "t": 9, "n": 10, "v": 11, "f": 12, "r": 13, '"': 34, "\\": 92,
}  # fmt: skip
_BINARY: Final = ("Binary files ", "GIT binary patch")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a hunk."""

    kind: Literal["added", "removed", "context"]
    text: str
    number: int
    """In the file as it is now; of a removed line: where it stood between the lines of now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hunk:
    """Lines of one file that stand together."""

    file: str
    """As it is called now; as it was called, where it was taken away."""
    lines: Sequence[Line]

    @property
    def begins(self) -> int:
        """Number of the first line, in the file as it is now."""
        return self.lines[0].number

    @property
    def changes(self) -> bool:
        """Whether a line was added or removed in it."""
        return any(line.kind != "context" for line in self.lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class Diff:
    """A change, as far as it can be read as text."""

    hunks: Sequence[Hunk]
    files: Sequence[str]
    """Every file with a hunk, in order."""
    binary: Sequence[str] = ()
    """Files that are no text: nobody reads them here."""


def read_diff(text: str) -> Diff:
    """A diff from its text; without hunks where nothing was changed.

    Raises:
        BadRequest: it is no unified diff, or a hunk is not as long as it says.
        TooLarge: it passes the bound.
    """
    if len(text) > DIFF_BYTES_MAX:
        raise TooLarge(f"a diff is at most {DIFF_BYTES_MAX >> 20} MB", got=f"{len(text):,} characters", fix="pilothouse review main...HEAD")  # fmt: skip
    lines = text.split("\n")
    hunks: list[Hunk] = []
    binary: list[str] = []
    old = new = header = ""
    at = 0
    while at < len(lines):
        line = lines[at].removesuffix("\r")
        if line.startswith("diff --git "):
            header, old, new = line, "", ""
        elif line.startswith("--- ") and at + 1 < len(lines) and lines[at + 1].startswith("+++ "):
            old, new = _name(line[4:]), _name(lines[at + 1].removesuffix("\r")[4:])
            at += 1
        elif line.startswith("@@@"):
            raise BadRequest("a diff against two parents cannot be read", got=f"line {at + 1}: {line[:80]}", fix="pilothouse review main...HEAD")  # fmt: skip
        elif line.startswith("@@ "):
            hunk, at = _hunk(lines, at, new if new != "/dev/null" else old)
            if hunk.lines:
                hunks.append(hunk)
            continue
        elif line.startswith(_BINARY):
            binary.append(_of_header(header) or line[:200])
        at += 1
    if not hunks and not binary and text.strip() and not any(one.startswith("diff --git ") for one in lines):
        raise BadRequest("this is no unified diff", got=text.strip()[:80], fix="pilothouse review main...HEAD")
    return Diff(hunks=hunks, files=list(dict.fromkeys(one.file for one in hunks)), binary=binary)


def _hunk(lines: Sequence[str], at: int, file: str) -> tuple[Hunk, int]:
    """A hunk and the line behind it. Its own counts say how long it is: a removed line may look like a header."""
    found = _HUNK.match(lines[at])
    if found is None or not file:
        raise BadRequest("a hunk of the diff cannot be read", got=f"line {at + 1}: {lines[at][:80]}")
    left_old, left_new = (int(found[n]) if found[n] is not None else 1 for n in (2, 4))
    number = int(found[3])
    # Of a file that is empty now, git says line 0.
    number = max(1, number)
    read: list[Line] = []
    began = at
    at += 1
    while left_old > 0 or left_new > 0:
        line = lines[at] if at < len(lines) else None
        # Some mailers and editors take the blank of an empty context line away.
        mark = (line[:1] or " ") if line is not None else ""
        if line is None or mark not in "+- \\" or (line == "" and at == len(lines) - 1):
            raise BadRequest("a hunk of the diff is shorter than it says", got=f"line {began + 1}: {lines[began][:80]}")
        if mark != "\\":
            kind: Literal["added", "removed", "context"] = "added" if mark == "+" else "removed" if mark == "-" else "context"  # fmt: skip
            read.append(Line(kind, line[1:].removesuffix("\r"), number))
            left_old -= mark != "+"
            left_new -= mark != "-"
            number += mark != "-"
        at += 1
        if left_old < 0 or left_new < 0:
            raise BadRequest("a hunk of the diff is not as long as it says", got=f"line {began + 1}: {lines[began][:80]}")  # fmt: skip
    return Hunk(file=file, lines=read), at


def _name(text: str) -> str:
    """A file's name of a header line: without the prefix, the time behind a tab, and the quotes."""
    text = text.partition("\t")[0].rstrip() if not text.startswith('"') else text
    if text.startswith('"'):
        text = _unquoted(text)
    if text == "/dev/null":
        return text
    return text[2:] if text[:2] in ("a/", "b/") else text


def _unquoted(text: str) -> str:
    inner = text[1:].partition('"')[0] if "\\" not in text else text[1 : text.rfind('"')]
    body = bytearray()
    at = 0
    for found in _QUOTED.finditer(inner):
        body += inner[at : found.start()].encode("utf-8", "replace")
        code = found[1]
        body.append(int(code, 8) & 255 if code.isdigit() else _ESCAPED[code])
        at = found.end()
    body += inner[at:].encode("utf-8", "replace")
    return body.decode("utf-8", "replace")


def _of_header(header: str) -> str:
    name = header.rpartition(" ")[2]
    return _name(name) if header else ""


# -- pieces ----------------------------------------------------------------------------------------------------------


def pieces(hunk: Hunk, chars_max: int) -> Iterator[Hunk]:
    """A hunk in pieces of at most so many characters, cut between lines; a longer line is a piece of its own, cut short."""
    held: list[Line] = []
    size = 0
    for line in hunk.lines:
        text = line.text if len(line.text) <= chars_max else f"{line.text[:chars_max]}… [{len(line.text) - chars_max:,} characters are not shown]"  # fmt: skip
        if held and size + len(text) > chars_max:
            yield Hunk(file=hunk.file, lines=held)
            held, size = [], 0
        held.append(line if text is line.text else Line(line.kind, text, line.number))
        size += len(text) + 1
    if held:
        yield Hunk(file=hunk.file, lines=held)
