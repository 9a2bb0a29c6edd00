"""What else moves a judge than what it judges: the order of two answers, their length, its own next version."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pilothouse.records import BadRequest
from pilothouse.records.statistics import Interval, wilson

from .flips import flip_counts
from .paired import mcnemar

Choice = Literal["first", "second", "tie"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionBias:
    """A judge that saw each pair of answers in both orders."""

    pairs: int
    consistent: int
    """It chose the same answer, or a tie, in both orders."""
    consistency: float
    consistency_interval: Interval
    """Wilson's, at 95 %."""
    chose_first: int
    """Of the others, leaning to whichever stood first."""
    chose_second: int
    p: float
    """How easily a judge without a preference for a place would lean as far: a coin for each leaning pair, two-sided."""

    @property
    def prefers(self) -> Choice | None:
        """The place it prefers, at 5 %."""
        if self.p >= 0.05:
            return None
        return "first" if self.chose_first > self.chose_second else "second"


def position_bias(as_given: Sequence[Choice], swapped: Sequence[Choice]) -> PositionBias:
    """From which place the judge chose, with the answers as given and with their places swapped.

    A judge that means the answer chooses the other place when they are swapped.
    """
    if len(as_given) != len(swapped) or not as_given:
        raise BadRequest("each pair is judged in both orders", got=f"{len(as_given)} and {len(swapped)}", fix="judge each pair twice, with the answers swapped")  # fmt: skip
    lean = {"first": 1, "tie": 0, "second": -1}
    # Places chosen in both orders cancel where the answer was meant; what is left leans to a place.
    leaning = [lean[one] + lean[other] for one, other in zip(as_given, swapped, strict=True)]
    first, second = sum(one > 0 for one in leaning), sum(one < 0 for one in leaning)
    pairs = len(leaning)
    consistent = pairs - first - second
    return PositionBias(
        pairs=pairs,
        consistent=consistent,
        consistency=consistent / pairs,
        consistency_interval=wilson(consistent, pairs),
        chose_first=first,
        chose_second=second,
        p=mcnemar(first, second).p,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class VerbosityBias:
    """Whether a judge likes length more than people do, on pairs of answers of unlike length."""

    pairs: int
    judge_longer: float
    """How often the judge chose the longer answer."""
    people_longer: float
    excess: float
    """The difference of both: above 0, it likes length too much."""
    p: float
    """Of no excess: exact, paired, two-sided."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LengthChoice:
    """What a judge and people chose between two answers of unlike length."""

    judge: Literal["longer", "shorter", "tie"]
    people: Literal["longer", "shorter", "tie"]


def verbosity_bias(choices: Sequence[LengthChoice]) -> VerbosityBias:
    """Hold the judge's taste for length against people's, on the same pairs; a tie counts by half.

    That a judge often chooses the longer answer is no bias where the longer one is better; so people are the measure.
    """
    if not choices:
        raise BadRequest("a bias needs at least one pair", got=0, fix="judge pairs that people judged too")
    half_points = {"longer": 2, "tie": 1, "shorter": 0}
    judge = [half_points[one.judge] for one in choices]
    people = [half_points[one.people] for one in choices]
    n = len(choices)
    return VerbosityBias(
        pairs=n,
        judge_longer=sum(judge) / (2 * n),
        people_longer=sum(people) / (2 * n),
        excess=(sum(judge) - sum(people)) / (2 * n),
        p=flip_counts(a - b for a, b in zip(judge, people, strict=True)).p,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeDrift:
    """What changed when a judge's model or prompt did, on the same items."""

    items: int
    changed: int
    """Verdicts that are not the same any more."""
    changed_interval: Interval
    """Of their share, Wilson's at 95 %."""
    stricter: int
    """Of those, passes that became fails."""
    p_strictness: float
    """How easily a judge as strict as before would shift as far to one side: exact, two-sided."""
    right_before: int | None
    """Agreeing with people; None where no item is labelled."""
    right_after: int | None
    p_right: float | None
    """That it is right as often as before: exact McNemar on labelled items."""


def judge_drift(
    before: Sequence[bool | None], after: Sequence[bool | None], truth: Sequence[bool | None] | None = None
) -> JudgeDrift:
    """Compare two versions of a judge; items that either did not score (None) are left out."""
    labels = truth if truth is not None else [None] * len(before)
    if len(before) != len(after) or len(before) != len(labels):
        raise BadRequest("both versions judge the same items", got=f"{len(before)}, {len(after)} and {len(labels)}", fix="give one verdict of each for every item, None for none")  # fmt: skip
    rows = [
        (old, new, true)
        for old, new, true in zip(before, after, labels, strict=True)
        if old is not None and new is not None
    ]
    stricter = sum(old and not new for old, new, _ in rows)
    looser = sum(new and not old for old, new, _ in rows)
    known = [(old == true, new == true) for old, new, true in rows if true is not None]
    spoiled, mended = sum(a and not b for a, b in known), sum(b and not a for a, b in known)
    return JudgeDrift(
        items=len(rows),
        changed=stricter + looser,
        changed_interval=wilson(stricter + looser, len(rows)),
        stricter=stricter,
        p_strictness=mcnemar(stricter, looser).p,
        right_before=sum(a for a, _ in known) if known else None,
        right_after=sum(b for _, b in known) if known else None,
        p_right=mcnemar(spoiled, mended).p if known else None,
    )
