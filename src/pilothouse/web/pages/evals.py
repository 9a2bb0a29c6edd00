"""Suites and their runs over time: how many cases pass, how sure that is, and what each run was to the one before."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pilothouse.results import EvalRun, SuiteRuns
from pilothouse.web.context import told
from pilothouse.web.visit import PageContext, PageSpec, Visit, link

ROWS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One run in the course of a suite: where it is drawn, in hundredths."""

    run: EvalRun
    x: float
    y: float
    top: float
    """Of its interval."""
    bottom: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """The runs of a suite as points from left to right, the oldest first."""

    points: tuple[Point, ...]
    floor: int
    """Percent that the lower edge stands for: what happens near 100 would not be seen otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalsPage(PageContext):
    """Suites and runs."""

    suite: str = field(metadata=told("only runs of this suite are listed; empty: of all"))
    suites: tuple[SuiteRuns, ...] = field(metadata=told("suites with their newest thirty runs, the last one run first"))
    runs: tuple[EvalRun, ...] = field(metadata=told("runs of this page, newest first"))
    total: int = field(metadata=told("how many there are on all pages"))
    next: str = field(metadata=told("cursor of the next page; empty at the end"))
    cursor: str = field(metadata=told("which page this is; empty for the first"))

    def here(self, **changed: Any) -> str:
        """The same list with something changed."""
        return link("/evals", **({"suite": self.suite} | changed))

    def course(self, suite: SuiteRuns) -> Course:
        """How a suite went; runs without a rate are left out."""
        told_of = [run for run in reversed(suite.runs) if run.totals.pass_rate is not None]
        step = 100 / max(1, len(told_of))
        floor = min((int(run.totals.pass_low * 10) * 10 for run in told_of), default=0)

        def down(rate: float) -> float:
            return round(100 * (1 - rate) / (1 - floor / 100), 2)

        points = (
            Point(
                run=run,
                x=round((number + 0.5) * step, 2),
                y=down(run.totals.pass_rate or 0.0),
                top=down(run.totals.pass_high),
                bottom=down(run.totals.pass_low),
            )
            for number, run in enumerate(told_of)
        )
        return Course(points=tuple(points), floor=floor)


def gather(visit: Visit) -> EvalsPage:
    """Read the suites and one page of runs."""
    suite = visit.text("suite", 200)
    cursor = visit.text("cursor", 80)
    found = visit.reader.eval_runs(suite, limit=ROWS, cursor=cursor)
    return EvalsPage(
        title="Evals",
        command="pilothouse eval results ls" + (f" --of {suite}" if suite.isidentifier() else ""),
        suite=suite,
        suites=visit.reader.eval_suites(),
        runs=found.items,
        total=found.total,
        next=found.next,
        cursor=cursor,
    )


EVALS = PageSpec(name="evals", path="/evals", context=EvalsPage, gather=gather)
