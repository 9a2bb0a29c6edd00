"""Many tests at once: p-values made larger, so that one false alarm among many does not pass for a finding."""

from __future__ import annotations

from collections.abc import Sequence

from pilothouse.records.statistics import corrected


def holm(values: Sequence[float]) -> list[float]:
    """Holm's: the chance of even one false alarm among all stays below alpha. For gates."""
    order = sorted(range(len(values)), key=lambda place: values[place])
    result, highest = [1.0] * len(values), 0.0
    for rank, place in enumerate(order):
        highest = max(highest, min(1.0, values[place] * (len(values) - rank)))
        result[place] = highest
    return result


def benjamini_hochberg(values: Sequence[float]) -> list[float]:
    """Benjamini and Hochberg's: of what is called a finding, about alpha is false. For slices that are looked through."""
    return corrected(values)
