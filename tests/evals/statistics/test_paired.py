"""Pairs that pass or fail: McNemar's tests and the intervals of the difference, against others' values and by force."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats
from statsmodels.stats.contingency_tables import mcnemar as statsmodels_mcnemar

from pilothouse.evals.statistics.flips import flip_counts, flip_means
from pilothouse.evals.statistics.paired import PairedCounts, mcnemar, score, tango, wald
from pilothouse.evals.statistics.paired_exact import lower_bound, p_loss, upper_bound
from pilothouse.records import BadRequest

ARTICLE = PairedCounts(both_pass=803, regressed=18, improved=8, both_fail=18)
tables = st.tuples(*[st.integers(0, 40)] * 4).filter(lambda cells: sum(cells) > 0)


def test_847_cases_with_18_regressed_and_8_improved() -> None:
    test, difference = mcnemar(18, 8), wald(ARTICLE)
    assert (test.p, test.mid_p) == pytest.approx((0.0755187, 0.0522390), abs=5e-8)
    assert (test.chi2, test.chi2_p) == pytest.approx((3.846154, 0.0498602), abs=5e-7)
    assert (test.chi2_corrected, test.chi2_corrected_p) == pytest.approx((3.115385, 0.0775562), abs=5e-7)
    assert 100 * difference.difference == pytest.approx(-1.18064, abs=5e-6)
    assert 100 * difference.standard_error == pytest.approx(0.60064, abs=5e-6)
    assert 100 * difference.interval.low == pytest.approx(-2.35789, abs=2e-5)
    assert 100 * difference.interval.high == pytest.approx(-0.00338, abs=3e-5)
    assert 100 * difference.bound == pytest.approx(-2.16869, abs=1e-4)


@pytest.mark.parametrize(
    ("regressed", "improved", "chi2", "p"), [(121, 59, 20.67222, 5.450095e-6), (150, 86, 17.355932, 3.099293e-5)]
)
def test_published_tables(regressed: int, improved: int, chi2: float, p: float) -> None:
    test = mcnemar(regressed, improved)
    values = [(test.chi2_corrected, test.chi2_corrected_p), (test.chi2, test.chi2_p)]
    assert any(value == pytest.approx((chi2, p), rel=1e-6) for value in values)


@given(tables)
@settings(max_examples=150, deadline=None)
def test_the_tests_are_those_of_statsmodels(cells: tuple[int, int, int, int]) -> None:
    a, b, c, d = cells
    ours = mcnemar(b, c)
    table = [[a, b], [c, d]]
    assert ours.p == pytest.approx(statsmodels_mcnemar(table, exact=True).pvalue, abs=1e-12)
    assert ours.p == pytest.approx(flip_counts([-1] * b + [1] * c).p, abs=1e-12)
    assert ours.mid_p == pytest.approx(flip_counts([-1] * b + [1] * c).mid_p, abs=1e-12)
    if b + c:
        plain = statsmodels_mcnemar(table, exact=False, correction=False)
        assert (ours.chi2, ours.chi2_p) == pytest.approx((plain.statistic, plain.pvalue), abs=1e-12)
    if b != c:
        continuous = statsmodels_mcnemar(table, exact=False, correction=True)
        assert (ours.chi2_corrected, ours.chi2_corrected_p) == pytest.approx(
            (continuous.statistic, continuous.pvalue), abs=1e-12
        )


@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 60), st.floats(-0.9, 0.9))
@settings(max_examples=100, deadline=None)
def test_the_score_uses_the_variance_that_fits_best(b: int, c: int, same: int, loss: float) -> None:
    n = b + c + same
    if not n:
        return

    def misfit(q: float) -> float:
        shares = (q + loss, q, 1 - loss - 2 * q)
        return -sum(k * math.log(max(s, 1e-300)) for k, s in zip((b, c, same), shares, strict=True) if k)

    low, high = max(0.0, -loss), (1 - loss) / 2
    found = optimize.minimize_scalar(misfit, bounds=(low, high), method="bounded", options={"xatol": 1e-11})
    q = min((float(found.x), low, high), key=misfit)
    variance = n * (2 * q + loss - loss**2)
    if variance < 1e-4:
        return
    ours = float(score(*(np.asarray(float(v)) for v in (b, c, n, loss))))
    assert ours == pytest.approx((b - c - n * loss) / math.sqrt(variance), rel=2e-3, abs=2e-3)


def test_tangos_interval_without_a_difference_is_known_in_closed_form() -> None:
    z2 = stats.norm.ppf(0.975) ** 2
    interval = tango(0, 0, 30)
    assert (interval.low, interval.high) == pytest.approx((-z2 / (30 + z2), z2 / (30 + z2)), abs=1e-9)


@given(tables)
@settings(max_examples=60, deadline=None)
def test_tangos_interval_turns_mcnemars_chi_square_round(cells: tuple[int, int, int, int]) -> None:
    a, b, c, d = cells
    interval = tango(b, c, a + b + c + d)
    assert interval.low <= (c - b) / sum(cells) <= interval.high
    # 0 lies within exactly where the chi-square does not reject it.
    assert interval.holds(0) == (b + c == 0 or mcnemar(b, c).chi2_p >= 0.05 - 1e-9)


def exhaustive(regressed: int, improved: int, total: int, loss: float) -> float:
    """By force: every outcome that speaks as much against the loss, at the worst of 1,001 rates of disagreement.

    Only rates that the data allow are tried (Clopper and Pearson, all but 1 in 10,000), and that 1 is added.
    """
    allowed = stats.binomtest(regressed + improved, total).proportion_ci(0.9999, method="exact")
    b, c = np.meshgrid(np.arange(total + 1.0), np.arange(total + 1.0), indexing="ij")
    possible = b + c <= total
    scores = score(b, np.minimum(c, total - b), np.asarray(float(total)), np.asarray(loss))
    seen = float(score(*(np.asarray(float(v)) for v in (regressed, improved, total, loss))))
    extreme = possible & (scores <= seen + 1e-9)
    worst = 0.0
    low, high = max(allowed.low, abs(loss)), max(allowed.high, abs(loss))
    for q in (np.linspace(low, high, 1001) - loss) / 2:
        shares = np.clip([q + loss, q, 1 - loss - 2 * q], 0, 1)
        rows = np.stack([b[extreme], c[extreme], total - b[extreme] - c[extreme]], axis=1)
        worst = max(worst, float(stats.multinomial.pmf(rows, total, shares / shares.sum()).sum()))
    return worst + 1e-4


@pytest.mark.parametrize(
    ("regressed", "improved", "total", "loss"),
    [(1, 2, 20, 0.1), (0, 0, 15, 0.2), (3, 1, 25, 0.3), (2, 2, 18, 0.15), (6, 0, 12, 0.7)],
)
def test_the_exact_test_sums_what_speaks_against_the_loss(
    regressed: int, improved: int, total: int, loss: float
) -> None:
    found = p_loss(regressed, improved, total, loss)
    assert found == pytest.approx(exhaustive(regressed, improved, total, loss), rel=0.01)


def test_cases_without_a_change_prove_as_much_as_their_number() -> None:
    # (1 − 0.02)^148 = 0.0503 and (1 − 0.02)^149 = 0.0493; the normal approximation would be content with a single case.
    assert lower_bound(0, 0, 148, alpha=0.05) < -0.02 < lower_bound(0, 0, 149, alpha=0.05)
    assert lower_bound(0, 0, 1, alpha=0.05) < -0.94
    assert wald(PairedCounts(both_pass=1, regressed=0, improved=0, both_fail=0)).bound == 0.0


def test_no_more_false_passes_than_promised_at_the_worst_of_all_rates() -> None:
    """Summed exactly over all outcomes, not drawn."""
    alpha = 0.05
    for total, loss in ((30, 0.1), (60, 0.05)):
        passes: dict[tuple[int, int], bool] = {}
        for b in range(total + 1):
            for c in range(total + 1 - b):
                likely = (b - c) / total < loss
                passes[b, c] = likely and p_loss(b, c, total, loss) < alpha
        rows = np.array([(b, c, total - b - c) for (b, c), passed in passes.items() if passed])
        for q in np.linspace(0, (1 - loss) / 2, 40):
            shares = np.array([q + loss, q, max(0.0, 1 - loss - 2 * q)])
            wrong = float(stats.multinomial.pmf(rows, total, shares / shares.sum()).sum())
            assert wrong <= alpha + 1e-3, (total, loss, q, wrong)


def test_bounds_by_the_exact_test_and_by_the_score_meet() -> None:
    for b, c, n in ((60, 40, 1000), (58, 38, 4000), (30, 70, 300)):
        width = tango(b, c, n, confidence=0.9)
        middle = (c - b) / n
        assert lower_bound(b, c, n, alpha=0.05) - middle == pytest.approx(width.low - middle, rel=0.02)
        assert upper_bound(b, c, n, alpha=0.05) - middle == pytest.approx(width.high - middle, rel=0.02)


@given(st.lists(st.integers(-4, 4), min_size=1, max_size=12))
@settings(max_examples=100, deadline=None)
def test_flipping_whole_numbers_counts_every_flip(changes: list[int]) -> None:
    by_force = flip_means([float(one) for one in changes])
    assert flip_counts(changes).p == pytest.approx(by_force.p, abs=1e-9)
    assert flip_counts(changes).mid_p == pytest.approx(by_force.mid_p, abs=1e-9)


def test_flips_agree_with_scipys_permutation_test() -> None:
    values = [0.4, -0.1, 0.3, 0.25, 0.05, -0.2, 0.6, 0.11]
    other = stats.permutation_test(
        (values, [0.0] * len(values)),
        lambda x, y, axis: np.mean(x - y, axis=axis),
        permutation_type="samples",
        n_resamples=np.inf,
        vectorized=True,
    )
    assert flip_means(values).p == pytest.approx(other.pvalue, abs=1e-12)


def test_many_clusters_of_many_sizes_are_flipped_exactly() -> None:
    rng = np.random.default_rng(7)
    changes = [int(one) for one in rng.integers(-60, 61, size=3000)]
    exact = flip_counts(changes)
    assert flip_counts([1, -1, 1, 1] * 501).p == pytest.approx(mcnemar(1503, 501).p, abs=1e-11)
    assert flip_counts([1, -1] * 900 + [1] * 230).p == pytest.approx(mcnemar(1130, 900).p, abs=1e-12)
    # Against the normal approximation, which is good for three thousand of them.
    z = abs(sum(changes)) / math.sqrt(sum(one**2 for one in changes))
    assert exact.mid_p == pytest.approx(2 * stats.norm.sf(z), abs=2e-3)


def test_counts_below_zero_are_refused() -> None:
    with pytest.raises(BadRequest, match="improved"):
        PairedCounts(both_pass=1, regressed=0, improved=-1, both_fail=0)
    with pytest.raises(BadRequest, match="at least one case"):
        wald(PairedCounts(both_pass=0, regressed=0, improved=0, both_fail=0))
