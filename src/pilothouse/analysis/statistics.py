"""Two statistics of an analysis: a test of two shares, and the agreement of two readers."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence


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


def kappa(first: Sequence[str], second: Sequence[str]) -> float | None:
    """Cohen's kappa of two readers of the same items; None where chance alone would have them agree always."""
    if len(first) != len(second):
        raise ValueError(f"readers of {len(first)} and {len(second)} items cannot be compared")
    n = len(first)
    if not n:
        return None
    agreed = sum(a == b for a, b in zip(first, second, strict=True)) / n
    left, right = Counter(first), Counter(second)
    by_chance = sum(left[name] * right[name] for name in left) / (n * n)
    return None if by_chance >= 1 else (agreed - by_chance) / (1 - by_chance)
