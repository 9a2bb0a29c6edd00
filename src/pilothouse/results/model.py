"""Runs of suites as the server tells of them: plain records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

RunState = Literal["open", "finished"]
Folded = Literal["pass", "fail", "flaky", "unscored"]
Verdict = Literal["pass", "fail", "not_enough_data", ""]
Bucket = Literal[
    "regressed", "improved", "passed", "failed", "flaky", "undetermined", "quarantined", "changed", "added", "removed"
]
CHANGED: Final[tuple[Bucket, ...]] = (
    *("regressed", "improved", "flaky", "undetermined", "quarantined"),
    *("changed", "added", "removed"),
)
"""What a comparison lists; cases that come out as before are only counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Cases of a run, or of a part of it, counted."""

    cases: int
    passed: int
    failed: int
    flaky: int
    """Attempts at the same case fell out either way."""
    unscored: int
    attempts: int
    attempts_passed: int
    pass_rate: float | None
    """Of the cases that were scored; a flaky one does not pass. None where none was."""
    pass_low: float
    """95 % interval (Wilson)."""
    pass_high: float
    cost_usd: float
    judge_usd: float
    seconds: float
    """Of all attempts, one after the other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What a run is worth against the one it is held against."""

    baseline: str
    """The id of that run."""
    baseline_version: str
    verdict: Verdict
    """Empty where it could not be told; ``sentence`` says why."""
    sentence: str
    regressed: int
    improved: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalRun:
    """One run of a suite."""

    run_id: str
    run: str
    """What its folder is called where it was made."""
    suite: str
    suite_version: str
    """Over all cases of the suite: 12 hex digits."""
    target: str
    version: str
    """Of what was tested."""
    commit: str
    started: str
    ended: str
    """Empty where it was broken off, or of an older client."""
    state: RunState
    """``open`` while its cases come in."""
    stopped: str
    """Why no further attempts were begun; empty where all were."""
    sent: str
    """When it first came."""
    who: str
    """Who sent it."""
    note: str
    judges: tuple[str, ...]
    """As ``name@version``."""
    barred: tuple[str, ...]
    """Judges that may not gate, and why; what they say decides no comparison."""
    totals: Totals
    held: Held | None
    """None while it is held against no other run."""
    keys: Mapping[str, int]
    """What its cases may be grouped by, and how many values each key has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPage:
    """A page of runs, newest first."""

    items: tuple[EvalRun, ...]
    total: int
    next: str
    """Cursor of the next page; empty at the end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteRuns:
    """A suite with its newest runs."""

    suite: str
    total: int
    """Runs of it that are here."""
    runs: tuple[EvalRun, ...]
    """The newest first, thirty at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The cases of a run that share a value of a key."""

    value: str
    """Empty: those that have none."""
    totals: Totals


@dataclass(frozen=True, slots=True, kw_only=True)
class Groups:
    """A run taken apart by one key."""

    by: str
    groups: tuple[Group, ...]
    """Most cases that do not pass first, 200 at most."""
    more: int
    """Values that are not listed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseResult:
    """What one case came to."""

    case: str
    outcome: Folded
    attempts: int
    passed: int
    why: str
    """The first reason that it does not pass; empty where it does."""
    capability: str
    severity: str
    cluster: str
    quarantined: str
    """Why its verdict does not count."""
    groups: Mapping[str, str]
    traces: tuple[str, ...]
    """Of its attempts, those that do not pass first; ten at most."""
    cost_usd: float
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CasePage:
    """A page of cases: those that fail first, then flaky, unscored and passing ones, by id."""

    items: tuple[CaseResult, ...]
    total: int
    next: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseShown:
    """One case with its attempts."""

    case: CaseResult
    attempts: tuple[Mapping[str, Any], ...]
    """Each with repeat, outcome, why, what each check said, text, tools, cost and trace_id; long texts are cut."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseChange:
    """One case in both runs."""

    case: str
    bucket: Bucket
    before: str
    """Passed attempts of all scored ones, as ``3/3``; empty where it was not run."""
    after: str
    why: str
    capability: str
    severity: str
    trace_before: str
    trace_after: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """What a run is to another one, paired by case and tested for chance."""

    base: EvalRun
    candidate: EvalRun
    verdict: Verdict
    reasons: tuple[str, ...]
    """The verdict's sentence first."""
    test: str
    """Where ``p`` comes from."""
    p: float
    mid_p: float
    difference: float | None
    """Of the pass rate; worse is negative."""
    low: float | None
    """Interval of the difference."""
    high: float | None
    margin: float
    """The loss that is accepted."""
    alpha: float
    cases_more: int | None
    """About how many more cases would decide, if things go on as seen; None where it is decided or no number would."""
    total: int
    counts: Mapping[str, int]
    """By bucket."""
    slices: tuple[Mapping[str, Any], ...]
    """By capability: a hint where to look, corrected for how many there are."""
    changes: tuple[CaseChange, ...]
    """Regressed first; 2,000 at most."""
    changes_more: int
    cost_before_usd: float
    cost_after_usd: float
    seconds_before: float
    """Median of an attempt."""
    seconds_after: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """A run that may be sent."""

    run_id: str
    have: tuple[str, ...]
    """Digests of the batches that are here already."""
    cases_max: int
