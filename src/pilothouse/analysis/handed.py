"""Items for an agent that works by itself: handed out one at a time, collected when it comes back.

It is given a claim that no process holds, so it lasts until it expires. The answer is a file at a place that is named;
whoever looks at the run next takes it in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pilothouse.records import BadRequest, Clock, iso

from .answers import accept, check, parsed
from .disk import append_line
from .export import Export
from .lease import Lease, attempts, claim, end
from .run_record import AnalysisRun, Job, export_of
from .state import Inputs, RunState, run_state, wanted_jobs
from .task import make_task

LEASE_S = 1_800.0
ANSWER_BYTES_MAX = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Handed:
    """One item in the hands of an agent."""

    job: Job
    prompt: str
    answer_file: Path
    until: str
    """When the claim expires, ISO 8601."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """An answer that was found."""

    job: Job
    accepted: bool
    wrong: tuple[str, ...] = ()
    """What does not fit: to be corrected in the same file."""
    answer_file: str = ""


def hand_out(
    folder: Path, run: AnalysisRun, inputs: Inputs, state: RunState, *, clock: Clock, seconds: float = LEASE_S
) -> Handed | None:
    """Claim the first item that is open; None where there is none."""
    for one in state.jobs:
        if one.status != "pending":
            continue
        lease = claim(folder, one.job.key, clock=clock, seconds=seconds, handed=True)
        if lease is None:
            continue
        work = _work(folder, lease)
        work.mkdir(parents=True, exist_ok=True)
        export = export_of(folder).resolve()
        task = make_task(one.job, run.playbook, export, inputs.folders(one.job.item), work)
        (work / "prompt.md").write_bytes(task.prompt.encode("utf-8", "replace"))
        return Handed(job=one.job, prompt=task.prompt, answer_file=task.answer_file, until=iso(lease.until_ns))
    return None


def collect(folder: Path, run: AnalysisRun, inputs: Inputs, *, clock: Clock) -> list[Collected]:
    """Take in the answers of items that were handed out, also where the claim has expired meanwhile."""
    first = run_state(folder, run, inputs, clock)
    jobs = {state.job.key: state.job for state in first.jobs}
    jobs |= {job.key: job for job in wanted_jobs(run, [state for state in first.jobs if state.job.reader == "first"])}
    open_keys = {state.job.key for state in first.open}
    found: list[Collected] = []
    for key, job in sorted(jobs.items()):
        if key not in open_keys:
            continue
        for lease in reversed(attempts(folder, key)):
            answer = _work(folder, lease) / "answer.json"
            if lease.pid == 0 and not lease.ended and answer.is_file():
                found.append(_take(folder, run, inputs, job, lease, answer, clock))
                break
    return found


def _take(
    folder: Path, run: AnalysisRun, inputs: Inputs, job: Job, lease: Lease, path: Path, clock: Clock
) -> Collected:
    export = Export(export_of(folder))
    item = replace(job.item, folders=inputs.folders(job.item))
    with open(path, encoding="utf-8", errors="replace") as file:
        said = parsed(file.read(ANSWER_BYTES_MAX))
    wrong: Sequence[str] = check(said.answer, run.playbook, item, export.path)
    if wrong:
        return Collected(job=job, accepted=False, wrong=tuple(wrong), answer_file=str(path))
    assert said.answer is not None
    about = {
        "reader": job.reader,
        "worker": "by itself",
        "attempt": lease.attempt,
        "repaired": False,
        "tokens": 0,
        "tokens_are": "unknown",
        "usd": None,
        "at": iso(clock.now_ns()),
    }
    accepted = accept(folder, job, run.playbook, said.answer, about, inputs.sha(job.item))
    end(folder, lease, "done")
    event = {
        "at": iso(clock.now_ns()),
        "event": "done" if accepted else "lost",
        "job": job.key,
        "attempt": lease.attempt,
    }
    append_line(folder / "log.jsonl", event)
    return Collected(job=job, accepted=accepted)


def give_back(folder: Path, job: Job, why: str, *, clock: Clock) -> None:
    """Return an item that was handed out, so that another can take it.

    Raises:
        BadRequest: nobody has it by hand.
    """
    for lease in reversed(attempts(folder, job.key)):
        if lease.pid == 0 and not lease.over(clock.now_ns()):
            end(folder, lease, "failed", why=why or "given back")
            return
    raise BadRequest("this item is not handed out", got=job.item.id, fix=f"pilothouse analyze next {folder}")


def _work(folder: Path, lease: Lease) -> Path:
    return (folder / "work" / lease.key / f"attempt-{lease.attempt:03d}").resolve()
