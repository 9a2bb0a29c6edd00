"""Counts of cases folded into totals, with the interval of the pass rate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from pilothouse.records.statistics import wilson
from pilothouse.store.result_store import Counted

from .model import Group, Groups, Totals

GROUPS_MAX = 200
NOTHING = Totals(
    cases=0, passed=0, failed=0, flaky=0, unscored=0, attempts=0, attempts_passed=0, pass_rate=None, pass_low=0.0,
    pass_high=1.0, cost_usd=0.0, judge_usd=0.0, seconds=0.0,
)  # fmt: skip


def totals_of(counted: Sequence[Counted]) -> Totals:
    """One total over all that was counted."""
    by: dict[str, int] = {}
    for one in counted:
        by[one.folded] = by.get(one.folded, 0) + one.cases
    scored = sum(count for folded, count in by.items() if folded != "unscored")
    passed = by.get("pass", 0)
    sure = wilson(passed, scored)
    return Totals(
        cases=sum(by.values()),
        passed=passed,
        failed=by.get("fail", 0),
        flaky=by.get("flaky", 0),
        unscored=by.get("unscored", 0),
        attempts=sum(one.attempts for one in counted),
        attempts_passed=sum(one.passed for one in counted),
        pass_rate=passed / scored if scored else None,
        pass_low=sure.low,
        pass_high=sure.high,
        cost_usd=round(sum(one.cost_usd for one in counted), 6),
        judge_usd=round(sum(one.judge_usd for one in counted), 6),
        seconds=round(sum(one.seconds for one in counted), 3),
    )


def groups_of(by: str, counted: Sequence[Counted]) -> Groups:
    """A total for each value, those with most cases that do not pass first."""
    parts: dict[str, list[Counted]] = {}
    for one in counted:
        parts.setdefault(one.value, []).append(one)
    found = [Group(value=value, totals=totals_of(rows)) for value, rows in parts.items()]
    found.sort(key=lambda one: (-(one.totals.cases - one.totals.passed), -one.totals.cases, one.value))
    return Groups(by=by, groups=tuple(found[:GROUPS_MAX]), more=max(0, len(found) - GROUPS_MAX))


def totals_as_dict(totals: Totals) -> dict[str, Any]:
    """Totals as they are kept."""
    return asdict(totals)


def totals_from(row: Mapping[str, Any]) -> Totals:
    """Totals as they were kept."""
    return Totals(**row)
