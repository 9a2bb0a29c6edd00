"""Pass, fail or not enough data: what the gate says, at the edges and by simulation."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pilothouse.evals.statistics import Looks, Pair, Verdict, decide, decide_counts
from pilothouse.evals.statistics.paired import PairedCounts, mcnemar
from pilothouse.evals.statistics.paired_anytime import confidence_sequence, log_evidence, p_anytime
from pilothouse.records import BadRequest


def judged(both_pass: int, regressed: int, improved: int, both_fail: int = 0, *, margin: float = 0.0, looks: Looks = "once") -> Verdict:  # fmt: skip
    counts = PairedCounts(both_pass=both_pass, regressed=regressed, improved=improved, both_fail=both_fail)
    return decide_counts(counts, margin=margin, looks=looks)


def test_the_articles_example_is_no_proven_regression() -> None:
    verdict = judged(803, 18, 8, 18)
    assert (verdict.verdict, verdict.regression_proven) == ("not_enough_data", False)
    assert (verdict.p, verdict.mid_p) == pytest.approx((0.0755187, 0.0522390), abs=5e-8)
    assert (verdict.cases_needed, verdict.cases_more) == (1727, 880)
    assert verdict.interval is not None and verdict.interval.holds(0)
    assert "no regression is proven" in verdict.sentence
    assert "about 880 more cases would tell" in verdict.sentence


@pytest.mark.parametrize(
    ("cells", "margin", "outcome", "says"),
    [
        # Nothing, or next to nothing, decides nothing.
        ((0, 0, 0, 0), 0.02, "not_enough_data", "no case was compared; about 149 more cases"),
        ((0, 0, 0, 0), 0.0, "not_enough_data", "declare a margin"),
        ((1, 0, 0, 0), 0.02, "not_enough_data", "of 1 case 0 regressed"),
        ((0, 1, 0, 0), 0.02, "not_enough_data", "chance alone could do this"),
        ((0, 5, 0, 0), 0.0, "not_enough_data", "about 1 more case would tell"),
        # Six of six is the least that exact McNemar calls proven.
        ((0, 6, 0, 0), 0.0, "fail", "a regression is proven"),
        # Equal versions pass by a margin, with as many cases as it takes, and never without one.
        ((148, 0, 0, 0), 0.02, "not_enough_data", "about 1 more case would tell"),
        ((149, 0, 0, 0), 0.02, "pass", "no more than 1.99 points are lost"),
        ((9000, 0, 0, 0), 0.0, "not_enough_data", "declare a margin"),
        # Ties on both sides cancel in the difference, not in the doubt.
        ((100, 20, 20, 9), 0.02, "not_enough_data", "no regression is seen"),
        ((500, 2, 14, 0), 0.0, "pass", "points are gained"),
        # A loss that is proven: beyond the margin, within it, and not known which.
        ((800, 45, 8, 0), 0.02, "fail", "a regression beyond the margin of 2 points is proven"),
        ((9000, 90, 40, 0), 0.02, "pass", "a loss is proven (exact McNemar p < 0.0001), but lies within the margin"),
        ((800, 25, 8, 0), 0.02, "not_enough_data", "but not that it is beyond the margin"),
    ],
)
def test_the_rule(cells: tuple[int, int, int, int], margin: float, outcome: str, says: str) -> None:
    verdict = judged(*cells, margin=margin)
    assert (verdict.verdict, says in verdict.sentence) == (outcome, True), verdict.sentence


@given(st.tuples(*[st.integers(0, 30)] * 4), st.sampled_from([0.0, 0.02, 0.1]), st.sampled_from(["once", "anytime"]))
@settings(max_examples=25, deadline=None)
def test_what_a_verdict_says_fits_together(cells: tuple[int, int, int, int], margin: float, looks: Looks) -> None:
    verdict = judged(*cells, margin=margin, looks=looks)
    counts = verdict.counts
    assert counts.compared == sum(cells) == counts.both_pass + counts.regressed + counts.improved + counts.both_fail
    if verdict.verdict == "fail":
        assert verdict.regression_proven and verdict.p < 0.05 and counts.regressed > counts.improved
        assert verdict.p_regression < 0.05
    if verdict.interval is None:
        assert counts.compared == 0
        return
    assert verdict.difference is not None and verdict.bound is not None
    assert verdict.interval.low <= verdict.difference <= verdict.interval.high
    assert verdict.interval.low - 1e-6 <= verdict.bound <= verdict.difference + 1e-6
    assert (verdict.verdict == "pass") == (verdict.bound > -margin)
    if verdict.p >= 0.05:
        assert verdict.interval.holds(0.0)
    else:
        assert not verdict.interval.holds(0.0), "the interval says what the test says"
    if verdict.verdict != "not_enough_data":
        assert verdict.cases_needed is None
    elif verdict.cases_needed is not None:
        assert verdict.cases_needed > counts.compared


@given(st.tuples(*[st.integers(0, 25)] * 4))
@settings(max_examples=6, deadline=None)
def test_worse_and_better_are_mirrored(cells: tuple[int, int, int, int]) -> None:
    if not sum(cells):
        return
    both_pass, regressed, improved, both_fail = cells
    one, other = judged(*cells), judged(both_pass, improved, regressed, both_fail)
    assert one.p == other.p
    assert one.interval is not None and other.interval is not None
    assert (one.interval.low, one.interval.high) == pytest.approx((-other.interval.high, -other.interval.low), abs=1e-9)


def pairs(outcomes: list[tuple[bool | None, bool | None]], clusters: list[str] | None = None) -> list[Pair]:
    names = clusters or [""] * len(outcomes)
    return [
        Pair(case_id=f"case {i}", before=before, after=after, cluster=cluster)
        for i, ((before, after), cluster) in enumerate(zip(outcomes, names, strict=True))
    ]


def test_undetermined_cases_are_counted_left_out_and_cannot_hide_a_loss() -> None:
    unchanged: list[tuple[bool | None, bool | None]] = [(True, True)] * 200
    few = decide(pairs([*unchanged, *[(True, None)] * 10]), margin=0.02)
    assert (few.verdict, few.counts.undetermined, few.counts.compared) == ("pass", 10, 200)
    assert "10 undetermined left out" in few.sentence
    many = decide(pairs([*unchanged, *[(None, True)] * 30]), margin=0.02)
    assert (many.verdict, many.cases_needed) == ("not_enough_data", None)
    assert "too many cases are undetermined (30 of 230)" in many.sentence
    only = decide(pairs([(None, None)] * 3), margin=0.02)
    assert only.difference is None and "3 undetermined left out" in only.sentence


def test_cases_of_one_session_are_worth_less() -> None:
    outcomes: list[tuple[bool | None, bool | None]] = [(True, False)] * 12 + [(True, True)] * 88
    alone = decide(pairs(outcomes), margin=0.0)
    assert alone.verdict == "fail"
    # The twelve that regressed come from two sessions of six: two flips of a coin prove nothing.
    sessions = ["a"] * 6 + ["b"] * 6 + [f"s{i}" for i in range(88)]
    together = decide(pairs(outcomes, sessions), margin=0.0)
    assert (together.verdict, together.p, together.clusters) == ("not_enough_data", 0.5, 90)
    assert together.design_effect == pytest.approx((2 * 36 + 88) / 100)
    assert together.test == "exact sign-flip by cluster"
    assert together.interval is not None and together.interval.holds(0)
    # Clusters of one are no clusters.
    assert decide(pairs(outcomes, [f"s{i}" for i in range(100)]), margin=0.0).p == alone.p


def test_all_cases_of_a_single_session_prove_nothing() -> None:
    verdict = decide(pairs([(True, True)] * 500, ["one"] * 500), margin=0.02)
    assert (verdict.verdict, verdict.design_effect) == ("not_enough_data", 500)
    assert decide(pairs([(True, False)] * 500, ["one"] * 500), margin=0.0).p == 1.0


def test_bad_input_is_named() -> None:
    twice = [Pair(case_id="a", before=True, after=True), Pair(case_id="a", before=True, after=False)]
    with pytest.raises(BadRequest, match="a case comes twice") as refused:
        decide(twice, margin=0.0)
    assert refused.value.got == "a"
    for wrong in ({"margin": -0.1}, {"margin": 2.0}, {"margin": 0.0, "alpha": 0.0}, {"margin": 0.0, "power": 1.0}):
        with pytest.raises(BadRequest):
            decide([], **wrong)  # pyright: ignore[reportArgumentType]


def test_the_plain_gate_raises_few_false_alarms_when_looked_at_once() -> None:
    """Exact McNemar on equal versions, at fixed numbers of cases."""
    seed, alarms, runs = 20_261_129, 0, 4000
    print("seed", seed)
    rng = np.random.default_rng(seed)
    for n, disagree in ((200, 0.1), (847, 0.03)):
        discordant = rng.binomial(n, disagree, size=runs)
        regressed = rng.binomial(discordant, 0.5)
        ps = {(b, t): mcnemar(b, t - b).p for b, t in set(zip(regressed.tolist(), discordant.tolist(), strict=True))}
        alarms = sum(ps[b, t] < 0.05 for b, t in zip(regressed.tolist(), discordant.tolist(), strict=True))
        assert alarms / runs <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / runs)
        assert alarms > 0


@pytest.mark.parametrize("loss", [-0.2, 0.0, 0.02, 0.3])
@pytest.mark.parametrize("disagree", [0.3, 0.6, 1.0])
def test_a_bet_against_a_loss_is_fair_where_that_is_lost_and_a_bad_one_where_more_is(
    loss: float, disagree: float
) -> None:
    """Summed over all outcomes of nine cases."""
    n = 9
    outcomes = [(b, c) for b in range(n + 1) for c in range(n + 1 - b)]
    rows = np.array([(b, c, n - b - c) for b, c in outcomes])
    for true_loss in (loss, loss + 0.05):
        shares = np.array([(disagree + true_loss) / 2, (disagree - true_loss) / 2, 1 - disagree])
        if shares.min() < 0:
            continue
        chances = stats.multinomial.pmf(rows, n, shares)
        expected = float(chances @ [math.exp(log_evidence(b, c, n, loss)) for b, c in outcomes])
        assert expected == pytest.approx(1, abs=1e-9) if true_loss == loss else expected < 1


def looked_at(rng: np.random.Generator, *, worse: float, better: float, looks: int, runs: int) -> np.ndarray:
    """Counts of regressed and improved after every 50 cases."""
    drawn = rng.multinomial(50, [worse, better, 1 - worse - better], size=(runs, looks))
    return np.cumsum(drawn, axis=1)[:, :, :2]


def alarms_of(
    counts: np.ndarray, decides: dict[tuple[int, int, int], bool], judge: Callable[[int, int, int], bool]
) -> float:
    rung = 0
    for run in counts:
        for look, (b, c) in enumerate(run.tolist(), 1):
            key = (b, c, 50 * look)
            if key not in decides:
                decides[key] = judge(*key)
            if decides[key]:
                rung += 1
                break
    return rung / len(counts)


def proven_anytime(b: int, c: int, n: int) -> bool:
    return b > c and p_anytime(b, c) < 0.05


def proven_once(b: int, c: int, n: int) -> bool:
    return b > c and mcnemar(b, c).p < 0.05


def passed_anytime(b: int, c: int, n: int) -> bool:
    return (b - c) / n < 0.02 and log_evidence(b, c, n, 0.02) >= math.log(20)


def failed_anytime(b: int, c: int, n: int) -> bool:
    return (b - c) / n > 0.02 and log_evidence(c, b, n, -0.02) >= math.log(40)


def check_looks(*, runs: int, looks: int, seed: int) -> None:
    print("seed", seed)
    rng = np.random.default_rng(seed)
    slack = 3 * math.sqrt(0.05 * 0.95 / runs)
    for rate in (0.01, 0.05, 0.2):
        counts = looked_at(rng, worse=rate, better=rate, looks=looks, runs=runs)
        anytime = alarms_of(counts, {}, proven_anytime)
        once = alarms_of(counts, {}, proven_once)
        at_margin = looked_at(rng, worse=rate + 0.02, better=rate, looks=looks, runs=runs)
        passes = alarms_of(at_margin, {}, passed_anytime)
        beyond = alarms_of(at_margin, {}, failed_anytime)
        print(f"rate {rate}: false alarms {anytime:.4f} anytime, {once:.4f} by McNemar at each look")
        print(f"  at the margin: false passes {passes:.4f}, false fails {beyond:.4f}")
        assert anytime <= 0.05
        assert passes <= 0.05
        assert beyond <= 0.05
        if rate >= 0.05:
            assert once > 0.05 + slack, (
                "looking again and again at a fixed test must ring too often, else this proves nothing"
            )


def test_a_gate_that_is_looked_at_every_50_cases_keeps_its_promise() -> None:
    check_looks(runs=400, looks=24, seed=11)


@pytest.mark.slow
def test_a_gate_that_is_looked_at_every_50_cases_keeps_its_promise_for_long() -> None:
    check_looks(runs=4000, looks=60, seed=12)


def test_the_simulation_asks_what_the_gate_asks() -> None:
    for b, c, n in ((30, 10, 500), (12, 10, 500), (25, 8, 833), (2, 9, 513), (0, 0, 253), (0, 0, 252), (90, 10, 700)):
        verdict = judged(n - b - c, b, c, margin=0.0, looks="anytime")
        assert (verdict.verdict == "fail") == proven_anytime(b, c, n)
        verdict = judged(n - b - c, b, c, margin=0.02, looks="anytime")
        assert (verdict.verdict == "pass") == passed_anytime(b, c, n)
        assert (verdict.verdict == "fail") == failed_anytime(b, c, n)


def test_a_confidence_sequence_holds_the_truth_at_all_times() -> None:
    seed, runs = 5, 300
    print("seed", seed)
    counts = looked_at(np.random.default_rng(seed), worse=0.08, better=0.03, looks=12, runs=runs)
    missed = 0
    for number, run in enumerate(counts):
        held = [denied(b, c, 50 * k) for k, (b, c) in enumerate(run.tolist(), 1)]
        missed += any(held)
        if number < 5:
            # What the sequence leaves out is what the evidence denies.
            intervals = [confidence_sequence(b, c, 50 * k, alpha=0.05) for k, (b, c) in enumerate(run.tolist(), 1)]
            assert [not interval.holds(-0.05) for interval in intervals] == held
    print(missed / runs)
    assert missed / runs <= 0.05


def denied(b: int, c: int, n: int) -> bool:
    """Whether the evidence denies the true loss of 5 points, to either side."""
    return max(log_evidence(b, c, n, 0.05), log_evidence(c, b, n, -0.05)) >= math.log(40)


def test_cases_needed_are_enough_four_times_out_of_five() -> None:
    seed, runs = 8, 400
    print("seed", seed)
    rng = np.random.default_rng(seed)
    for looks in ("once", "anytime"):
        needed = judged(803, 18, 8, 18, looks=looks).cases_needed
        assert needed is not None
        found = 0
        for b, c, _ in rng.multinomial(needed, [18 / 847, 8 / 847, 821 / 847], size=runs).tolist():
            found += b > c and (mcnemar(b, c).p if looks == "once" else p_anytime(b, c)) < 0.05
        print(looks, needed, found / runs)
        assert 0.7 <= found / runs <= 0.93
