"""How far a run is: decided from the files alone, so that every process, and the one after a crash, sees the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pilothouse.records import Clock

from .answers import Stored, stored
from .disk import write_durably
from .export import Export, sha_of
from .lease import Lease, attempts
from .run_record import AnalysisRun, Item, Job

Status = Literal["pending", "in_progress", "blocked", "done"]
ATTEMPTS_MAX = 3
"""Failed attempts after which an item waits for somebody to look."""
KILLED_MAX = 10
"""Attempts whose process was killed, after which it is likely that the item kills it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobState:
    """How far one reading is."""

    job: Job
    status: Status
    attempts: int = 0
    why: str = ""
    """Why it is blocked, or what went wrong last."""
    answer: Stored | None = None
    lease: Lease | None = None
    """The newest attempt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunState:
    """How far a run is."""

    jobs: tuple[JobState, ...]
    tokens: int = 0
    """Spent so far; an attempt that was killed counts with all it was allowed."""
    usd: float = 0.0
    """Spent so far, as far as it is known."""
    unknown_costs: int = 0
    """Attempts of which nobody knows what they cost."""
    counts: Mapping[str, int] = field(default_factory=dict[str, int])

    @property
    def open(self) -> tuple[JobState, ...]:
        """What is not done."""
        return tuple(state for state in self.jobs if state.status != "done")

    @property
    def first(self) -> tuple[Stored, ...]:
        """The answers of first readers."""
        return tuple(state.answer for state in self.jobs if state.answer and state.job.reader == "first")

    @property
    def second(self) -> tuple[Stored, ...]:
        """The answers of second readers."""
        return tuple(state.answer for state in self.jobs if state.answer and state.job.reader == "second")


class Inputs:
    """The hash of every item's files as they are now: read once, for a process's life."""

    def __init__(self, export: Export, run: AnalysisRun) -> None:
        rows = {str(row["trace_id"]): row for row in export.traces()}
        self._shas: dict[str, str] = {}
        self.rows: Mapping[str, Mapping[str, Any]] = rows
        for item in run.items:
            parts = [rows[trace_id] for trace_id in item.traces if trace_id in rows]
            self._shas[item.id] = sha_of(parts) if len(parts) == len(item.traces) else ""

    def sha(self, item: Item) -> str:
        """The hash; empty where a trace of the item is gone from the export."""
        return self._shas[item.id]

    def folders(self, item: Item) -> tuple[str, ...]:
        """Where the item's files lie now: a trace that grew may have moved."""
        return tuple(str(self.rows[id]["folder"]) for id in item.traces if id in self.rows)


def job_state(folder: Path, run: AnalysisRun, job: Job, inputs: Inputs, clock: Clock) -> JobState:
    """How far one reading is."""
    sha = inputs.sha(job.item)
    tried = attempts(folder, job.key)
    last = tried[-1] if tried else None
    if not sha:
        return JobState(job=job, status="blocked", attempts=len(tried), why="its trace is gone from the export")
    answer = stored(folder, job, run.playbook, sha)
    if answer is not None:
        return JobState(job=job, status="done", attempts=len(tried), answer=answer, lease=last)
    if last is not None and not last.over(clock.now_ns()):
        return JobState(job=job, status="in_progress", attempts=len(tried), lease=last)
    failed = [attempt for attempt in tried if attempt.ended == "failed"]
    killed = [attempt for attempt in tried if not attempt.ended]
    why = next((attempt.why for attempt in reversed(tried) if attempt.why), "")
    blocked = len(failed) >= ATTEMPTS_MAX or len(killed) >= KILLED_MAX
    if len(killed) >= KILLED_MAX:
        why = f"{len(killed)} attempts were killed in the middle"
    return JobState(job=job, status="blocked" if blocked else "pending", attempts=len(tried), why=why, lease=last)


def wanted_jobs(run: AnalysisRun, first: Sequence[JobState]) -> Iterator[Job]:
    """The second readings a run wants so far: of the items that were drawn, and of every answer of low confidence."""
    if not run.playbook.second_reader:
        return
    for state in first:
        low = state.answer is not None and state.answer.answer.get("confidence") == "low"
        if state.job.item.again or low:
            yield Job(item=state.job.item, reader="second")


def run_state(folder: Path, run: AnalysisRun, inputs: Inputs, clock: Clock) -> RunState:
    """How far the run is, item by item."""
    first = [job_state(folder, run, job, inputs, clock) for job in run.first_jobs]
    second = [job_state(folder, run, job, inputs, clock) for job in wanted_jobs(run, first)]
    jobs = (*first, *second)
    tokens, usd, unknown = 0, 0.0, 0
    now = clock.now_ns()
    for state in jobs:
        for attempt in attempts(folder, state.job.key):
            if not attempt.ended and attempt.over(now) and attempt.pid and not _free(run, state.job):
                tokens += run.playbook.per_item_tokens
            tokens += attempt.tokens
            usd += attempt.usd or 0.0
            unknown += int(bool(attempt.ended) and attempt.tokens > 0 and attempt.usd is None)
    counts = Counter(state.status for state in jobs)
    return RunState(
        jobs=jobs,
        tokens=tokens,
        usd=usd,
        unknown_costs=unknown,
        counts={name: counts.get(name, 0) for name in ("pending", "in_progress", "blocked", "done")},
    )


def _free(run: AnalysisRun, job: Job) -> bool:
    return (run.worker if job.reader == "first" else run.second_worker) == "builtin"


def write_plan(folder: Path, run: AnalysisRun, state: RunState, note: str = "") -> None:
    """Write ``plan.md``: the run as a list of what is to be done."""
    marks = {"pending": " ", "in_progress": "~", "blocked": "!", "done": "x"}
    lines = [
        f"# plan of {run.id}",
        "",
        f"playbook={run.playbook.name} worker={run.worker} items={len(run.items)} seed={run.seed}",
        " ".join(f"{name}={count}" for name, count in state.counts.items()),
        *([f"blocked: {note}"] if note else []),
        "",
    ]
    for job in state.jobs:
        why = f" ({_flat(job.why)})" if job.why and job.status != "done" else ""
        lines.append(f"- [{marks[job.status]}] {job.status} {job.job.reader} {job.job.item.id}{why}")
    merged = "done" if (folder / "report.md").is_file() and not state.open else "pending"
    lines += ["", f"- [{marks[merged]}] {merged} cohorts, claims, report"]
    write_durably(folder / "plan.md", "\n".join(lines) + "\n")


def _flat(text: str) -> str:
    return " ".join(text.split())[:160]
