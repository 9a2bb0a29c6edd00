"""The guards of two policies over the same stored traffic, side by side."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pilothouse.guards import (
    ACTIONS,
    GATES,
    Action,
    Finding,
    Gate,
    Guard,
    GuardSettings,
    MemoryCounts,
    Verdict,
    check_data,
    data_text,
    read_guards,
)
from pilothouse.records import PilothouseError, clean

from .model import CheckChange, GateOutcome, Progress, TrialExample, no_progress
from .traffic import Passed

NOT_ASKED = ("endpoint", "grounding")
"""Checks that are not replayed: one asks a model elsewhere, the other needs sources that are not stored as such."""

_EXAMPLES_EACH = 3
_EXAMPLES_MAX = 60
_AROUND = 80
_MATCH_MAX = 300
_WORK_S = 0.05
_REST_S = 0.005
"""After so much work the thread rests a moment: a server has others to answer."""


@dataclass(slots=True, kw_only=True)
class GuardComparison:
    """What two guards did with the same texts, counted."""

    texts: Counter[Gate] = field(default_factory=Counter[Gate])
    now: dict[Gate, Counter[Action]] = field(default_factory=dict[Gate, Counter[Action]])
    then: dict[Gate, Counter[Action]] = field(default_factory=dict[Gate, Counter[Action]])
    stricter: Counter[Gate] = field(default_factory=Counter[Gate])
    milder: Counter[Gate] = field(default_factory=Counter[Gate])
    checks: dict[tuple[Gate, str, Action], Counter[str]] = field(
        default_factory=dict[tuple[Gate, str, Action], Counter[str]]
    )
    examples: list[TrialExample] = field(default_factory=list[TrialExample])
    done: int = 0
    unread: int = 0
    """Data that no gate can read: nested too deeply, or of too many texts."""

    def outcomes(self) -> tuple[GateOutcome, ...]:
        """By gate."""
        return tuple(
            GateOutcome(
                gate=gate,
                texts=self.texts[gate],
                now=_by_action(self.now.get(gate, Counter())),
                then=_by_action(self.then.get(gate, Counter())),
                stricter=self.stricter[gate],
                milder=self.milder[gate],
            )
            for gate in GATES
        )

    def changes(self) -> tuple[CheckChange, ...]:
        """By check, those that change most first."""
        rows = [
            CheckChange(
                gate=gate,
                check=check,
                action=action,
                now=count["now"],
                then=count["then"],
                new=count["new"],
                gone=count["gone"],
            )
            for (gate, check, action), count in self.checks.items()
        ]
        return tuple(
            sorted(rows, key=lambda row: (-(row.new + row.gone), GATES.index(row.gate), row.check, row.action))
        )


def guard_of(settings: GuardSettings, clock: Clocked, *, caps: bool) -> Guard:
    """A guard for replaying: without checks that ask others, with counts and a clock of its own."""
    gates = {gate: [one for one in planned if one.kind not in NOT_ASKED] for gate, planned in settings.gates.items()}
    settings = replace(settings, gates=gates, caps=settings.caps if caps else ())
    return Guard(settings, version="trial", counts=MemoryCounts(), clock=clock)


class Clocked:
    """The time at which the text that is replayed was said."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def compare(
    in_force: Mapping[str, Any],
    proposed: Mapping[str, Any],
    passed: Sequence[Passed],
    *,
    caps: bool,
    until_s: float,
    progress: Progress = no_progress,
) -> GuardComparison:
    """Both guards over every text, in the order of time.

    ``caps``: whether caps are counted; over a sample of the calls they would be reached too late. ``until_s``: the
    moment of ``time.monotonic`` at which it stops.
    """
    clock = Clocked()
    old = guard_of(read_guards(in_force), clock, caps=caps)
    new = guard_of(read_guards(proposed), clock, caps=caps)
    found = GuardComparison()
    kept: Counter[tuple[Gate, str, Action, bool]] = Counter()
    rested = time.monotonic()
    for one in passed:
        clock.now_s = one.at_ns / 1e9
        before, after = _verdict(old, one), _verdict(new, one)
        if before is None or after is None:
            found.unread += 1
            continue
        _count(found, one, before, after)
        for example in _examples(one, before, after):
            key = (example.gate, example.check, example.action, example.new)
            if kept[key] < _EXAMPLES_EACH and len(found.examples) < _EXAMPLES_MAX:
                kept[key] += 1
                found.examples.append(example)
        found.done += 1
        now = time.monotonic()
        if now > until_s:
            break
        if now - rested > _WORK_S:
            progress("replaying texts", found.done, len(passed))
            time.sleep(_REST_S)
            rested = time.monotonic()
    return found


def _verdict(guard: Guard, one: Passed) -> Verdict | None:
    try:
        return check_data(guard, one.gate, one.value, one.about)[0]
    except PilothouseError:
        return None


def _count(found: GuardComparison, one: Passed, before: Verdict, after: Verdict) -> None:
    gate = one.gate
    found.texts[gate] += 1
    found.now.setdefault(gate, Counter())[before.action] += 1
    found.then.setdefault(gate, Counter())[after.action] += 1
    if before.action != after.action:
        stricter = ACTIONS.index(after.action) > ACTIONS.index(before.action)
        (found.stricter if stricter else found.milder)[gate] += 1
    old, new = _said(before), _said(after)
    for key in old | new:
        count = found.checks.setdefault((gate, *key), Counter())
        count["now"] += key in old
        count["then"] += key in new
        count["new"] += key in new and key not in old
        count["gone"] += key in old and key not in new


def _said(verdict: Verdict) -> set[tuple[str, Action]]:
    return {(finding.check, finding.action) for finding in verdict.findings}


def _examples(one: Passed, before: Verdict, after: Verdict) -> Iterator[TrialExample]:
    old, new = _said(before), _said(after)
    text = ""
    for verdict, others, is_new in ((after, old, True), (before, new, False)):
        shown: set[tuple[str, Action]] = set()
        for finding in verdict.findings:
            key = (finding.check, finding.action)
            if key in others or key in shown:
                continue
            shown.add(key)
            text = text or (one.value if isinstance(one.value, str) else data_text(one.value))
            yield example_of(one, finding, text, new=is_new)


def example_of(one: Passed, finding: Finding, text: str, *, new: bool) -> TrialExample:
    """A finding with the words around it."""
    start, end = finding.start, finding.end
    whole = end <= start
    return TrialExample(
        gate=one.gate,
        check=finding.check,
        rule=finding.rule,
        action=finding.action,
        new=new,
        trace_id=one.trace_id,
        span_id=one.span_id,
        agent=one.about.agent,
        tool=one.about.tool,
        start=start,
        end=end,
        before="" if whole else _shown(text[max(start - _AROUND, 0) : start]),
        match=_shown(text[:_MATCH_MAX] if whole else text[max(start, 0) : end][:_MATCH_MAX]),
        after="" if whole else _shown(text[end : end + _AROUND]),
        disguise=finding.disguise,
    )


def _shown(text: str) -> str:
    """Words of traces, on one line and without what hides or moves; their blanks at the edges stay."""
    inside = " ".join(clean(text).split())
    return f"{' ' if text[:1].isspace() else ''}{inside}{' ' if text[-1:].isspace() and inside else ''}"


def _by_action(counts: Counter[Action]) -> Mapping[Action, int]:
    return {action: counts[action] for action in ACTIONS if counts[action]}


def gates_of(settings: GuardSettings, kinds: Sequence[str]) -> list[str]:
    """Where checks of these kinds stand, in words."""
    return [
        f"{one.check.name} ({gate.replace('_', ' ')})"
        for gate, planned in settings.gates.items()
        for one in planned
        if one.kind in kinds
    ]
