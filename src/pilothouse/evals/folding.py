"""Attempts at one case folded into what a reader is told of it: passes, fails, falls out either way, or says nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

from .runs import Result

Folded = Literal["pass", "fail", "flaky", "unscored"]
FOLDED: Final[tuple[Folded, ...]] = ("fail", "flaky", "unscored", "pass")
"""In the order a reader wants them."""


def folded(attempts: Sequence[Result]) -> Folded:
    """What the attempts come to; ``unscored`` where none could be told."""
    outcomes = {one.outcome for one in attempts if one.outcome != "unscored"}
    if not outcomes:
        return "unscored"
    if len(outcomes) == 2:
        return "flaky"
    return "pass" if "pass" in outcomes else "fail"


def tally(attempts: Sequence[Result]) -> str:
    """Passed attempts of all: ``2/3``."""
    return f"{sum(one.outcome == 'pass' for one in attempts)}/{len(attempts)}"


def reason(attempts: Sequence[Result]) -> str:
    """The first reason that one does not pass; empty where all do."""
    return next((one.why for one in attempts if one.outcome != "pass" and one.why), "")


def failing_trace(attempts: Sequence[Result]) -> str:
    """The trace of the first attempt that does not pass; empty where all do."""
    return next((one.trace_id for one in attempts if one.outcome != "pass"), "")
