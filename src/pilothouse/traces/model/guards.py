"""What the gates of guards did in a window, as stored traces tell it."""

from __future__ import annotations

from dataclasses import dataclass

from .lists import Window


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckTold:
    """What one check did with one text."""

    check: str
    outcome: str
    """ok, flag, rewrite, ask, block, failed, late or skipped."""
    rules: str
    """Which of its rules spoke; never what they found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardEvent:
    """One verdict that was not simply yes."""

    time: str
    trace_id: str
    span_id: str
    step: int
    """0 where the step is not stored yet."""
    agent: str
    tool: str
    """At the gates of tools."""
    gate: str
    action: str
    """flag, rewrite, ask or block."""
    checks: tuple[CheckTold, ...]
    """Those that did not simply pass it."""
    times: int
    """Texts of the step that got the same verdict."""
    policy_version: str
    wrong: str
    """Who marked it as wrong; empty: nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GateCount:
    """What one gate did."""

    gate: str
    texts: int
    allowed: int
    flagged: int
    rewritten: int
    asked: int
    blocked: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckCount:
    """What one check did at one gate, in texts."""

    gate: str
    check: str
    checked: int
    passed: int
    flagged: int
    rewritten: int
    asked: int
    blocked: int
    failed: int
    """It raised or was too late; what then happened, its ``on_failure`` says."""
    skipped: int
    """An earlier check had blocked the text."""
    wrong: int
    """Of what it found: marked as wrong by a person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardSeries:
    """The verdicts by time."""

    times: tuple[int, ...]
    """Start of each bucket, seconds since 1970 UTC."""
    bucket_s: int
    allowed: tuple[int, ...]
    flagged: tuple[int, ...]
    rewritten: tuple[int, ...]
    asked: tuple[int, ...]
    blocked: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardActivity:
    """What the guards did in a window."""

    window: Window
    gates: tuple[GateCount, ...]
    checks: tuple[CheckCount, ...]
    """Those that found most first."""
    series: GuardSeries
    events: tuple[GuardEvent, ...]
    """The newest first."""
    more: bool
    """Whether there are older events in the window than are listed."""
