"""Bounds that hold at all times: against the values of confseq, GrowthBook and Johari et al."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pilothouse.evals.statistics.sequential import (
    asymptotic_half_width,
    asymptotic_p,
    asymptotic_rho,
    log_beta_binomial_mixture,
    log_normal_mixture,
    msprt,
    normal_mixture_bound,
    rate_sequence,
    tuned,
)
from pilothouse.records import BadRequest


def test_normal_mixture_as_confseq_has_it() -> None:
    two, one = tuned(100), tuned(100, two_sided=False)
    assert (two, one) == pytest.approx((12.60056, 15.80063), abs=1e-5)
    assert log_normal_mixture(10, 100, two) == pytest.approx(-0.6510052, abs=5e-8)
    assert log_normal_mixture(10, 100, one, two_sided=False) == pytest.approx(-0.06502391, abs=5e-9)
    assert normal_mixture_bound(100, two) == pytest.approx(30.35209, abs=5e-6)
    assert normal_mixture_bound(100, one, two_sided=False) == pytest.approx(27.66071, abs=5e-6)


def test_beta_binomial_mixture_as_confseq_has_it() -> None:
    both = log_beta_binomial_mixture(10, 100, below=0.2, above=0.8, rho=tuned(100) - 0.16)
    one = log_beta_binomial_mixture(
        10, 100, below=0.2, above=0.8, rho=tuned(100, two_sided=False) - 0.16, two_sided=False
    )
    assert (both, one) == pytest.approx((-0.6941012, -0.07134019), abs=5e-8)


@pytest.mark.parametrize(
    ("hits", "of", "tuned_for", "low", "high"),
    [(700, 1000, 100, 0.651629, 0.745949), (15, 50, 50, 0.129556, 0.511896), (5, 50, 50, 0.013021, 0.269264), (1, 50, 50, 0, 0.13489)],
)  # fmt: skip
def test_rates_as_confseq_has_them(hits: int, of: int, tuned_for: int, low: float, high: float) -> None:
    interval = rate_sequence(hits, of, tuned_for=tuned_for)
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=2e-6)
    mirrored = rate_sequence(of - hits, of, tuned_for=tuned_for)
    assert (1 - mirrored.high, 1 - mirrored.low) == pytest.approx((interval.low, interval.high), abs=1e-9)


def test_rates_at_the_ends() -> None:
    assert rate_sequence(0, 0).high == 1
    assert rate_sequence(0, 100).low == 0
    assert rate_sequence(100, 100).high == 1
    with pytest.raises(BadRequest):
        rate_sequence(3, 2)


def test_asymptotic_sequence_as_published() -> None:
    rho = asymptotic_rho(5000)
    assert rho == pytest.approx(0.0398401, abs=5e-8)
    widths = [asymptotic_half_width(n, rho=rho) for n in (1000, 5000, 10000)]
    assert widths == pytest.approx([0.106375, 0.042924, 0.030615], abs=5e-7)
    fixed = [1.959964 / math.sqrt(n) for n in (1000, 5000, 10000)]
    assert [a / b for a, b in zip(widths, fixed, strict=True)] == pytest.approx([1.716, 1.549, 1.562], abs=5e-4)


@pytest.mark.parametrize(
    ("sums", "squares", "tuned_for", "lift", "low", "high"),
    [
        ((1396.87, 2422.7), (52377.9767, 134698.29), 1000, 0.50336, -0.55844, 1.56516),
        ((1396, 2422), (1396, 2422), 5000, 0.50386, 0.40096, 0.60676),
    ],
)
def test_a_lift_as_growthbook_has_it(
    sums: tuple[float, float], squares: tuple[float, float], tuned_for: int, lift: float, low: float, high: float
) -> None:
    ns = (3000, 3461)
    (a, b), total = (s / n for s, n in zip(sums, ns, strict=True)), sum(ns)
    va, vb = ((q - s * s / n) / (n - 1) for q, s, n in zip(squares, sums, ns, strict=True))
    error = math.sqrt(vb / ns[1] / a**2 + va / ns[0] * b**2 / a**4)
    rho = asymptotic_rho(tuned_for)
    half = error * math.sqrt(total) * asymptotic_half_width(total, rho=rho)
    found = b / a - 1
    assert (found, found - half, found + half) == pytest.approx((lift, low, high), abs=3e-5)
    p = asymptotic_p(found, error, total, rho=rho)
    assert p == 1 if low < 0 else p < 1e-6


def test_the_p_value_belongs_to_the_asymptotic_sequence() -> None:
    rho = asymptotic_rho(500)
    for n in (50, 400, 3000):
        at_edge = asymptotic_half_width(n, alpha=0.05, rho=rho)
        assert asymptotic_p(at_edge, 1 / math.sqrt(n), n, rho=rho) == pytest.approx(0.05, rel=1e-9)
    assert (asymptotic_p(0, 0, 10, rho=rho), asymptotic_p(1, 0, 10, rho=rho)) == (1, 0)


def test_mixture_sequential_probability_ratio() -> None:
    for d, n, value, p in ((0.1, 1000, 3.278722, 0.304997), (0.15, 1000, 44.32817, 0.0225590), (0.08, 5000, 429.7740, 0.00232680)):  # fmt: skip
        found = msprt(d, n, variance=1, prior=0.01)
        assert found == pytest.approx(value, rel=2e-7)
        assert min(1, 1 / found) == pytest.approx(p, rel=2e-6)


def test_the_ratio_is_the_normal_mixture_in_other_letters() -> None:
    for n, d, variance, prior in ((10, 0.3, 2.0, 0.5), (1000, 0.1, 1.0, 0.01), (77, -0.4, 0.3, 0.2)):
        mixture = log_normal_mixture(n * d, 2 * variance * n, (2 * variance) ** 2 / prior)
        assert math.log(msprt(d, n, variance=variance, prior=prior)) == pytest.approx(mixture, abs=1e-12)


def test_the_boundary_is_rarely_ever_crossed() -> None:
    seed, runs, steps = 21, 2000, 1500
    print("seed", seed)
    rng = np.random.default_rng(seed)
    rho = tuned(100)
    bounds = np.array([normal_mixture_bound(v, rho) for v in range(1, steps + 1)])
    crossed = 0
    for _ in range(0, runs, 500):
        sums = np.cumsum(rng.standard_normal((500, steps), dtype=np.float32), axis=1)
        crossed += int((np.abs(sums) >= bounds).any(axis=1).sum())
    assert 0.01 < crossed / runs <= 0.05
