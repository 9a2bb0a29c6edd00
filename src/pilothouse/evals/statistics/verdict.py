"""The verdict on a change, from cases that both versions ran: pass, fail, or not enough data.

The rule, for cases that pass or fail (`decide`) as for scores (`decide_scores`):

1. **fail**: a regression is proven. The test of no difference rejects at ``alpha``, two-sided, for the worse; where a
   margin is declared, the whole interval (confidence 1 − alpha) lies below −margin as well.
2. **pass**: it is shown that no more than the margin is lost. The one-sided lower bound (confidence 1 − alpha) of the
   difference lies above −margin. A loss that is proven and lies within the margin passes, and the sentence says so.
3. **not enough data**: everything else, with the number of cases that would tell.

What follows from it at the edges: a margin of 0 passes nothing but a proven improvement, so that two equal versions never
pass without a margin. Cases that do not change prove as much as their number: 149 of them, and no fewer, show that less
than 2 points are lost. No cases, or one, decide nothing. A case without a verdict on either side is counted as
undetermined and left out; where that is more than a tenth of all, nothing passes, because the missing cases could hide a
loss. Cases of one cluster (session, tenant) count for as much as they are worth together.

The promise of ``looks="once"`` holds for one look at a number of cases that was fixed before. Whoever looks while cases
come in says ``looks="anytime"``: false alarms stay below alpha however often one looks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from pilothouse.records import BadRequest
from pilothouse.records.statistics import Interval

from .cases_needed import Seen, cases_needed, scaled
from .clusters import design_effect
from .flips import flip_counts
from .model import Counts, Looks, Pair, Verdict
from .paired import PairedCounts, mcnemar
from .paired_anytime import anytime_bound, confidence_sequence, p_anytime, p_loss_beyond
from .paired_exact import lower_bound, p_loss, upper_bound
from .sentence import sentence

UNDETERMINED_MAX: Final = 0.1
"""Of all cases, how many may be undetermined in a pass."""


def decide(
    pairs: Sequence[Pair],
    *,
    margin: float,
    alpha: float = 0.05,
    looks: Looks = "once",
    power: float = 0.8,
) -> Verdict:
    """The verdict on cases that pass or fail; the rule stands at the head of this file.

    Args:
        pairs: one for each case; repeats are folded before.
        margin: the loss of pass rate that is accepted, as a share: 0.01 is one point.
        alpha: how often a false alarm, or a false pass, is accepted.
        looks: once, at a number of cases fixed before, or at any time.
        power: how surely the needed cases are to decide.

    Raises:
        BadRequest: a case comes twice, or margin or alpha make no sense.
    """
    check(margin=margin, alpha=alpha, power=power)
    unique([pair.case_id for pair in pairs])
    one = unlikeness(pairs)
    effect = design_effect(one.changes, one.clusters)
    seen = Seen(
        regressed=one.counts.regressed / effect,
        improved=one.counts.improved / effect,
        total=one.counts.compared / effect,
        margin=margin,
        alpha=alpha,
        power=power,
        looks=looks,
    )
    if looks == "anytime":
        by = " by cluster" if one.grouped else ""
        p = p_anytime(seen.regressed, seen.improved)
        one = replace(one, test=f"anytime-valid McNemar{by}", p=p, mid_p=p)
    return _judge(seen, one, effect=effect)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unlikeness:
    """How far two versions part, and how easily chance would part them as far: looked at once."""

    counts: Counts
    changes: tuple[int, ...]
    """1, 0 or −1 for each case compared."""
    clusters: tuple[str, ...]
    test: str
    p: float
    mid_p: float

    @property
    def grouped(self) -> bool:
        """Whether any cases share a cluster."""
        return len(set(self.clusters)) < len(self.clusters)


def unlikeness(pairs: Sequence[Pair]) -> Unlikeness:
    """The exact test of no difference: McNemar's, or by flipping the signs of whole clusters where cases share them."""
    compared = [pair for pair in pairs if pair.before is not None and pair.after is not None]
    counts = _counts(pairs)
    changes = tuple(int(bool(pair.after)) - int(bool(pair.before)) for pair in compared)
    clusters = tuple(cluster_names([(pair.cluster, pair.case_id) for pair in compared]))
    exact = mcnemar(counts.regressed, counts.improved)
    one = Unlikeness(
        counts=counts, changes=changes, clusters=clusters, test="exact McNemar", p=exact.p, mid_p=exact.mid_p
    )
    if not one.grouped:
        return one
    sums: dict[str, int] = {}
    for cluster, change in zip(clusters, changes, strict=True):
        sums[cluster] = sums.get(cluster, 0) + change
    flipped = flip_counts(sums.values())
    return replace(one, test="exact sign-flip by cluster", p=flipped.p, mid_p=flipped.mid_p)


def decide_counts(
    counts: PairedCounts, *, margin: float, alpha: float = 0.05, looks: Looks = "once", power: float = 0.8
) -> Verdict:
    """The same from a table of four counts, for independent cases."""
    cells = (
        (counts.both_pass, True, True),
        (counts.regressed, True, False),
        (counts.improved, False, True),
        (counts.both_fail, False, False),
    )
    pairs: list[Pair] = []
    for times, before, after in cells:
        pairs += [Pair(case_id=str(len(pairs) + i), before=before, after=after) for i in range(times)]
    return decide(pairs, margin=margin, alpha=alpha, looks=looks, power=power)


def check(*, margin: float, alpha: float, power: float) -> None:
    """Refuse settings of a gate that make no sense."""
    if not 0 <= margin < 1:
        raise BadRequest("a margin is a share of cases between 0 and 1", got=margin, fix="margin=0.01 for one point")
    if not 0 < alpha < 0.5:
        raise BadRequest("alpha lies between 0 and 0.5", got=alpha, fix="alpha=0.05")
    if not 0 < power < 1:
        raise BadRequest("power lies between 0 and 1", got=power, fix="power=0.8")


def unique(case_ids: Sequence[str]) -> None:
    """Refuse a case that comes twice: it would be counted as two that agree by chance."""
    if len(set(case_ids)) == len(case_ids):
        return
    seen: set[str] = set()
    twice = next(one for one in case_ids if one in seen or seen.add(one))
    raise BadRequest("a case comes twice", got=twice, fix="fold its repeats into one pair first")


def cluster_names(cases: Sequence[tuple[str, str]]) -> list[str]:
    """The clusters of cases, given as cluster and case id; a case without one is one of its own."""
    return [f"cluster {cluster}" if cluster else f"case {case_id}" for cluster, case_id in cases]


def _counts(pairs: Sequence[Pair]) -> Counts:
    both_pass = regressed = improved = both_fail = undetermined = 0
    for pair in pairs:
        if pair.before is None or pair.after is None:
            undetermined += 1
        elif pair.before:
            both_pass, regressed = both_pass + pair.after, regressed + (not pair.after)
        else:
            improved, both_fail = improved + pair.after, both_fail + (not pair.after)
    return Counts(
        compared=len(pairs) - undetermined,
        both_pass=both_pass,
        regressed=regressed,
        improved=improved,
        both_fail=both_fail,
        undetermined=undetermined,
    )


def _judge(seen: Seen, one: Unlikeness, *, effect: float) -> Verdict:
    counts, p = one.counts, one.p
    draft = Verdict(
        verdict="not_enough_data",
        sentence="",
        measure="rate",
        test=one.test,
        p=p,
        mid_p=one.mid_p,
        p_regression=1.0,
        regression_proven=False,
        difference=None,
        interval=None,
        bound=None,
        margin=seen.margin,
        alpha=seen.alpha,
        looks=seen.looks,
        counts=counts,
        clusters=len(set(one.clusters)),
        design_effect=effect,
        cases_needed=None,
        cases_more=None,
    )
    if not counts.compared:
        return finish(replace(draft, cases_needed=cases_needed(seen)))
    interval, bound = _interval(seen)
    interval, bound = in_line(interval, bound, p=p, alpha=seen.alpha)
    proven = p < seen.alpha and counts.regressed > counts.improved
    p_regression = max(p, _p_beyond(seen)) if seen.difference < -seen.margin else 1.0
    failed = proven and (seen.margin == 0 or interval.high < -seen.margin)
    shown = bound > -seen.margin
    passed = shown and not too_many_undetermined(counts)
    return finish(
        replace(
            draft,
            verdict="fail" if failed else "pass" if passed else "not_enough_data",
            p_regression=p_regression,
            regression_proven=proven,
            difference=seen.difference,
            interval=interval,
            bound=bound,
            # More cases do not help where it is verdicts that are missing.
            cases_needed=None if failed or shown else scaled(cases_needed(seen), effect),
        )
    )


def in_line(interval: Interval, bound: float, *, p: float, alpha: float) -> tuple[Interval, float]:
    """The interval and the bound, brought in line with the test: they exclude no difference only where it does."""
    if p < alpha:
        return interval, bound
    return Interval(low=min(interval.low, 0.0), high=max(interval.high, 0.0)), bound if p < 2 * alpha else min(
        bound, 0.0
    )


def too_many_undetermined(counts: Counts) -> bool:
    """Whether so many cases are undetermined that they could hide a loss."""
    return counts.undetermined > UNDETERMINED_MAX * (counts.compared + counts.undetermined)


def _interval(seen: Seen) -> tuple[Interval, float]:
    counts = (seen.regressed, seen.improved, seen.total)
    if seen.looks == "anytime":
        return confidence_sequence(*counts, alpha=seen.alpha), anytime_bound(*counts, alpha=seen.alpha)
    low = lower_bound(*counts, alpha=seen.alpha / 2)
    high = upper_bound(*counts, alpha=seen.alpha / 2)
    return Interval(low=low, high=high), lower_bound(*counts, alpha=seen.alpha)


def _p_beyond(seen: Seen) -> float:
    """Two-sided, of a loss beyond the margin."""
    if not seen.margin:
        return 0.0
    if seen.looks == "anytime":
        return p_loss_beyond(seen.regressed, seen.improved, seen.total, seen.margin)
    b, n = math.floor(seen.regressed + 1e-9), math.floor(seen.total + 1e-9)
    c = min(math.ceil(seen.improved - 1e-9), max(0, n - b))
    return min(1.0, 2 * p_loss(c, b, n, -seen.margin))


def finish(draft: Verdict) -> Verdict:
    """The verdict with its sentence, and with what is missing."""
    needed = draft.cases_needed
    more = max(1, needed - draft.counts.compared) if needed is not None else None
    draft = replace(draft, cases_more=more)
    return replace(draft, sentence=sentence(draft))
