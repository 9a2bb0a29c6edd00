"""What is wrong with a trace, with the steps that show it and the settings that decide."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenAt:
    """A step that shows a signal."""

    step: int
    """Its number in the trace; 0 where the span is not stored any more."""
    span_id: str
    note: str
    """What is to be seen there: recorded content, cut to 200 characters."""
    code: str = ""
    """``file:line`` of the code that made the step, where known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalWhy:
    """One signal of a trace."""

    name: str
    severity: str
    """``critical``: somebody should look now; ``warning``; ``info``: worth knowing."""
    meaning: str
    """What such a signal says, in one sentence."""
    message: str
    """What was found here, in one sentence."""
    evidence: tuple[SeenAt, ...]
    """The steps that show it, in order, at most 20."""
    value: float | None
    """What was measured, in ``unit``."""
    limit: float | None
    """The threshold it passed, in ``unit``."""
    unit: str
    settings: Mapping[str, float]
    """The settings the rule goes by, as they are now, in ``[signals]`` of the configuration file."""
    tune: str
    """How to change them for this agent, or to switch the rule off."""
    detail: Mapping[str, Any]
    """Whatever else the rule knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """A rule that looked and found nothing."""

    name: str
    meaning: str
    settings: Mapping[str, float]
    off: bool
    """The rule is switched off for this agent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """What is wrong with a trace, as far as it has arrived."""

    trace_id: str
    agent: str
    status: str
    """ok, error or running."""
    signals: tuple[SignalWhy, ...]
    """The gravest first."""
    looked_for: tuple[Looked, ...]
    """The other rules."""
    note: str
    """What the reader should know; empty nearly always."""
