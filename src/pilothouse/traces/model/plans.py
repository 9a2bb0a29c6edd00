"""What an agent planned in a trace, and what the runtime did to keep it to that."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanTask:
    """One task of a plan."""

    id: str
    text: str
    state: str
    """pending, in_progress, completed, blocked or dropped."""
    note: str
    """Of a completed task its evidence, of a blocked one the question, of a dropped one why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentPlan:
    """A plan as it stood last in the trace."""

    key: str
    """What the agent keeps it under: its conversation or run."""
    agent: str
    version: int
    changes: int
    """Versions that the trace tells of."""
    done: int
    open: int
    tasks: tuple[PlanTask, ...]
    """Empty where content stayed in the agent's process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeEvent:
    """One thing that the runtime did."""

    agent: str
    step: int
    """The step in which it happened."""
    time: str
    offset_ms: float
    """From the start of the trace."""
    what: str
    """plan, finish_gate, data_kept, drift, tool_loaded, memory, guard or gateway."""
    said: str
    """In a line: what changed, was refused, kept, found, loaded or remembered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TracePlan:
    """The plans of a trace and the runtime's doings."""

    trace_id: str
    plans: tuple[AgentPlan, ...]
    """In the order they were written."""
    events: tuple[RuntimeEvent, ...]
    """In order of time, at most 1,000."""
