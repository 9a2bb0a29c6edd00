"""Sign-flip tests: if the versions were alike, before and after could be swapped, for each case or cluster at once.

The p-value is the share of all swaps that part the versions at least as far as what was seen. For single cases that pass
or fail this is the exact McNemar test; for clusters of them it is its clustered form, as exact.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from .distributions import Numbers, binomial_pmf, normal_cdf

_ENUMERATED_MAX: Final = 16
"""Up to how many differences that are not 0 all swaps are tried: 65,536."""

SAMPLED_MAX: Final = 5_000
"""Up to how many differences, or clusters, samples are drawn; beyond, the normal approximation is as good."""

DRAWS: Final = 10_000
SEED: Final = 20_260_101


@dataclass(frozen=True, slots=True, kw_only=True)
class SignFlip:
    """What a sign-flip test found, two-sided."""

    p: float
    mid_p: float
    """With the outcome seen counted by half."""
    exact: bool
    """All swaps were counted; else a sample of them by a fixed seed, or their normal approximation for thousands."""


def flip_counts(differences: Iterable[int]) -> SignFlip:
    """For whole numbers, such as how many more cases of a cluster pass: exact, however many there are."""
    changes = [one for one in differences if one]
    sizes = Counter(abs(one) for one in changes)
    if not sizes:
        return SignFlip(p=1.0, mid_p=1.0, exact=True)
    reach = sum(size * times for size, times in sizes.items())
    sums = _by_adding(sizes) if reach <= _ADDED_MAX else _by_waves(sizes, reach)
    middle = (len(sums) - 1) // 2
    seen = abs(sum(changes))
    tail = float(sums[middle + seen :].sum()) + float(sums[: middle - seen + 1].sum())
    if not seen:
        return SignFlip(p=1.0, mid_p=1.0, exact=True)
    return SignFlip(p=min(1.0, tail), mid_p=min(1.0, tail - float(sums[middle + seen])), exact=True)


def flip_means(differences: Sequence[float], *, draws: int = DRAWS, seed: int = SEED) -> SignFlip:
    """For any numbers, such as the sum of a cluster's differences: exact up to sixteen that are not 0, else sampled."""
    values = np.asarray([one for one in differences if one], dtype=np.float64)
    if not len(values):
        return SignFlip(p=1.0, mid_p=1.0, exact=True)
    seen = abs(float(values.sum()))
    # Equal sums, added up in another order, differ in their last bits.
    hair = 1e-9 * float(np.abs(values).sum())
    if seen <= hair:
        return SignFlip(p=1.0, mid_p=1.0, exact=True)
    if len(values) <= _ENUMERATED_MAX:
        sums: Numbers = np.zeros(1)
        for value in values:
            sums = np.concatenate([sums - value, sums + value])
        further = np.abs(sums) > seen + hair
        alike = np.abs(np.abs(sums) - seen) <= hair
        p = float((further | alike).mean())
        return SignFlip(p=p, mid_p=min(1.0, float(further.mean()) + float(alike.mean()) / 2), exact=True)
    if len(values) > SAMPLED_MAX:
        # A sum of so many flipped signs is normal to more digits than ten thousand samples show.
        p = 2 * normal_cdf(-seen / math.sqrt(float(values @ values)))
        return SignFlip(p=p, mid_p=p, exact=False)
    random = np.random.default_rng(seed)
    reached = 0
    for start in range(0, draws, _BLOCK):
        signs = random.integers(0, 2, size=(min(_BLOCK, draws - start), len(values)), dtype=np.int8) * 2 - 1
        reached += int(np.count_nonzero(np.abs(signs @ values) >= seen - hair))
    # The outcome seen is one of the swaps, so that p is never 0 and the test keeps its promise.
    p = (reached + 1) / (draws + 1)
    return SignFlip(p=p, mid_p=p, exact=False)


_BLOCK: Final = 500
_ADDED_MAX: Final = 2_000
"""Up to which largest sum the probabilities are added up, right to the last digit however small."""


def _by_adding(sizes: Mapping[int, int]) -> Numbers:
    """The probability of each sum, from the lowest to the highest."""
    sums: Numbers = np.ones(1)
    for size, times in sizes.items():
        # Of `times` differences of this size, k keep their sign: the sum moves by 2·size each.
        spread: Numbers = np.zeros(2 * size * times + 1)
        spread[:: 2 * size] = binomial_pmf(np.arange(times + 1.0), np.asarray(float(times)), np.asarray(0.5))
        sums = np.convolve(sums, spread)
    return sums


def _by_waves(sizes: Mapping[int, int], reach: int) -> Numbers:
    """The same by Fourier's way: a flipped sign is a cosine there, and a sum a product. Right to 1e-12."""
    length = 1 << (2 * reach + 1).bit_length()
    angles = 2 * np.pi / length * np.arange(length // 2 + 1)
    product: Numbers = np.ones(length // 2 + 1)
    for size, times in sizes.items():
        product *= np.cos(size * angles) ** times
    around: Numbers = np.fft.irfft(product, length)
    return np.maximum(np.concatenate([around[-reach:], around[: reach + 1]]), 0.0)
