"""A statistic of an analysis: the test of two shares."""

from __future__ import annotations

import math


def fisher(hits: int, of: int, others: int, of_others: int) -> float:
    """Fisher's exact test, two-sided: how probable shares as different as these are where there is no difference."""
    total, found = of + of_others, hits + others
    if not of or not of_others or found in (0, total):
        return 1.0
    low, high = max(0, found - of_others), min(of, found)
    logs = [_log_choose(of, k) + _log_choose(of_others, found - k) for k in range(low, high + 1)]
    here = logs[hits - low]
    biggest = max(logs)
    every = sum(math.exp(value - biggest) for value in logs)
    # A hair of tolerance: equal tables computed in another order differ in their last bits.
    extreme = sum(math.exp(value - biggest) for value in logs if value <= here + 1e-9)
    return min(1.0, extreme / every)


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
