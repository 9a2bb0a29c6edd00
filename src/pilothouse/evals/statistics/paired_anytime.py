"""Pairs that are looked at again and again: evidence that keeps its promise however often, and whenever, one stops.

Somebody who tests at 5 % after each batch of cases and stops at the first alarm is wrong far more often than in 5 % of
cases. Here the evidence is the fortune of a gambler (Waudby-Smith and Ramdas, "Estimating means of bounded random
variables by betting", 2024). Whoever claims that the true loss is smaller than some loss bets on it, case by case, at odds
that would be fair or worse if it were not: a case that improved pays, one that regressed costs, one that did not change
pays a little. If the claim is false, the fortune ever grows twentyfold with probability 1 in 20 at most (Ville's
inequality), for any number of cases, without an approximation. So 1 over it is a p-value that may be read after every case.

At a loss of 0 cases that do not change neither pay nor cost: what is left is McNemar's question.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Final

import numpy as np

from pilothouse.records.statistics import Interval

from .distributions import Numbers

_BETS: Final = 64
_SMALLEST_BET: Final = 0.003


def log_evidence(regressed: float, improved: float, total: float, loss: float) -> float:
    """The logarithm of the evidence that the true loss is smaller than ``loss``.

    That it is larger: ``log_evidence(improved, regressed, total, -loss)``. Counts may be fractions: cases that hang
    together count for less (`clusters.design_effect`).
    """
    if loss >= 1:
        return math.inf
    if loss <= -1:
        return -math.inf
    same = max(0.0, total - regressed - improved)
    stakes = _bets() / (1 - loss)
    fortunes = (
        improved * np.log1p(stakes * (1 + loss))
        + same * np.log1p(stakes * loss)
        + regressed * np.log1p(-stakes * (1 - loss))
    )
    most = float(fortunes.max())
    return most + math.log(float(np.exp(fortunes - most).mean()))


def p_anytime(regressed: float, improved: float) -> float:
    """A two-sided p-value of "the versions do not differ" that may be read after every case."""
    t = regressed + improved
    best = max(log_evidence(regressed, improved, t, 0.0), log_evidence(improved, regressed, t, 0.0))
    return min(1.0, 2 * math.exp(-max(0.0, best)))


def p_loss_beyond(regressed: float, improved: float, total: float, loss: float) -> float:
    """A two-sided p-value of "no more than ``loss`` is lost" that may be read after every case."""
    return min(1.0, 2 * math.exp(-max(0.0, log_evidence(improved, regressed, total, -loss))))


def anytime_bound(regressed: float, improved: float, total: float, *, alpha: float) -> float:
    """No worse than this, at all times at once, with probability 1 − alpha."""
    enough = math.log(1 / alpha)
    near, far = -1.0, 1.0
    # The evidence grows with the loss that is denied.
    for _ in range(45):
        middle = (near + far) / 2
        if log_evidence(regressed, improved, total, middle) < enough:
            near = middle
        else:
            far = middle
    return -far


def confidence_sequence(regressed: float, improved: float, total: float, *, alpha: float) -> Interval:
    """Where the difference (after minus before) lies, at all times at once, with probability 1 − alpha."""
    return Interval(
        low=anytime_bound(regressed, improved, total, alpha=alpha / 2),
        high=-anytime_bound(improved, regressed, total, alpha=alpha / 2),
    )


@cache
def _bets() -> Numbers:
    """How much is bet, as shares of what may be: the fortune is the mean over all of them, fixed before any case.

    Half of them are spread evenly, for versions that seldom disagree; half by their logarithm, for those that often do.
    Any other choice keeps the promise too.
    """
    shares: Numbers = np.geomspace(_SMALLEST_BET, 1.0, 4001)
    portion = (shares + np.log(shares / _SMALLEST_BET) / math.log(1 / _SMALLEST_BET)) / 2
    return np.interp((np.arange(_BETS) + 0.5) / _BETS, portion, shares)
