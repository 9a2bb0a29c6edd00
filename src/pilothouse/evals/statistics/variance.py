"""Where the noise of a mean score comes from: cases, the agent's repeats, or the judge's.

Each case is run several times, each run judged several times. How much the judgings of one run differ is the judge's; how
much the runs of a case differ beyond that is the agent's; how much cases differ beyond both is theirs. Estimated by the
method of moments, also where the numbers of runs and judgings are unlike.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pilothouse.records import BadRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class VarianceSplit:
    """The variance of one score, split."""

    case: float
    agent: float
    judge: float
    below_zero: tuple[str, ...]
    """Parts whose estimate fell below 0, which says that they are too small to be seen here; they are given as 0."""
    cases: int
    runs: int
    judgings: int

    @property
    def total(self) -> float:
        """Of a single score of a single run of a case."""
        return self.case + self.agent + self.judge

    def standard_error(self, *, cases: int, runs: float = 1, judgings: float = 1) -> float:
        """Of a mean over so many cases, each run and each run judged so often."""
        per_case = self.case + self.agent / runs + self.judge / (runs * judgings)
        return math.sqrt(per_case / cases)


def split_variance(scores: Sequence[Sequence[Sequence[float]]]) -> VarianceSplit:
    """Split the variance of ``scores[case][run][judging]``.

    Raises:
        BadRequest: fewer than two cases, no case with two runs, or no run with two judgings.
    """
    cases = [[list(run) for run in case if run] for case in scores]
    cases = [case for case in cases if case]
    runs = [run for case in cases for run in case]
    c, r, n = len(cases), len(runs), sum(len(run) for run in runs)
    if c < 2 or r == c or n == r:
        raise BadRequest(
            "splitting variance needs two cases, a case run twice and a run judged twice",
            got=f"{c} cases, {r} runs, {n} judgings",
            fix="repeat some runs, and judge some runs again",
        )
    sizes = [sum(len(run) for run in case) for case in cases]
    grand = sum(sum(run) for run in runs) / n
    within = between_runs = between_cases = 0.0
    squares_over_case = squares = 0.0
    for case, size in zip(cases, sizes, strict=True):
        case_mean = sum(sum(run) for run in case) / size
        between_cases += size * (case_mean - grand) ** 2
        squares_over_case += sum(len(run) ** 2 for run in case) / size
        squares += sum(len(run) ** 2 for run in case)
        for run in case:
            run_mean = sum(run) / len(run)
            between_runs += len(run) * (run_mean - case_mean) ** 2
            within += sum((score - run_mean) ** 2 for score in run)
    judge = within / (n - r)
    # What each mean square is expected to be, in parts of the three variances.
    runs_hold_agent = (n - squares_over_case) / (r - c)
    agent = (between_runs / (r - c) - judge) / runs_hold_agent
    cases_hold_agent = (squares_over_case - squares / n) / (c - 1)
    cases_hold_case = (n - sum(size**2 for size in sizes) / n) / (c - 1)
    case_variance = (between_cases / (c - 1) - judge - cases_hold_agent * agent) / cases_hold_case
    parts = {"case": case_variance, "agent": agent, "judge": judge}
    return VarianceSplit(
        case=max(0.0, case_variance),
        agent=max(0.0, agent),
        judge=max(0.0, judge),
        below_zero=tuple(name for name, value in parts.items() if value < 0),
        cases=c,
        runs=r,
        judgings=n,
    )
