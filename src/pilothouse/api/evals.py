"""Runs of suites: sent here by whoever made them, listed, taken apart, compared."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from pilothouse.records import command
from pilothouse.results import Begun, CaseResult, CaseShown, Compared, EvalRun, Groups, SuiteRuns
from pilothouse.traces.model import Page, Window

from .bounded import BoundedRoute
from .context import Caller
from .envelope import Envelope, answer
from .params import CursorText

router = APIRouter(tags=["evals"], route_class=BoundedRoute)

BATCH_CASES_MAX = 1_000

_Id = Annotated[str, Path(max_length=60, description="The id of a run, or its unique beginning.")]
_Name = Annotated[str, Field(max_length=200)]
_Words = Annotated[str, Field(max_length=2_000)]


class SentGate(BaseModel):
    """When a change may go through, as the suite says."""

    model_config = ConfigDict(extra="forbid")

    margin: float = Field(0.02, ge=0, le=0.99, description="The loss of pass rate that is accepted, as a share.")
    alpha: float = Field(0.05, ge=1e-6, le=0.49, description="How often a false alarm, or a false pass, is accepted.")
    critical: bool = Field(True, description="Whether one regressed case of severity critical closes it.")
    least_pass: float = Field(0.0, ge=0, le=1, description="The share of cases that must pass; 0: none.")


class SentRates(BaseModel):
    """A judge against people's labels."""

    model_config = ConfigDict(extra="forbid")

    items: int = Field(ge=0)
    truly_pass: int = Field(ge=0)
    truly_fail: int = Field(ge=0)
    passes_kept: int = Field(ge=0, description="Of what truly passes, how many the judge passes.")
    fails_caught: int = Field(ge=0, description="Of what truly fails, how many the judge fails.")


class SentStanding(BaseModel):
    """Whether a judge may gate."""

    model_config = ConfigDict(extra="forbid")

    judge: _Name
    may_gate: bool
    why_not: list[_Words] = Field([], max_length=20)
    rates: SentRates
    unchecked: bool = Field(False, description="It may because the suite says so, whatever it has shown.")


class SentRun(BaseModel):
    """The head of a run: everything but its cases."""

    model_config = ConfigDict(extra="forbid")

    run: _Name = ""
    suite: str = Field(min_length=1, max_length=200)
    suite_version: _Name = ""
    target: _Words = ""
    version: _Words = ""
    commit: _Name = ""
    started: str = Field(max_length=40, description="ISO 8601.")
    ended: str = Field("", max_length=40)
    finished: bool = Field(True, description="False: it was broken off.")
    stopped: _Words = Field("", description="Why no further attempts were begun.")
    seed: int = 0
    repeats: int = 1
    note: _Words = ""
    judges: dict[_Name, _Name] = Field({}, max_length=50, description="Each judge's version, by name.")
    gate: SentGate = Field(default_factory=lambda: SentGate())  # pyright: ignore[reportCallIssue]
    standings: list[SentStanding] = Field([], max_length=50)
    baseline: str = Field("", max_length=60, description="The run here that it is held against; else the one before.")


class SentAttempt(BaseModel):
    """One attempt at a case."""

    model_config = ConfigDict(extra="forbid")

    repeat: int = Field(ge=0, le=1_000_000)
    outcome: Literal["pass", "fail", "unscored"]
    why: _Words = ""
    said: list[dict[str, Any]] = Field([], max_length=100, description="What each check and judge said.")
    text: str = Field("", max_length=20_000)
    tools: list[Annotated[str, Field(max_length=2_000)]] = Field([], max_length=200)
    error: _Words = ""
    model_calls: int | None = None
    tokens: int | None = None
    cost_usd: float | None = None
    judge_usd: float = 0.0
    duration_s: float = 0.0
    trace_id: str = Field("", max_length=100)
    taken_from: str = Field("", max_length=200, description="The run that it was taken over from.")


class SentCase(BaseModel):
    """One case with all its attempts."""

    model_config = ConfigDict(extra="forbid")

    case: str = Field(min_length=1, max_length=120)
    sha256: str = Field("", max_length=64)
    capability: str = Field("", max_length=120)
    cluster: _Name = ""
    severity: str = Field("", max_length=40)
    quarantined: str = Field("", max_length=500)
    groups: dict[str, str] = Field({}, max_length=20, description="What it may be grouped by.")
    attempts: list[SentAttempt] = Field(min_length=1, max_length=200)


class SentCases(BaseModel):
    """A batch of cases of one run."""

    model_config = ConfigDict(extra="forbid")

    digest: str = Field(
        min_length=16, max_length=64, pattern="^[0-9a-f]+$", description="Of the batch: it counts once."
    )
    cases: list[SentCase] = Field(min_length=1, max_length=BATCH_CASES_MAX)


class Added(BaseModel):
    """What became of a batch."""

    added: bool = Field(description="False: it was here already, and nothing changed.")


@router.put("/evals/runs/{run_id}", response_model=Envelope[Begun])
def begin_eval_run(caller: Caller, run_id: _Id, head: SentRun) -> Response:
    """Begin to send a run, or go on: says which batches are here already. Needs write."""
    caller.need("write")
    begun = caller.provider.results.begin(caller.project_id, run_id, head.model_dump(), who=caller.actor.name)
    return answer(begun)


@router.post("/evals/runs/{run_id}/cases", response_model=Envelope[Added])
def add_eval_cases(caller: Caller, run_id: _Id, batch: SentCases) -> Response:
    """Send a batch of cases, each with all its attempts. Sent twice it changes nothing. Needs write."""
    caller.need("write")
    cases = [one.model_dump(exclude_defaults=True) for one in batch.cases]
    return answer({"added": caller.provider.results.add(caller.project_id, run_id, batch.digest, cases)})


@router.post("/evals/runs/{run_id}/finish", response_model=Envelope[EvalRun])
def finish_eval_run(caller: Caller, run_id: _Id) -> Response:
    """Say that all cases are here: they are counted, and held against the run before. Needs write."""
    caller.need("write")
    found = caller.provider.results.finish(caller.project_id, run_id)
    caller.audit("evals.push", f"{found.run_id} {found.suite}: {found.totals.passed} of {found.totals.cases} pass")
    return answer(found, next=[command("eval", "results", "show", found.run_id)])


@router.delete("/evals/runs/{run_id}", response_model=Envelope[EvalRun])
def delete_eval_run(caller: Caller, run_id: _Id) -> Response:
    """Let go of a run. Its folder, where it is, brings it back. Needs write."""
    caller.need("write")
    gone = caller.provider.results.delete(caller.project_id, run_id)
    caller.audit("evals.unpush", f"{gone.run_id} {gone.suite} {gone.version}")
    return answer(gone, next=[command("eval", "push", gone.run)] if gone.run else [])


@router.get("/evals/suites", response_model=Envelope[list[SuiteRuns]])
def list_eval_suites(caller: Caller) -> Response:
    """Suites that were run, each with its newest thirty runs."""
    return answer(caller.provider.results.suites(caller.project_id))


@router.get("/evals/runs", response_model=Envelope[list[EvalRun]])
def list_eval_runs(
    caller: Caller,
    suite: Annotated[str, Query(max_length=200, description="Only runs of this suite.")] = "",
    limit: Annotated[int, Query(ge=1, le=200, description="Rows a page.")] = 50,
    cursor: CursorText = "",
) -> Response:
    """Runs, newest first: pass rate with its interval, cost, and the verdict against the run before."""
    found = caller.provider.results.runs(caller.project_id, suite=suite, limit=limit, cursor=cursor)
    page = _page(found.items, found.next, found.total)
    following = [command("eval", "results", "show", found.items[0].run_id)] if found.items else ["pilothouse eval push"]
    return answer(found.items, page=page, next=following)


@router.get("/evals/runs/{run_id}", response_model=Envelope[EvalRun])
def show_eval_run(caller: Caller, run_id: _Id) -> Response:
    """One run: what it came to, what it is worth against the run before, what its cases may be grouped by."""
    found = caller.provider.results.run(caller.project_id, run_id)
    following = [command("eval", "results", "cases", found.run_id, "--only", "fail")] if found.totals.failed else []
    if found.held is not None:
        following.append(command("eval", "results", "compare", found.held.baseline, found.run_id))
    return answer(found, next=following)


@router.get("/evals/runs/{run_id}/groups", response_model=Envelope[Groups])
def group_eval_run(
    caller: Caller,
    run_id: _Id,
    by: Annotated[
        str, Query(max_length=40, description="capability, severity, cluster, or a key of the cases.")
    ] = "capability",
) -> Response:
    """A run taken apart by one key, with intervals; those with most cases that do not pass first."""
    return answer(caller.provider.results.groups(caller.project_id, run_id, by))


@router.get("/evals/runs/{run_id}/cases", response_model=Envelope[list[CaseResult]])
def list_eval_cases(
    caller: Caller,
    run_id: _Id,
    only: Annotated[str, Query(max_length=60, description="One or more of fail, flaky, unscored, pass.")] = "",
    where: Annotated[str, Query(max_length=200, description="KEY=VALUE, e.g. customer=acme.")] = "",
    words: Annotated[str, Query(max_length=120, description="Part of the id of a case.")] = "",
    limit: Annotated[int, Query(ge=1, le=500, description="Rows a page.")] = 50,
    cursor: CursorText = "",
) -> Response:
    """Cases of a run: those that fail first, then flaky, unscored and passing ones."""
    outcomes = [word for word in only.replace(",", " ").split() if word]
    found = caller.provider.results.cases(
        caller.project_id, run_id, outcomes=outcomes, where=where, words=words, limit=limit, cursor=cursor
    )
    traces = [one.traces[0] for one in found.items if one.traces][:1]
    return answer(
        found.items, page=_page(found.items, found.next, found.total), next=[command("show", one) for one in traces]
    )


@router.get("/evals/runs/{run_id}/cases/{case}", response_model=Envelope[CaseShown])
def show_eval_case(
    caller: Caller, run_id: _Id, case: Annotated[str, Path(max_length=120, description="The id of a case.")]
) -> Response:
    """One case of a run with its attempts: what each check said, text, tools, trace."""
    found = caller.provider.results.case(caller.project_id, run_id, case)
    return answer(found, next=[command("show", one) for one in found.case.traces[:2]])


@router.get("/evals/runs/{run_id}/compare", response_model=Envelope[Compared])
def compare_eval_runs(
    caller: Caller,
    run_id: _Id,
    against: Annotated[str, Query(max_length=60, description="The earlier run, by its id.")],
    bucket: Annotated[str, Query(max_length=20, description="Only changes of this kind, e.g. regressed.")] = "",
    limit: Annotated[int, Query(ge=0, le=2_000, description="Changes listed.")] = 200,
) -> Response:
    """What a run is to an earlier one: pass, fail or not enough data, with the test and the cases that changed."""
    found = caller.provider.results.compare(caller.project_id, against, run_id, bucket=bucket, limit=limit)
    pairs = [(one.trace_before, one.trace_after) for one in found.changes if one.trace_before and one.trace_after]
    return answer(found, next=[command("diff", *pair) for pair in pairs[:1]])


def _page(items: Any, following: str, total: int) -> Page[Any]:
    window = Window(since="", until="")
    return Page(items=items, next=following, more=bool(following), total=total, window=window)
