"""A judge held against people: agreement, errors, biases, drift, and whether it may gate."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from pilothouse.evals.runs import Run
from pilothouse.evals.statistics.agreement import JudgeRates, agreement, judge_rates, krippendorff_alpha
from pilothouse.evals.statistics.judge_bias import LengthChoice, judge_drift, position_bias, verbosity_bias
from pilothouse.evals.statistics.judge_correction import corrected_rate, judge_bar, powered_mean
from pilothouse.evals.statistics.variance import split_variance
from pilothouse.records import BadRequest, NotFound

from .asking import evidence_of
from .labels import Known, Label, items_of, read_known, read_labels, read_preferences, truth_of
from .settings import Bar, Judge

_POWERED_LABELS_MIN: Final = 30
_UNLIKE_LENGTH: Final = 1.2
_RATES: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Whether a judge may gate, and by what."""

    judge: str
    """``name@version``."""
    may_gate: bool
    why_not: tuple[str, ...]
    rates: JudgeRates
    unchecked: bool = False
    """It may gate because the suite says so, whatever it has shown."""


def standing(judge: Judge, folder: Path, *, version: str = "") -> Standing:
    """Whether a judge may gate; ``version``: of the judge as it was in a run, where that is not as it is now."""
    id = f"{judge.name}@{version or judge.version}"
    return _standing(judge, id, read_labels(folder), read_known(folder).get(id, {}))


def _standing(judge: Judge, id: str, labels: Sequence[Label], known: Mapping[str, Known]) -> Standing:
    truth, verdicts = _counted(judge.bar, labels, known)
    rates = judge_rates(verdicts, truth)
    if judge.gate == "never":
        return Standing(judge=id, may_gate=False, why_not=("the suite says gate: never",), rates=rates)
    why_not = _below(judge.bar, rates, verdicts, truth)
    left = len({one.item for one in labels if one.item in known}) - rates.items
    if why_not and left > 0 and judge.bar.count == "random":
        why_not.append(f"{left} labels more are no random sample and do not count")
    if judge.gate == "always":
        return Standing(judge=id, may_gate=True, why_not=tuple(why_not), rates=rates, unchecked=bool(why_not))
    return Standing(judge=id, may_gate=not why_not, why_not=tuple(why_not), rates=rates)


def _counted(
    bar: Bar, labels: Sequence[Label], known: Mapping[str, Known]
) -> tuple[list[bool | None], list[bool | None]]:
    """People's and the judge's verdicts on the items that count."""
    counting = {one.item for one in labels if one.how == "random" or bar.count == "all"}
    truth = truth_of(one for one in labels if one.item in counting and one.item in known)
    items = sorted(truth)
    return [truth[one] for one in items], [_verdict(known[one]) for one in items]


def _below(bar: Bar, rates: JudgeRates, verdicts: Sequence[bool | None], truth: Sequence[bool | None]) -> list[str]:
    found = list(
        judge_bar(
            rates, sensitivity_min=bar.sensitivity, specificity_min=bar.specificity, labels_min=bar.labels
        ).why_not
    )
    if rates.items and bar.kappa:
        both = agreement(verdicts, truth)
        low = both.kappa_interval.low if both.kappa_interval is not None else None
        if low is None:
            found.append("its kappa cannot be told: one label was given to everything")
        elif low < bar.kappa:
            found.append(f"its kappa may be as low as {low:.2f}; the bar is {bar.kappa:.2f}")
    return found


def calibrate(judge: Judge, folder: Path, runs: Sequence[Run] = ()) -> dict[str, Any]:
    """All that labels say of a judge, as plain data; what cannot be told says what is missing."""
    labels, everything = read_labels(folder), read_known(folder)
    known = everything.get(judge.id, {})
    found = _standing(judge, judge.id, labels, known)
    truth, verdicts = _counted(judge.bar, labels, known)
    rates = found.rates
    mine = [one for one in labels if one.item in known]
    items = {one.item for one in mine}
    missing = {one.item for one in labels} - set(known)
    data: dict[str, Any] = {
        "judge": judge.id,
        "model": judge.model,
        "rubric": judge.rubric.name,
        "may_gate": found.may_gate,
        "gate": judge.gate,
        "why_not": list(found.why_not),
        "bar": asdict(judge.bar),
        "labels": {
            "items": len(items),
            "counted": rates.items,
            "random": len({one.item for one in mine if one.how == "random"}),
            "unscored": sum(known[one].outcome == "unscored" for one in items),
            "not_judged_by_this_version": len(missing),
        },
        "agreement": _agreement(verdicts, truth) if rates.items else None,
        "sensitivity": _rate(rates.sensitivity, rates.sensitivity_interval, rates.passes_kept, rates.truly_pass),
        "specificity": _rate(rates.specificity, rates.specificity_interval, rates.fails_caught, rates.truly_fail),
        "people": _people(labels),
        "position_bias": _position(judge, folder),
        "verbosity_bias": _verbosity(labels, known, folder),
        "drift": _drift(judge, everything, truth_of(labels)),
        "variance": _variance(judge, runs),
    }
    return data


def judged_rates(run: Run, folder: Path, judges: Mapping[str, Judge]) -> list[dict[str, Any]]:
    """For each judge of a run: the share that it passes, and what is truly so."""
    labels, everything = read_labels(folder), read_known(folder)
    found: list[dict[str, Any]] = []
    for name, version in run.about.judges.items():
        id = f"{name}@{version}"
        outcomes = {
            (result.case, result.repeat, one.name): one
            for result in run.results()
            for one in result.said
            if one.judge == id
        }
        scored = [one for one in outcomes.values() if one.outcome != "unscored"]
        row: dict[str, Any] = {"judge": id, "asked": len(outcomes), "unscored": len(outcomes) - len(scored)}
        judge = judges.get(name)
        if judge is not None:
            held = _standing(judge, id, labels, everything.get(id, {}))
            row |= {"may_gate": held.may_gate, "why_not": list(held.why_not)}
            if scored:
                row |= _corrected(sum(one.outcome == "pass" for one in scored), len(scored), held.rates)
                row["powered"] = _powered(judge, labels, [(one.item, one.outcome == "pass") for one in scored])
        found.append(row)
    return found


def rates_of(judge: Judge, folder: Path, runs: Sequence[Run]) -> list[dict[str, Any]]:
    """The newest runs that this version of a judge scored: the share it passes, raw and with its errors taken out."""
    found: list[dict[str, Any]] = []
    for run in runs:
        if run.about.judges.get(judge.name) != judge.version:
            continue
        for row in judged_rates(run, folder, {judge.name: judge}):
            if row["judge"] == judge.id and "raw" in row:
                found.append({"run": run.about.run, "version": run.about.version, **row})
        if len(found) >= _RATES:
            break
    return found


def _corrected(passed: int, judged: int, rates: JudgeRates) -> dict[str, Any]:
    one = corrected_rate(passed, judged, rates)
    return {
        "passed": passed,
        "scored": judged,
        "raw": round(one.raw, 4),
        "corrected": None if one.rate is None else round(one.rate, 4),
        "interval": _interval(one.interval) if one.rate is not None else None,
        "uncorrected_because": one.why_not,
    }


def _powered(judge: Judge, labels: Sequence[Label], scored: Sequence[tuple[str, bool]]) -> dict[str, Any] | None:
    """The rate by prediction-powered inference, where enough of this very run is a labelled random sample."""
    truth = truth_of(one for one in labels if one.how == "random" or judge.bar.count == "all")
    both = [(truth[item], said) for item, said in scored if item in truth]
    alone = [said for item, said in scored if item not in truth]
    if len(both) < _POWERED_LABELS_MIN or not alone:
        return None
    one = powered_mean([float(y) for y, _ in both], [float(f) for _, f in both], [float(f) for f in alone], tuned=True)
    interval = [round(max(0.0, one.interval.low), 4), round(min(1.0, one.interval.high), 4)]
    return {"rate": round(min(1.0, max(0.0, one.mean)), 4), "interval": interval, "labels": len(both)}


# -- parts of the report ---------------------------------------------------------------------------------------------


def _agreement(verdicts: Sequence[bool | None], truth: Sequence[bool | None]) -> dict[str, Any] | None:
    try:
        one = agreement(verdicts, truth)
    except BadRequest:
        return None
    return {
        "items": one.items,
        "observed": round(one.observed, 4),
        "observed_interval": _interval(one.observed_interval),
        "kappa": None if one.kappa is None else round(one.kappa, 4),
        "kappa_interval": None if one.kappa_interval is None else _interval(one.kappa_interval),
        "pass_share": round(one.prevalence.get(True, 0.0), 4),
    }


def _rate(rate: float | None, interval: Any, hits: int, of: int) -> dict[str, Any]:
    return {"rate": None if rate is None else round(rate, 4), "interval": _interval(interval), "hits": hits, "of": of}


def _people(labels: Sequence[Label]) -> dict[str, Any]:
    """Whether people agree with each other: a judge can do no better than they do."""
    names = sorted({one.who for one in labels})
    by_item: dict[str, dict[str, Hashable]] = {}
    for one in labels:
        by_item.setdefault(one.item, {})[one.who] = one.outcome
    several = [rows for rows in by_item.values() if len(rows) > 1]
    alpha = krippendorff_alpha([[rows.get(name) for name in names] for rows in several])
    return {
        "names": names,
        "labelled_twice": len(several),
        "split": sum(len(set(rows.values())) > 1 for rows in several),
        "alpha": None if alpha is None else round(alpha, 4),
    }


def _position(judge: Judge, folder: Path) -> dict[str, Any]:
    mine = [one for one in read_preferences(folder) if one.judge == judge.id]
    if not mine:
        return {"pairs": 0, "missing": "pilothouse eval judge prefer RUN RUN asks about pairs in both orders"}
    one = position_bias([it.as_given for it in mine], [it.swapped for it in mine])
    return {
        "pairs": one.pairs,
        "consistency": round(one.consistency, 4),
        "consistency_interval": _interval(one.consistency_interval),
        "chose_first": one.chose_first,
        "chose_second": one.chose_second,
        "p": round(one.p, 6),
        "prefers": one.prefers,
    }


def _verbosity(labels: Sequence[Label], known: Mapping[str, Known], folder: Path) -> dict[str, Any]:
    """Labelled items, two by two by chance: whether the judge passes the longer one more often than people do."""
    truth = truth_of(labels)
    rows: list[tuple[int, bool, bool]] = []
    for item in sorted(truth, key=lambda one: hashlib.sha256(f"pairs:{one}".encode()).digest()):
        verdict = _verdict(known[item]) if item in known else None
        if verdict is None:
            continue
        try:
            rows.append((evidence_of(folder, item).words, verdict, truth[item]))
        except NotFound:
            continue
    choices: list[LengthChoice] = []
    for one, other in zip(rows[::2], rows[1::2], strict=False):
        short, long = sorted((one, other), key=lambda row: row[0])
        if long[0] >= max(short[0] + 1, short[0] * _UNLIKE_LENGTH):
            choices.append(LengthChoice(judge=_longer(short[1], long[1]), people=_longer(short[2], long[2])))
    if not choices:
        return {"pairs": 0, "missing": "labelled items whose answers are of unlike length"}
    found = verbosity_bias(choices)
    return {
        "pairs": found.pairs,
        "judge_longer": round(found.judge_longer, 4),
        "people_longer": round(found.people_longer, 4),
        "excess": round(found.excess, 4),
        "p": round(found.p, 6),
    }


def _longer(short: bool, long: bool) -> Any:
    return "tie" if short == long else "longer" if long else "shorter"


def _drift(
    judge: Judge, everything: Mapping[str, Mapping[str, Known]], truth: Mapping[str, bool]
) -> list[dict[str, Any]]:
    """Against every other version of the judge, on the labelled items that both judged."""
    now = everything.get(judge.id, {})
    found: list[dict[str, Any]] = []
    for id, before in sorted(everything.items()):
        both = sorted(set(before) & set(now) & set(truth))
        if id == judge.id or id.partition("@")[0] != judge.name or not both:
            continue
        one = judge_drift(
            [_verdict(before[it]) for it in both], [_verdict(now[it]) for it in both], [truth[it] for it in both]
        )
        found.append(
            {
                "before": id,
                "items": one.items,
                "changed": one.changed,
                "changed_interval": _interval(one.changed_interval),
                "stricter": one.stricter,
                "p_strictness": round(one.p_strictness, 6),
                "right_before": one.right_before,
                "right_after": one.right_after,
                "p_right": None if one.p_right is None else round(one.p_right, 6),
            }
        )
    return found


def _variance(judge: Judge, runs: Sequence[Run]) -> dict[str, Any]:
    """Of the newest run with enough repeats and samples."""
    told = "it takes cases that are run twice (--repeats 2) and a judge with two samples"
    for run in runs:
        scores: dict[tuple[str, str], dict[int, list[float]]] = {}
        for result in run.results():
            for one in result.said:
                if one.judge == judge.id and one.samples:
                    scores.setdefault((result.case, one.name), {})[result.repeat] = list(one.samples)
        try:
            one = split_variance([list(attempts.values()) for attempts in scores.values()])
        except BadRequest:
            continue
        whole = one.total or 1.0
        return {
            "run": run.about.run,
            "case": round(one.case / whole, 4),
            "agent": round(one.agent / whole, 4),
            "judge": round(one.judge / whole, 4),
            "total": round(one.total, 6),
            "cases": one.cases,
            "attempts": one.runs,
            "judgings": one.judgings,
        }
    return {"missing": told}


def unjudged(judge: Judge, folder: Path) -> list[Label]:
    """A label of each item that this version of the judge has not judged."""
    known = read_known(folder).get(judge.id, {})
    return list({one.item: one for one in read_labels(folder) if one.item not in known}.values())


def items_by_name(run: Run) -> dict[str, Any]:
    """What judges scored in a run, by item."""
    return {one.id: one for one in items_of(run)}


def _verdict(known: Known) -> bool | None:
    return None if known.outcome == "unscored" else known.outcome == "pass"


def _interval(one: Any) -> list[float]:
    return [round(one.low, 4), round(one.high, 4)]
