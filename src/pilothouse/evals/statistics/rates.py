"""How sure a rate is: intervals that hold for a few cases and for rates near 0 and 1, where the normal one does not."""

from __future__ import annotations

from pilothouse.records import BadRequest
from pilothouse.records.statistics import Interval, wilson

from .distributions import beta_quantile

__all__ = ["clopper_pearson", "failures_at_most", "jeffreys", "wilson"]


def clopper_pearson(hits: int, of: int, *, confidence: float = 0.95) -> Interval:
    """The exact interval: it never promises too much, and is wider than it need be."""
    _check(hits, of)
    tail = (1 - confidence) / 2
    return Interval(
        low=beta_quantile(tail, hits, of - hits + 1) if hits else 0.0,
        high=beta_quantile(1 - tail, hits + 1, of - hits) if hits < of else 1.0,
    )


def jeffreys(hits: int, of: int, *, confidence: float = 0.95) -> Interval:
    """The interval of Jeffreys' Beta(hits + ½, misses + ½), closed at 0 and 1 where nothing or everything was a hit."""
    _check(hits, of)
    tail = (1 - confidence) / 2
    a, b = hits + 0.5, of - hits + 0.5
    return Interval(
        low=beta_quantile(tail, a, b) if hits else 0.0, high=beta_quantile(1 - tail, a, b) if hits < of else 1.0
    )


def failures_at_most(failures: int, of: int, *, confidence: float = 0.95) -> float:
    """The exact one-sided upper bound of a failure rate: 0 of 30 leave room for 9.5 %."""
    _check(failures, of)
    return beta_quantile(confidence, failures + 1, of - failures) if failures < of else 1.0


def _check(hits: int, of: int) -> None:
    if not 0 <= hits <= of:
        raise BadRequest("a rate is a count of a number that is no smaller", got=f"{hits} of {of}", fix="count both")
