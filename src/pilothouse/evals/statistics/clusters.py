"""Cases that hang together, of one session or tenant: how little they count, and standard errors that know it.

After Miller, "Adding Error Bars to Evals" (2024).
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from pilothouse.records import BadRequest

from .distributions import Numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class MeanError:
    """A mean with its standard error: with every case for itself, and with clusters."""

    mean: float
    cases: int
    clusters: int
    naive: float
    """As if the cases were independent; 0 for a single one."""
    clustered: float
    """With the residuals of a cluster added up before they are squared."""
    clustered_corrected: float
    """The same, made larger by √(C/(C−1)) for few clusters; infinite for a single one."""
    design_effect: float
    """How many times more cases it takes than independent ones would: the ratio of the variances, at least 1."""


def mean_error(values: Sequence[float], clusters: Sequence[Hashable] | None = None) -> MeanError:
    """The mean and its standard errors; without clusters every value is one of its own.

    Raises:
        BadRequest: there are no values, or not one cluster for each.
    """
    n = len(values)
    if not n:
        raise BadRequest("a mean needs at least one value", got=0, fix="score a case")
    numbers = np.asarray(values, dtype=np.float64)
    mean = float(numbers.mean())
    residuals = numbers - mean
    groups = cluster_numbers(clusters, n)
    sums = np.bincount(groups, weights=residuals)
    count = len(sums)
    naive = math.sqrt(float(residuals @ residuals) / (n * (n - 1))) if n > 1 else 0.0
    clustered = math.sqrt(float(sums @ sums)) / n
    corrected = clustered * math.sqrt(count / (count - 1)) if count > 1 else math.inf
    return MeanError(
        mean=mean,
        cases=n,
        clusters=count,
        naive=naive,
        clustered=clustered,
        clustered_corrected=corrected,
        design_effect=_ratio(corrected, naive, cluster_size(groups)),
    )


_DIFFERING_MIN = 10


def design_effect(values: Sequence[float], clusters: Sequence[Hashable] | None) -> float:
    """How many times more cases it takes than independent ones would, at least 1.

    Where fewer than ten clusters hold anything but zeros, their spread says too little: then all cases of a cluster are
    taken to be one and the same, which is the worst they can be.
    """
    n = len(values)
    groups = cluster_numbers(clusters, n)
    if n == 0 or len(set(groups.tolist())) == n:
        return 1.0
    differing = np.bincount(groups, weights=np.abs(np.asarray(values, dtype=np.float64)))
    if int(np.count_nonzero(differing)) < _DIFFERING_MIN:
        return cluster_size(groups)
    return mean_error(values, clusters).design_effect


def cluster_numbers(clusters: Sequence[Hashable] | None, n: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """The clusters as numbers from 0, in the order in which they come."""
    if clusters is None:
        return np.arange(n, dtype=np.int64)
    if len(clusters) != n:
        raise BadRequest("every case needs its cluster", got=len(clusters), allowed=n, fix="give one cluster a case")
    seen: dict[Hashable, int] = {}
    return np.asarray([seen.setdefault(one, len(seen)) for one in clusters], dtype=np.int64)


def cluster_size(groups: np.ndarray[tuple[int], np.dtype[np.int64]]) -> float:
    """The size of the cluster that a case is in, on average over cases."""
    sizes: Numbers = np.bincount(groups).astype(np.float64)
    return float(sizes @ sizes / sizes.sum()) if len(sizes) else 1.0


def _ratio(corrected: float, naive: float, worst: float) -> float:
    if math.isinf(corrected) or not naive:
        return worst
    return max(1.0, (corrected / naive) ** 2)
