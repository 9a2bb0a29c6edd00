"""The few statistics an analysis needs: an interval for a share, a test of two shares, a correction for many tests, kappa."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

_Z = 1.959963984540054


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """Wilson's 95 % interval of a share."""

    low: float
    high: float


def wilson(hits: int, of: int) -> Interval:
    """The interval of ``hits`` out of ``of``; everything is possible where there was nothing to count."""
    if not of:
        return Interval(low=0.0, high=1.0)
    share = hits / of
    middle = (share + _Z * _Z / (2 * of)) / (1 + _Z * _Z / of)
    half = _Z / (1 + _Z * _Z / of) * math.sqrt(share * (1 - share) / of + _Z * _Z / (4 * of * of))
    return Interval(low=max(0.0, middle - half), high=min(1.0, middle + half))


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


def corrected(values: Sequence[float]) -> list[float]:
    """P values corrected for their number (Benjamini and Hochberg), in the order given."""
    order = sorted(range(len(values)), key=lambda place: values[place])
    result = [1.0] * len(values)
    lowest = 1.0
    for rank in range(len(values), 0, -1):
        place = order[rank - 1]
        lowest = min(lowest, values[place] * len(values) / rank)
        result[place] = lowest
    return result


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
