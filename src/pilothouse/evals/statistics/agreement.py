"""Whether readers agree: people with people, a judge with people.

Kappa alone misleads: where nearly everything passes, readers who agree on 90 % can have a kappa near 0. So the observed
agreement and the prevalence stand beside it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from pilothouse.records import BadRequest
from pilothouse.records.statistics import Interval, kappa, wilson

from .distributions import normal_quantile


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How far two readers of the same items agree."""

    items: int
    observed: float
    """The share on which they say the same."""
    observed_interval: Interval
    """Wilson's."""
    kappa: float | None
    """Cohen's: how much of what chance leaves open they agree on. None where chance alone makes them agree always."""
    kappa_interval: Interval | None
    """By the large-sample error of Fleiss, Cohen and Everitt."""
    prevalence: dict[Hashable, float]
    """How often each label was given, by both together."""


def agreement(
    first: Sequence[Hashable | None], second: Sequence[Hashable | None], *, confidence: float = 0.95
) -> Agreement:
    """Compare two readers; items that either left out (None) are left out.

    Raises:
        BadRequest: the readers do not read the same items, or share none.
    """
    if len(first) != len(second):
        raise BadRequest("readers are compared on the same items", got=f"{len(first)} and {len(second)} labels", fix="give one label of each reader for every item, None for none")  # fmt: skip
    pairs = [(a, b) for a, b in zip(first, second, strict=True) if a is not None and b is not None]
    n = len(pairs)
    if not n:
        raise BadRequest("agreement needs an item that both readers labelled", got=0, fix="label items twice")
    left, right = [a for a, _ in pairs], [b for _, b in pairs]
    same = sum(a == b for a, b in pairs)
    value = kappa(left, right)
    error = None if value is None else _kappa_error(pairs, value)
    z = normal_quantile(0.5 + confidence / 2)
    both = Counter(left) + Counter(right)
    return Agreement(
        items=n,
        observed=same / n,
        observed_interval=wilson(same, n, confidence=confidence),
        kappa=value,
        kappa_interval=None
        if value is None or error is None
        else Interval(low=max(-1.0, value - z * error), high=min(1.0, value + z * error)),
        prevalence={label: count / (2 * n) for label, count in both.most_common()},
    )


def _kappa_error(pairs: Sequence[tuple[Hashable, Hashable]], value: float) -> float:
    n = len(pairs)
    cells = {cell: count / n for cell, count in Counter(pairs).items()}
    left, right = Counter(a for a, _ in pairs), Counter(b for _, b in pairs)
    by_chance = sum(left[label] * right[label] for label in left) / (n * n)
    total = 0.0
    for (a, b), share in cells.items():
        row, column = left[a] / n, right[b] / n
        if a == b:
            total += share * (1 - (row + column) * (1 - value)) ** 2
        else:
            total += (1 - value) ** 2 * share * (right[a] / n + left[b] / n) ** 2
    total -= (value - by_chance * (1 - value)) ** 2
    return math.sqrt(max(0.0, total) / n) / (1 - by_chance)


def krippendorff_alpha(items: Sequence[Sequence[Hashable | None]]) -> float | None:
    """Krippendorff's alpha for labels without an order, from any number of readers, some of whom may be missing (None).

    Each item is the labels it was given. Items with fewer than two labels tell nothing and are left out. None where
    nothing is left, or where only one label was ever given, so that agreement cannot be told from having no choice.
    """
    labelled = [[label for label in item if label is not None] for item in items]
    labelled = [item for item in labelled if len(item) > 1]
    totals = Counter(label for item in labelled for label in item)
    n = sum(totals.values())
    if len(totals) < 2:
        return None
    disagreement = 0.0
    for item in labelled:
        counts = Counter(item)
        different = len(item) ** 2 - sum(count * count for count in counts.values())
        disagreement += different / (len(item) - 1)
    expected = (n * n - sum(count * count for count in totals.values())) / (n - 1)
    return 1 - disagreement / expected


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeRates:
    """How a judge that says pass or fail does against people who know."""

    items: int
    truly_pass: int
    truly_fail: int
    passes_kept: int
    """Of what truly passes, how many the judge passes."""
    fails_caught: int
    """Of what truly fails, how many the judge fails."""

    @property
    def sensitivity(self) -> float | None:
        """The share of what truly passes that the judge passes; None where nothing does."""
        return self.passes_kept / self.truly_pass if self.truly_pass else None

    @property
    def specificity(self) -> float | None:
        """The share of what truly fails that the judge fails; None where nothing does."""
        return self.fails_caught / self.truly_fail if self.truly_fail else None

    @property
    def sensitivity_interval(self) -> Interval:
        """Wilson's, at 95 %."""
        return wilson(self.passes_kept, self.truly_pass)

    @property
    def specificity_interval(self) -> Interval:
        """Wilson's, at 95 %."""
        return wilson(self.fails_caught, self.truly_fail)

    @property
    def prevalence(self) -> float | None:
        """The share that truly passes."""
        return self.truly_pass / self.items if self.items else None


def judge_rates(judge: Sequence[bool | None], truth: Sequence[bool | None]) -> JudgeRates:
    """Count a judge's verdicts against people's labels; what either left out (None) is left out."""
    if len(judge) != len(truth):
        raise BadRequest("a judge is held against labels of the same items", got=f"{len(judge)} and {len(truth)}", fix="give one of each for every item, None for none")  # fmt: skip
    pairs = [(said, true) for said, true in zip(judge, truth, strict=True) if said is not None and true is not None]
    passes = [said for said, true in pairs if true]
    fails = [said for said, true in pairs if not true]
    return JudgeRates(
        items=len(pairs),
        truly_pass=len(passes),
        truly_fail=len(fails),
        passes_kept=sum(passes),
        fails_caught=sum(not said for said in fails),
    )
