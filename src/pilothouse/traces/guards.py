"""What the gates of guards did: read from the span events that runtime, gateway and server leave in traces."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from pilothouse.records import iso, names
from pilothouse.store import TraceStore
from pilothouse.store.guard_reads import (
    GuardEventRow,
    GuardSpanRow,
    counts_by_check,
    counts_by_gate,
    counts_by_time,
    events_of_spans,
    guard_events,
    guard_spans,
    labelled_spans,
)

from .charts import bucket_seconds
from .model.guards import CheckCount, CheckTold, GateCount, GuardActivity, GuardEvent, GuardSeries
from .windows import Range

GUARD_WRONG: Final = "guard_wrong"
"""The label on a step that says: what a guard did here was wrong. With ``_`` and a gate behind it: what that gate did."""
GATES: Final = ("input", "output", "tool_arguments", "tool_results")
ACTIONS: Final = ("flag", "rewrite", "ask", "block")
EVENTS_MAX: Final = 500
_BUCKETS: Final = 60
_CHECKS_MAX: Final = 2_000
_MARKS_MAX: Final = 1_000
_QUIET: Final = ("ok", "skipped")


def guard_activity(
    store: TraceStore,
    project: str,
    covered: Range,
    *,
    gate: str = "",
    check: str = "",
    action: str = "",
    limit: int = 50,
) -> GuardActivity:
    """Counts by gate, check and time of a window, and its newest events; the words narrow only the events."""
    span = (covered.since_ns, covered.until_ns)
    rows = guard_events(store, project, *span, gate=gate, check=check, action=action, limit=limit + 1)
    marks = _marks(store, project, covered.since_ns)
    shown = rows[:limit]
    steps = guard_spans(store, project, *span, [row.trace_id for row in shown], [row.span_id for row in shown])
    wrong = _wrong(store, project, marks, span)
    buckets = bucket_seconds(covered, _BUCKETS)
    return GuardActivity(
        window=covered.as_window(),
        gates=_gates(counts_by_gate(store, project, *span)),
        checks=_checks(counts_by_check(store, project, *span, limit=_CHECKS_MAX), wrong),
        series=_series(covered, buckets, counts_by_time(store, project, *span, bucket_s=buckets)),
        events=tuple(event(row, steps.get(row.span_id), _marked(marks, row)) for row in shown),
        more=len(rows) > limit,
    )


def event(row: GuardEventRow, step: GuardSpanRow | None, wrong: str = "") -> GuardEvent:
    """One verdict from its row."""
    get = row.attributes.get
    return GuardEvent(
        time=iso(row.time_ns),
        trace_id=row.trace_id,
        span_id=row.span_id,
        step=step.step if step is not None else 0,
        agent=step.agent if step is not None else "",
        tool=get(names.GUARD_TOOL, ""),
        gate=get(names.GUARD_GATE, ""),
        action=get(names.GUARD_ACTION, ""),
        checks=tuple(one for one in told_checks(get(names.GUARD_CHECKS, "")) if one.outcome not in _QUIET),
        times=times_of(get(names.GUARD_TIMES, "")),
        policy_version=get(names.GUARD_POLICY, ""),
        wrong=wrong,
    )


def told_checks(text: str) -> list[CheckTold]:
    """What checks did, from the attribute of an event; anything else that stands there is none."""
    try:
        found: Any = json.loads(text) if text else []
    except (ValueError, RecursionError):
        return []
    told: list[CheckTold] = []
    for one in cast("list[Any]", found) if isinstance(found, list) else []:
        parts = str(one).split("|", 2)
        if len(parts) == 3:
            told.append(CheckTold(check=parts[0], outcome=parts[1], rules=parts[2]))
    return told


def times_of(text: str) -> int:
    """How many texts an event stands for."""
    return max(int(text), 1) if text.isascii() and text.isdecimal() and len(text) < 10 else 1


def _marks(store: TraceStore, project: str, since_ns: int) -> Mapping[tuple[str, str, str], str]:
    """By trace, span and gate, which is empty where the whole step was marked: who did."""
    labels = (GUARD_WRONG, *(f"{GUARD_WRONG}_{gate}" for gate in GATES))
    rows = labelled_spans(store, project, labels, since_ns, limit=_MARKS_MAX)
    return {(trace, span, label.removeprefix(GUARD_WRONG).lstrip("_")): who for trace, span, label, who in rows}


def _marked(marks: Mapping[tuple[str, str, str], str], row: GuardEventRow) -> str:
    whole = marks.get((row.trace_id, row.span_id, ""), "")
    return whole or marks.get((row.trace_id, row.span_id, row.attributes.get(names.GUARD_GATE, "")), "")


def _wrong(
    store: TraceStore, project: str, marks: Mapping[tuple[str, str, str], str], span: tuple[int, int]
) -> Mapping[tuple[str, str], int]:
    """By gate and check: texts of the window on which what it found was marked as wrong."""
    rows = events_of_spans(store, project, [one[0] for one in marks], [one[1] for one in marks], limit=_MARKS_MAX * 4)
    counts: dict[tuple[str, str], int] = {}
    for row in rows:
        if not _marked(marks, row) or not span[0] <= row.time_ns < span[1]:
            continue
        one = event(row, None)
        for check in one.checks:
            counts[one.gate, check.check] = counts.get((one.gate, check.check), 0) + one.times
    return counts


def _gates(rows: Sequence[Mapping[str, Any]]) -> tuple[GateCount, ...]:
    by: dict[str, dict[str, int]] = {}
    for row in rows:
        by.setdefault(row["gate"], {})[row["action"]] = int(row["texts"])
    order = [*(gate for gate in GATES if gate in by), *sorted(set(by) - set(GATES))]
    return tuple(
        GateCount(
            gate=gate,
            texts=sum(by[gate].values()),
            allowed=by[gate].get("allow", 0),
            flagged=by[gate].get("flag", 0),
            rewritten=by[gate].get("rewrite", 0),
            asked=by[gate].get("ask", 0),
            blocked=by[gate].get("block", 0),
        )
        for gate in order
    )


def _checks(rows: Sequence[Mapping[str, Any]], wrong: Mapping[tuple[str, str], int]) -> tuple[CheckCount, ...]:
    by: dict[tuple[str, str], dict[str, int]] = {}
    for row in rows:
        by.setdefault((row["gate"], row["check"]), {})[row["outcome"]] = int(row["texts"])
    found = [
        CheckCount(
            gate=gate,
            check=check,
            checked=sum(count for outcome, count in outcomes.items() if outcome != "skipped"),
            passed=outcomes.get("ok", 0),
            flagged=outcomes.get("flag", 0),
            rewritten=outcomes.get("rewrite", 0),
            asked=outcomes.get("ask", 0),
            blocked=outcomes.get("block", 0),
            failed=outcomes.get("failed", 0) + outcomes.get("late", 0),
            skipped=outcomes.get("skipped", 0),
            wrong=wrong.get((gate, check), 0),
        )
        for (gate, check), outcomes in by.items()
    ]
    return tuple(sorted(found, key=lambda one: (one.passed - one.checked, -one.checked, one.gate, one.check)))


def _series(covered: Range, bucket_s: int, rows: Sequence[Mapping[str, Any]]) -> GuardSeries:
    first = covered.since_ns // 1_000_000_000 // bucket_s * bucket_s
    times = tuple(range(first, (covered.until_ns - 1) // 1_000_000_000 + 1, bucket_s))
    by = {(int(row["start"]), row["action"]): int(row["texts"]) for row in rows}

    def of(action: str) -> tuple[int, ...]:
        return tuple(by.get((time, action), 0) for time in times)

    return GuardSeries(
        times=times,
        bucket_s=bucket_s,
        allowed=of("allow"),
        flagged=of("flag"),
        rewritten=of("rewrite"),
        asked=of("ask"),
        blocked=of("block"),
    )
