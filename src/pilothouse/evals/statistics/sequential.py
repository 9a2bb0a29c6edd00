"""Bounds for what is looked at again and again: they hold at all times at once.

The mixture of Howard et al. ("Time-uniform, nonparametric, nonasymptotic confidence sequences", 2021), its asymptotic form
for any mean (Waudby-Smith et al., "Time-uniform central limit theory", 2023), and the mixture sequential probability ratio
test of Johari et al. ("Always valid inference", 2022), which is the same mixture in other letters.
"""

from __future__ import annotations

import math

from pilothouse.records import BadRequest
from pilothouse.records.statistics import Interval

from .distributions import log_beta, log_beta_below, normal_cdf


def tuned(intrinsic_time: float, *, alpha: float = 0.05, two_sided: bool = True) -> float:
    """The mixture's parameter for which the boundary is tightest at this variance of the sum."""
    odds = 2 * math.log(1 / (alpha if two_sided else 2 * alpha))
    return intrinsic_time / (odds + math.log1p(odds))


def log_normal_mixture(total: float, variance: float, rho: float, *, two_sided: bool = True) -> float:
    """The logarithm of the evidence against a mean of 0, from a sum and its variance so far."""
    spread = variance + rho
    value = (math.log(rho / spread) + total * total / spread) / 2
    return value if two_sided else value + math.log(2 * normal_cdf(total / math.sqrt(spread)))


def normal_mixture_bound(variance: float, rho: float, *, alpha: float = 0.05, two_sided: bool = True) -> float:
    """What a sum with mean 0 never reaches, at any time, with probability 1 − alpha."""
    spread = variance + rho
    bound = math.sqrt(spread * math.log(spread / (rho * alpha * alpha)))
    if two_sided:
        return bound
    near, far = 0.0, bound
    for _ in range(60):
        middle = (near + far) / 2
        if log_normal_mixture(middle, variance, rho, two_sided=False) < math.log(1 / alpha):
            near = middle
        else:
            far = middle
    return far


def log_beta_binomial_mixture(
    total: float, variance: float, *, below: float, above: float, rho: float, two_sided: bool = True
) -> float:
    """The same for sums of values that lie no more than ``below`` under and ``above`` over their mean: sharper there.

    The parameter is that of `tuned`, less ``below · above``.
    """
    g, h, r, both = below, above, rho, below + above
    exponents = (variance + h * total) / (h * both), (variance - g * total) / (g * both)
    at = 1.0 if two_sided else h / both
    seen = _log_beta_below((r + variance - g * total) / (g * both), (r + variance + h * total) / (h * both), at)
    before = _log_beta_below(r / (g * both), r / (h * both), at)
    return variance / (g * h) * math.log(both) - exponents[0] * math.log(g) - exponents[1] * math.log(h) + seen - before


def rate_sequence(hits: int, of: int, *, alpha: float = 0.05, tuned_for: int = 100) -> Interval:
    """Where a pass rate lies, at all times at once: tightest at about ``tuned_for`` cases."""
    if not 0 <= hits <= of:
        raise BadRequest("a rate is a count of a number that is no smaller", got=f"{hits} of {of}", fix="count both")
    if not of:
        return Interval(low=0.0, high=1.0)
    return Interval(low=_rate_edge(hits, of, alpha, tuned_for), high=1.0 - _rate_edge(of - hits, of, alpha, tuned_for))


def _rate_edge(hits: int, of: int, alpha: float, tuned_for: int) -> float:
    def evidence(p: float) -> float:
        variance = p * (1 - p)
        rho = max(tuned(tuned_for * variance) - variance, 1e-3 * variance)
        return log_beta_binomial_mixture(hits - of * p, of * variance, below=p, above=1 - p, rho=rho)

    if not hits:
        return 0.0
    near, far = hits / of, 0.0
    near = min(near, 1 - 1e-12)
    for _ in range(60):
        middle = (near + far) / 2
        if middle < 1e-12 or evidence(middle) >= math.log(1 / alpha):
            far = middle
        else:
            near = middle
    return near if near > 1e-9 else 0.0


def asymptotic_rho(tuned_for: float, *, alpha: float = 0.05) -> float:
    """The parameter for which the asymptotic sequence is tightest at so many observations."""
    return math.sqrt(1 / tuned(tuned_for, alpha=alpha))


def asymptotic_half_width(n: float, *, alpha: float = 0.05, rho: float) -> float:
    """Half the width of the asymptotic confidence sequence of a mean, in standard deviations of one observation."""
    grown = n * rho * rho + 1
    return math.sqrt(2 * grown / (n * n * rho * rho) * math.log(math.sqrt(grown) / alpha))


def asymptotic_p(mean: float, standard_error: float, n: float, *, rho: float) -> float:
    """The p-value of a mean of 0 that belongs to the asymptotic sequence; it may be read at any time."""
    if not standard_error:
        return 1.0 if not mean else 0.0
    grown = n * rho * rho + 1
    exponent = (mean / standard_error) ** 2 * n * rho * rho / (2 * grown)
    return min(1.0, math.sqrt(grown) * math.exp(-min(exponent, 700.0)))


def msprt(difference: float, n: int, *, variance: float, prior: float) -> float:
    """Λ for the difference of two means after n observations each; 1 / (the largest so far) is a p-value at any time.

    Args:
        difference: of the means so far.
        n: observations of each version.
        variance: of one observation.
        prior: variance of the differences that are expected.
    """
    grown = 2 * variance + n * prior
    return math.sqrt(2 * variance / grown) * math.exp(n * n * prior * difference**2 / (4 * variance * grown))


def _log_beta_below(a: float, b: float, at: float) -> float:
    return log_beta(a, b) if at >= 1 else log_beta_below(a, b, at)
