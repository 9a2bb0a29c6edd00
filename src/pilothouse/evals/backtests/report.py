"""What a backtest came to: one rate with its interval and a verdict, by customer, by week and release, and why.

Cases of one customer resemble each other. Where there are ten customers or more they are the clusters; with fewer the
sessions are, and the report says so. Within a customer, sessions are.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final, Literal

from pilothouse.evals.judges.gating import Hearing
from pilothouse.evals.runs import Result, Run
from pilothouse.evals.settings import Gate
from pilothouse.evals.statistics import Pair, Verdict, compare_slices, decide, decide_judged
from pilothouse.evals.statistics.agreement import agreement
from pilothouse.evals.statistics.clusters import design_effect
from pilothouse.evals.statistics.judge_correction import JudgeBar
from pilothouse.evals.statistics.model import Looks, Outcome
from pilothouse.evals.statistics.multiple import benjamini_hochberg
from pilothouse.evals.statistics.power import unchanged_needed
from pilothouse.records.statistics import Interval, fisher, wilson

from .failures import Failed, Group, failed_of, groups
from .selection import UNKNOWN

CUSTOMERS_MIN: Final = 10
"""So many customers are enough to be clusters: fewer would leave nothing to be said of any difference."""
_SLICE_LEAST: Final = 2
Mode = Literal["reference", "judged", "rate", "judges"]
"""Held against what was done; candidate and production judged alike; production judged; two judges of production."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """One case of the backtest."""

    case: str
    after: bool | None
    """Whether it passes; None where that is not known."""
    before: bool | None = None
    """The same of production, or of the first judge."""
    customer: str = UNKNOWN
    week: str = UNKNOWN
    release: str = UNKNOWN
    session: str = ""
    judge: str = ""
    """The calibrated judge that alone decides it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """A part of the cases: how many pass, and how sure that is."""

    name: str
    cases: int
    """Those with a verdict."""
    passed: int
    rate: float | None
    interval: Interval
    """Wilson's, at 95 %, of as many cases as these are worth together."""
    unscored: int = 0
    before: float | None = None
    """Production's rate on the same cases; None where it is not compared."""
    difference: float | None = None
    """To production, or to all other customers where production itself is judged."""
    p: float | None = None
    p_adjusted: float | None = None
    """By Benjamini and Hochberg's over all customers."""
    verdict: str = ""
    """worse, better, alike (no more than the margin is lost), or not_enough_data."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a backtest came to."""

    mode: Mode
    outcome: Outcome
    reasons: Sequence[str]
    overall: Rate
    verdict: Verdict | None
    """None where production alone is judged: then a bar decides."""
    clusters: Literal["customer", "session"]
    customers: Sequence[Rate]
    """Those that differ first, then the largest."""
    weeks: Sequence[Rate]
    releases: Sequence[Rate]
    why: Sequence[Group]
    failures: int
    agreement: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Of two judges."""


def report(
    candidate: Run,
    base: Run | None,
    *,
    mode: Mode,
    gate: Gate | None = None,
    least: float = 0.0,
    looks: Looks = "once",
    hearing: Hearing | None = None,
    traces: Callable[[str], str] = lambda case: "",
) -> Report:
    """The report of a backtest from the results of its runs.

    ``least``: the rate that must be reached where production alone is judged. ``traces``: the recorded trace of a case.
    """
    gate = gate or Gate()
    looked, failed = _looked(candidate, base, hearing if mode in ("judged", "rate") else None)
    customers = {one.customer for one in looked if one.customer != UNKNOWN}
    clusters: Literal["customer", "session"] = "customer" if len(customers) >= CUSTOMERS_MIN else "session"
    overall = _rate("all", looked, clusters)
    verdict: Verdict | None = None
    if mode == "rate":
        outcome, reasons = _against_bar(overall, looked, least, clusters)
    else:
        verdict = _verdict(looked, gate, looks, clusters, hearing if mode == "judged" else None)
        outcome, reasons = verdict.verdict, [verdict.sentence]
    if not looked:
        outcome, reasons = "not_enough_data", ["Not enough data: no session gave a case."]
    unheard = _unheard(hearing, candidate) if mode in ("judged", "rate") else []
    if unheard and outcome != "not_enough_data":
        outcome = "not_enough_data"
    if clusters == "session" and len(customers) > 1:
        reasons = [*reasons, f"{len(customers)} customers are too few to be clusters: cases are clustered by session"]
    return Report(
        mode=mode,
        outcome=outcome,
        reasons=[*reasons, *unheard],
        overall=overall,
        verdict=verdict,
        clusters=clusters,
        customers=_customers(looked, gate, mode),
        weeks=_parts(looked, lambda one: one.week),
        releases=_parts(looked, lambda one: one.release),
        why=_why(failed, traces),
        failures=len(failed),
        agreement=_agreement(looked) if mode == "judges" else {},
    )


def report_data(found: Report, *, rows: int = 20) -> dict[str, Any]:
    """A report as plain data, bounded."""
    return {
        "mode": found.mode,
        "outcome": found.outcome,
        "reasons": list(found.reasons),
        "overall": _rate_data(found.overall),
        "verdict": None if found.verdict is None else asdict(found.verdict),
        "clusters": found.clusters,
        "customers": [_rate_data(one) for one in found.customers[:rows]],
        "customers_more": max(0, len(found.customers) - rows),
        "weeks": [_rate_data(one) for one in found.weeks[-60:]],
        "releases": [_rate_data(one) for one in found.releases[-60:]],
        "failures": found.failures,
        "why": [one.as_data(found.failures) for one in found.why[:rows]],
        "why_more": max(0, len(found.why) - rows),
        "agreement": dict(found.agreement),
    }


# -- cases -----------------------------------------------------------------------------------------------------------


def _looked(candidate: Run, base: Run | None, hearing: Hearing | None) -> tuple[list[Looked], list[Failed]]:
    """Every case once, repeats folded, with no more of it than is needed: there may be many thousands."""
    before = _passes(base.results()) if base is not None else {}
    after: dict[str, tuple[Looked, list[bool]]] = {}
    failing: dict[str, Failed] = {}
    for result in candidate.results():
        if result.case not in after:
            after[result.case] = _first(result, hearing), []
        if result.outcome == "unscored":
            continue
        after[result.case][1].append(result.outcome == "pass")
        if result.outcome == "fail":
            failing.setdefault(result.case, failed_of(result))
    found = [
        replace(one, after=all(passes) if passes else None, before=before.get(case))
        for case, (one, passes) in sorted(after.items())
    ]
    return found, [failing[case] for case in sorted(failing)]


def _first(result: Result, hearing: Hearing | None) -> Looked:
    return Looked(
        case=result.case,
        after=None,
        customer=result.customer or UNKNOWN,
        week=result.week or UNKNOWN,
        release=result.release or UNKNOWN,
        session=result.cluster,
        judge=hearing.sole_judge(result) if hearing is not None else "",
    )


def _passes(results: Iterable[Result]) -> dict[str, bool | None]:
    found: dict[str, bool | None] = {}
    for one in results:
        if one.outcome != "unscored":
            found[one.case] = found.get(one.case) is not False and one.outcome == "pass"
    return found


def _why(failed: Sequence[Failed], traces: Callable[[str], str]) -> list[Group]:
    """The failures in groups. Recorded traces are looked up for the examples alone: there may be very many failures."""
    made = groups(failed)
    for group in made:
        group.examples = [replace(one, trace=traces(one.case)) for one in group.examples]
    return made


# -- rates -----------------------------------------------------------------------------------------------------------


def _cluster(one: Looked, clusters: str) -> str:
    # Who is not known is not one customer.
    return one.customer if clusters == "customer" and one.customer != UNKNOWN else one.session or one.case


def _rate(name: str, looked: Sequence[Looked], clusters: str = "session") -> Rate:
    known = [one for one in looked if one.after is not None]
    passed = sum(bool(one.after) for one in known)
    effect = _effect(known, clusters)
    return Rate(
        name=name,
        cases=len(known),
        passed=passed,
        rate=passed / len(known) if known else None,
        interval=wilson(passed / effect, len(known) / effect),
        unscored=len(looked) - len(known),
    )


def _effect(known: Sequence[Looked], clusters: str) -> float:
    """How little a case is worth beside others of its cluster. The rarer outcome tells: it is the one that may cluster."""
    passes = [float(bool(one.after)) for one in known]
    if sum(passes) * 2 > len(passes):
        passes = [1.0 - one for one in passes]
    return design_effect(passes, [_cluster(one, clusters) for one in known])


def _parts(looked: Sequence[Looked], part: Callable[[Looked], str]) -> list[Rate]:
    """A rate for each part, in the order of their names; with production's on the same cases where there is one."""
    found: dict[str, list[Looked]] = {}
    for one in looked:
        found.setdefault(part(one), []).append(one)
    return [_with_before(_rate(name, found[name]), found[name]) for name in sorted(found)]


def _with_before(rate: Rate, looked: Sequence[Looked]) -> Rate:
    both = [one for one in looked if one.after is not None and one.before is not None]
    if not both:
        return rate
    before = sum(bool(one.before) for one in both) / len(both)
    return replace(rate, before=before, difference=sum(bool(one.after) for one in both) / len(both) - before)


def _customers(looked: Sequence[Looked], gate: Gate, mode: Mode) -> list[Rate]:
    parts: dict[str, list[Looked]] = {}
    for one in looked:
        parts.setdefault(one.customer, []).append(one)
    rates = [_with_before(_rate(name, parts[name]), parts[name]) for name in sorted(parts)]
    rated = _beside_others(rates, parts, gate) if mode == "rate" else _beside_production(rates, parts, gate)
    order = {"worse": 0, "better": 1}
    return sorted(
        rated, key=lambda one: (order.get(one.verdict, 2), one.p if one.verdict in order else 0, -one.cases, one.name)
    )


def _beside_production(rates: Sequence[Rate], parts: Mapping[str, Sequence[Looked]], gate: Gate) -> list[Rate]:
    """Each customer's cases before and now: paired, clustered by session, corrected for how many customers there are."""
    pairs = {one.name: _pairs(parts[one.name], "session") for one in rates}
    slices = {one.name: one for one in compare_slices(pairs, rate=gate.alpha)}
    # So many cases without a change show that no more than the margin is lost; with fewer nothing need be reckoned.
    least = max(_SLICE_LEAST, unchanged_needed(gate.margin, alpha=gate.alpha) or 0)
    found: list[Rate] = []
    for one in rates:
        part = slices[one.name]
        if not part.found and not part.improved and part.compared < least:
            verdict = "not_enough_data"
        elif part.found:
            verdict = "worse" if part.difference < 0 else "better"
        else:
            alone = decide(pairs[one.name], margin=gate.margin, alpha=gate.alpha)
            verdict = "alike" if alone.verdict == "pass" else "not_enough_data"
        found.append(replace(one, p=part.p, p_adjusted=part.p_adjusted, verdict=verdict))
    return found


def _beside_others(rates: Sequence[Rate], parts: Mapping[str, Sequence[Looked]], gate: Gate) -> list[Rate]:
    """Each customer's rate beside that of all others (Fisher), in cases as many as they are worth together."""
    worth: dict[str, tuple[int, int]] = {}
    for one in rates:
        effect = _effect([it for it in parts[one.name] if it.after is not None], "session")
        of = math.floor(one.cases / effect + 1e-9)
        worth[one.name] = min(of, round(one.passed / effect)), of
    hits, of = sum(one[0] for one in worth.values()), sum(one[1] for one in worth.values())
    values = [fisher(*worth[one.name], hits - worth[one.name][0], of - worth[one.name][1]) for one in rates]
    found: list[Rate] = []
    for one, p, adjusted in zip(rates, values, benjamini_hochberg(values), strict=True):
        others, passed = _others(rates, one)
        difference = None if one.rate is None or not others else one.rate - passed / others
        verdict = "not_enough_data"
        if adjusted < gate.alpha and difference:
            verdict = "worse" if difference < 0 else "better"
        found.append(replace(one, difference=difference, p=p, p_adjusted=adjusted, verdict=verdict))
    return found


def _others(rates: Sequence[Rate], but: Rate) -> tuple[int, int]:
    return sum(one.cases for one in rates) - but.cases, sum(one.passed for one in rates) - but.passed


# -- the verdict -----------------------------------------------------------------------------------------------------


def _pairs(looked: Sequence[Looked], clusters: str) -> list[Pair]:
    return [
        Pair(case_id=one.case, before=one.before, after=one.after, cluster=_cluster(one, clusters)) for one in looked
    ]


def _verdict(looked: Sequence[Looked], gate: Gate, looks: Looks, clusters: str, hearing: Hearing | None) -> Verdict:
    """Paired by case; where a calibrated judge alone decides, with its errors taken out."""
    pairs = _pairs(looked, clusters)
    judges = {one.judge for one in looked}
    judge = judges.pop() if len(judges) == 1 else ""
    if hearing is not None and judge:
        rates = hearing.standings[judge].rates
        above = JudgeBar(may_gate=True, why_not=())
        return decide_judged(pairs, rates, margin=gate.margin, alpha=gate.alpha, looks=looks, bar=above)
    return decide(pairs, margin=gate.margin, alpha=gate.alpha, looks=looks)


def _against_bar(overall: Rate, looked: Sequence[Looked], least: float, clusters: str) -> tuple[Outcome, list[str]]:
    """Whether the rate lies surely above a bar, surely below, or neither."""
    if overall.rate is None:
        return "not_enough_data", ["Not enough data: no case has a verdict."]
    low, high = overall.interval.low, overall.interval.high
    told = f"{overall.passed:,} of {overall.cases:,} cases pass, {overall.rate:.1%} (95 % interval {low:.1%} to {high:.1%})"
    if not least:
        return "not_enough_data", [f"Not enough data: {told}, and no bar is declared: --least 0.9"]
    if low >= least:
        return "pass", [f"Pass: {told}; {least:.1%} must."]
    if high < least:
        return "fail", [f"Fail: {told}; {least:.1%} must."]
    away = abs(overall.rate - least)
    effect = _effect([one for one in looked if one.after is not None], clusters)
    more = ""
    if away:
        needed = math.ceil(1.96**2 * max(overall.rate * (1 - overall.rate), least * (1 - least)) / away**2 * effect)
        more = f"; about {max(1, needed - overall.cases):,} cases more would tell" if needed < 1_000_000 else ""
    return "not_enough_data", [f"Not enough data: {told}; {least:.1%} must{more}."]


def _unheard(hearing: Hearing | None, run: Run) -> list[str]:
    if hearing is None:
        return []
    return [why for name, version in run.about.judges.items() if (why := hearing.why_not(f"{name}@{version}"))]


def _agreement(looked: Sequence[Looked]) -> dict[str, Any]:
    """Of two judges on the same cases."""
    both = [(one.before, one.after) for one in looked if one.before is not None and one.after is not None]
    if not both:
        return {}
    found = agreement([before for before, _ in both], [after for _, after in both])
    counts = Counter(both)
    kappa = found.kappa_interval
    return {
        "cases": found.items,
        "observed": round(found.observed, 4),
        "observed_interval": [round(found.observed_interval.low, 4), round(found.observed_interval.high, 4)],
        "kappa": None if found.kappa is None else round(found.kappa, 4),
        "kappa_interval": None if kappa is None else [round(kappa.low, 4), round(kappa.high, 4)],
        "stricter": counts[True, False],
        "milder": counts[False, True],
    }


def _rate_data(one: Rate) -> dict[str, Any]:
    def short(value: float | None) -> float | None:
        return None if value is None else round(value, 6)

    data: dict[str, Any] = {
        "name": one.name,
        "cases": one.cases,
        "passed": one.passed,
        "rate": short(one.rate),
        "interval": [round(one.interval.low, 6), round(one.interval.high, 6)],
        "unscored": one.unscored,
    }
    for name in ("before", "difference", "p", "p_adjusted"):
        value = getattr(one, name)
        if value is not None:
            data[name] = short(value)
    return data | ({"verdict": one.verdict} if one.verdict else {})
