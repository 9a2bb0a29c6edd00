"""The few statistics that many packages need: an interval for a share, the test of two shares, a correction for many
tests, kappa."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

_Z95 = 1.959963984540054


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """Between which two values something lies, at the confidence that was asked for."""

    low: float
    high: float

    def holds(self, value: float) -> bool:
        """Whether the value lies within, ends included."""
        return self.low <= value <= self.high


def wilson(hits: float, of: float, *, confidence: float = 0.95) -> Interval:
    """Wilson's interval of the share ``hits`` out of ``of``; everything is possible where nothing was counted."""
    if not of:
        return Interval(low=0.0, high=1.0)
    z = _Z95 if confidence == 0.95 else _quantile(0.5 + confidence / 2)
    share = hits / of
    middle = (share + z * z / (2 * of)) / (1 + z * z / of)
    half = z / (1 + z * z / of) * math.sqrt(share * (1 - share) / of + z * z / (4 * of * of))
    # At the ends the formula is exactly 0 and 1, but for the last bits of a float.
    low = 0.0 if hits == 0 else max(0.0, middle - half)
    return Interval(low=low, high=1.0 if hits == of else min(1.0, middle + half))


def fisher(hits: int, of: int, others: int, of_others: int) -> float:
    """Fisher's exact test, two-sided: how probable a split at most as probable as this one is, were the shares equal.

    Raises:
        ValueError: there are more hits than there are in all.
    """
    if not (0 <= hits <= of and 0 <= others <= of_others):
        raise ValueError(f"{hits} of {of} and {others} of {of_others} are no shares")
    found = hits + others
    low, high = max(0, found - of_others), min(of, found)
    logs = [_log_choose(of, k) + _log_choose(of_others, found - k) for k in range(low, high + 1)]
    here, biggest = logs[hits - low], max(logs)
    every = sum(math.exp(value - biggest) for value in logs)
    # A hair of tolerance: equal tables computed in another order differ in their last bits.
    extreme = sum(math.exp(value - biggest) for value in logs if value <= here + 1e-7)
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


def kappa(first: Sequence[Hashable], second: Sequence[Hashable]) -> float | None:
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


def _quantile(probability: float) -> float:
    # Imported where it is needed: it brings decimals and fractions with it, which an agent's process has no use for.
    from statistics import NormalDist

    return NormalDist().inv_cdf(probability)
