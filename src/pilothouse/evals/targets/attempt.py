"""One attempt at a case, as every kind of target gets it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from pilothouse.evals.case import Case
from pilothouse.evals.observed import Observed
from pilothouse.evals.playback import Playback


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """What a target is asked to do."""

    case: Case
    playback: Playback
    """Answers the calls of tools; a target gives it every call."""
    number: int = 1
    """1 at the first repeat of the case."""
    decision_only: bool = False
    """Stop when the agent has decided what to do next, before any tool runs."""


Target = Callable[[Attempt], Awaitable[Observed]]
"""Runs an attempt. What it raises is the attempt's error."""
