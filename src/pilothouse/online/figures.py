"""What scores come to: rates and means with intervals that know which scores hang together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from pilothouse.records import iso
from pilothouse.records.statistics import wilson
from pilothouse.store.online_store import NANO, ScoreRow, Spend

from .model import REASONS, Figures, OnlineScore, ScorerDay, Unscored

WORST: Final = 10
_Z95: Final = 1.959963984540054


def figures(rows: Sequence[ScoreRow]) -> Figures:
    """The figures of some scores."""
    scored = [row for row in rows if row.state == "scored"]
    passing = [row for row in scored if row.label in ("pass", "fail")]
    rate = low = high = mean = mean_low = mean_high = None
    passed = sum(row.label == "pass" for row in passing)
    if passing:
        rate = passed / len(passing)
        effect = _design_effect([float(row.label == "pass") for row in passing], [_cluster(row) for row in passing])
        found = wilson(passed / effect, len(passing) / effect)
        low, high = found.low, found.high
    values = [(row.value, _cluster(row)) for row in scored if row.value is not None]
    # Of scores that are 1 where they pass and 0 where they fail, the mean is the rate again, with a worse interval.
    if values and not all(row.value == float(row.label == "pass") for row in scored):
        numbers = [value for value, _ in values]
        mean = sum(numbers) / len(numbers)
        error = _error(numbers, [cluster for _, cluster in values])
        if error is not None:
            mean_low, mean_high = mean - _Z95 * error, mean + _Z95 * error
    return Figures(
        scored=len(scored),
        unscored=len(rows) - len(scored),
        passed=passed if passing else None,
        rate=rate,
        rate_low=low,
        rate_high=high,
        mean=mean,
        mean_low=mean_low,
        mean_high=mean_high,
    )


def by_day(rows: Sequence[ScoreRow], spends: dict[str, Spend]) -> tuple[ScorerDay, ...]:
    """The same day by day, oldest first; days on which nothing happened are left out."""
    days: dict[str, list[ScoreRow]] = {}
    for row in rows:
        days.setdefault(row.day, []).append(row)
    return tuple(
        ScorerDay(
            day=day,
            figures=figures(days.get(day, [])),
            spent_usd=spends[day].spent_nano / NANO if day in spends else 0.0,
        )
        for day in sorted({*days, *spends})
    )


def unscored(rows: Sequence[ScoreRow]) -> tuple[Unscored, ...]:
    """Why some have no score, the most frequent reason first. The rows stand newest first."""
    found: dict[str, list[ScoreRow]] = {}
    for row in rows:
        if row.state == "unscored":
            found.setdefault(row.reason, []).append(row)
    listed = sorted(found.items(), key=lambda pair: (-len(pair[1]), pair[0]))
    return tuple(
        Unscored(reason=reason, count=len(some), means=REASONS.get(reason, reason), example=some[0].why[:300])
        for reason, some in listed
    )


def worst(rows: Sequence[ScoreRow], *, falling: bool) -> tuple[OnlineScore, ...]:
    """The worst scores: what failed first, by its number, then the newest."""
    sign = -1.0 if falling else 1.0

    def key(row: ScoreRow) -> tuple[bool, float, int]:
        return (row.label != "fail", sign * (row.value if row.value is not None else 0.0), -row.at_ns)

    some = sorted((row for row in rows if row.state == "scored"), key=key)[:WORST]
    return tuple(
        OnlineScore(
            trace_id=row.trace_id,
            span_id=row.span_id,
            session_id=row.session_id,
            value=row.value,
            label=row.label,
            why=row.why[:500],
            at=iso(row.at_ns),
        )
        for row in some
    )


def _cluster(row: ScoreRow) -> str:
    return row.cluster or row.trace_id


def _error(values: Sequence[float], clusters: Sequence[str]) -> float | None:
    """The standard error of a mean with clusters; None where one cluster cannot tell it."""
    mean = sum(values) / len(values)
    sums: dict[str, float] = {}
    for value, cluster in zip(values, clusters, strict=True):
        sums[cluster] = sums.get(cluster, 0.0) + value - mean
    count = len(sums)
    if count < 2:
        return None
    return math.sqrt(sum(one * one for one in sums.values()) * count / (count - 1)) / len(values)


def _design_effect(values: Sequence[float], clusters: Sequence[str]) -> float:
    """How many times more scores it takes than independent ones would; at least 1."""
    n = len(values)
    mean = sum(values) / n
    naive = sum((value - mean) ** 2 for value in values) / (n * (n - 1)) if n > 1 else 0.0
    error = _error(values, clusters)
    if error is None or not naive:
        # All the same: of scores that stand in one trace, no more than one for each trace is known.
        return n / len(set(clusters))
    return min(n / 1.0, max(1.0, error * error / naive))
