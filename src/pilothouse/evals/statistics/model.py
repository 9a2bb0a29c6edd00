"""What is compared, and what a comparison is worth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pilothouse.records.statistics import Interval

Outcome = Literal["pass", "fail", "not_enough_data"]
Looks = Literal["once", "anytime"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One case, run by both versions."""

    case_id: str
    before: bool | None
    """Whether it passed; None where that is undetermined: flaky, unscored, not run."""
    after: bool | None
    cluster: str = ""
    """What it shares with others: session, tenant. Empty for a case of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScorePair:
    """One case, scored under both versions; higher is better."""

    case_id: str
    before: float | None
    """None where it has no score: that is not a score of 0."""
    after: float | None
    cluster: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How the cases of a comparison fell out. For scores, ``regressed`` and ``improved`` are lower and higher ones."""

    compared: int
    both_pass: int
    """For scores: those that did not change."""
    regressed: int
    improved: int
    both_fail: int
    undetermined: int
    """Left out of the test; never hidden."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a comparison is worth. Differences are after minus before: worse is negative."""

    verdict: Outcome
    sentence: str
    """Why, in one plain sentence."""
    measure: Literal["rate", "score"]
    """What the difference is of: the share that passes, or the mean score."""
    test: str
    """The test that ``p`` comes from."""
    p: float
    """How easily chance would part equal versions as far, two-sided."""
    mid_p: float
    """The same with the outcome seen counted by half; shown, decides nothing."""
    p_regression: float
    """The p-value of the claim that would fail it (a regression, beyond the margin); what is corrected over many gates."""
    regression_proven: bool
    """Of any size: also where it is not proven to be beyond the margin."""
    difference: float | None
    """None where nothing was compared."""
    interval: Interval | None
    """Of the difference, two-sided, confidence 1 − alpha."""
    bound: float | None
    """The one-sided lower bound of the difference, confidence 1 − alpha: what a pass is judged by."""
    margin: float
    alpha: float
    looks: Looks
    counts: Counts
    clusters: int
    """How many independent groups of cases there are."""
    design_effect: float
    """How many times less a case is worth than an independent one."""
    cases_needed: int | None
    """About how many cases in all would decide, if things go on as seen; None where it is decided or no number would."""
    cases_more: int | None
    """How many of them are missing."""
