"""What a judged rate truly is: a judge that errs counts wrongly, and its errors are known from items people labelled.

Rogan and Gladen's estimate with the interval of Lang and Reiczigel (2014), as Lee et al. (2025) use it for judges; and
prediction-powered inference (Angelopoulos et al. 2023) for scores. A judge's raw rate never reaches a gate.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pilothouse.records import BadRequest
from pilothouse.records.statistics import Interval, wilson

from .agreement import JudgeRates
from .distributions import normal_quantile


@dataclass(frozen=True, slots=True, kw_only=True)
class CorrectedRate:
    """The share that truly passes, from the share that a judge passes."""

    rate: float | None
    """Between 0 and 1; None where the judge cannot be corrected."""
    standard_error: float | None
    """By the delta method."""
    interval: Interval
    """0 to 1 where nothing is known."""
    raw: float
    raw_interval: Interval
    """Of the raw rate, as if the judge never erred: for comparison, never for a gate."""
    why_not: str
    """Why it could not be corrected; empty where it was."""


def corrected_rate(passed: int, judged: int, rates: JudgeRates, *, confidence: float = 0.95) -> CorrectedRate:
    """Correct ``passed`` of ``judged`` by how the judge did on labelled items.

    The labelled items must be like those judged, and their labels better than the judge. A judge that passes as much of
    what fails as of what passes says nothing, and is refused by ``why_not``.
    """
    if judged <= 0 or not 0 <= passed <= judged:
        raise BadRequest("a rate is a count of a number above 0", got=f"{passed} of {judged}", fix="judge an item")
    raw = passed / judged
    raw_interval = wilson(passed, judged, confidence=confidence)
    q1, q0 = rates.sensitivity, rates.specificity
    why_not = ""
    if q1 is None or q0 is None:
        missing = "passes" if q1 is None else "fails"
        why_not = (
            f"none of the {rates.items} labelled items truly {missing}, so the judge's errors on those are unknown"
        )
    elif q1 + q0 <= 1:
        why_not = (
            f"the judge does no better than chance: it passes {q1:.0%} of what passes and {1 - q0:.0%} of what fails"
        )
    if q1 is None or q0 is None or why_not:
        return CorrectedRate(
            rate=None,
            standard_error=None,
            interval=Interval(low=0.0, high=1.0),
            raw=raw,
            raw_interval=raw_interval,
            why_not=why_not,
        )
    rate = (raw + q0 - 1) / (q0 + q1 - 1)
    error = _error(rate, raw, judged, q1, rates.truly_pass, q0, rates.truly_fail)
    return CorrectedRate(
        rate=min(1.0, max(0.0, rate)),
        standard_error=error,
        interval=_interval(passed, judged, rates, confidence),
        raw=raw,
        raw_interval=raw_interval,
        why_not="",
    )


def _error(rate: float, raw: float, judged: float, q1: float, m1: float, q0: float, m0: float) -> float:
    """The standard error of a corrected rate: that of the count, and those of the judge's two rates."""
    rate = min(1.0, max(0.0, rate))
    variance = raw * (1 - raw) / judged + rate**2 * q1 * (1 - q1) / m1 + (1 - rate) ** 2 * q0 * (1 - q0) / m0
    return math.sqrt(variance) / (q0 + q1 - 1)


def _interval(passed: int, judged: int, rates: JudgeRates, confidence: float) -> Interval:
    # A few made-up items on either side keep the interval honest for few labels and for rates near 0 and 1.
    z = normal_quantile(0.5 + confidence / 2)
    n, m1, m0 = judged + z * z, rates.truly_pass + 2, rates.truly_fail + 2
    raw, q1, q0 = (passed + z * z / 2) / n, (rates.passes_kept + 1) / m1, (rates.fails_caught + 1) / m0
    if q1 + q0 <= 1:
        return Interval(low=0.0, high=1.0)
    rate = min(1.0, max(0.0, (raw + q0 - 1) / (q0 + q1 - 1)))
    shift = 2 * z * z * (rate * q1 * (1 - q1) / m1 - (1 - rate) * q0 * (1 - q0) / m0)
    half = z * _error(rate, raw, n, q1, m1, q0, m0)
    return Interval(low=min(1.0, max(0.0, rate + shift - half)), high=max(0.0, min(1.0, rate + shift + half)))


@dataclass(frozen=True, slots=True, kw_only=True)
class PoweredMean:
    """A mean of true scores, from few that people gave and many that a judge gave."""

    mean: float
    standard_error: float
    interval: Interval
    """By the normal approximation: for some fifty labels and more."""
    weight: float
    """How far the judge was believed, from 0 to 1."""
    classical: float
    """The mean of people's scores alone."""
    classical_error: float


def powered_mean(
    truth: Sequence[float],
    judged_with_truth: Sequence[float],
    judged_alone: Sequence[float],
    *,
    confidence: float = 0.95,
    tuned: bool = False,
) -> PoweredMean:
    """The mean by prediction-powered inference: the judge's mean, less what it errs by where the truth is known.

    Args:
        truth: people's scores.
        judged_with_truth: the judge's scores of the same items.
        judged_alone: the judge's scores of items that nobody labelled.
        confidence: of the interval.
        tuned: believe the judge only as far as it follows the truth (PPI++): never worse than people's scores alone.
    """
    if len(truth) != len(judged_with_truth) or len(truth) < 2 or not len(judged_alone):
        raise BadRequest(
            "at least two labelled items, judged as well, and one that only the judge has seen",
            got=f"{len(truth)} labels, {len(judged_with_truth)} judged with them, {len(judged_alone)} judged alone",
            fix="label more items",
        )
    y, f, u = (np.asarray(values, dtype=np.float64) for values in (truth, judged_with_truth, judged_alone))
    n, more = len(y), len(u)
    weight = 1.0
    if tuned:
        spread = float(np.concatenate([f, u]).var())
        together = float(((y - y.mean()) * (f - f.mean())).mean())
        weight = min(1.0, max(0.0, together / ((1 + n / more) * spread))) if spread else 0.0
    mean = weight * float(u.mean()) + float((y - weight * f).mean())
    error = math.sqrt(float((y - weight * f).var()) / n + weight**2 * float(u.var()) / more)
    z = normal_quantile(0.5 + confidence / 2)
    return PoweredMean(
        mean=mean,
        standard_error=error,
        interval=Interval(low=mean - z * error, high=mean + z * error),
        weight=weight,
        classical=float(y.mean()),
        classical_error=math.sqrt(float(y.var()) / n),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeBar:
    """Whether a judge may gate."""

    may_gate: bool
    why_not: tuple[str, ...]
    """Every reason against it, each a plain sentence."""


def judge_bar(
    rates: JudgeRates, *, sensitivity_min: float = 0.7, specificity_min: float = 0.7, labels_min: int = 30
) -> JudgeBar:
    """Hold a judge to the bar: enough labels of both kinds, and both rates above it at the low end of their intervals."""
    reasons: list[str] = []
    for name, verb, count, interval, bar in (
        ("sensitivity", "pass", rates.truly_pass, rates.sensitivity_interval, sensitivity_min),
        ("specificity", "fail", rates.truly_fail, rates.specificity_interval, specificity_min),
    ):
        if count < labels_min:
            reasons.append(f"{count} labelled items truly {verb}; {labels_min} are needed to know its {name}")
        elif interval.low < bar:
            reasons.append(f"its {name} may be as low as {interval.low:.2f}; the bar is {bar:.2f}")
    return JudgeBar(may_gate=not reasons, why_not=tuple(reasons))
