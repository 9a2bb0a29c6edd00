"""The drill: each check of each gate is taken down in turn, in every way it can be, and nothing may get through.

A text goes through the gate while the check is down. *Got through* means that the verdict let it go on though neither
the check nor its stand-in had looked at it. That must never happen; the drill counts it.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from .guard import Fault, Guard
from .settings import GuardSettings, Planned
from .subject import About
from .verdict import GATES, Finding, Gate, Verdict

HARMLESS = '{"note": "The parcel is on its way and arrives on Tuesday."}'
"""Goes through any check that works, so that a refusal is due to the check that is down."""

_DEADLINE_S = 0.05


def _raises() -> Any:
    raise ConnectionRefusedError("taken down by the drill")


def _nonsense() -> Any:
    return {"allowed": True}


def _nothing() -> Any:
    return None


def _hangs(ended: threading.Event) -> Fault:
    def wait() -> Any:
        ended.wait(30)
        return []

    return wait


class _BrokenCounts:
    """Counts whose store is down."""

    def take(self, key: str, amount: int, *, at_most: int, period_s: int, now_s: float) -> bool:
        """Fail."""
        raise ConnectionRefusedError("taken down by the drill")


@dataclass(frozen=True, slots=True, kw_only=True)
class Exercise:
    """One check, down in one way."""

    gate: Gate
    check: str
    fault: str
    """``raises``, ``hangs``, ``nonsense`` or ``nothing``."""
    action: str
    """What the gate said."""
    decided_by: str
    """The stand-in that decided; empty where nobody did and it was refused."""
    got_through: bool
    """Whether an unchecked text went on: the failure of the drill."""
    reason: str

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "gate": self.gate,
            "check": self.check,
            "fault": self.fault,
            "action": self.action,
            "decided_by": self.decided_by,
            "got_through": self.got_through,
            "reason": self.reason,
        }


def drill(settings: GuardSettings) -> list[Exercise]:
    """Every check of every gate, in every way; and the counts of caps."""
    ended = threading.Event()
    faults: Mapping[str, Fault] = {
        "raises": _raises,
        "hangs": _hangs(ended),
        "nonsense": _nonsense,
        "nothing": _nothing,
    }
    done: list[Exercise] = []
    try:
        for gate in GATES:
            for planned in settings.gates[gate]:
                done += [_exercise(settings, gate, planned, name, fault) for name, fault in faults.items()]
    finally:
        ended.set()
    for cap in settings.caps:
        guard = Guard(_quick(settings, "tool_arguments", ""), counts=_BrokenCounts())
        arguments: dict[str, Any] = {}
        if cap.count:
            *outer, last = cap.count.split(".")
            arguments = {last: 1}
            for part in reversed(outer):
                arguments = {part: arguments}
        verdict = guard.check("tool_arguments", HARMLESS, About(tool=cap.tool, arguments=arguments))
        done.append(_said("tool_arguments", f"cap {cap.name}", "raises", verdict, verdict.allowed, ""))
    return done


def _exercise(settings: GuardSettings, gate: Gate, planned: Planned, name: str, fault: Fault) -> Exercise:
    check: str = planned.check.name
    guard = Guard(_quick(settings, gate, check), faults={check: fault})
    verdict = guard.check(gate, HARMLESS)
    ran = {one.check: one for one in verdict.ran}
    looked = planned.instead and planned.instead in ran and ran[planned.instead].outcome in ("ok", "found")
    got_through = verdict.allowed and not looked
    return _said(gate, check, name, verdict, got_through, planned.instead if looked and verdict.allowed else "")


def _said(gate: Gate, check: str, fault: str, verdict: Verdict, got_through: bool, decided_by: str) -> Exercise:
    return Exercise(
        gate=gate,
        check=check,
        fault=fault,
        action=verdict.action,
        decided_by=decided_by,
        got_through=got_through,
        reason=verdict.reason,
    )


def _quick(settings: GuardSettings, gate: Gate, down: str) -> GuardSettings:
    """The gate alone, with short waits, and with other checks that ask somebody standing aside as if they allowed.

    They are not what this exercise is about, and may not be reachable from where it is held.
    """
    quick: list[Planned] = []
    for planned in settings.gates[gate]:
        if planned.check.slow and planned.check.name != down:
            quick.append(replace(planned, check=_Allows(name=planned.check.name), queue_s=0.0))
        else:
            quick.append(replace(planned, deadline_s=min(planned.deadline_s, _DEADLINE_S), queue_s=0.1))
    return replace(
        settings, gates={**settings.gates, gate: quick}, switches=replace(settings.switches, everything=False)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Allows:
    """A check that finds nothing."""

    name: str
    slow: bool = False

    def run(self, subject: Any) -> list[Finding]:
        """Nothing."""
        return []
