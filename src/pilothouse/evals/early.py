"""Ending a run early: as soon as it is certain what the change did, whatever the cases that are left would say."""

from __future__ import annotations

from typing import Final

from .runs import Result, Run, by_case
from .settings import Gate
from .statistics import Pair, decide

LEAST: Final = 30
"""Cases before the first look."""
EVERY: Final = 10
"""New cases between two looks. The bounds hold however often one looks; looking costs time."""


class Certain:
    """Looks at a run as it goes on, by the test that may be looked at again and again."""

    def __init__(self, base: Run, gate: Gate) -> None:
        self._before = by_case(base.results())
        self._gate = gate
        self._after: dict[str, list[Result]] = {}
        self._looked = 0

    def told(self, result: Result) -> str:
        """Take one more result; why it is enough now, or nothing."""
        before = self._before.get(result.case)
        if not before or result.outcome == "unscored" or before[0].sha256 != result.sha256:
            return ""
        self._after.setdefault(result.case, []).append(result)
        known = len(self._after)
        if known < LEAST or known - self._looked < EVERY:
            return ""
        self._looked = known
        verdict = decide(self._pairs(), margin=self._gate.margin, alpha=self._gate.alpha, looks="anytime")
        if verdict.verdict == "not_enough_data":
            return ""
        return f"it is certain after {known} cases: {verdict.sentence}"

    def _pairs(self) -> list[Pair]:
        pairs: list[Pair] = []
        for case, after in self._after.items():
            scored = [one.outcome == "pass" for one in self._before[case] if one.outcome != "unscored"]
            was = all(scored) if scored else None
            now = all(one.outcome == "pass" for one in after)
            pairs.append(Pair(case_id=case, before=was, after=now, cluster=after[0].cluster))
        return pairs
