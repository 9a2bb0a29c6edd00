"""Putting another tool's items into a suite: cases into a file of lines, its scores into a run."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any, Final

from pilothouse.evals import payloads
from pilothouse.evals.case_text import read_case
from pilothouse.evals.report import summary_of
from pilothouse.evals.runs import TEXT_CHARS_MAX, About, Outcome, Result, Run, Said, begin
from pilothouse.evals.suite import Suite
from pilothouse.records import BadRequest, PilothouseError, iso

from . import tau_bench
from .formats import Format, read
from .model import Carried, Scored, Source, Unread, slug

NOTES_MAX: Final = 1_000
"""Sentences that are kept; further ones are counted."""
FILES_MAX: Final = 50
"""Cases that become files of their own; more of them become lines of one."""


@dataclass(slots=True, kw_only=True)
class Imported:
    """What came of an import."""

    format: str
    read: int = 0
    """Cases that were written."""
    ids: list[str] = field(default_factory=list[str])
    """The first of them."""
    file: str = ""
    run: str = ""
    attempts: int = 0
    notes: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    """``at``, ``case`` and ``lost``: what could not be carried over, item by item."""
    lost: int = 0
    """How many of them there are."""
    failed: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    """``at`` and ``why``: items that are no cases."""
    unread: int = 0


@dataclass(slots=True, kw_only=True)
class _Import:
    suite: Suite
    told: Imported
    keys: dict[str, str] = field(default_factory=dict[str, str])
    """The id of the case that each key became."""
    taken: set[str] = field(default_factory=set[str])
    shas: dict[str, str] = field(default_factory=dict[str, str])
    source: Source = field(default_factory=Source)
    scored: IO[str]
    """An attempt a line: they may be many more than memory holds."""
    attempts: int = 0
    repeats: int = 1

    def cases(self, path: Path, format: Format) -> Iterator[Mapping[str, Any]]:
        """Each new case, checked, with the id it has from here on."""
        load = payloads.loader(self.suite.folder)
        for item in read(path, format):
            if isinstance(item, Source):
                self.source = item
            elif isinstance(item, Unread):
                self._failed(item.where, item.why)
            elif item.key and item.key in self.keys:
                self._keep(self.keys[item.key], item)
            else:
                id = self._id(item)
                # What is new here has no payload yet: a reference would name another case's.
                data = payloads.keep_long(self.suite.folder, {"id": id, **item.data})
                try:
                    case = read_case(data, shown=item.where, load=load)
                    if id in self.suite.places():
                        raise _taken(id)
                except PilothouseError as error:
                    got = "" if error.got is None else f" (got {error.got})"
                    self._failed(item.where, f"{error.message}{got}"[:500])
                    continue
                self.taken.add(id)
                self.shas[id] = case.sha256
                if item.key:
                    self.keys[item.key] = id
                self._keep(id, item)
                self._note(item, id)
                self.told.read += 1
                if len(self.told.ids) < FILES_MAX:
                    self.told.ids.append(id)
                yield data

    def _keep(self, id: str, item: Carried) -> None:
        for one in item.scored:
            self.attempts += 1
            self.repeats = max(self.repeats, one.repeat)
            self.scored.write(json.dumps([id, asdict(one)]) + "\n")

    def _id(self, item: Carried) -> str:
        base = slug(item.name) or slug(item.where) or "case"
        id, number = base, 1
        while id in self.taken:
            number += 1
            id = f"{base}-{number}"
        return id

    def _note(self, item: Carried, id: str) -> None:
        for one in dict.fromkeys(item.lost):
            self.told.lost += 1
            if len(self.told.notes) < NOTES_MAX:
                self.told.notes.append({"at": item.where, "case": id, "lost": one})

    def _failed(self, where: str, why: str) -> None:
        self.told.unread += 1
        if len(self.told.failed) < NOTES_MAX:
            self.told.failed.append({"at": where, "why": why})


def import_file(suite: Suite, path: Path, format: Format) -> Imported:
    """Read a file of another tool into a suite. Cases whose id is taken are told of and left alone.

    Raises:
        BadRequest: the file is no such file.
    """
    told = Imported(format=format)
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="surrogatepass") as spool:
        work = _Import(suite=suite, told=told, scored=spool)
        told.file = suite.add_lines(work.cases(path, format), files_max=FILES_MAX)
        told.attempts = work.attempts
        if work.attempts:
            told.run = _run(suite, work, path).about.run
    return told


def import_tau_bench(suite: Suite, path: Path) -> Imported:
    """Add a case for each task of a file of tau-bench's results, and a run with each trial and its reward.

    Raises:
        NotFound: there is no such file.
        TooLarge: it passes the bound.
        BadRequest: it is not what tau-bench writes.
    """
    trials = tau_bench.read(path)
    run = tau_bench.import_trials(trials, suite)
    run.finish({**summary_of(run), "stopped": ""})
    ids = sorted({one.id for one in trials})
    return Imported(
        format="tau-bench", read=len(ids), ids=ids[:20], file="cases", run=run.about.run, attempts=len(trials)
    )


def _run(suite: Suite, work: _Import, path: Path) -> Run:
    source = work.source
    about = About(
        run="",
        suite=suite.name,
        suite_version=suite.version(),
        target=source.target or f"import:{path.name}",
        version=source.version,
        started=source.started or iso(time.time_ns()),
        repeats=work.repeats,
        note=f"imported from {path.name}",
    )
    run = begin(suite.folder, about)
    with run.writing() as writer:
        work.scored.seek(0)
        for line in work.scored:
            id, row = json.loads(line)
            writer.add(_result(suite, id, work.shas[id], Scored(**row)))
    run.finish({**summary_of(run), "stopped": ""})
    return run


def _result(suite: Suite, id: str, sha256: str, scored: Scored) -> Result:
    said = tuple(
        Said(name=str(one["name"]), outcome=one["outcome"], why=str(one["why"]), score=one["score"])
        for one in scored.said
    )
    outcomes = {one.outcome for one in said}
    outcome: Outcome = "fail" if scored.error or "fail" in outcomes else "pass" if outcomes == {"pass"} else "unscored"
    why = next((f"{one.name}: {one.why or one.outcome}" for one in said if one.outcome == outcome != "pass"), "")
    place = suite.place(id)
    return Result(
        case=id,
        sha256=sha256,
        repeat=scored.repeat,
        outcome=outcome,
        why=f"the agent failed: {scored.error}" if scored.error else why,
        said=said,
        text=scored.text[:TEXT_CHARS_MAX],
        tools=scored.tools,
        error=scored.error,
        tokens=scored.tokens,
        cost_usd=scored.cost_usd,
        duration_s=scored.duration_s,
        capability=place.capability,
        severity=place.severity,
    )


def _taken(id: str) -> PilothouseError:
    return BadRequest("there is a case with this id", got=id)
