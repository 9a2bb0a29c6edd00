"""What a backtest has taken from history so far, in the folder of its run.

    .pilothouse/runs/run-0008/
      selected.jsonl        which sessions are taken; written whole, once
      taken.jsonl           a line for each that was fetched: how many cases it gave, or why none
      cases/history.jsonl   the cases, a line each

A session's cases are written before its line in ``taken.jsonl``, which says up to where they go: what a killed process
left behind is cut away, so that nothing is fetched twice and nothing is there twice.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from pilothouse.evals import payloads
from pilothouse.evals.case_text import CASE_BYTES_MAX, read_case
from pilothouse.evals.suite import CASES
from pilothouse.records import BadRequest, NotFound, PilothouseError

from .selection import Selected

_HISTORY: Final = f"{CASES}/history.jsonl"


class Taking:
    """The sessions of one run: which, and what became of each. Written by one process and one thread at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def chosen(self) -> bool:
        """Whether it is known which sessions are taken."""
        return (self.folder / "selected.jsonl").is_file()

    def choose(self, rows: Sequence[Selected]) -> None:
        """Write down which sessions are taken."""
        body = "".join(json.dumps(asdict(one), ensure_ascii=False) + "\n" for one in rows)
        payloads.write(self.folder / "selected.jsonl", body.encode("utf-8", "replace"))

    def rows(self) -> Iterator[Selected]:
        """The sessions that are taken.

        Raises:
            NotFound: they are not chosen yet.
        """
        try:
            with (self.folder / "selected.jsonl").open(encoding="utf-8") as lines:
                for line in lines:
                    yield Selected(**json.loads(line))
        except FileNotFoundError as error:
            raise NotFound("no sessions were chosen for this run", got=self.folder.name) from error

    def open(self) -> Keeping:
        """Go on taking: what a killed process left behind is cut away first."""
        return Keeping(self.folder, self.taken())

    def taken(self) -> dict[str, Mapping[str, Any]]:
        """What became of each session that was fetched, by its id."""
        found: dict[str, Mapping[str, Any]] = {}
        try:
            with (self.folder / "taken.jsonl").open("rb") as lines:
                for line in lines:
                    if line.endswith(b"\n"):
                        row: Mapping[str, Any] = json.loads(line)
                        found[row["id"]] = row
        except FileNotFoundError:
            pass
        return found

    def left_out(self) -> list[dict[str, Any]]:
        """Why sessions gave no case, the most frequent reason first."""
        counts: Counter[str] = Counter()
        examples: dict[str, str] = {}
        for id, row in self.taken().items():
            if row.get("why_not"):
                counts[row["why_not"]] += 1
                examples.setdefault(row["why_not"], id)
        return [{"why": why, "count": count, "example": examples[why]} for why, count in counts.most_common()]


class Keeping:
    """Writes what was fetched."""

    def __init__(self, folder: Path, taken: Mapping[str, Mapping[str, Any]]) -> None:
        self.taken = taken
        self._folder = folder
        (folder / CASES).mkdir(exist_ok=True)
        end = max((int(row["end"]) for row in taken.values()), default=0)
        self._cases = (folder / _HISTORY).open("ab+")
        self._cases.truncate(end)
        self._cases.seek(end)
        self._journal = (folder / "taken.jsonl").open("ab+")
        _cut_torn(self._journal)

    def __enter__(self) -> Keeping:
        return self

    def __exit__(self, *_: object) -> None:
        self._cases.close()
        self._journal.close()

    def keep(self, selected: Selected, cases: Sequence[Mapping[str, Any]]) -> int:
        """Write the cases of a session; how many there are."""
        for data in cases:
            self._cases.write(self._line(data))
        self._cases.flush()
        self._note({"id": selected.id, "cases": len(cases), "end": self._cases.tell()})
        return len(cases)

    def leave_out(self, selected: Selected, why: str) -> None:
        """Note why a session gives no case."""
        self._note({"id": selected.id, "cases": 0, "why_not": why[:300], "end": self._cases.tell()})

    def _line(self, data: Mapping[str, Any]) -> bytes:
        line = json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
        if len(line) > CASE_BYTES_MAX:
            data = payloads.keep_long(self._folder, data)
            line = json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
        return line + b"\n"

    def _note(self, row: Mapping[str, Any]) -> None:
        self._journal.write(json.dumps(row, ensure_ascii=False).encode("utf-8", "replace") + b"\n")
        self._journal.flush()


def checked(cases: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """The cases, where each can be read as one.

    Raises:
        BadRequest: one cannot.
    """
    for data in cases:
        read_case(data, shown=str(data.get("id")))
    return cases


def reason(error: PilothouseError) -> str:
    """Why a session gives no case, without what is its own: so that like reasons are counted together."""
    kind = "not found: " if isinstance(error, NotFound) and not isinstance(error, BadRequest) else ""
    return kind + error.message


def _cut_torn(file: Any) -> None:
    """Cut a last line that was not written whole."""
    file.seek(0)
    end = 0
    for line in file:
        if line.endswith(b"\n"):
            end += len(line)
    file.truncate(end)
    file.seek(0, os.SEEK_END)
