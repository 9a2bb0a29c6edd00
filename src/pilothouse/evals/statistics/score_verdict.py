"""The verdict on scores: the rule of `verdict`, with the mean of differences in place of the pass rate.

p is a sign-flip (permutation) test, by cluster where there are any, exact up to sixteen that differ. The interval is the
BCa bootstrap of 10,000 samples; below a hundred clusters, where the bootstrap is a little too narrow, the wider of it and
Student's t; beyond five thousand, where both are the same, t alone. Where fewer than ten clusters differ at all, neither knows enough: then the interval is the exact one of how
many clusters may have become worse, or better, each by the whole length of the scale.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from pilothouse.records import BadRequest
from pilothouse.records.statistics import Interval

from .cases_needed import scaled
from .clusters import MeanError, mean_error
from .distributions import beta_quantile, normal_quantile, t_cdf, t_quantile
from .flips import SAMPLED_MAX, flip_means
from .means import resample
from .model import Counts, Looks, ScorePair, Verdict
from .paired_anytime import anytime_bound, p_anytime
from .power import NEEDED_MAX, unchanged_needed
from .sequential import asymptotic_half_width, asymptotic_p, asymptotic_rho
from .verdict import check, cluster_names, finish, in_line, too_many_undetermined, unique

DIFFERING_MIN: Final = 10
_BOOTSTRAP_ALONE_MIN: Final = 100
_ANYTIME_MIN: Final = 50
"""Below so many clusters the asymptotic confidence sequence is not trusted."""
_TUNED_FOR: Final = 500


def decide_scores(
    pairs: Sequence[ScorePair],
    *,
    margin: float,
    alpha: float = 0.05,
    looks: Looks = "once",
    power: float = 0.8,
    scale: float = 1.0,
) -> Verdict:
    """The verdict on scores, higher being better.

    Args:
        pairs: one for each case; repeats are averaged before.
        margin: the loss of mean score that is accepted, in units of the score.
        alpha: how often a false alarm, or a false pass, is accepted.
        looks: once, at a number of cases fixed before, or at any time.
        power: how surely the needed cases are to decide.
        scale: the most that one case can lose: 1 for scores from 0 to 1.

    Raises:
        BadRequest: a case comes twice, a score is no number, or a case changed by more than the scale.
    """
    if not (math.isfinite(scale) and scale > 0):
        raise BadRequest("the length of a scale is above 0", got=scale, fix="scale=1 for scores from 0 to 1")
    check(margin=margin / scale, alpha=alpha, power=power)
    unique([pair.case_id for pair in pairs])
    compared: list[ScorePair] = []
    changes: list[float] = []
    for pair in pairs:
        if pair.before is None or pair.after is None:
            continue
        change = pair.after - pair.before
        if not math.isfinite(change):
            raise BadRequest("a score is a finite number", got=f"{pair.before} and {pair.after} of {pair.case_id}", fix="leave out what has no score: None, not NaN")  # fmt: skip
        if abs(change) > scale * (1 + 1e-9):
            raise BadRequest("a case changed by more than the scale is long", got=f"{pair.case_id}: {pair.before:g} to {pair.after:g}", allowed=f"a change of at most {scale:g}", fix="scale=10 for scores from 0 to 10")  # fmt: skip
        compared.append(pair)
        changes.append(change)
    counts = Counts(
        compared=len(compared),
        both_pass=sum(change == 0 for change in changes),
        regressed=sum(change < 0 for change in changes),
        improved=sum(change > 0 for change in changes),
        both_fail=0,
        undetermined=len(pairs) - len(compared),
    )
    draft = Verdict(
        verdict="not_enough_data",
        sentence="",
        measure="score",
        test="",
        p=1.0,
        mid_p=1.0,
        p_regression=1.0,
        regression_proven=False,
        difference=None,
        interval=None,
        bound=None,
        margin=margin,
        alpha=alpha,
        looks=looks,
        counts=counts,
        clusters=0,
        design_effect=1.0,
        cases_needed=None,
        cases_more=None,
    )
    if not compared:
        return finish(replace(draft, test="sign flip"))
    clusters = cluster_names([(pair.cluster, pair.case_id) for pair in compared])
    return _judge(draft, changes, clusters, power=power, scale=scale)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sums:
    """The differences of each cluster, added up."""

    values: list[float]
    worse: int
    better: int

    @property
    def differing(self) -> int:
        return self.worse + self.better


def _judge(draft: Verdict, changes: list[float], clusters: list[str], *, power: float, scale: float) -> Verdict:
    alpha, margin, counts = draft.alpha, draft.margin, draft.counts
    sums = _sums(changes, clusters)
    error = mean_error(changes, clusters)
    flipped = flip_means(sums.values)
    p, mid_p = flipped.p, flipped.mid_p
    by = " by cluster" if error.clusters < len(changes) else ""
    test = f"{'exact ' if flipped.exact else ''}sign-flip{by}"
    enough = sums.differing >= DIFFERING_MIN
    if draft.looks == "anytime":
        enough = enough and error.clusters >= _ANYTIME_MIN
        test = f"anytime-valid mean{by}" if enough else f"anytime-valid signs{by}"
        rho = asymptotic_rho(_TUNED_FOR, alpha=alpha)
        p = (
            asymptotic_p(error.mean, error.clustered_corrected, error.clusters, rho=rho)
            if enough
            else p_anytime(sums.worse, sums.better)
        )
        mid_p = p
    interval, bound = (
        _anytime(error, sums, alpha=alpha, scale=scale, enough=enough)
        if draft.looks == "anytime"
        else _once(error, sums, changes, clusters, alpha=alpha, scale=scale, enough=enough)
    )
    p_beyond = _p_beyond(error, margin) if margin else 0.0
    interval, bound = in_line(interval, bound, p=p, alpha=alpha)
    proven = p < alpha and error.mean < 0
    failed = proven and (margin == 0 or interval.high < -margin)
    shown = bound > -margin
    passed = shown and not too_many_undetermined(counts)
    needed = None if failed or shown else _needed(error, draft, power=power, scale=scale)
    return finish(
        replace(
            draft,
            verdict="fail" if failed else "pass" if passed else "not_enough_data",
            test=test,
            p=p,
            mid_p=mid_p,
            p_regression=max(p, p_beyond) if error.mean < -margin else 1.0,
            regression_proven=proven,
            difference=error.mean,
            interval=interval,
            bound=bound,
            clusters=error.clusters,
            design_effect=error.design_effect,
            cases_needed=scaled(needed, error.design_effect),
        )
    )


def _sums(changes: list[float], clusters: list[str]) -> _Sums:
    added: dict[str, float] = {}
    for cluster, change in zip(clusters, changes, strict=True):
        added[cluster] = added.get(cluster, 0.0) + change
    values = list(added.values())
    return _Sums(values=values, worse=sum(one < 0 for one in values), better=sum(one > 0 for one in values))


def _once(
    error: MeanError,
    sums: _Sums,
    changes: list[float],
    clusters: list[str],
    *,
    alpha: float,
    scale: float,
    enough: bool,
) -> tuple[Interval, float]:
    if not enough:
        low, high = (_share_at_most(count, error.clusters, alpha / 2) for count in (sums.worse, sums.better))
        return Interval(low=-scale * low, high=scale * high), -scale * _share_at_most(sums.worse, error.clusters, alpha)
    two, one = (t_quantile(1 - tail, error.clusters - 1) * error.clustered_corrected for tail in (alpha / 2, alpha))
    edges = [error.mean - two, error.mean + two, error.mean - one]
    if error.clusters <= SAMPLED_MAX:
        resampled = resample(changes, clusters)
        drawn = [resampled.bound(alpha / 2), resampled.bound(1 - alpha / 2), resampled.bound(alpha)]
        few = error.clusters < _BOOTSTRAP_ALONE_MIN
        edges = [min(edges[0], drawn[0]), max(edges[1], drawn[1]), min(edges[2], drawn[2])] if few else drawn
    return Interval(low=edges[0], high=edges[1]), edges[2]


def _anytime(error: MeanError, sums: _Sums, *, alpha: float, scale: float, enough: bool) -> tuple[Interval, float]:
    if not enough:
        low = scale * anytime_bound(sums.worse, 0, error.clusters, alpha=alpha / 2)
        high = -scale * anytime_bound(sums.better, 0, error.clusters, alpha=alpha / 2)
        return Interval(low=low, high=high), scale * anytime_bound(sums.worse, 0, error.clusters, alpha=alpha)
    rho = asymptotic_rho(_TUNED_FOR, alpha=alpha)
    deviation = error.clustered_corrected * math.sqrt(error.clusters)
    half = deviation * asymptotic_half_width(error.clusters, alpha=alpha, rho=rho)
    return Interval(low=error.mean - half, high=error.mean + half), error.mean - half


def _share_at_most(count: int, of: int, alpha: float) -> float:
    return beta_quantile(1 - alpha, count + 1, of - count) if count < of else 1.0


def _p_beyond(error: MeanError, margin: float) -> float:
    """Two-sided, of a loss beyond the margin, by Student's t: for the correction over many gates."""
    if error.clusters < 2 or not error.clustered_corrected:
        return 1.0
    t = (error.mean + margin) / error.clustered_corrected
    return min(1.0, 2 * t_cdf(t, error.clusters - 1))


def _needed(error: MeanError, draft: Verdict, *, power: float, scale: float) -> int | None:
    """How many independent cases decide at the mean and the spread seen."""
    worse = error.mean < -draft.margin
    effect = abs(error.mean + draft.margin)
    deviation = error.naive * math.sqrt(error.cases)
    if not effect:
        return None
    unlucky = normal_quantile(power)
    if draft.looks == "once":
        sure = normal_quantile(1 - (draft.alpha / 2 if worse else draft.alpha))
        needed = ((sure + unlucky) * deviation / effect) ** 2
    else:
        needed = float(_ANYTIME_MIN)
        rho = asymptotic_rho(_TUNED_FOR, alpha=draft.alpha)
        while deviation * (asymptotic_half_width(needed, alpha=draft.alpha, rho=rho) + unlucky / math.sqrt(needed)) > effect:  # fmt: skip
            needed *= 1.05
            if needed > NEEDED_MAX:
                return None
    # What was not enough is not what is needed, and no spread seen is no proof of none.
    unchanged = 0 if worse else unchanged_needed(draft.margin / scale, alpha=draft.alpha) or 0
    needed = max(needed, error.cases / error.design_effect + 1, unchanged)
    return math.ceil(needed) if needed <= NEEDED_MAX else None
