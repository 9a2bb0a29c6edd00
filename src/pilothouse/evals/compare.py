"""Two runs of a suite, case by case: what regressed, what improved, and whether that is more than chance.

A case passes where each of its attempts does. Where attempts of both runs fall out either way, the case is flaky and says
nothing; neither does a quarantined or an unscored one. All of these are listed and left out of the test.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from .judges.gating import Hearing
from .runs import Result, Run, by_case
from .settings import Gate
from .statistics import Pair, Slice, Verdict, compare_slices, decide, decide_all, decide_judged
from .statistics.judge_correction import JudgeBar
from .statistics.model import Looks

Bucket = Literal[
    "regressed", "improved", "passed", "failed", "flaky", "undetermined", "quarantined", "changed", "added", "removed"
]
BUCKETS: Final[tuple[Bucket, ...]] = (
    *("regressed", "improved", "flaky", "undetermined", "quarantined", "failed", "passed"),
    *("changed", "added", "removed"),
)
"""In the order a reader wants them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One case in both runs."""

    case: str
    bucket: Bucket
    before: str
    """Passed attempts of all scored ones, as ``3/3``; empty where it was not run."""
    after: str
    why: str = ""
    """Why it fails now, or failed before where it improved."""
    capability: str = ""
    severity: str = ""
    cluster: str = ""
    trace_before: str = ""
    trace_after: str = ""
    text_before: str = ""
    text_after: str = ""
    judge: str = ""
    """The calibrated judge that alone decides it, in both runs: its errors are taken out in a verdict of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What a change did to a suite."""

    base: str
    candidate: str
    changes: Sequence[Change]
    counts: Mapping[str, int]
    """By bucket."""
    verdict: Verdict
    """On the cases that checks decide; where there are none, on those of the first judge."""
    slices: Sequence[Slice]
    """By capability: a hint where to look, corrected for how many there are."""
    outcome: Literal["pass", "fail", "not_enough_data"]
    reasons: Sequence[str]
    """Why it is so, the verdict's sentence first."""
    cost_before_usd: float
    cost_after_usd: float
    judge_usd: float
    seconds_before: float
    """Median of an attempt."""
    seconds_after: float
    judged: Mapping[str, Verdict] = field(default_factory=dict[str, Verdict])
    """On the cases that a calibrated judge alone decides, by judge."""
    unheard: Sequence[str] = ()
    """Why which judge may not gate; what it said decides nothing here."""


def compare(
    base: Run,
    candidate: Run,
    *,
    gate: Gate | None = None,
    quarantined: Mapping[str, str] | None = None,
    looks: Looks = "once",
    hearing: Hearing | None = None,
) -> Comparison:
    """What changed from one run to another, and the verdict on it. ``hearing``: whose word counts; None: everybody's."""
    gate = gate or Gate()
    before, after = (
        by_case(one.results() if hearing is None else hearing.heard(one.results())) for one in (base, candidate)
    )
    changes = [
        _change(case, before.get(case, []), after.get(case, []), (quarantined or {}).get(case, ""), hearing)
        for case in sorted(before.keys() | after.keys())
    ]
    changes.sort(key=lambda one: (BUCKETS.index(one.bucket), one.case))
    judged = _judged(changes, before, after, gate, looks, hearing) if hearing is not None else {}
    checked = [one for one in changes if not one.judge]
    verdict = next(iter(judged.values())) if judged and not _pairs(checked) else _verdict(checked, gate, looks)
    outcome, reasons = _outcome(changes, verdict, judged, gate, after)
    unheard = _unheard(hearing, base, candidate)
    every_before = [one for attempts in before.values() for one in attempts]
    every_after = [one for attempts in after.values() for one in attempts]
    return Comparison(
        base=base.about.run,
        candidate=candidate.about.run,
        changes=changes,
        counts=_counts(changes),
        verdict=verdict,
        slices=_slices(changes),
        outcome=outcome,
        reasons=[*reasons, *unheard],
        cost_before_usd=sum(one.cost_usd or 0.0 for one in every_before),
        cost_after_usd=sum(one.cost_usd or 0.0 for one in every_after),
        judge_usd=sum(one.judge_usd for one in every_after),
        seconds_before=_median([one.duration_s for one in every_before]),
        seconds_after=_median([one.duration_s for one in every_after]),
        judged=judged,
        unheard=unheard,
    )


def _change(
    case: str, before: Sequence[Result], after: Sequence[Result], quarantined: str, hearing: Hearing | None
) -> Change:
    one = (after or before)[0]
    failing = next((it for it in after if it.outcome != "pass"), None) or next(
        (it for it in before if it.outcome != "pass"), None
    )
    shown_before, shown_after = _shown(before), _shown(after)
    return Change(
        case=case,
        bucket=_bucket(before, after, quarantined),
        before=_tally(before),
        after=_tally(after),
        why=quarantined or (failing.why if failing is not None else ""),
        capability=one.capability,
        severity=one.severity,
        cluster=one.cluster,
        trace_before=shown_before.trace_id if shown_before else "",
        trace_after=shown_after.trace_id if shown_after else "",
        text_before=_said(shown_before),
        text_after=_said(shown_after),
        judge=_sole_judge([*before, *after], hearing),
    )


def _bucket(before: Sequence[Result], after: Sequence[Result], quarantined: str) -> Bucket:
    if not before or not after:
        return "added" if not before else "removed"
    if before[0].sha256 != after[0].sha256:
        return "changed"
    if quarantined:
        return "quarantined"
    was, now = _passes(before), _passes(after)
    if was is None or now is None:
        return "undetermined"
    if _mixed(before) and _mixed(after):
        return "flaky"
    if was == now:
        return "passed" if now else "failed"
    return "improved" if now else "regressed"


def _sole_judge(attempts: Sequence[Result], hearing: Hearing | None) -> str:
    judges = {hearing.sole_judge(one) for one in attempts} if hearing is not None else set[str]()
    return judges.pop() if len(judges) == 1 else ""


def _scored(attempts: Sequence[Result]) -> list[bool]:
    return [one.outcome == "pass" for one in attempts if one.outcome != "unscored"]


def _passes(attempts: Sequence[Result]) -> bool | None:
    """Whether each scored attempt passes; None where none was scored."""
    scored = _scored(attempts)
    return all(scored) if scored else None


def _mixed(attempts: Sequence[Result]) -> bool:
    return len(set(_scored(attempts))) == 2


def _tally(attempts: Sequence[Result]) -> str:
    scored = _scored(attempts)
    if not attempts:
        return ""
    return f"{sum(scored)}/{len(scored)}" if scored else "unscored"


def _shown(attempts: Sequence[Result]) -> Result | None:
    """The attempt to look at: one that does not pass, else the first."""
    return next((one for one in attempts if one.outcome != "pass"), attempts[0] if attempts else None)


def _said(one: Result | None) -> str:
    if one is None:
        return ""
    calls = f"{', '.join(one.tools[:5])} → " if one.tools else ""
    return f"{calls}{one.text or one.error}"[:1_000]


# -- the verdict -----------------------------------------------------------------------------------------------------


def _pairs(changes: Sequence[Change]) -> list[Pair]:
    told: dict[str, tuple[bool | None, bool | None]] = {
        "regressed": (True, False),
        "improved": (False, True),
        "passed": (True, True),
        "failed": (False, False),
        "flaky": (None, None),
        "undetermined": (None, None),
        "quarantined": (None, None),
    }
    return [
        Pair(case_id=one.case, before=told[one.bucket][0], after=told[one.bucket][1], cluster=one.cluster)
        for one in changes
        if one.bucket in told
    ]


def _verdict(changes: Sequence[Change], gate: Gate, looks: Looks) -> Verdict:
    return decide(_pairs(changes), margin=gate.margin, alpha=gate.alpha, looks=looks)


def _judged(
    changes: Sequence[Change],
    before: Mapping[str, Sequence[Result]],
    after: Mapping[str, Sequence[Result]],
    gate: Gate,
    looks: Looks,
    hearing: Hearing,
) -> dict[str, Verdict]:
    """The verdict on what each calibrated judge alone decides, its errors taken out."""
    paired = [one for one in changes if one.judge and one.bucket not in ("changed", "added", "removed", "quarantined")]
    found: dict[str, Verdict] = {}
    for judge in sorted({one.judge for one in paired}):
        mine = [one.case for one in paired if one.judge == judge]
        pairs = [pair for case in mine for pair in hearing.pairs(judge, before[case], after[case])]
        # It stands above the bar of its own section, or it would not be here.
        found[judge] = decide_judged(
            pairs, hearing.standings[judge].rates, margin=gate.margin, alpha=gate.alpha, looks=looks,
            bar=JudgeBar(may_gate=True, why_not=()),
        )  # fmt: skip
    return found


def _unheard(hearing: Hearing | None, *of: Run) -> list[str]:
    if hearing is None:
        return []
    ids = dict.fromkeys(f"{name}@{version}" for run in of for name, version in run.about.judges.items())
    return [why for id in ids if (why := hearing.why_not(id))]


def _slices(changes: Sequence[Change]) -> list[Slice]:
    names = sorted({one.capability for one in changes if one.capability})
    if len(names) < 2:
        return []
    return compare_slices({name: _pairs([one for one in changes if one.capability == name]) for name in names})


def _outcome(
    changes: Sequence[Change],
    verdict: Verdict,
    judged: Mapping[str, Verdict],
    gate: Gate,
    after: Mapping[str, Sequence[Result]],
) -> tuple[Literal["pass", "fail", "not_enough_data"], list[str]]:
    reasons = [verdict.sentence]
    outcome = verdict.verdict
    if judged:
        by_judge = {f"judge {name}": one for name, one in judged.items()}
        checks = {"checks": verdict} if not any(one is verdict for one in judged.values()) else {}
        decision = decide_all({**checks, **by_judge})
        outcome = decision.verdict
        reasons = [f"{one.name}: {one.verdict.sentence}" for one in decision.gates]
    # What closes the gate whatever the statistics say stands before them.
    closed: list[str] = []
    critical = [one.case for one in changes if one.bucket == "regressed" and one.severity == "critical"]
    if critical and gate.critical:
        more = f" and {len(critical) - 1} more" if len(critical) > 1 else ""
        closed.append(f"a critical case regressed: {critical[0]}{more}")
    passing = [passes for attempts in after.values() if (passes := _passes(attempts)) is not None]
    share = sum(passing) / len(passing) if passing else 0.0
    if gate.least_pass and share < gate.least_pass:
        closed.append(f"{share:.1%} of the cases pass, and {gate.least_pass:.1%} must")
    return "fail" if closed else outcome, [*closed, *reasons]


def _counts(changes: Sequence[Change]) -> dict[str, int]:
    return {bucket: sum(one.bucket == bucket for one in changes) for bucket in BUCKETS}


def _median(values: Sequence[float]) -> float:
    ordered = sorted(values)
    if not ordered:
        return 0.0
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2
