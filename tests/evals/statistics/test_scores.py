"""Verdicts on scores, several gates at once, and slices."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests

from pilothouse.evals.statistics import (
    Looks,
    Pair,
    ScorePair,
    Verdict,
    compare_slices,
    decide,
    decide_all,
    decide_counts,
    decide_scores,
)
from pilothouse.evals.statistics.means import resample
from pilothouse.evals.statistics.multiple import benjamini_hochberg, holm
from pilothouse.evals.statistics.paired import PairedCounts
from pilothouse.records import BadRequest


def pairs(changes: list[float], clusters: list[str] | None = None) -> list[ScorePair]:
    names = clusters or [""] * len(changes)
    return [
        ScorePair(case_id=str(i), before=0.5, after=0.5 + change, cluster=cluster)
        for i, (change, cluster) in enumerate(zip(changes, names, strict=True))
    ]


def test_the_bootstrap_is_scipys() -> None:
    values = np.random.default_rng(4).exponential(1.0, 60)
    ours = resample(values.tolist())
    for confidence in (0.9, 0.95):
        theirs = stats.bootstrap(
            (values,),
            np.mean,
            confidence_level=confidence,
            n_resamples=20_000,
            method="BCa",
            rng=np.random.default_rng(9),
        ).confidence_interval
        tail = (1 - confidence) / 2
        # Two samplings of one quantile: they differ by about a hundredth of the width.
        slack = 0.03 * (theirs.high - theirs.low)
        assert (ours.bound(tail), ours.bound(1 - tail)) == pytest.approx((theirs.low, theirs.high), abs=slack)
    # A skewed score has a skewed interval: the bootstrap is longer on the side of the tail.
    assert ours.bound(0.975) - ours.mean > ours.mean - ours.bound(0.025)


def test_whole_clusters_are_drawn() -> None:
    values = [float(i % 2 == 0) for i in range(20) for _ in range(10)]
    alone, together = resample(values), resample(values, [str(i // 10) for i in range(200)])
    width = [one.bound(0.975) - one.bound(0.025) for one in (alone, together)]
    # Ten alike in each of twenty clusters: √10 times as wide.
    assert width[1] / width[0] == pytest.approx(math.sqrt(10), rel=0.1)
    with pytest.raises(BadRequest, match="at least two"):
        resample([1, 2], ["a", "a"])


@pytest.mark.parametrize("looks", ["once", "anytime"])
def test_the_rule_for_scores(looks: Looks) -> None:
    rng = np.random.default_rng(12)
    noise = rng.normal(0, 0.1, 600).clip(-0.4, 0.4)
    noise -= noise.mean()
    worse = decide_scores(pairs((noise - 0.06).tolist()), margin=0.02, looks=looks)
    same = decide_scores(pairs(noise.tolist()), margin=0.02, looks=looks)
    few = decide_scores(pairs(noise[:20].tolist()), margin=0.02, looks=looks)
    assert [one.verdict for one in (worse, same, few)] == ["fail", "pass", "not_enough_data"]
    assert "600 scored lower" in worse.sentence or "scored lower" in worse.sentence
    assert few.cases_needed is not None and few.cases_needed > 20
    for one in (worse, same, few):
        assert one.interval is not None and one.difference is not None and one.bound is not None
        assert one.interval.low <= one.bound <= one.difference <= one.interval.high


def test_equal_scores_prove_as_much_as_their_number() -> None:
    assert decide_scores(pairs([0.0] * 148), margin=0.02).verdict == "not_enough_data"
    assert decide_scores(pairs([0.0] * 150), margin=0.02).verdict == "pass"
    assert decide_scores(pairs([0.0] * 150), margin=0.0).verdict == "not_enough_data"
    # On a scale of ten the same margin is a tenth of what it was.
    assert decide_scores(pairs([0.0] * 150), margin=0.02, scale=10).verdict == "not_enough_data"
    assert decide_scores([], margin=0.02).cases_needed is None
    assert decide_scores(pairs([0.1]), margin=0.02).verdict == "not_enough_data"


def test_thousands_of_scores_take_the_normal_way_and_agree_with_the_sampled_one() -> None:
    rng = np.random.default_rng(14)
    changes = (rng.beta(2, 8, 5001) - 0.2).tolist()
    many, fewer = decide_scores(pairs(changes), margin=0), decide_scores(pairs(changes[:5000]), margin=0)
    assert many.interval is not None and fewer.interval is not None
    width = many.interval.high - many.interval.low
    assert (many.interval.low, many.interval.high) == pytest.approx(
        (fewer.interval.low, fewer.interval.high), abs=width / 30
    )
    assert many.p == pytest.approx(fewer.p, abs=0.03)


def test_few_that_all_fell_are_a_proven_regression() -> None:
    verdict = decide_scores(pairs([-0.1, -0.2, -0.05, -0.3, -0.1, -0.15, -0.4]), margin=0)
    assert (verdict.verdict, verdict.p) == ("fail", 2 / 2**7)


def test_scores_of_one_session_are_worth_less() -> None:
    changes = [-0.2] * 30 + [0.01, -0.01] * 35
    sessions = ["a"] * 30 + [f"s{i}" for i in range(70)]
    assert decide_scores(pairs(changes), margin=0).verdict == "fail"
    assert decide_scores(pairs(changes, sessions), margin=0).verdict == "not_enough_data"


def test_bad_scores_are_named() -> None:
    with pytest.raises(BadRequest, match="finite number"):
        decide_scores([ScorePair(case_id="a", before=0.0, after=math.nan)], margin=0)
    with pytest.raises(BadRequest, match="than the scale is long") as refused:
        decide_scores([ScorePair(case_id="a", before=1.0, after=9.0)], margin=0)
    assert refused.value.fix is not None and "scale=10" in refused.value.fix
    unscored = decide_scores([ScorePair(case_id="a", before=None, after=1.0)], margin=0.1)
    assert (unscored.counts.undetermined, unscored.difference) == (1, None)


def test_intervals_of_scores_hold_the_truth() -> None:
    """BCa for many, the wider of it and Student's t for few; skewed scores."""
    check_coverage(seed=31, runs=60)


@pytest.mark.slow
def test_intervals_of_scores_hold_the_truth_closely() -> None:
    check_coverage(seed=32, runs=600)


def check_coverage(*, seed: int, runs: int) -> None:
    print("seed", seed)
    rng = np.random.default_rng(seed)
    for n in (25, 120):
        held = 0
        for _ in range(runs):
            changes = (rng.beta(2, 8, n) - 0.2) / 2
            interval = decide_scores(pairs(changes.tolist()), margin=0.0).interval
            assert interval is not None
            held += interval.holds(0.0)
        print(n, held / runs)
        assert held / runs >= 0.95 - 3 * math.sqrt(0.95 * 0.05 / runs)


def test_scores_looked_at_again_and_again_raise_few_false_alarms() -> None:
    """The asymptotic sequence at every 50 cases, on skewed differences, as `decide_scores` computes it."""
    from pilothouse.evals.statistics.sequential import asymptotic_half_width, asymptotic_rho

    seed, runs, looks = 33, 2000, 30
    print("seed", seed)
    rng = np.random.default_rng(seed)
    rho = asymptotic_rho(500)
    values = (rng.beta(2, 8, size=(runs, 50 * looks)) - 0.2).astype(np.float64)
    n = np.arange(1, 50 * looks + 1)
    means = np.cumsum(values, axis=1) / n
    spread = np.sqrt(np.cumsum(values**2, axis=1) / n - means**2)
    seen = np.arange(49, 50 * looks, 50)
    half = np.array([asymptotic_half_width(int(k) + 1, rho=rho) for k in seen])
    rung = (np.abs(means[:, seen]) > half * spread[:, seen]).any(axis=1).mean()
    again = (np.abs(means[:, seen]) > 1.96 * spread[:, seen] / np.sqrt(seen + 1)).any(axis=1).mean()
    print(f"{rung:.4f} anytime, {again:.4f} by the interval of one look")
    assert rung <= 0.05 < again
    one = decide_scores([ScorePair(case_id=str(i), before=0.0, after=float(v)) for i, v in enumerate(values[0, :400])], margin=0, looks="anytime")  # fmt: skip
    assert one.interval is not None
    width = asymptotic_half_width(400, rho=rho) * float(np.std(values[0, :400], ddof=1))
    assert (one.interval.high - one.interval.low) / 2 == pytest.approx(width, rel=1e-9)


ps = st.lists(st.floats(1e-6, 1), min_size=1, max_size=20)


@given(ps)
@settings(max_examples=8, deadline=None)
def test_corrections_are_those_of_statsmodels(values: list[float]) -> None:
    assert holm(values) == pytest.approx(multipletests(values, method="holm")[1].tolist(), abs=1e-12)
    assert benjamini_hochberg(values) == pytest.approx(multipletests(values, method="fdr_bh")[1].tolist(), abs=1e-12)


def gate(regressed: int, improved: int, *, total: int = 400, margin: float = 0.03) -> Verdict:
    counts = PairedCounts(both_pass=total - regressed - improved, regressed=regressed, improved=improved, both_fail=0)
    return decide_counts(counts, margin=margin)


def test_a_release_passes_by_all_gates_and_fails_by_any() -> None:
    good, bad, open_ = gate(1, 1), gate(60, 2), gate(12, 5)
    assert (good.verdict, bad.verdict, open_.verdict) == ("pass", "fail", "not_enough_data")
    assert decide_all({"a": good, "b": good}).verdict == "pass"
    assert decide_all({"a": good, "b": open_}).verdict == "not_enough_data"
    failed = decide_all({"a": good, "safety": bad, "c": open_})
    assert (failed.verdict, failed.sentence) == (
        "fail",
        "Fail: a regression is proven in safety (Holm over 3 gates, alpha 0.05).",
    )
    with pytest.raises(BadRequest, match="at least one gate"):
        decide_all({})


def test_a_fail_that_does_not_survive_its_company_is_not_enough_data() -> None:
    edge = gate(13, 3, margin=0.0)
    assert (edge.verdict, edge.p) == ("fail", pytest.approx(0.0213, abs=1e-4))
    many = {"edge": edge, **{f"other {i}": gate(3, 3, margin=0.0) for i in range(4)}}
    decision = decide_all(many)
    assert decision.verdict == "not_enough_data"
    assert decision.gates[0].p_adjusted == pytest.approx(5 * edge.p)
    assert "but not among 5 gates (p = 0.1064 by Holm)" in decision.gates[0].verdict.sentence


def test_twenty_gates_of_equal_versions_fail_seldom() -> None:
    seed, runs, gates = 40, 2000, 20
    print("seed", seed)
    rng = np.random.default_rng(seed)
    from pilothouse.evals.statistics.paired import mcnemar

    known = {(b, t): mcnemar(b, t - b).p for t in range(40) for b in range(t + 1)}
    plain = corrected = 0
    for _ in range(runs):
        t = np.minimum(rng.binomial(400, 0.04, size=gates), 39)
        values = [known[b, n] for b, n in zip(rng.binomial(t, 0.5).tolist(), t.tolist(), strict=True)]
        plain += min(values) < 0.05
        corrected += min(holm(values)) < 0.05
    print(plain / runs, corrected / runs)
    assert corrected / runs <= 0.05 < plain / runs


def test_slices_are_found_by_the_adjusted_value() -> None:
    def cases(regressed: int, improved: int, total: int) -> list[Pair]:
        outcomes = [(True, False)] * regressed + [(False, True)] * improved
        outcomes += [(True, True)] * (total - len(outcomes))
        return [Pair(case_id=str(i), before=a, after=b) for i, (a, b) in enumerate(outcomes)]

    slices = {"refunds": cases(20, 2, 50), "edge": cases(9, 2, 50), **{f"s{i}": cases(2, 2, 50) for i in range(8)}}
    found = compare_slices(slices)
    assert (found[0].name, found[0].found, found[0].difference) == ("refunds", True, -18 / 50)
    assert (found[1].name, found[1].found) == ("edge", False)
    assert found[1].p == pytest.approx(decide(slices["edge"], margin=0.0).p)
    assert [one.p_adjusted for one in found] == sorted(one.p_adjusted for one in found)
