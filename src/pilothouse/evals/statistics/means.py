"""The mean of differences of scores: bootstrap intervals (BCa), by case or by cluster.

After Efron 1987: the quantiles of resampled means, shifted for their bias and for how the spread changes with the mean.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from pilothouse.records import BadRequest

from .clusters import cluster_numbers
from .distributions import Numbers, normal_cdf, normal_quantile
from .flips import DRAWS, SEED


@dataclass(frozen=True, slots=True, kw_only=True)
class Resampled:
    """A mean, and the means of samples drawn from the same cases with replacement."""

    mean: float
    draws: Numbers
    """Sorted."""
    bias: float
    """How many standard normals the middle of the draws lies beside the mean; 0 where they agree."""
    acceleration: float
    """How the spread changes with the mean, from leaving out one cluster at a time."""

    def bound(self, probability: float) -> float:
        """Below which value the true mean lies with this probability."""
        z = self.bias + normal_quantile(probability)
        shifted = normal_cdf(self.bias + z / (1 - self.acceleration * z))
        return float(np.quantile(self.draws, min(1.0, max(0.0, shifted))))


def resample(
    values: Sequence[float],
    clusters: Sequence[Hashable] | None = None,
    *,
    draws: int = DRAWS,
    seed: int = SEED,
) -> Resampled:
    """Draw clusters (each case is one where none are given) with replacement, and take the mean of their cases.

    Raises:
        BadRequest: there are fewer than two clusters.
    """
    groups = cluster_numbers(clusters, len(values))
    numbers = np.asarray(values, dtype=np.float64)
    sums, sizes = np.bincount(groups, weights=numbers), np.bincount(groups).astype(np.float64)
    count = len(sums)
    if count < 2:
        raise BadRequest("resampling needs at least two cases or clusters", got=count, fix="score more of them")
    random = np.random.default_rng(seed)
    means: Numbers = np.empty(draws)
    block = max(1, min(draws, _BLOCK_MAX // count))
    for start in range(0, draws, block):
        rows = min(block, draws - start)
        drawn = random.integers(0, count, size=(rows, count), dtype=np.int32)
        means[start : start + rows] = sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
    mean = float(numbers.mean())
    # A mean that is met exactly counts by half on either side.
    hair = 1e-12 * max(1.0, float(np.abs(numbers).max()))
    below = (float((means < mean - hair).mean()) + float((means <= mean + hair).mean())) / 2
    edge = 0.5 / draws
    left_out = (sums.sum() - sums) / (sizes.sum() - sizes)
    away = left_out.mean() - left_out
    spread = float((away**2).sum())
    acceleration = float((away**3).sum()) / (6 * spread**1.5) if spread > 1e-300 else 0.0
    return Resampled(
        mean=mean,
        draws=np.sort(means),
        bias=normal_quantile(min(1 - edge, max(edge, below))),
        acceleration=acceleration if math.isfinite(acceleration) else 0.0,
    )


_BLOCK_MAX = 2_000_000
"""How many drawn numbers are held at once: 24 MB."""
