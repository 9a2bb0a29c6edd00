"""Judges that may not gate are left out of a comparison; those that may have their errors taken out.

A case that has checks beside its criteria is decided by both, or by its checks alone where the judge may not gate. A case
that only a calibrated judge decides goes into that judge's own verdict, corrected by what labels say of it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from pilothouse.evals.runs import Result, Run
from pilothouse.evals.statistics import Pair

from .calibration import Standing, standing
from .settings import Judge


@dataclass(frozen=True, slots=True, kw_only=True)
class Hearing:
    """Whose word counts in a comparison."""

    standings: Mapping[str, Standing]
    """By ``name@version``; a judge that is not named may not gate."""
    changed: Collection[str] = ()
    """Judges that are not the same in all runs: what they say cannot be held against each other."""

    def why_not(self, judge: str) -> str:
        """Why a judge's word does not count; empty where it does."""
        if judge.partition("@")[0] in self.changed:
            return f"judge {judge} may not gate: it is not of the same version in both runs, so the judge may be the change"
        found = self.standings.get(judge)
        if found is None:
            return f"judge {judge} may not gate: the suite has no such judge now"
        return "" if found.may_gate else f"judge {judge} may not gate: {'; '.join(found.why_not)}"

    def heard(self, results: Iterable[Result]) -> Iterator[Result]:
        """The results, decided without the judges that may not."""
        return (self.without(one) for one in results)

    def without(self, result: Result) -> Result:
        """One result, decided by what counts."""
        kept = [one for one in result.said if not one.judge or not self.why_not(one.judge)]
        if len(kept) == len(result.said):
            return result
        failed = next((one for one in kept if one.outcome == "fail"), None)
        open_ = next((one for one in kept if one.outcome == "unscored"), None)
        if failed is not None:
            return replace(result, outcome="fail", why=failed.why, said=kept)
        if open_ is not None or not kept:
            barred = next(one.judge for one in result.said if one.judge and self.why_not(one.judge))
            why = open_.why if open_ is not None else self.why_not(barred)
            return replace(result, outcome="unscored", why=why, said=kept)
        return replace(result, outcome="pass", why="", said=kept)

    def sole_judge(self, result: Result) -> str:
        """The calibrated judge that alone decides a result; empty where checks, others or nobody do."""
        judges = {one.judge for one in result.said}
        if len(judges) != 1 or result.error:
            return ""
        judge = judges.pop()
        found = self.standings.get(judge)
        return judge if found is not None and not self.why_not(judge) and not found.unchecked else ""

    def pairs(self, judge: str, before: Iterable[Result], after: Iterable[Result]) -> list[Pair]:
        """What one judge said of each criterion of a case in both runs, attempt by attempt."""
        was = {(one.repeat, said.name): said.outcome for one in before for said in one.said if said.judge == judge}
        found: list[Pair] = []
        for one in after:
            for said in one.said:
                if said.judge == judge and (one.repeat, said.name) in was:
                    found.append(
                        Pair(
                            case_id=f"{one.case} {one.repeat} {said.name}",
                            before=_passes(was[one.repeat, said.name]),
                            after=_passes(said.outcome),
                            cluster=one.cluster or one.case,
                        )
                    )
        return found


def hearing(folder: Path, judges: Mapping[str, Judge], *runs: Run) -> Hearing | None:
    """Whose word counts in these runs; None where no judge was asked in any."""
    named = {(name, version) for run in runs for name, version in run.about.judges.items()}
    if not named:
        return None
    found = [standing(judges[name], folder, version=version) for name, version in named if name in judges]
    changed = {name for name, _ in named if len({run.about.judges.get(name) for run in runs}) > 1}
    return Hearing(standings={one.judge: one for one in found}, changed=changed)


def _passes(outcome: str) -> bool | None:
    return None if outcome == "unscored" else outcome == "pass"
