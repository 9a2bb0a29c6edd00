"""Caps on how much an action may do, and switches that stop an agent or a tool."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, cast

from .subject import About
from .verdict import Finding


@dataclass(frozen=True, slots=True, kw_only=True)
class Cap:
    """At most so much of one action in a period."""

    tool: str
    """The tool; ``*`` counts all tools together."""
    max: int
    period_s: int
    per: str = "agent"
    """For whom it is counted: ``agent``, ``user``, ``session``, or ``all`` together."""
    count: str = ""
    """The argument that says how much one call does: a list by its length, a number by its value, a text with commas by
    its parts. Empty: a call is one."""

    @property
    def name(self) -> str:
        """e.g. ``send_email: 50 in 3600 s``."""
        return f"{self.tool}: {self.max:,} in {self.period_s:,} s"

    def amount(self, arguments: Mapping[str, Any]) -> int | None:
        """How much a call does; None where the argument cannot be counted: then nothing is known, and it is refused."""
        if not self.count:
            return 1
        value: Any = arguments
        for part in self.count.split("."):
            if not isinstance(value, Mapping) or part not in value:
                return None
            value = cast("Mapping[str, Any]", value)[part]
        if isinstance(value, bool) or value is None:
            return None
        if isinstance(value, int):
            return value if value >= 0 else None
        if isinstance(value, list | tuple | Mapping):
            return len(cast("list[Any]", value))
        if isinstance(value, str):
            return len([part for part in value.replace(";", ",").split(",") if part.strip()])
        return None


class Counts(Protocol):
    """Where actions are counted. Implementations MUST add and compare in one step: calls come side by side."""

    def take(self, key: str, amount: int, *, at_most: int, period_s: int, now_s: float) -> bool:
        """Count an amount within the period of now, unless it would pass the most; says whether it was counted."""
        ...


class MemoryCounts:
    """Counts of this process alone, gone when it ends. Safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counted: dict[str, tuple[int, int]] = {}

    def take(self, key: str, amount: int, *, at_most: int, period_s: int, now_s: float) -> bool:
        """As the protocol says; periods begin at whole multiples of their length."""
        period = int(now_s // period_s)
        with self._lock:
            known, used = self._counted.get(key, (period, 0))
            # A clock that was put back does not empty the count.
            if known < period:
                known, used = period, 0
            if used + amount > at_most:
                return False
            self._counted[key] = (known, used + amount)
            return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Switches:
    """What is switched off."""

    agents: frozenset[str] = frozenset()
    tools: frozenset[str] = frozenset()
    everything: bool = False

    def off(self, about: About) -> str:
        """What of this is switched off; empty where nothing is."""
        if self.everything:
            return "everything"
        if about.agent and about.agent in self.agents:
            return f"agent {about.agent}"
        if about.tool and about.tool in self.tools:
            return f"tool {about.tool}"
        return ""


def contain(caps: tuple[Cap, ...], counts: Counts, about: About, now_s: float) -> Finding | None:
    """Count a call of a tool against each cap it falls under; a finding where one is reached.

    Those before it have counted the call by then: a refused call may cost others a place, never give one.
    """
    for cap in caps:
        if cap.tool not in ("*", about.tool):
            continue
        amount = cap.amount(about.arguments)
        if amount is None:
            message = f"{cap.name}: the argument {cap.count} cannot be counted"
            return Finding(check="cap", rule=cap.name, action="block", message=message)
        whose = {"agent": about.agent, "user": about.user, "session": about.session}.get(cap.per, "")
        key = "\x1f".join((about.tenant, cap.tool, cap.count, str(cap.period_s), cap.per, whose))
        if not counts.take(key, amount, at_most=cap.max, period_s=cap.period_s, now_s=now_s):
            message = f"{cap.name} is reached, counted by {cap.per}"
            return Finding(check="cap", rule=cap.name, action="block", message=message)
    return None
