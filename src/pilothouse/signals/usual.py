"""What is unusual for this agent: ``unexpected_cost``, ``unexpected_latency``, ``canned_traffic``."""

from __future__ import annotations

import hashlib
import math

from pilothouse.records import Signal

from .facts import Spread
from .view import View
from .wording import evidence, listed, named, seconds, usd

_QUARTILES_TO_DEVIATION = 1.349
"""The distance between the quartiles of a normal distribution in standard deviations."""
_CANNED_CHARS_MIN = 12
"""Shorter inputs are typed by everybody: ``hi``, ``help``, ``yes please``."""


def upper_limit(spread: Spread, *, factor: float, deviations: float) -> float:
    """The most that is usual: so many robust deviations of the logarithm above the median, at least ``factor`` medians."""
    ratio = spread.high / spread.low if spread.low > 0 else 1.0
    reach = math.log(max(ratio, 1.0)) / _QUARTILES_TO_DEVIATION * deviations
    return spread.middle * max(factor, math.exp(min(reach, 50.0)))


def unexpected_cost(view: View) -> Signal | None:
    """The sum over the leaves is beyond what is usual. Said while the trace still runs, too."""
    limits, usual = view.thresholds, view.baseline
    if usual.usd is None or usual.traces < limits.baseline_traces or usual.usd.middle <= 0:
        return None
    counted = [
        fact
        for fact in view.facts
        if fact.cost_usd is not None and fact.usage_scope != "aggregate" and not fact.duplicate_of
    ]
    cost = float(sum(fact.cost_usd for fact in counted if fact.cost_usd is not None))
    limit = max(upper_limit(usual.usd, factor=limits.cost_factor, deviations=limits.cost_spread), limits.cost_min_usd)
    if cost <= limit:
        return None
    dearest = sorted(counted, key=lambda fact: -(fact.cost_usd or 0))[:5]
    return Signal(
        name="unexpected_cost",
        severity="critical" if cost > 3 * limit or view.open_ else "warning",
        message=f"It cost {usd(cost)}, {cost / usual.usd.middle:.1f} times the median of {_agent(view)} "
        f"({usd(usual.usd.middle)} over {usual.traces:,} traces of {usual.days} days; limit {usd(limit)}).",
        evidence=listed(dearest, "among the dearest calls"),
        value=round(cost, 6),
        limit=round(limit, 6),
        unit="usd",
        detail={"median": usual.usd.middle, "traces": usual.traces, "calls": len(counted)},
    )


def unexpected_latency(view: View) -> Signal | None:
    """Wall clock beyond what is usual."""
    limits, usual = view.thresholds, view.baseline
    if usual.seconds is None or usual.traces < limits.baseline_traces or not view.facts:
        return None
    start_ns = view.facts[0].start_ns
    took = (max(fact.end_ns for fact in view.facts) - start_ns) / 1e9
    limit = upper_limit(usual.seconds, factor=limits.latency_factor, deviations=limits.latency_spread)
    limit = max(limit, limits.latency_min_s)
    if took <= limit:
        return None
    parents = {fact.parent_span_id for fact in view.facts}
    leaves = [fact for fact in view.facts if fact.span_id not in parents]
    slowest = sorted(leaves, key=lambda fact: fact.start_ns - fact.end_ns)[:5]
    most = slowest[0]
    return Signal(
        name="unexpected_latency",
        message=f"It took {seconds(took)}, {took / (usual.seconds.middle or 1):.1f} times the median of {_agent(view)} "
        f"({seconds(usual.seconds.middle)} over {usual.traces:,} traces of {usual.days} days; limit {seconds(limit)}); "
        f"the slowest step was {named(most)} with {seconds((most.end_ns - most.start_ns) / 1e9)}.",
        evidence=listed(slowest, "among the slowest steps"),
        value=round(took, 3),
        limit=round(limit, 3),
        unit="s",
        detail={"median": usual.seconds.middle, "traces": usual.traces},
    )


def canned_traffic(view: View) -> Signal | None:
    """The input of this trace is one that came again and again."""
    usual = view.baseline
    if not usual.canned_counts:
        return None
    root = view.root
    text = (root.input_text if root else "") or (view.models[0].input_text if view.models else "")
    if len(text) < _CANNED_CHARS_MIN:
        return None
    digest = hashlib.md5(text.encode("utf-8", "replace"), usedforsecurity=False).hexdigest()
    count = usual.canned_counts.get(digest, 0)
    if count < view.thresholds.canned_traces:
        return None
    return Signal(
        name="canned_traffic",
        severity="info",
        message=f"The very same input came {count:,} times to {_agent(view)} within a day, by at most three users: "
        f"most likely a test or a monitor (limit {view.thresholds.canned_traces}).",
        evidence=(evidence(root or view.facts[0], text),),
        value=float(count),
        limit=float(view.thresholds.canned_traces),
        unit="traces",
    )


def _agent(view: View) -> str:
    return f"agent {view.agent}" if view.agent else "traces without an agent's name"
