"""Not worse by more than a margin: an exact test for pairs, and the bounds that follow from it.

The normal approximation calls three cases without a change a proof. Here the probability of what was seen is summed over
all outcomes that speak as much against the loss, for the worst case of what is not known: how often the versions disagree
at all. That is searched where it may be in the light of the data (Berger and Boos), and the price of the search is paid.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from .distributions import Numbers, beta_quantile, binomial_cdf, binomial_pmf, normal_cdf
from .paired import score, tango

_SEARCH: Final = 1e-4
"""How improbable it is that the disagreement lies outside of what is searched; it is added to every p."""

_EXACT_MAX: Final = 100
"""Up to how many cases that disagree the sum is worth its time; beyond, the score differs by a few hundredths of the way at most."""

_GRID: Final = 25
_STEPS: Final = 9


def p_loss(regressed: int, improved: int, total: int, loss: float) -> float:
    """How probable results this good or better are if the true loss were ``loss`` or more, at worst.

    A small value shows that less is lost. Turn the counts and the sign round to show that more is lost:
    ``p_loss(improved, regressed, total, -loss)``.
    """
    if total == 0 or loss <= -1:
        return 1.0
    if loss >= 1:
        return 0.0
    t_seen = regressed + improved
    if t_seen > _EXACT_MAX:
        return normal_cdf(float(score(*_arrays(regressed, improved, total, loss))))
    low, high = _disagreement(t_seen, total)
    low, high = max(low, abs(loss)), max(high, abs(loss))
    shares = np.linspace(low, high, _GRID)[None, :]
    t_low, t_high = _window(low, total)[0], _window(high, total)[1]
    t = np.arange(t_low, t_high + 1, dtype=np.float64)[:, None]
    seen = float(score(*_arrays(regressed, improved, total, loss)))
    most = _most_regressed(t[:, 0], total, loss, seen)[:, None]
    of_them_regressed = np.clip((shares + loss) / (2 * shares), 0.0, 1.0)
    weights = binomial_pmf(t, np.asarray(float(total)), np.minimum(shares, 1.0))
    tails = binomial_cdf(most, t, of_them_regressed)
    return min(1.0, float(np.max(np.sum(weights * tails, axis=0))) + _SEARCH)


def lower_bound(regressed: float, improved: float, total: float, *, alpha: float) -> float:
    """No worse than this, with confidence 1 − alpha.

    Counts may be fractions (`clusters.design_effect`); they are rounded to the side of caution.
    """
    if total < 1:
        return -1.0
    b, n = math.ceil(regressed - 1e-9), math.floor(total + 1e-9)
    b = min(b, n)
    c = min(math.floor(improved + 1e-9), n - b)
    rough = -tango(b, c, n, confidence=1 - 2 * alpha).low
    if b + c > _EXACT_MAX:
        return -rough
    # The edge lies near that of the score: it is bracketed in steps of a fifth of the way, then found by halving.
    step = (rough - (b - c) / n) / 5
    far = rough
    while far < 1 and p_loss(b, c, n, far) >= alpha:
        far = min(1.0, far + step)
    near = far - step
    while near > (b - c) / n and p_loss(b, c, n, near) < alpha:
        near, far = near - step, near
    for _ in range(_STEPS):
        middle = (near + far) / 2
        if p_loss(b, c, n, middle) >= alpha:
            near = middle
        else:
            far = middle
    return -far


def upper_bound(regressed: float, improved: float, total: float, *, alpha: float) -> float:
    """No better than this, with confidence 1 − alpha."""
    return -lower_bound(improved, regressed, total, alpha=alpha)


def _disagreement(seen: int, total: int) -> tuple[float, float]:
    low = beta_quantile(_SEARCH / 2, seen, total - seen + 1) if seen else 0.0
    high = beta_quantile(1 - _SEARCH / 2, seen + 1, total - seen) if seen < total else 1.0
    return low, high


def _window(share: float, total: int) -> tuple[int, int]:
    """Where the number of disagreements lies, but for less than one in a billion."""
    middle, spread = share * total, math.sqrt(max(0.0, share * (1 - share) * total))
    return max(0, math.floor(middle - 6.5 * spread - 10)), min(total, math.ceil(middle + 6.5 * spread + 10))


def _most_regressed(t: Numbers, total: int, loss: float, seen: float) -> Numbers:
    """For each number of disagreements, up to how many may have regressed for as strong a case; −1 for none."""
    n, m = np.asarray(float(total)), np.asarray(loss)
    near, far = np.full_like(t, -1.0), t + 1
    # The score grows with the regressed, so the edge is found by halving.
    while np.any(far - near > 1):
        middle = np.floor((near + far) / 2)
        inside = score(middle, t - middle, n, m) <= seen + 1e-9
        move = far - near > 1
        near, far = np.where(move & inside, middle, near), np.where(move & ~inside, middle, far)
    return near


def _arrays(*values: float) -> tuple[Numbers, ...]:
    return tuple(np.asarray(float(value)) for value in values)
