"""Two versions on the same cases, pass or fail: McNemar's tests, the difference and its intervals.

All that tells two versions apart are the cases on which they disagree: those that regressed and those that improved.
Differences are after minus before, so that worse is negative.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from pilothouse.records import BadRequest
from pilothouse.records.statistics import Interval

from .distributions import Numbers, binomial_cdf, binomial_pmf, chi2_tail, normal_quantile


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedCounts:
    """How many cases did what, before and after."""

    both_pass: int
    regressed: int
    """Passed before, fail now."""
    improved: int
    """Failed before, pass now."""
    both_fail: int

    def __post_init__(self) -> None:
        for name in ("both_pass", "regressed", "improved", "both_fail"):
            if getattr(self, name) < 0:
                raise BadRequest(f"{name} cannot be below 0", got=getattr(self, name), fix="count cases")

    @property
    def total(self) -> int:
        """All cases compared."""
        return self.both_pass + self.regressed + self.improved + self.both_fail

    @property
    def discordant(self) -> int:
        """Cases on which the versions disagree."""
        return self.regressed + self.improved

    @property
    def difference(self) -> float:
        """The share that passes after, minus the share before; 0 where nothing was compared."""
        return (self.improved - self.regressed) / self.total if self.total else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class McNemar:
    """How easily chance alone would make the versions differ as much, two-sided, by five tests."""

    p: float
    """Exact: a coin thrown for each case on which they disagree. The one that decides."""
    mid_p: float
    """The exact one, with the outcome seen counted by half: less cautious, shown beside it."""
    chi2: float
    chi2_p: float
    """By the normal approximation; too small where few cases disagree."""
    chi2_corrected: float
    chi2_corrected_p: float
    """The same with the correction for continuity."""


def mcnemar(regressed: int, improved: int) -> McNemar:
    """McNemar's tests of no difference; all p are 1 where no case tells the versions apart."""
    t = regressed + improved
    if not t:
        return McNemar(p=1.0, mid_p=1.0, chi2=0.0, chi2_p=1.0, chi2_corrected=0.0, chi2_corrected_p=1.0)
    fewer, of, half = np.float64(min(regressed, improved)), np.float64(t), np.float64(0.5)
    tail = 2 * float(binomial_cdf(np.asarray(fewer), np.asarray(of), np.asarray(half)))
    here = float(binomial_pmf(np.asarray(fewer), np.asarray(of), np.asarray(half)))
    chi2 = (regressed - improved) ** 2 / t
    chi2_corrected = max(0, abs(regressed - improved) - 1) ** 2 / t
    return McNemar(
        p=min(1.0, tail),
        mid_p=min(1.0, tail - here),
        chi2=chi2,
        chi2_p=chi2_tail(chi2),
        chi2_corrected=chi2_corrected,
        chi2_corrected_p=chi2_tail(chi2_corrected),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class WaldDifference:
    """The difference by the normal approximation: as papers print it, too narrow where few cases disagree."""

    difference: float
    standard_error: float
    interval: Interval
    bound: float
    """The one-sided lower bound at the same confidence: no worse than this."""


def wald(counts: PairedCounts, *, confidence: float = 0.95) -> WaldDifference:
    """The difference, its standard error and its bounds by the normal approximation.

    Raises:
        BadRequest: nothing was compared.
    """
    n = counts.total
    if not n:
        raise BadRequest("a difference needs at least one case", got=0, fix="compare a case")
    spread = counts.discordant - (counts.regressed - counts.improved) ** 2 / n
    error = math.sqrt(max(0.0, spread)) / n
    two_sided, one_sided = normal_quantile(0.5 + confidence / 2), normal_quantile(confidence)
    d = counts.difference
    return WaldDifference(
        difference=d,
        standard_error=error,
        interval=Interval(low=d - two_sided * error, high=d + two_sided * error),
        bound=d - one_sided * error,
    )


def score(regressed: Numbers, improved: Numbers, total: Numbers, loss: Numbers) -> Numbers:
    """Tango's score for a loss, in standard errors: how far the regressed outnumber the improved beyond it.

    The variance is the one that fits best if the loss were the true one, so it is right where no case disagrees too.
    At a loss of 0 its square is McNemar's chi-square.
    """
    b, c, n, m = np.broadcast_arrays(regressed, improved, total, loss)
    linear = -b - c + (2 * n - b + c) * m
    root = np.sqrt(np.maximum(0.0, linear**2 + 8 * n * c * m * (1 - m)))
    share_improved = (root - linear) / (4 * n)
    variance = np.maximum(0.0, n * (2 * share_improved + m * (1 - m)))
    excess = b - c - n * m
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(variance > 0, excess / np.sqrt(variance), np.sign(excess) * np.inf * (excess != 0))


def tango(regressed: float, improved: float, total: float, *, confidence: float = 0.95) -> Interval:
    """The interval of the difference by Tango's score: right on average also where few cases disagree, never empty.

    Counts may be fractions: cases that hang together count for less (`clusters.design_effect`).
    """
    z = normal_quantile(0.5 + confidence / 2)
    low = -_loss_at(regressed, improved, total, z)
    high = _loss_at(improved, regressed, total, z)
    return Interval(low=low, high=high)


def _loss_at(regressed: float, improved: float, total: float, z: float) -> float:
    """The loss that lies ``z`` standard errors above what was seen, by bisection: the score falls as the loss grows."""
    b, c, n = (np.asarray(float(count)) for count in (regressed, improved, total))
    near, far = (regressed - improved) / total, 1.0
    for _ in range(60):
        middle = (near + far) / 2
        if float(score(b, c, n, np.asarray(middle))) > -z:
            near = middle
        else:
            far = middle
    return far
