"""A verdict in one plain sentence."""

from __future__ import annotations

from .model import Verdict


def sentence(verdict: Verdict) -> str:
    """Why the verdict is what it is, for a person who decides what to do next. Shares are said in points of a hundred."""
    unit = "points" if verdict.measure == "rate" else ""
    counts = verdict.counts
    if not counts.compared:
        return f"Not enough data: no case was compared{_undetermined(verdict)}{_missing(verdict)}."
    say = {"pass": _pass, "fail": _fail, "not_enough_data": _open}[verdict.verdict]
    return say(verdict, unit)


def _fail(verdict: Verdict, unit: str) -> str:
    margin = f" beyond the margin of {_size(verdict.margin, unit)}" if verdict.margin else ""
    return f"Fail: {_seen(verdict, unit)}; a regression{margin} is proven ({_test(verdict)})."


def _pass(verdict: Verdict, unit: str) -> str:
    assert verdict.bound is not None
    sure = f"with {_percent(verdict)} confidence {_at_most(verdict.bound, unit)}"
    if not verdict.margin:
        return f"Pass: {_seen(verdict, unit)}; {sure}."
    within = f"; a loss is proven ({_test(verdict)}), but lies within the margin" if verdict.regression_proven else ""
    return f"Pass: {_seen(verdict, unit)}; {sure}, and {_size(verdict.margin, unit)} would be accepted{within}."


def _open(verdict: Verdict, unit: str) -> str:
    assert verdict.bound is not None
    if verdict.regression_proven:
        found = f"a regression is proven ({_test(verdict)}), but not that it is beyond the margin of {_size(verdict.margin, unit)}"
    elif verdict.difference and verdict.difference < 0:
        found = f"chance alone could do this ({_test(verdict)}), so no regression is proven"
    else:
        found = f"no regression is seen ({_test(verdict)})"
    if verdict.bound > -verdict.margin:
        return f"Not enough data: {_seen(verdict, unit)}; too many cases are undetermined ({verdict.counts.undetermined} of {verdict.counts.undetermined + verdict.counts.compared}) to rule out a loss."
    if verdict.regression_proven:
        return f"Not enough data: {_seen(verdict, unit)}; {found}{_missing(verdict)}."
    if verdict.margin:
        lost = f", nor is it shown that less than the margin of {_size(verdict.margin, unit)} is lost: it may be {_size(-verdict.bound, unit)}"
    else:
        lost = ", and with a margin of 0 only a proven improvement passes"
    return f"Not enough data: {_seen(verdict, unit)}; {found}{lost}{_missing(verdict)}."


def _seen(verdict: Verdict, unit: str) -> str:
    counts, interval = verdict.counts, verdict.interval
    assert verdict.difference is not None and interval is not None
    worse, better, of = (
        ("regressed", "improved", "a difference") if unit else ("scored lower", "higher", "a mean difference")
    )
    between = f"{_signed(interval.low, unit)} to {_signed(interval.high, unit)}"
    grouped = f" in {verdict.clusters:,} clusters" if verdict.clusters < counts.compared else ""
    return (
        f"of {_cases(counts.compared)}{grouped} {counts.regressed:,} {worse} and {counts.improved:,} {better}"
        f"{_undetermined(verdict)}, {of} of {_signed(verdict.difference, unit)}{' ' * bool(unit)}{unit}"
        f" ({_percent(verdict)} interval {between})"
    )


def _undetermined(verdict: Verdict) -> str:
    count = verdict.counts.undetermined
    return f", {count:,} undetermined left out" if count else ""


def _test(verdict: Verdict) -> str:
    p = "p < 0.0001" if verdict.p < 0.0001 else f"p = {verdict.p:.4f}"
    return f"{verdict.test} {p}"


def _missing(verdict: Verdict) -> str:
    if verdict.cases_more is not None:
        return f"; about {_cases(verdict.cases_more, 'more ')} would tell"
    if verdict.difference is None or not verdict.margin:
        return "; declare a margin, the loss that you would accept"
    return "; at what was seen no number of cases would tell, since the difference lies at the margin"


def _at_most(bound: float, unit: str) -> str:
    plural = "are" if unit else "is"
    return (
        f"no more than {_size(-bound, unit)} {plural} lost"
        if bound < 0
        else f"at least {_size(bound, unit)} {plural} gained"
    )


def _cases(count: int, which: str = "") -> str:
    return f"{count:,} {which}{'case' if count == 1 else 'cases'}"


def _percent(verdict: Verdict) -> str:
    return f"{100 * (1 - verdict.alpha):g} %"


def _signed(value: float, unit: str) -> str:
    text = f"{100 * value:+.2f}" if unit else f"{value:+.4g}"
    return text if float(text) else "0.00" if unit else "0"


def _size(value: float, unit: str) -> str:
    if not unit:
        return f"{value:.4g}"
    text = f"{100 * value:.2f}".rstrip("0").rstrip(".")
    return f"{text} {'point' if text == '1' else unit}"
