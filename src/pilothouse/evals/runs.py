"""Runs of a suite on disk: what was run, and a line for each attempt as soon as it is known.

    .pilothouse/runs/run-0007/
      run.json         the suite's version, the target, the version under test, the judges, the seed
      results.jsonl    an attempt a line
      summary.json     written at the end; a run without it was broken off, and can be gone on with

A line is written whole before the next attempt counts, so whoever is killed loses the attempts under way and no others;
a last line that is torn is dropped when the run goes on.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Final, Literal

from pilothouse.records import BadRequest, NotFound, iso

from . import payloads
from .plain import mapping_of

RUNS: Final = ".pilothouse/runs"
Outcome = Literal["pass", "fail", "unscored"]
TEXT_CHARS_MAX: Final = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What a run is of: the head of its folder."""

    run: str
    suite: str
    suite_version: str
    target: str
    version: str
    """Of what is tested; results of equal versions are taken over, empty: never."""
    judges: Mapping[str, str] = field(default_factory=dict[str, str])
    """Each judge's own version, by name."""
    started: str = ""
    """ISO 8601, UTC."""
    seed: int = 0
    repeats: int = 1
    note: str = ""
    backtest: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """What was asked of history; empty for a run of the suite's own cases. Its cases stand in the run's folder."""
    commit: str = ""
    """Of the code beside the suite, with a hash where files were changed; empty where it is in no repository."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What one check or judge says of an attempt."""

    name: str
    outcome: Outcome
    why: str = ""
    score: float | None = None
    judge: str = ""
    """``name@version`` of the judge; empty for a check."""
    item: str = ""
    """What the judge was shown and asked: people label it by this name."""
    samples: Sequence[float] = ()
    """The score of each sample of a judge, from 0 to 1."""
    calls: Sequence[Mapping[str, Any]] = ()
    """Of a function that is asked of each tool call: tool, call (from 1), outcome, score and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One attempt at one case."""

    case: str
    sha256: str
    repeat: int
    outcome: Outcome
    why: str = ""
    """The first reason that it does not pass; empty where it does."""
    said: Sequence[Said] = ()
    text: str = ""
    tools: Sequence[str] = ()
    """Calls in order, as ``name(arguments)``, shortened."""
    error: str = ""
    model_calls: int | None = None
    tokens: int | None = None
    cost_usd: float | None = None
    judge_usd: float = 0.0
    duration_s: float = 0.0
    trace_id: str = ""
    taken_from: str = ""
    """The run that it was taken over from; empty where it was made in this one."""
    capability: str = ""
    cluster: str = ""
    severity: str = ""
    customer: str = ""
    week: str = ""
    release: str = ""
    groups: Mapping[str, str] = field(default_factory=dict[str, str])
    """What else it may be grouped by: :func:`pilothouse.evals.grouping.groups_of`."""


class Run:
    """The folder of one run."""

    def __init__(self, folder: Path, about: About) -> None:
        self.folder, self.about = folder, about

    @property
    def summary(self) -> Mapping[str, Any]:
        """What the run came to; empty where it is not over."""
        try:
            found = mapping_of(json.loads((self.folder / "summary.json").read_bytes()))
        except (OSError, ValueError):
            found = None
        return found or {}

    def results(self) -> Iterator[Result]:
        """Every attempt that is known, in the order they came."""
        try:
            with (self.folder / "results.jsonl").open("rb") as lines:
                for line in lines:
                    found = read_result(line)
                    if found is not None:
                        yield found
        except FileNotFoundError:
            return

    @contextlib.contextmanager
    def writing(self) -> Generator[Writer]:
        """Write results: by one process at a time.

        Raises:
            BadRequest: another process writes this run.
        """
        with (self.folder / "results.jsonl").open("ab+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise BadRequest("this run is under way in another process", got=self.about.run) from error
            _drop_torn(file)
            yield Writer(file)
            file.flush()
            os.fsync(file.fileno())

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Say that it is over, and what it came to."""
        told = {"ended": iso(time.time_ns()), **summary}
        payloads.write(self.folder / "summary.json", json.dumps(told, indent=1, default=str).encode())


class Writer:
    """Appends results."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def add(self, result: Result) -> None:
        """Append one attempt; it outlives the process from here on."""
        # By hand: copying every field deeply was a quarter of what running a case costs.
        row = _set(result, _RESULT)
        if result.said:
            row["said"] = [{**_set(one, _SAID), "outcome": one.outcome, "name": one.name} for one in result.said]
        self._file.write(json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace") + b"\n")
        self._file.flush()


_RESULT: Final = tuple(field.name for field in fields(Result))
_SAID: Final = tuple(field.name for field in fields(Said))


def _set(thing: Result | Said, names: Sequence[str]) -> dict[str, Any]:
    found = ((name, getattr(thing, name)) for name in names)
    return {name: value for name, value in found if value not in ("", None, (), [], {})}


def begin(suite_folder: Path, about: About) -> Run:
    """Make the folder of a new run; its number is the next one."""
    runs = suite_folder / RUNS
    runs.mkdir(parents=True, exist_ok=True)
    ignore = runs.parent / ".gitignore"
    if not ignore.exists():
        ignore.write_text("*\n")
    number = max((int(one.name[4:]) for one in runs.glob("run-*") if one.name[4:].isdigit()), default=0)
    while True:
        number += 1
        folder = runs / f"run-{number:04d}"
        with contextlib.suppress(FileExistsError):
            folder.mkdir()
            break
    about = replace(about, run=folder.name)
    payloads.write(folder / "run.json", json.dumps(asdict(about), indent=1).encode())
    return Run(folder, about)


def every(suite_folder: Path) -> list[Run]:
    """All runs of a suite, the newest first."""
    found: list[Run] = []
    for folder in sorted((suite_folder / RUNS).glob("run-*"), reverse=True):
        with contextlib.suppress(NotFound, BadRequest):
            found.append(_open(folder))
    return found


def find(suite_folder: Path, name: str, *, backtest: bool = False) -> Run:
    """A run by its name: ``run-0007``, ``7``, ``last``, or ``last-1`` for the one before.

    ``backtest``: ``last`` is the last backtest; else the last run of the suite's own cases.

    Raises:
        NotFound: there is none.
    """
    runs = every(suite_folder)
    back = name.removeprefix("last").removeprefix("-")
    if name.startswith("last") and (not back or back.isdigit()):
        like = [run for run in runs if bool(run.about.backtest) == backtest]
        at = int(back or 0)
        if at < len(like):
            return like[at]
    wanted = f"run-{int(name):04d}" if name.isdigit() else name
    for run in runs:
        if run.about.run == wanted:
            return run
    raise NotFound(
        "there is no such run",
        got=name,
        allowed=[run.about.run for run in runs[:5]] or None,
        fix="pilothouse eval backtest --since 30d --dry-run" if backtest else "pilothouse eval run",
    )


def renew(run: Run, about: About) -> Run:
    """Write the head of a run anew: what is known only when its cases are there."""
    payloads.write(run.folder / "run.json", json.dumps(asdict(about), indent=1).encode())
    return Run(run.folder, about)


def known(suite_folder: Path, about: About, *, but: str = "") -> dict[tuple[str, str, int], Result]:
    """Attempts of earlier runs that are as good as new: same target, version, judges and case."""
    found: dict[tuple[str, str, int], Result] = {}
    if not about.version:
        return found
    for run in reversed(every(suite_folder)):
        other = run.about
        if run.about.run == but or (other.target, other.version) != (about.target, about.version):
            continue
        if dict(other.judges) != dict(about.judges):
            continue
        for result in run.results():
            if result.outcome != "unscored":
                found[result.case, result.sha256, result.repeat] = result
    return found


def _open(folder: Path) -> Run:
    try:
        row: Any = json.loads((folder / "run.json").read_bytes())
        return Run(folder, About(**row))
    except FileNotFoundError as error:
        raise NotFound("the run has no run.json", got=folder.name) from error
    except (OSError, ValueError, TypeError) as error:
        raise BadRequest("the run's run.json cannot be read", got=folder.name) from error


def read_result(line: bytes) -> Result | None:
    """An attempt from its line; None where it is torn, or of a later version."""
    try:
        return result_of(json.loads(line))
    except ValueError:
        return None


def result_of(row: Any) -> Result | None:
    """An attempt from plain data; None where it is none, or of a later version."""
    try:
        fields: dict[str, Any] = dict(row)
        fields["said"] = tuple(Said(**one) for one in fields.get("said", ()))
        return Result(**fields)
    except (TypeError, ValueError):
        return None


def _drop_torn(file: Any) -> None:
    """Cut a last line that was not written whole."""
    end = file.seek(0, os.SEEK_END)
    at = end
    while at > 0:
        step = min(65_536, at)
        file.seek(at - step)
        piece = file.read(step)
        newline = piece.rfind(b"\n")
        if newline >= 0:
            at = at - step + newline + 1
            break
        at -= step
    if at < end:
        file.truncate(at)
    file.seek(0, os.SEEK_END)


def by_case(results: Iterable[Result]) -> dict[str, list[Result]]:
    """Attempts by case, each in order of its repeats; where one was made twice, the later one counts."""
    found: dict[str, dict[int, Result]] = {}
    for result in results:
        found.setdefault(result.case, {})[result.repeat] = result
    return {case: [attempts[n] for n in sorted(attempts)] for case, attempts in sorted(found.items())}
