"""Which cases fall out either way: by every attempt at the same case, version and target, over all runs."""

from __future__ import annotations

from typing import Any

from . import runs
from .statistics.repeats import Repeats, stability
from .suite import Suite


def evidence(suite: Suite, *, version: str = "") -> list[dict[str, Any]]:
    """The attempts at each case as it stands now, and what they prove; the least stable first.

    Attempts at different versions are not put together: a case that was mended is not flaky. Of several versions the one
    with the most attempts speaks.
    """
    places = suite.places()
    counted: dict[tuple[str, str], list[bool]] = {}
    for run in runs.every(suite.folder):
        if version and run.about.version != version:
            continue
        # A run without a version is one of its own.
        label = f"{run.about.target} {run.about.version or run.about.run}"
        for result in run.results():
            place = places.get(result.case)
            if place is None or place.sha256 != result.sha256 or result.outcome == "unscored" or result.taken_from:
                continue
            counted.setdefault((result.case, label), []).append(result.outcome == "pass")
    best: dict[str, tuple[str, list[bool]]] = {}
    for (case, label), outcomes in counted.items():
        if case not in best or len(outcomes) > len(best[case][1]):
            best[case] = label, outcomes
    rows = [_row(case, label, outcomes, bool(places[case].quarantined)) for case, (label, outcomes) in best.items()]
    order = {"flaky": 0, "undetermined": 1, "stable": 2}
    return sorted(rows, key=lambda row: (order[row["verdict"]], not row["mixed"], row["case"]))


def _row(case: str, label: str, outcomes: list[bool], quarantined: bool) -> dict[str, Any]:
    found = stability(Repeats(passed=sum(outcomes), attempts=len(outcomes)))
    return {
        "case": case,
        "version": label.partition(" ")[2],
        "passed": sum(outcomes),
        "attempts": len(outcomes),
        "verdict": found.verdict,
        "mixed": len(set(outcomes)) == 2,
        "passing": round(found.passing, 4),
        "failing": round(found.failing, 4),
        "quarantined": quarantined,
    }
