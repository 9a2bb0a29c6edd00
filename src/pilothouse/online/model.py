"""What came of a score, and how scorers stand: what every surface shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["running", "stopped", "capped", "down", "broken", "waiting"]
"""``capped``: it goes on with the next day (UTC). ``down``: its judge does not answer, and is asked again. ``waiting``: the
process that scores has not run it yet."""

REASONS = {
    "cap": "the money of the day was spent",
    "too_long": "it does not fit the judge, whatever is left out",
    "unreadable": "the judge's answer was not of the form asked for, twice",
    "unclear": "the judge finds it unclear, or its samples are split",
    "judge_failed": "the judge's model did not answer, however often it was asked",
    "no_price": "the price of the judge's model is not known, so its money cannot be capped",
    "no_content": "what was said was not recorded, or is not kept any more",
    "code_failed": "the code raised, or gave no score",
    "code_late": "the code took longer than timeout_s",
    "unknown": "the fact is not known of it",
    "gone": "it was deleted meanwhile",
    "defect": "a defect of ours, which stands in the log of the server",
}
"""Why something has no score: the word, and what it means. None of them is ever a score of 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a scorer says of one unit."""

    value: float | None = None
    label: str = ""
    why: str = ""
    reason: str = ""
    """Why there is no score: one of ``REASONS``; empty where there is one."""
    usd: float = 0.0
    down: bool = False
    """True where the judge did not answer, and may answer later."""
    answered: str = ""
    """With it: what was answered all the same, for the next time."""

    @property
    def scored(self) -> bool:
        """Whether there is a score."""
        return not self.reason

    @staticmethod
    def none(reason: str, why: str, *, usd: float = 0.0) -> Outcome:
        """No score, and why."""
        return Outcome(reason=reason, why=why, usd=usd)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What scores come to."""

    scored: int
    unscored: int
    passed: int | None
    """None where its scores neither pass nor fail."""
    rate: float | None
    rate_low: float | None
    """95 % interval (Wilson), wider where scores of one session hang together."""
    rate_high: float | None
    mean: float | None
    mean_low: float | None
    """95 % interval of the mean, by sessions."""
    mean_high: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScorerDay:
    """One day (UTC) of a scorer."""

    day: str
    figures: Figures
    spent_usd: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Unscored:
    """Why some have no score."""

    reason: str
    count: int
    means: str
    example: str
    """What was said of the newest one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OnlineScore:
    """One score."""

    trace_id: str
    """Empty for a session."""
    span_id: str
    session_id: str
    value: float | None
    label: str
    why: str
    at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ScorerReport:
    """How one scorer stands, over the days asked for."""

    name: str
    kind: str
    """judge, code or check."""
    what: str
    """What is asked or checked, in a line."""
    level: str
    filter: str
    sample: float
    per_minute: float
    state: State
    problem: str
    """Why it does not run; empty where it does."""
    version: str
    run: str
    """The run its scores are written under: ``pilothouse undo --run`` takes them back."""
    scored_by: str
    """The judge's model and the hash of its prompt; of code a hash of its source."""
    calibrated: str
    """``yes``, or why its judge is below its bar; empty for what is no judge."""
    usd_per_day: float | None
    """None for what costs nothing."""
    spent_usd: float
    """Today."""
    held_usd: float
    """For calls under way."""
    to_retry: int
    """Traces that wait until the judge answers: each is asked about 12 times at most, within 24 hours."""
    down_since: str
    """Since when its judge does not answer; empty where it does."""
    down_why: str
    """What became of the last question."""
    next_retry: str
    """When it is asked next."""
    behind_s: float | None
    """How old the oldest change is that it has not looked at; None where it has not run yet."""
    figures: Figures
    days: tuple[ScorerDay, ...]
    """Oldest first."""
    unscored: tuple[Unscored, ...]
    """The most frequent first."""
    worst: tuple[OnlineScore, ...]
    """At most ten."""
    cut: bool = False
    """True where there are more scores than were read: the figures are of the newest 50,000."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OnlineOverview:
    """All scorers."""

    scorers: tuple[ScorerReport, ...]
    days: int
    policy: str
    """The version of the policy file; ``none`` where there is none."""
    error: str
    """What is wrong with the policy file; the one before it holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """What a scorer says of one trace, written nowhere."""

    scorer: str
    version: str
    scored_by: str
    calibrated: str
    results: tuple[TriedUnit, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TriedUnit:
    """One unit that was tried."""

    trace_id: str
    span_id: str
    session_id: str
    value: float | None
    label: str
    why: str
    reason: str
    usd: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Retried:
    """What was left unscored and is asked about again."""

    name: str
    reason: str
    """Why it was unscored."""
    count: int
    since: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Switched:
    """A scorer that was stopped or started."""

    name: str
    state: Literal["stopped", "running"]
    changed: bool
    """False where it was so already."""
