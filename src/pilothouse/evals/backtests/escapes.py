"""Failures of production that a suite should have caught: which were foretold, which passed, which have no case.

What is counted, exactly. A failure is one trace. A case stands for it where its provenance names the trace, or where it asks
what the trace was asked, word for word. It was

| verdict | where |
| --- | --- |
| ``foretold`` | the last run of such a case before the failure did not pass: the suite knew |
| ``passed`` | that last run passed: the suite looked, and saw nothing |
| ``captured`` | there is such a case, and none had been run before the failure |
| ``uncovered`` | there is no such case |

All but the first escaped. Runs of backtests and attempts without a verdict say nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal

from pilothouse.evals import runs
from pilothouse.evals.case import Case, text_of
from pilothouse.evals.plain import list_of
from pilothouse.evals.statistics.clusters import design_effect
from pilothouse.evals.suite import Suite
from pilothouse.records.statistics import wilson

from .selection import UNKNOWN, week_of

Caught = Literal["foretold", "passed", "captured", "uncovered"]
_ASKED_CHARS: Final = 180
"""Lists of traces show the first 200 characters of what was asked."""
NEGATIVE: Final = frozenset(
    [
        "bad",
        "wrong",
        "fail",
        "failed",
        "failure",
        "negative",
        "incorrect",
        "unacceptable",
        "no",
        "down",
        "thumbs_down",
        "thumbs-down",
        "harmful",
    ]
)
"""Labels, and words of scores, by which a person says that a trace was not right."""
SCORE_BELOW: Final = 0.5
"""A person's score below this says the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One trace of production that went wrong."""

    trace: str
    start: str
    why: Sequence[str]
    """``error``, ``signal loop``, ``label bad``, ``score helpful 0.2``."""
    session: str = ""
    agent: str = ""
    asked: str = ""
    """The beginning of what it was asked."""
    error: bool = False
    """It ended as an error."""


@dataclass(slots=True, kw_only=True)
class Known:
    """A case, as far as it can stand for a failure."""

    id: str
    traces: frozenset[str]
    asked: frozenset[str]
    outcomes: list[tuple[datetime, bool]] = field(default_factory=list[tuple[datetime, bool]])
    """When it was run and whether it passed, the oldest first."""

    def before(self, moment: datetime) -> bool | None:
        """Whether its last run before a moment passed; None where there was none."""
        return next((passed for at, passed in reversed(self.outcomes) if at < moment), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Escape:
    """What became of one failure."""

    failure: Failure
    caught: Caught
    case: str = ""
    """The case that stands for it."""


def known_cases(suite: Suite) -> list[Known]:
    """The cases of a suite with what its runs said of them."""
    found = {one.id: _known(one) for one in suite.cases()}
    for run in reversed(runs.every(suite.folder)):
        at = _moment(run.about.started)
        if run.about.backtest or at is None:
            continue
        passes: dict[str, bool] = {}
        for result in run.results():
            if result.outcome != "unscored" and not result.taken_from:
                passes[result.case] = passes.get(result.case, True) and result.outcome == "pass"
        for case, passed in passes.items():
            if case in found:
                found[case].outcomes.append((at, passed))
    for one in found.values():
        one.outcomes.sort(key=lambda pair: pair[0])
    return list(found.values())


def escapes(failures: Iterable[Failure], cases: Sequence[Known]) -> list[Escape]:
    """What became of each failure, in their order."""
    by_trace: dict[str, list[Known]] = {}
    by_question: dict[str, list[Known]] = {}
    for one in cases:
        for trace in one.traces:
            by_trace.setdefault(trace, []).append(one)
        for asked in one.asked:
            by_question.setdefault(asked, []).append(one)
    return [
        _caught(one, [*by_trace.get(one.trace, ()), *by_question.get(_plain(one.asked) or "\0", ())])
        for one in failures
    ]


def escapes_data(found: Sequence[Escape], *, suite: str, rows: int = 20) -> dict[str, Any]:
    """Counts, rates by week, and the failures without a case, as plain data."""
    weeks: dict[str, list[Escape]] = {}
    for one in found:
        weeks.setdefault(week_of(one.failure.start) or UNKNOWN, []).append(one)
    missing = [one for one in found if one.caught == "uncovered"]
    return {
        "suite": suite,
        **_rate(found),
        "weeks": [{"week": week, **_rate(weeks[week])} for week in sorted(weeks)],
        "missing": [_missing(one.failure) for one in missing[:rows]],
        "missing_more": max(0, len(missing) - rows),
        "passed": [
            {"trace": one.failure.trace, "case": one.case, "why": list(one.failure.why)}
            for one in found
            if one.caught == "passed"
        ][:rows],
    }


def is_negative(annotation: Mapping[str, Any], labels: Iterable[str] = ()) -> str:
    """What a person's label or score says against a trace; empty where it says nothing against it."""
    if annotation.get("actor_kind") != "person":
        return ""
    bad = NEGATIVE | {one.lower() for one in labels}
    name, label, value = annotation.get("name") or "", annotation.get("label") or "", annotation.get("value")
    if annotation.get("kind") == "label":
        return f"label {name}" if str(name).lower() in bad else ""
    if annotation.get("kind") != "score":
        return ""
    if label and str(label).lower() in bad:
        return f"score {name} {label}"
    low = isinstance(value, int | float) and not isinstance(value, bool) and value < SCORE_BELOW and not label
    return f"score {name} {value:g}" if low else ""


# -- within ----------------------------------------------------------------------------------------------------------


def _known(case: Case) -> Known:
    provenance = case.metadata.provenance
    traces = [provenance.get("trace"), *(list_of(provenance.get("traces")) or [])]
    users = [text_of(one) for one in case.input.messages if one.get("role") == "user"]
    said = [*case.input.turns, *users]
    # What was asked first and last: a trace is told by either, as its recorder has it.
    return Known(
        id=case.id,
        traces=frozenset(str(one) for one in traces if one),
        asked=frozenset(filter(None, (_plain(one) for one in (*said[:1], *said[-1:])))),
    )


def _caught(failure: Failure, cases: Sequence[Known]) -> Escape:
    at = _moment(failure.start)
    said = [(one, one.before(at) if at is not None else None) for one in cases]
    for wanted, caught in ((False, "foretold"), (True, "passed")):
        for one, passed in said:
            if passed is wanted:
                return Escape(failure=failure, caught=caught, case=one.id)  # type: ignore[arg-type]  # one of the two
    return Escape(failure=failure, caught="captured" if cases else "uncovered", case=cases[0].id if cases else "")


def _rate(found: Sequence[Escape]) -> dict[str, Any]:
    escaped = [float(one.caught != "foretold") for one in found]
    rare = [1 - one for one in escaped] if sum(escaped) * 2 > len(escaped) else escaped
    effect = design_effect(rare, [one.failure.session or one.failure.trace for one in found])
    interval = wilson(sum(escaped) / effect, len(escaped) / effect)
    counts = {
        name: sum(one.caught == name for one in found) for name in ("foretold", "passed", "captured", "uncovered")
    }
    return {
        "failures": len(found),
        "escaped": int(sum(escaped)),
        "rate": round(sum(escaped) / len(escaped), 6) if escaped else None,
        "interval": [round(interval.low, 6), round(interval.high, 6)],
        "counts": counts,
    }


def _missing(failure: Failure) -> dict[str, Any]:
    return {
        "trace": failure.trace,
        "start": failure.start,
        "agent": failure.agent,
        "why": list(failure.why),
        "asked": failure.asked,
        "error": failure.error,
    }


def _plain(text: str) -> str:
    return " ".join(text.lower().split())[:_ASKED_CHARS]


def _moment(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo is not None else None
