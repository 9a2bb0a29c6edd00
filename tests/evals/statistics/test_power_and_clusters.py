"""How many cases it takes, and what cases that hang together are worth: against published values."""

from __future__ import annotations

import math

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pilothouse.evals.statistics.clusters import design_effect, mean_error
from pilothouse.evals.statistics.power import means_needed, pairs_needed, rates_needed, unchanged_needed
from pilothouse.records import BadRequest


def test_connors_formula() -> None:
    assert pairs_needed(0.07, -0.03) == 609
    assert pairs_needed(26 / 847, -10 / 847) == 1727
    assert pairs_needed(0.1, 0.0) is None
    assert pairs_needed(0.1, -0.02, margin=0.02) is None
    assert pairs_needed(0.5, -0.0001) is None, "more than anybody would run"
    with pytest.raises(BadRequest, match="disagree at least as often"):
        pairs_needed(0.01, 0.05)


def test_millers_formula() -> None:
    spread = {"between": 1 / 9, "within_a": 1 / 6, "within_b": 1 / 6, "difference": 0.03}
    assert means_needed(**spread) == 3876
    assert means_needed(**spread, repeats_a=math.inf, repeats_b=math.inf) == 969


def test_two_rates_as_a_power_program_has_them() -> None:
    # G*Power: 897,348 in all for .34 and +.003 at power .85, to within half a percent.
    cases = rates_needed(0.34, 0.003, power=0.85)
    assert cases is not None and 2 * cases == pytest.approx(897_348, rel=0.005)
    for alpha, power, total in ((0.14, 0.85, 630_710), (0.14, 0.67, 366_424)):
        cases = rates_needed(0.34, 0.003, alpha=alpha, power=power)
        assert cases is not None and 2 * cases == pytest.approx(total, rel=0.005)


def test_a_mean_as_a_power_program_has_it() -> None:
    # Two groups that share no cases: between them the variance counts twice. mde .3, variance 100, power .85.
    cases = means_needed(0, 100, 100, 0.3, power=0.85)
    assert cases is not None and 2 * cases == pytest.approx(39_906, rel=0.005)


def test_cases_without_a_change() -> None:
    assert unchanged_needed(0.02) == 149
    assert 0.98**149 < 0.05 < 0.98**148
    assert unchanged_needed(0) is None


def test_millers_standard_errors() -> None:
    found = mean_error([1, 1, 1, 0, 0, 0, 1, 1, 0], list("aaabbbccc"))
    assert found.mean == pytest.approx(0.555556, abs=5e-7)
    assert (found.naive, found.clustered) == pytest.approx((0.175682, 0.240027), abs=5e-7)
    assert found.clustered_corrected == pytest.approx(0.293972, abs=5e-7)
    assert found.design_effect == pytest.approx((0.293972 / 0.175682) ** 2, rel=1e-4)


values = st.lists(st.floats(-5, 5), min_size=2, max_size=40)


@given(values)
@settings(max_examples=60, deadline=None)
def test_without_clusters_it_is_the_usual_standard_error(numbers: list[float]) -> None:
    found = mean_error(numbers)
    assert found.naive == pytest.approx(float(stats.sem(numbers)), abs=1e-12)
    assert found.clustered_corrected == pytest.approx(found.naive, abs=1e-9)


@given(values.filter(lambda numbers: float(np.ptp(numbers)) > 1e-3), st.integers(2, 7))
@settings(max_examples=60, deadline=None)
def test_clustered_errors_are_those_of_statsmodels(numbers: list[float], count: int) -> None:
    groups = [i % count for i in range(len(numbers))]
    if len(set(groups)) < 2:
        return
    fitted = sm.OLS(np.asarray(numbers), np.ones(len(numbers))).fit(
        cov_type="cluster", cov_kwds={"groups": np.asarray(groups), "use_correction": False}
    )
    assert mean_error(numbers, groups).clustered == pytest.approx(float(fitted.bse[0]), abs=1e-9)


def test_too_few_clusters_to_tell_count_as_one_case_each() -> None:
    assert design_effect([0] * 100, ["a"] * 50 + ["b"] * 50) == 50
    assert design_effect([1] + [0] * 99, [str(i // 10) for i in range(100)]) == 10
    assert design_effect([0, 1], None) == 1
    spread = [float(i % 2) for i in range(200)]
    assert design_effect(spread, [str(i // 10) for i in range(200)]) == 1, "alike within as between"
    with pytest.raises(BadRequest, match="needs its cluster"):
        design_effect([1, 2], ["a"])
    with pytest.raises(BadRequest, match="at least one value"):
        mean_error([])
