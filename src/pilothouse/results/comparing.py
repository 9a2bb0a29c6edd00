"""Two runs that are kept here, compared by the same rules as two runs of a folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pilothouse.evals.runs import About, Result, Run
from pilothouse.evals.sending import attempts_of
from pilothouse.records import BadRequest
from pilothouse.store.result_store import ResultStore, RunRow

from .model import CHANGED, CaseChange, Compared, EvalRun

if TYPE_CHECKING:
    from pilothouse.evals.judges.gating import Hearing
    from pilothouse.evals.settings import Gate

CHANGES_MAX: Final = 2_000


class KeptRun(Run):
    """A run whose results are read from the store, without their long texts."""

    def __init__(self, store: ResultStore, project: str, row: RunRow) -> None:
        head = row.head
        about = About(
            run=row.run_id,
            suite=row.suite,
            suite_version=str(head.get("suite_version", "")),
            target=row.target,
            version=row.version,
            judges=dict(head.get("judges") or {}),
        )
        super().__init__(Path(), about)
        self._store, self._project = store, project

    def results(self) -> Iterator[Result]:
        """Every attempt, by case."""
        for one in self._store.bodies(self._project, self.about.run):
            row = one.row
            brief = [{name: value for name, value in it.items() if name not in _LONG} for it in one.attempts]
            shared = {name: getattr(row, name) for name in ("sha256", "capability", "cluster", "severity")}
            yield from attempts_of(row.case_id, {**shared, "attempts": brief})


_LONG: Final = ("text", "tools")


def compare_kept(
    store: ResultStore, project: str, before: tuple[RunRow, EvalRun], after: tuple[RunRow, EvalRun]
) -> Compared:
    """What the second run is to the first, by the gate that the second one was sent with.

    Raises:
        BadRequest: this server lacks what comparing needs.
    """
    if find_spec("scipy") is None:
        raise BadRequest(
            "comparing runs needs an extra on the server",
            got="scipy is not installed",
            fix="pip install 'pilothouse[evals]'",
        )
    from pilothouse.evals.compare import compare

    after_row = after[0]
    found = compare(
        KeptRun(store, project, before[0]),
        KeptRun(store, project, after_row),
        gate=_gate(after_row.head),
        quarantined=store.quarantined(project, after_row.run_id),
        looks="anytime" if str(after_row.head.get("stopped", "")).startswith("it is certain") else "once",
        hearing=_hearing(before[0], after_row),
    )
    listed = [one for one in found.changes if one.bucket in CHANGED]
    verdict = found.verdict
    return Compared(
        base=before[1],
        candidate=after[1],
        verdict=found.outcome,
        reasons=tuple(found.reasons),
        test=verdict.test,
        p=verdict.p,
        mid_p=verdict.mid_p,
        difference=verdict.difference,
        low=verdict.interval.low if verdict.interval is not None else None,
        high=verdict.interval.high if verdict.interval is not None else None,
        margin=verdict.margin,
        alpha=verdict.alpha,
        cases_more=verdict.cases_more,
        total=sum(found.counts.values()),
        counts={name: count for name, count in found.counts.items() if count},
        slices=tuple(asdict(one) for one in found.slices),
        changes=tuple(
            CaseChange(
                case=one.case,
                bucket=one.bucket,
                before=one.before,
                after=one.after,
                why=one.why[:500],
                capability=one.capability,
                severity=one.severity,
                trace_before=one.trace_before,
                trace_after=one.trace_after,
            )
            for one in listed[:CHANGES_MAX]
        ),
        changes_more=max(0, len(listed) - CHANGES_MAX),
        cost_before_usd=round(found.cost_before_usd, 6),
        cost_after_usd=round(found.cost_after_usd, 6),
        seconds_before=found.seconds_before,
        seconds_after=found.seconds_after,
    )


def _gate(head: Mapping[str, Any]) -> Gate:
    from pilothouse.evals.settings import Gate

    told: Mapping[str, Any] = head.get("gate") or {}
    known = {name: told[name] for name in ("margin", "alpha", "critical", "least_pass") if name in told}
    return replace(Gate(), **known)


def _hearing(before: RunRow, after: RunRow) -> Hearing | None:
    """Whose word counts, by what was known of the judges when the runs were sent; the newer one's word goes first."""
    judges: tuple[dict[str, str], ...] = tuple(dict(one.head.get("judges") or {}) for one in (before, after))
    if not any(judges):
        return None
    from pilothouse.evals.judges.calibration import Standing
    from pilothouse.evals.judges.gating import Hearing
    from pilothouse.evals.statistics import JudgeRates

    standings: dict[str, Standing] = {}
    for row in (before, after):
        for one in row.head.get("standings") or ():
            standings[one["judge"]] = Standing(
                judge=one["judge"],
                may_gate=one["may_gate"],
                why_not=tuple(one["why_not"]),
                rates=JudgeRates(**one["rates"]),
                unchecked=one["unchecked"],
            )
    names = {name for one in judges for name in one}
    changed = {name for name in names if len({one.get(name) for one in judges}) > 1}
    return Hearing(standings=standings, changed=changed)
