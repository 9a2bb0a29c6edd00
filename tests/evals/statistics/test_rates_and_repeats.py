"""Rates of few cases, and cases that were run several times: against published values and scipy."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from pilothouse.evals.statistics.rates import clopper_pearson, failures_at_most, jeffreys, wilson
from pilothouse.evals.statistics.repeats import Repeats, pass_at_k, pass_hat_k, settled, stability
from pilothouse.records import BadRequest

TASKS = [Repeats(passed=c, attempts=8) for c in (8, 6, 4, 0)]
counts = st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


def test_published_intervals() -> None:
    for hits, of, low, high in ((81, 263, 0.255289, 0.366210), (821, 847, 0.955402, 0.978967)):
        interval = wilson(hits, of)
        assert (interval.low, interval.high) == pytest.approx((low, high), abs=5e-7)
    assert failures_at_most(0, 30) == pytest.approx(0.0950339, abs=5e-8)
    assert failures_at_most(0, 300) == pytest.approx(0.00993608, abs=5e-9)
    assert failures_at_most(3, 3) == 1


@given(counts, st.sampled_from([0.8, 0.9, 0.95, 0.99]))
@settings(max_examples=40, deadline=None)
def test_intervals_are_those_of_scipy_and_statsmodels(count: tuple[int, int], confidence: float) -> None:
    hits, of = count
    test = stats.binomtest(hits, of)
    for ours, theirs in (
        (wilson(hits, of, confidence=confidence), test.proportion_ci(confidence, method="wilson")),
        (clopper_pearson(hits, of, confidence=confidence), test.proportion_ci(confidence, method="exact")),
    ):
        assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-9)
    if 0 < hits < of:
        low, high = proportion_confint(hits, of, alpha=1 - confidence, method="jeffreys")
        ours = jeffreys(hits, of, confidence=confidence)
        assert (ours.low, ours.high) == pytest.approx((low, high), abs=1e-9)


def test_pass_hat_k_and_pass_at_k() -> None:
    ks = (1, 2, 4, 8)
    assert [pass_hat_k(TASKS, k) for k in ks] == pytest.approx([0.5625, 0.4375, 0.307143, 0.25], abs=5e-7)
    assert [pass_at_k(TASKS, k) for k in ks] == pytest.approx([0.5625, 0.6875, 0.746429, 0.75], abs=5e-7)


def test_nine_of_ten_attempts_are_not_a_third_of_ten_in_a_row() -> None:
    nine = [Repeats(passed=9, attempts=10)]
    assert (pass_hat_k(nine, 5), pass_hat_k(nine, 10)) == (0.5, 0)
    assert pytest.approx((0.590490, 0.348678), abs=5e-7) == (0.9**5, 0.9**10)


@given(st.integers(2, 12).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n), st.integers(1, n))))
def test_pass_hat_k_is_the_chance_that_k_drawn_attempts_all_pass(case: tuple[int, int, int]) -> None:
    passed, attempts, k = case
    one = [Repeats(passed=passed, attempts=attempts)]
    # Drawing k of the attempts without putting any back.
    assert pass_hat_k(one, k) == pytest.approx(stats.hypergeom.pmf(k, attempts, passed, k), abs=1e-12)
    assert pass_at_k(one, k) == pytest.approx(1 - stats.hypergeom.pmf(0, attempts, passed, k), abs=1e-12)


def test_k_is_bounded_by_the_attempts() -> None:
    for k in (0, 9):
        with pytest.raises(BadRequest, match="k lies between") as refused:
            pass_hat_k(TASKS, k)
        assert refused.value.allowed == "1 to 8"
    with pytest.raises(BadRequest, match="at least one case"):
        pass_at_k([], 1)
    with pytest.raises(BadRequest, match="no more attempts"):
        Repeats(passed=3, attempts=2)


@pytest.mark.parametrize(
    ("passed", "attempts", "probability", "verdict"),
    [
        (8, 10, 0.4665, "undetermined"),
        (9, 10, 0.7736, "undetermined"),
        (10, 10, 0.9676, "stable"),
        (19, 20, 0.9681, "stable"),
    ],
)
def test_flakiness_is_told_by_evidence(passed: int, attempts: int, probability: float, verdict: str) -> None:
    found = stability(Repeats(passed=passed, attempts=attempts))
    assert found.passing == pytest.approx(probability, abs=5e-5)
    assert (found.verdict, found.passes) == (verdict, True if verdict == "stable" else None)


def test_a_case_is_stable_flaky_or_not_yet_known() -> None:
    assert stability(Repeats(passed=0, attempts=10)).passes is False
    assert stability(Repeats(passed=10, attempts=20)).verdict == "flaky"
    assert stability(Repeats(passed=1, attempts=2)).verdict == "undetermined"
    assert stability(Repeats(passed=0, attempts=0)).verdict == "undetermined"
    assert math.isclose(
        stability(Repeats(passed=3, attempts=9)).failing, stability(Repeats(passed=6, attempts=9)).passing
    )
    with pytest.raises(BadRequest, match="above a half"):
        stability(Repeats(passed=1, attempts=1), share=0.4)


def test_one_attempt_counts_as_it_fell_out_and_several_where_they_are_stable() -> None:
    said = [
        settled(Repeats(passed=c, attempts=n)) for c, n in ((1, 1), (0, 1), (0, 0), (10, 10), (0, 10), (9, 10), (5, 10))
    ]
    assert said == [True, False, None, True, False, None, None]
