"""Judges as instruments: agreement, what a judged rate truly is, bias, drift, and where noise comes from."""

from __future__ import annotations

import itertools
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.inter_rater import cohens_kappa

from pilothouse.evals.statistics import Pair, decide, decide_judged
from pilothouse.evals.statistics.agreement import JudgeRates, agreement, judge_rates, krippendorff_alpha
from pilothouse.evals.statistics.judge_bias import Choice, LengthChoice, judge_drift, position_bias, verbosity_bias
from pilothouse.evals.statistics.judge_correction import JudgeBar, corrected_rate, judge_bar, powered_mean
from pilothouse.evals.statistics.variance import split_variance
from pilothouse.records import BadRequest


def readers(table: list[list[int]]) -> tuple[list[int], list[int]]:
    pairs = [(i, j) for i, row in enumerate(table) for j, count in enumerate(row) for _ in range(count)]
    return [a for a, _ in pairs], [b for _, b in pairs]


@pytest.mark.parametrize(
    ("table", "observed", "kappa"),
    [
        ([[20, 5], [10, 15]], 0.7, 0.4),
        ([[45, 15], [25, 15]], 0.6, 0.130435),
        ([[25, 35], [5, 35]], 0.6, 0.259259),
    ],
)
def test_published_kappas(table: list[list[int]], observed: float, kappa: float) -> None:
    found = agreement(*readers(table))
    assert (found.observed, found.kappa) == pytest.approx((observed, kappa), abs=5e-7)


def test_the_same_agreement_has_two_kappas_so_prevalence_stands_beside_it() -> None:
    one, other = agreement(*readers([[45, 15], [25, 15]])), agreement(*readers([[25, 35], [5, 35]]))
    assert one.observed == other.observed == 0.6
    assert (one.prevalence, other.prevalence) == ({0: 0.65, 1: 0.35}, {1: 0.55, 0: 0.45})


@given(st.lists(st.lists(st.integers(0, 15), min_size=3, max_size=3), min_size=3, max_size=3))
@settings(max_examples=100, deadline=None)
def test_kappa_and_its_interval_are_those_of_statsmodels(table: list[list[int]]) -> None:
    if sum(map(sum, table)) < 2:
        return
    found = agreement(*readers(table))
    if found.kappa is None or found.kappa_interval is None:
        return
    theirs = cohens_kappa(np.asarray(table))
    assert found.kappa == pytest.approx(theirs.kappa, abs=1e-9)
    if math.isnan(theirs.kappa_low):
        # Where one reader gives a single label the variance is 0; theirs is a rounding error below it, whose root is none.
        assert theirs.var_kappa == pytest.approx(0.0, abs=1e-12)
        assert found.kappa_interval.low == found.kappa_interval.high == found.kappa
        return
    assert (found.kappa_interval.low, found.kappa_interval.high) == pytest.approx(
        (max(-1.0, theirs.kappa_low), min(1.0, theirs.kappa_upp)), abs=1e-7
    )


def test_items_that_one_reader_left_out_are_left_out() -> None:
    assert agreement([1, 1, None, 0], [1, 0, 1, None]).items == 2
    assert agreement(["a", "a"], ["a", "a"]).kappa is None
    for first, second, says in (([1], [1, 2], "same items"), ([None], [1], "both readers labelled"), ([], [], "both")):
        with pytest.raises(BadRequest, match=says):
            agreement(first, second)


def alpha_by_pairs(items: list[list[int | None]]) -> float | None:
    """From the definition: disagreement of pairs within items over that of all pairs."""
    values = [[v for v in item if v is not None] for item in items]
    values = [item for item in values if len(item) > 1]
    every = [v for item in values for v in item]
    n = len(every)
    expected = sum(a != b for a, b in itertools.permutations(every, 2))
    if not expected:
        return None
    within = sum(sum(a != b for a, b in itertools.permutations(item, 2)) / (len(item) - 1) for item in values)
    return 1 - (n - 1) * within / expected


@pytest.mark.parametrize(
    ("items", "alpha"),
    [
        ([[0, 1], [0, 1], [1, 0], [1, 0]], -0.75),
        ([[1, 1, 1], [0, 0, 0], [1, 1, 1], [0, 0, 1]], 0.685714),
        ([[1, 1, 0], [0, 0]], 1 / 3),
    ],
)
def test_published_alphas(items: list[list[int]], alpha: float) -> None:
    assert krippendorff_alpha(items) == pytest.approx(alpha, abs=5e-7)


@given(st.lists(st.lists(st.one_of(st.none(), st.integers(0, 2)), max_size=5), max_size=8))
@settings(max_examples=100, deadline=None)
def test_alpha_follows_from_its_definition(items: list[list[int | None]]) -> None:
    found, expected = krippendorff_alpha(items), alpha_by_pairs(items)
    assert (found is None) == (expected is None)
    assert found is None or found == pytest.approx(expected, abs=1e-9)


def test_a_judge_is_counted_against_people() -> None:
    rates = judge_rates([True, True, False, False, None, True], [True, False, False, True, True, None])
    assert rates == JudgeRates(items=4, truly_pass=2, truly_fail=2, passes_kept=1, fails_caught=1)
    assert (rates.sensitivity, rates.specificity, rates.prevalence) == (0.5, 0.5, 0.5)
    assert judge_rates([], []).sensitivity is None


KNOWN = JudgeRates(items=400, truly_pass=200, truly_fail=200, passes_kept=180, fails_caught=170)


def test_a_judged_rate_is_corrected() -> None:
    found = corrected_rate(800, 1000, KNOWN)
    assert (found.rate, found.standard_error) == pytest.approx((0.866667, 0.0300912), abs=5e-7)
    assert found.interval.holds(0.866667) and not found.raw_interval.holds(0.866667)


def test_a_judge_that_says_nothing_is_not_corrected() -> None:
    coin = JudgeRates(items=100, truly_pass=50, truly_fail=50, passes_kept=25, fails_caught=20)
    found = corrected_rate(50, 100, coin)
    assert (found.rate, found.interval.low, found.interval.high) == (None, 0, 1)
    assert "no better than chance" in found.why_not
    unknown = corrected_rate(5, 10, JudgeRates(items=5, truly_pass=5, truly_fail=0, passes_kept=5, fails_caught=0))
    assert unknown.rate is None and "none of the 5 labelled items truly fails" in unknown.why_not
    with pytest.raises(BadRequest):
        corrected_rate(0, 0, KNOWN)


def coverage(theta: float, labels: int, *, runs: int, seed: int) -> tuple[float, float]:
    """How often the corrected and the raw interval hold the true rate; a judge with q1 = .9 and q0 = .85."""
    print("seed", seed)
    rng = np.random.default_rng(seed)
    kept, caught = rng.binomial(labels, 0.9, runs), rng.binomial(labels, 0.85, runs)
    passed = rng.binomial(1000, theta * 0.9 + (1 - theta) * 0.15, runs)
    corrected = raw = 0
    for a, b, p in zip(kept.tolist(), caught.tolist(), passed.tolist(), strict=True):
        rates = JudgeRates(items=2 * labels, truly_pass=labels, truly_fail=labels, passes_kept=a, fails_caught=b)
        found = corrected_rate(p, 1000, rates)
        corrected += found.interval.holds(theta)
        raw += found.raw_interval.holds(theta)
    print(f"theta {theta}, {labels}+{labels} labels: corrected {corrected / runs:.4f}, raw {raw / runs:.4f}")
    return corrected / runs, raw / runs


def test_the_corrected_interval_holds_the_truth_and_the_raw_one_does_not() -> None:
    corrected, raw = coverage(0.8, 100, runs=4000, seed=81)
    assert 0.93 <= corrected <= 0.97
    assert raw < 0.1


@pytest.mark.slow
@pytest.mark.parametrize("theta", [0.3, 0.5, 0.8, 0.9])
@pytest.mark.parametrize("labels", [50, 100, 400])
def test_the_corrected_interval_holds_the_truth_wherever_it_lies(theta: float, labels: int) -> None:
    corrected, _ = coverage(theta, labels, runs=20_000, seed=82)
    # With fifty labels of a kind and a rate near 1 it errs on the side of caution.
    assert 0.93 <= corrected <= (0.97 if labels >= 100 else 0.98)


def judged_pairs(both: int, regressed: int, improved: int, neither: int) -> list[Pair]:
    outcomes = [(True, True)] * both + [(True, False)] * regressed + [(False, True)] * improved
    outcomes += [(False, False)] * neither
    return [Pair(case_id=str(i), before=a, after=b) for i, (a, b) in enumerate(outcomes)]


def test_a_judged_difference_is_put_right_before_it_meets_the_margin() -> None:
    pairs = judged_pairs(700, 22, 7, 71)
    raw, true = decide(pairs, margin=0.035), decide_judged(pairs, KNOWN, margin=0.035)
    # As judged 1.88 points are lost, and 3.5 would be accepted; truly it is 1/0.75 of that, and may be more.
    assert (raw.verdict, true.verdict) == ("pass", "not_enough_data")
    assert raw.difference is not None and true.difference == pytest.approx(raw.difference / 0.75)
    assert raw.interval is not None and true.interval is not None
    assert true.interval.low < raw.interval.low / 0.75
    assert true.p == raw.p and true.regression_proven and "the judge's errors are taken out" in true.sentence
    # What is proven of any size stays proven.
    assert decide_judged(pairs, KNOWN, margin=0.0).verdict == "fail"
    assert decide_judged(judged_pairs(700, 3, 3, 71), KNOWN, margin=0.035).verdict == "pass"
    assert decide_judged([], KNOWN, margin=0.035).difference is None


def test_a_judge_below_the_bar_decides_nothing() -> None:
    lax = JudgeRates(items=200, truly_pass=100, truly_fail=100, passes_kept=99, fails_caught=60)
    found = decide_judged(judged_pairs(10, 60, 0, 10), lax, margin=0.0)
    assert (found.verdict, found.sentence) == (
        "not_enough_data",
        "Not enough data: the judge may not gate: its specificity may be as low as 0.50; the bar is 0.70.",
    )
    coin = JudgeRates(items=200, truly_pass=100, truly_fail=100, passes_kept=50, fails_caught=50)
    allowed = JudgeBar(may_gate=True, why_not=())
    assert decide_judged(judged_pairs(10, 60, 0, 10), coin, margin=0.0, bar=allowed).verdict == "not_enough_data"


@pytest.mark.slow
def test_judged_verdicts_are_wrong_no_more_often_than_promised() -> None:
    """A true loss of exactly the margin must seldom pass and seldom fail, whatever the labels said of the judge."""
    seed, runs, n, margin = 91, 400, 600, 0.06
    print("seed", seed)
    rng = np.random.default_rng(seed)
    wrong = Counter[str]()
    for _ in range(runs):
        before = rng.random(n) < 0.8
        after = np.where(rng.random(n) < (margin + 0.02) / 0.8, False, before) | (~before & (rng.random(n) < 0.1))
        says = [np.where(rng.random(n) < 0.1, ~one, one) for one in (before, after)]
        labels = rng.binomial(100, 0.9, 2).tolist()
        rates = JudgeRates(items=200, truly_pass=100, truly_fail=100, passes_kept=labels[0], fails_caught=labels[1])
        pairs = [
            Pair(case_id=str(i), before=bool(a), after=bool(b)) for i, (a, b) in enumerate(zip(*says, strict=True))
        ]
        wrong[decide_judged(pairs, rates, margin=margin).verdict] += 1
    print(wrong)
    assert wrong["pass"] / runs <= 0.05 and wrong["fail"] / runs <= 0.05
    assert wrong["not_enough_data"] > 0


def test_prediction_powered_mean() -> None:
    truth, judged = ([float(one) for one in word] for word in ("1101011011", "1101111001"))
    found = powered_mean(truth, judged, [1.0] * 780 + [0.0] * 220)
    assert (found.mean, found.standard_error) == pytest.approx((0.78, 0.1420268), abs=5e-8)
    assert (found.classical, found.classical_error) == pytest.approx((0.7, 0.1449138), abs=5e-8)
    # A judge that is off by 2 everywhere is put right.
    assert powered_mean([0.0] * 5, [2.0] * 5, [2.0] * 9).mean == 0
    with pytest.raises(BadRequest, match="at least two labelled"):
        powered_mean([1.0], [1.0], [1.0])


def test_a_judge_is_believed_as_far_as_it_follows_the_truth() -> None:
    rng = np.random.default_rng(50)
    truth = rng.normal(0, 1, 200)
    noise = rng.normal(0, 1, (2, 5000))
    useless = powered_mean(truth.tolist(), noise[0, :200].tolist(), noise[1].tolist(), tuned=True)
    assert useless.weight < 0.2 and useless.standard_error <= useless.classical_error
    good = powered_mean(
        truth.tolist(), (truth + noise[0, :200] / 5).tolist(), rng.normal(0, 1, 5000).tolist(), tuned=True
    )
    assert good.weight > 0.8 and good.standard_error < good.classical_error / 2


def test_powered_intervals_hold_the_truth() -> None:
    seed, runs = 51, 1000
    print("seed", seed)
    rng = np.random.default_rng(seed)
    held = {False: 0, True: 0}
    for _ in range(runs):
        y, u = rng.random(150) < 0.7, rng.random(1500) < 0.7
        f, g = (np.where(rng.random(len(t)) < 0.85, t, ~t).astype(float) for t in (y, u))
        for tuned in held:
            held[tuned] += powered_mean(y.astype(float).tolist(), f.tolist(), g.tolist(), tuned=tuned).interval.holds(
                0.7
            )
    print(held)
    assert all(0.93 <= count / runs <= 0.97 for count in held.values())


def test_a_judge_below_the_bar_may_not_gate_and_is_told_why() -> None:
    assert judge_bar(KNOWN).may_gate
    few = judge_bar(JudgeRates(items=40, truly_pass=38, truly_fail=2, passes_kept=38, fails_caught=2))
    assert few.why_not == ("2 labelled items truly fail; 30 are needed to know its specificity",)
    lax = judge_bar(JudgeRates(items=200, truly_pass=100, truly_fail=100, passes_kept=99, fails_caught=60))
    assert (lax.may_gate, lax.why_not) == (False, ("its specificity may be as low as 0.50; the bar is 0.70",))


def test_a_judge_that_means_the_answer_turns_with_it() -> None:
    given: list[Choice] = ["first", "second", "tie", "first", "first", "second"]
    turned: list[Choice] = ["second", "first", "tie", "first", "tie", "second"]
    found = position_bias(given, turned)
    # The fourth and fifth lean to the first place, the last to the second.
    assert (found.pairs, found.consistent, found.chose_first, found.chose_second) == (6, 3, 2, 1)
    assert found.prefers is None
    always: list[Choice] = ["first"] * 20
    biased = position_bias(always, always)
    assert (biased.consistency, biased.prefers) == (0, "first")
    assert position_bias(always, ["second"] * 20).consistency == 1
    with pytest.raises(BadRequest, match="both orders"):
        position_bias(always, [])


def test_the_consistency_of_published_judges() -> None:
    # MT-bench, in counts of 80 questions: GPT-4 65.0 %, GPT-3.5 46.2 %, Claude-v1 23.8 %.
    for consistent, share in ((52, 65.0), (37, 46.2), (19, 23.8)):
        given: list[Choice] = ["first"] * 80
        turned: list[Choice] = ["second"] * consistent + ["first"] * (80 - consistent)
        found = position_bias(given, turned)
        assert 100 * found.consistency == pytest.approx(share, abs=0.06)
        assert found.consistency_interval.holds(found.consistency) and found.prefers == "first"


def test_liking_length_is_a_bias_only_where_people_do_not() -> None:
    longer_is_better = [LengthChoice(judge="longer", people="longer")] * 50
    assert (verbosity_bias(longer_is_better).excess, verbosity_bias(longer_is_better).p) == (0, 1)
    fooled = [LengthChoice(judge="longer", people="shorter")] * 12 + [LengthChoice(judge="longer", people="tie")] * 8
    found = verbosity_bias(longer_is_better + fooled)
    assert (found.judge_longer, found.excess) == (1, pytest.approx((12 + 4) / 70))
    assert found.p < 1e-4


def test_two_versions_of_a_judge() -> None:
    before = [True] * 40 + [False] * 40 + [None]
    after = [False] * 12 + [True] * 28 + [False] * 39 + [True, True]
    truth = [False] * 10 + [True] * 30 + [False] * 40 + [True]
    found = judge_drift(before, after, truth)
    assert (found.items, found.changed, found.stricter) == (80, 13, 12)
    assert found.p_strictness == pytest.approx(2 * 14 / 2**13)
    assert (found.right_before, found.right_after) == (70, 77)
    assert judge_drift(before, after).p_right is None


def test_variance_is_split_as_by_hand() -> None:
    # Balanced, by the mean squares: cases 2, runs 2, judgings 2.
    scores = [[[1.0, 3.0], [5.0, 5.0]], [[8.0, 8.0], [10.0, 6.0]]]
    found = split_variance(scores)
    judge = (2 + 0 + 0 + 8) / 4
    runs = (2 * 2 * 1.5**2 + 0) / 2
    cases = 4 * 2 * 2.25**2
    assert found.judge == pytest.approx(judge)
    assert found.agent == pytest.approx((runs - judge) / 2)
    assert found.case == pytest.approx((cases - runs) / 4)
    assert found.total == pytest.approx(found.judge + found.agent + found.case)


def test_variance_is_found_again_where_repeats_are_unlike() -> None:
    seed, cases = 60, 3000
    print("seed", seed)
    rng = np.random.default_rng(seed)
    scores = [
        [
            (case + run + rng.normal(0, 0.5, int(rng.integers(1, 4)))).tolist()
            for run in rng.normal(0, 0.7, int(rng.integers(1, 4)))
        ]
        for case in rng.normal(0, 1.0, cases)
    ]
    found = split_variance(scores)
    assert (found.case, found.agent, found.judge) == pytest.approx((1.0, 0.49, 0.25), rel=0.1)
    assert found.below_zero == ()
    assert found.standard_error(cases=100, runs=2, judgings=3) == pytest.approx(
        ((1.0 + 0.245 + 0.25 / 6) / 100) ** 0.5, rel=0.1
    )


def test_a_part_too_small_to_be_seen_is_said_to_be_0() -> None:
    found = split_variance([[[0.0, 1.0], [1.0, 0.0]], [[0.0, 1.0], [1.0, 0.0]]])
    assert (found.case, found.agent) == (0, 0)
    assert found.below_zero == ("agent",)
    with pytest.raises(BadRequest, match="two cases, a case run twice"):
        split_variance([[[1.0]], [[0.0]]])


def test_labels_may_be_anything() -> None:
    assert Counter(agreement(["a", "b"], ["a", "a"]).prevalence) == Counter({"a": 0.75, "b": 0.25})
