"""Pairs that are looked at again and again: evidence that keeps its promise however often, and whenever, one stops.

Somebody who tests at 5 % after each batch of cases and stops at the first alarm is wrong far more often than in 5 % of
cases. Here the evidence is the likelihood of all that was seen, averaged over what could be the case, divided by the
likelihood under the best explanation without the claim. If the claim is false, that ratio ever reaches 1/α with
probability α at most (Ville's inequality), for any sample size, without an approximation. Its inverse is a p-value.
"""

from __future__ import annotations

import math
from typing import Final

from pilothouse.records.statistics import Interval

from .distributions import log_beta

# What could be the case, before anything is seen. That versions disagree: seldom, as Beta(½, 1). Which of the two is then
# better: anything, as Beta(1, 1). Any other choice keeps the promise too; these find the usual differences soonest.
_DISAGREE: Final = (0.5, 1.0)
_WORSE: Final = (1.0, 1.0)


def log_evidence(regressed: float, improved: float, total: float, loss: float) -> float:
    """The logarithm of the evidence that the true loss is not ``loss``: against it where the data lie below, else above.

    Counts may be fractions: cases that hang together count for less (`clusters.design_effect`).
    """
    b, c, same = regressed, improved, total - regressed - improved
    averaged = (
        log_beta(b + c + _DISAGREE[0], same + _DISAGREE[1])
        - log_beta(*_DISAGREE)
        + log_beta(b + _WORSE[0], c + _WORSE[1])
        - log_beta(*_WORSE)
    )
    return averaged - _best(b, c, same, loss)


def p_at_loss(regressed: float, improved: float, total: float, loss: float) -> float:
    """A p-value of "the loss is ``loss``" that may be read after every case."""
    return min(1.0, math.exp(-max(0.0, log_evidence(regressed, improved, total, loss))))


def log_evidence_of_difference(regressed: float, improved: float) -> float:
    """The logarithm of the evidence that the versions differ: McNemar's question, from the cases that tell them apart.

    Sharper than `log_evidence` at a loss of 0, since how often they disagree need not be known for it.
    """
    t = regressed + improved
    return log_beta(regressed + _WORSE[0], improved + _WORSE[1]) - log_beta(*_WORSE) + t * math.log(2)


def p_anytime(regressed: float, improved: float) -> float:
    """A two-sided p-value of "the versions do not differ" that may be read after every case."""
    return min(1.0, math.exp(-max(0.0, log_evidence_of_difference(regressed, improved))))


def confidence_sequence(regressed: float, improved: float, total: float, *, alpha: float) -> Interval:
    """Where the difference (after minus before) lies, at all times at once, with probability 1 − alpha."""
    if total <= 0:
        return Interval(low=-1.0, high=1.0)
    low = -_reaches(regressed, improved, total, alpha)
    high = _reaches(improved, regressed, total, alpha)
    return Interval(low=low, high=high)


def _reaches(regressed: float, improved: float, total: float, alpha: float) -> float:
    """Up to which loss the evidence does not reach 1/α; it grows with the distance from what was seen."""
    enough = math.log(1 / alpha)
    near, far = (regressed - improved) / total, 1.0
    for _ in range(50):
        middle = (near + far) / 2
        if log_evidence(regressed, improved, total, middle) < enough:
            near = middle
        else:
            far = middle
    return far


def _best(b: float, c: float, same: float, loss: float) -> float:
    """The largest log-likelihood at a given loss: the shares solve a quadratic."""
    n = b + c + same
    linear = -b - c + (2 * n - b + c) * loss
    share_improved = (math.sqrt(max(0.0, linear**2 + 8 * n * c * loss * (1 - loss))) - linear) / (4 * n)
    share_improved = min(max(share_improved, 0.0, -loss), (1 - loss) / 2)
    shares = (share_improved + loss, share_improved, 1 - loss - 2 * share_improved)
    return sum(_times_log(count, share) for count, share in zip((b, c, same), shares, strict=True))


def _times_log(count: float, share: float) -> float:
    if not count:
        return 0.0
    return count * math.log(share) if share > 1e-300 else -math.inf
