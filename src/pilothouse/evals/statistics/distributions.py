"""Quantiles and tails that the other modules need: scipy's, with plain types."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import special

Numbers: TypeAlias = NDArray[np.float64]

_NORMAL = NormalDist()


def normal_quantile(probability: float) -> float:
    """Below which value a standard normal lies with this probability."""
    return _NORMAL.inv_cdf(probability)


def normal_cdf(value: float) -> float:
    """How probable it is that a standard normal lies below the value."""
    return _NORMAL.cdf(value)


def t_quantile(probability: float, degrees: float) -> float:
    """Below which value Student's t lies with this probability."""
    return float(special.stdtrit(degrees, probability))


def t_cdf(value: float, degrees: float) -> float:
    """How probable it is that Student's t lies below the value."""
    return float(special.stdtr(degrees, value))


def chi2_tail(value: float, degrees: int = 1) -> float:
    """How probable a chi-square at least as large is."""
    return float(special.chdtrc(degrees, value))


def beta_quantile(probability: float, a: float, b: float) -> float:
    """Below which value a Beta(a, b) lies with this probability."""
    return float(special.betaincinv(a, b, probability))


def beta_tail(value: float, a: float, b: float) -> float:
    """How probable it is that a Beta(a, b) lies above the value."""
    return float(special.betaincc(a, b, value))


def log_beta(a: float, b: float) -> float:
    """The logarithm of the beta function."""
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def log_beta_below(a: float, b: float, at: float) -> float:
    """The logarithm of the beta function, integrated from 0 to ``at`` only."""
    return log_beta(a, b) + math.log(float(special.betainc(a, b, at)))


def binomial_cdf(successes: Numbers, of: Numbers, share: Numbers) -> Numbers:
    """How probable at most so many successes are; arguments are broadcast, fewer than none is impossible."""
    k, n, p = np.broadcast_arrays(np.floor(successes), of, share)
    # The incomplete beta is defined within; at the ends the answer needs no formula.
    within = (k >= 0) & (k < n)
    safe_k, safe_n = np.where(within, k, 0.0), np.where(within, n, 1.0)
    inside: Numbers = special.betainc(safe_n - safe_k, safe_k + 1.0, 1.0 - p)
    return np.where(within, inside, np.where(k < 0, 0.0, 1.0))


def binomial_pmf(successes: Numbers, of: Numbers, share: Numbers) -> Numbers:
    """How probable exactly so many successes are; arguments are broadcast."""
    choose: Numbers = special.gammaln(of + 1) - special.gammaln(successes + 1) - special.gammaln(of - successes + 1)
    ones: Numbers = special.xlogy(successes, share) + special.xlog1py(of - successes, -share)
    return np.exp(choose + ones)
