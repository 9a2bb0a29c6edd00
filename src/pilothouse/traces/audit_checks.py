"""What every check of an audit is made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from .agent_runs import AgentRuns
from .model import AuditState, Harm, TraceStep


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """What is known beside the spans of an agent."""

    log_lines: int
    """Log lines of its services in the window."""
    log_lines_joined: int
    """Those that name one of the traces looked at."""
    heartbeats: int
    """Processes of its services that have sent heartbeats lately."""
    traces_by_day: tuple[int, ...]
    """Its traces of the last days, the newest day first."""
    system_hashes: frozenset[str]
    """Contents its model calls begin with that are system messages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one check saw."""

    state: AuditState
    found: str
    count: int = 0
    of: int = 0
    examples: Sequence[TraceStep] = field(default_factory=tuple[TraceStep, ...])
    look: str = ""
    """A command that shows it, where that of the first example does not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One way to fail silently."""

    name: str
    title: str
    harm: Harm
    look_at: Callable[[AgentRuns, Around], Outcome]
    remedy: str


def none_or_some(examples: Sequence[TraceStep], of: int, what: str, *, fine: str, empty: str = "") -> Outcome:
    """Passing where nothing was found, failing where something was. ``{count}`` and ``{of}`` stand in the words.

    ``empty`` is said, and the check passes, where there was nothing to look at.
    """
    count = len(examples)
    if not of and empty:
        return Outcome(state="passing", found=empty)
    words = what if count else fine
    return Outcome(
        state="failing" if count else "passing",
        found=words.format(count=f"{count:,}", of=f"{of:,}"),
        count=count,
        of=of,
        examples=examples,
    )
