"""Running the cases of a backtest: production first, as it was recorded, then the candidate; both as ordinary runs."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from pilothouse.evals import runs
from pilothouse.evals.early import Certain
from pilothouse.evals.report import summary_of
from pilothouse.evals.runner import Options, Progress, Watcher, run_suite
from pilothouse.evals.runs import About, Run
from pilothouse.evals.settings import Gate
from pilothouse.evals.suite import Suite
from pilothouse.evals.targets.attempt import Target
from pilothouse.records import NotFound, iso

from .cases import as_recorded
from .judging import Asked
from .question import Question

PRODUCTION = "production"
"""The target of a run of what was recorded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """What one of the two runs is of."""

    about: str
    version: str
    """Results of equal versions are taken over from earlier runs; empty: never."""
    target: Target = as_recorded
    asked: Asked | None = None


def sides(question: Question, asked: list[Asked], target: Target | None, code: str) -> tuple[Side | None, Side]:
    """Production or the first judge, where there is one to hold against; and what is tried.

    ``code``: the version of the user's code.
    """
    first, last = (asked[0], asked[-1]) if asked else (None, None)

    def recorded(by: Asked | None) -> Side:
        # What was recorded does not change; a function that scores it does, with the code.
        return Side(about=PRODUCTION, version=code if by is not None and by.judge is None else "recorded", asked=by)

    if target is not None:
        return recorded(last), Side(about=question.target, version=code, target=target, asked=last)
    return (recorded(first) if len(asked) == 2 else None), recorded(last)


def begin(folder: Path, question: Question, base: Side | None, candidate: Side, *, suite: str) -> Run:
    """Make the folders of both runs, that of the candidate last; it holds the cases and the question."""
    if base is None:
        return runs.begin(folder, _about(candidate, suite, question.as_data()))
    first = runs.begin(folder, _about(base, suite, {"of": ""}))
    made = runs.begin(folder, _about(candidate, suite, replace(question, base=first.about.run).as_data()))
    runs.renew(first, replace(first.about, backtest={"of": made.about.run}))
    return made


def base_of(folder: Path, question: Question) -> Run | None:
    """The run that the candidate is held against; None where there is none."""
    return runs.find(folder, question.base) if question.base else None


async def run(
    folder: Path,
    made: Run,
    side: Side,
    cases: Suite,
    options: Options,
    *,
    watch: Watcher | None = None,
    against: Run | None = None,
    gate: Gate | None = None,
) -> Progress:
    """Run one side, or go on with it. ``against``: end as soon as it is certain what this one is to that.

    ``options.usd_max`` counts what was spent on this run before, too.
    """
    spent = sum((one.cost_usd or 0.0) + one.judge_usd for one in made.results() if not one.taken_from)
    if options.usd_max:
        if spent >= options.usd_max:
            return Progress(stopped=f"the money is spent: {spent:.4f} of {options.usd_max:.2f} USD", cost_usd=spent)
        options = replace(options, usd_max=options.usd_max - spent)
    enough: Callable[..., str] | None = None
    if against is not None:
        enough = Certain(against, gate or Gate()).told
    _, progress = await run_suite(
        cases,
        side.target,
        made.about,
        options=options,
        judges=side.asked.ask if side.asked is not None else None,
        again=made,
        watch=watch,
        enough=enough,
        runs_of=folder,
    )
    if not progress.stopped:
        made.finish(summary_of(made))
    progress.cost_usd += spent
    return progress


def traces_of(cases: Suite) -> Callable[[str], str]:
    """Tells the recorded trace of a case."""

    def told(case: str) -> str:
        try:
            return str(cases.case(case).metadata.provenance.get("trace") or "")
        except NotFound:
            return ""

    return told


def _about(side: Side, suite: str, backtest: dict[str, object]) -> About:
    return About(
        run="",
        suite=suite,
        suite_version="",
        target=side.about,
        version=side.version,
        judges=side.asked.versions if side.asked is not None else {},
        started=iso(time.time_ns()),
        backtest=backtest,
        note="backtest",
    )
