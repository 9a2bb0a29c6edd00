"""What an agent is, as its traces show it, and what of it would fail without anybody noticing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .lists import Window

ControlState = Literal["present", "missing", "unknown"]
AuditState = Literal["failing", "cannot_tell", "passing"]
Harm = Literal["high", "medium", "low"]
HARMS: tuple[Harm, ...] = ("high", "medium", "low")


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceStep:
    """A place in a trace that shows something."""

    trace_id: str
    step: int = 0
    """0: the trace as a whole."""
    note: str = ""
    """What is to be seen there, at most 120 characters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """How much was looked at."""

    traces: int
    """Traces of the agent that were read, the newest of the window."""
    of_traces: int
    """Traces of the agent in the window."""
    spans: int
    """Their spans that belong to the agent's runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trait:
    """Something an agent does, by which its level is told."""

    level: int
    """The level that shows it: 1 to 5."""
    name: str
    """stateless, tools, autonomous, multi_agent or self_correcting."""
    meaning: str
    traces: int
    """Traces that show it."""
    share: float
    """Of the traces looked at."""
    counts: bool
    """True where it is shown often enough to count: in one trace of ten, and in two unless there are fewer than five."""
    examples: tuple[TraceStep, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """What a level demands, and whether it is to be seen in telemetry."""

    level: int
    """The level that demands it."""
    name: str
    """The control's name, stable, e.g. ``tool_errors_recorded``."""
    meaning: str
    state: ControlState
    why: str
    """What was seen, or why nobody can tell."""
    examples: tuple[TraceStep, ...] = ()
    remedy: str = ""
    """What to do where it is missing or cannot be told; empty where it is present."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentLevel:
    """One agent's level, from 1 (stateless) to 5 (self-correcting), with evidence, and the controls it demands."""

    agent: str
    level: int
    """0 where no trace shows anything."""
    name: str
    """stateless, tool-augmented, autonomous, multi-agent, self-correcting, or unknown."""
    looked: Examined
    traits: tuple[Trait, ...]
    controls: tuple[Control, ...]
    """Of its level and those below, missing ones first."""
    present: int
    missing: int
    unknown: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Levels:
    """The levels of some agents."""

    window: Window
    agents: tuple[AgentLevel, ...]
    """Highest level first; at most 200."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditCheck:
    """One way to fail silently, and whether this agent's telemetry shows it."""

    check: str
    """The check's name, stable, e.g. ``tool_results_missing``."""
    title: str
    """The question, in words."""
    harm: Harm
    """What is lost where it fails: high: failures reach users unseen; medium: they cannot be explained; low: unhandy."""
    state: AuditState
    found: str
    """What was seen, with numbers; or why nobody can tell."""
    count: int
    """How often it was seen; 0 where it passes."""
    of: int
    """Of how many that were looked at."""
    examples: tuple[TraceStep, ...]
    """At most five."""
    look: str
    """The command that shows it."""
    remedy: str
    """What to do; a snippet where code helps. Empty where it passes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """What would fail silently in one agent, told from its telemetry alone. There is no score: read the table."""

    agent: str
    window: Window
    looked: Examined
    checks: tuple[AuditCheck, ...]
    """Failing ones first, by harm and count; then those nobody can tell; then those that pass."""
    failing: int
    cannot_tell: int
    passing: int
