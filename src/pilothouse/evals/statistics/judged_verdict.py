"""The verdict on cases that a judge passed or failed: its errors are taken out before anything is decided.

A judge that errs alike on both versions makes every true difference smaller by one factor: sensitivity + specificity − 1.
So that a difference was seen stays proven, but how large it is must be put right before it meets a margin. The factor is
known from labelled items only as well as they are many: a fifth of alpha is spent on its interval, the rest on the cases'.
Where a judge is harsher on one version than on the other, nothing here sees it: label items of both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from pilothouse.records.statistics import Interval

from .agreement import JudgeRates
from .judge_correction import JudgeBar, judge_bar
from .model import Looks, Pair, Verdict
from .rates import clopper_pearson
from .verdict import check, decide, finish, too_many_undetermined

_FOR_THE_JUDGE: Final = 0.2


def decide_judged(
    pairs: Sequence[Pair],
    rates: JudgeRates,
    *,
    margin: float,
    alpha: float = 0.05,
    looks: Looks = "once",
    power: float = 0.8,
    bar: JudgeBar | None = None,
) -> Verdict:
    """The verdict on judged cases, in true points; the rule is that of `decide`.

    A judge below the bar decides nothing, and the sentence says why.

    Args:
        pairs: what the judge said of each case.
        rates: how the judge did on items that people labelled.
        margin: the loss of true pass rate that is accepted, as a share.
        alpha: how often a false alarm, or a false pass, is accepted.
        looks: once, at a number of cases fixed before, or at any time.
        power: how surely the needed cases are to decide.
        bar: whether the judge may gate; `judge_bar` with its defaults where it is not given.
    """
    check(margin=margin, alpha=alpha, power=power)
    bar = bar or judge_bar(rates)
    factor, low, high = _factor(rates, alpha * _FOR_THE_JUDGE)
    if not bar.may_gate or factor is None or low <= 0:
        raw = decide(pairs, margin=margin, alpha=alpha, looks=looks, power=power)
        reasons = list(bar.why_not) or ["it may do no better than chance"]
        return replace(
            raw,
            verdict="not_enough_data",
            regression_proven=False,
            p_regression=1.0,
            cases_needed=None,
            cases_more=None,
            sentence=f"Not enough data: the judge may not gate: {'; '.join(reasons)}.",
        )
    judged = decide(pairs, margin=margin * factor, alpha=alpha * (1 - _FOR_THE_JUDGE), looks=looks, power=power)
    if judged.interval is None or judged.bound is None or judged.difference is None:
        return finish(replace(judged, margin=margin, alpha=alpha))
    interval = Interval(
        low=max(-1.0, _true(judged.interval.low, low, high)), high=min(1.0, _true(judged.interval.high, high, low))
    )
    bound = max(-1.0, _true(judged.bound, low, high))
    proven = judged.p < alpha and judged.difference < 0
    failed = proven and (margin == 0 or interval.high < -margin)
    shown = bound > -margin
    passed = shown and not too_many_undetermined(judged.counts)
    p_regression = judged.p if judged.difference < 0 else 1.0
    if margin and judged.difference < 0:
        # As far as the judge may shrink a difference at most: the margin that is hardest to be beyond.
        widest = decide(pairs, margin=min(margin * high, 0.99), alpha=alpha, looks=looks, power=power)
        p_regression = widest.p_regression
    verdict = finish(
        replace(
            judged,
            verdict="fail" if failed else "pass" if passed else "not_enough_data",
            p_regression=p_regression,
            regression_proven=proven,
            difference=max(-1.0, min(1.0, judged.difference / factor)),
            interval=interval,
            bound=bound,
            margin=margin,
            alpha=alpha,
            cases_needed=None if failed or shown else judged.cases_needed,
        )
    )
    said = f"of what truly passes it passes {rates.sensitivity:.0%}, of what truly fails {1 - (rates.specificity or 0):.0%}"
    return replace(
        verdict, sentence=f"{verdict.sentence.removesuffix('.')}; the judge's errors are taken out ({said})."
    )


def _factor(rates: JudgeRates, alpha: float) -> tuple[float | None, float, float]:
    """By how much a judge shrinks differences, and between which two values that lies."""
    if rates.sensitivity is None or rates.specificity is None:
        return None, 0.0, 1.0
    ends = (
        clopper_pearson(rates.passes_kept, rates.truly_pass, confidence=1 - alpha / 2),
        clopper_pearson(rates.fails_caught, rates.truly_fail, confidence=1 - alpha / 2),
    )
    return (
        rates.sensitivity + rates.specificity - 1,
        sum(one.low for one in ends) - 1,
        sum(one.high for one in ends) - 1,
    )


def _true(judged: float, factor_below: float, factor_above: float) -> float:
    """An end of an interval in true points, at whichever factor moves it outwards."""
    return judged / (factor_below if judged < 0 else factor_above)
