"""What an agent did with a case: its answer, its tool calls, what they cost. Checks and judges look at nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Answered = Literal["live", "recorded", "stub", "unmatched", "gone", "refused", ""]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolUse:
    """One call of a tool."""

    name: str
    arguments: Any = None
    """Parsed where they are JSON, else the text as the model wrote it."""
    result: Any = None
    error: str = ""
    """Why it failed; empty where it did not."""
    answered: Answered = ""
    """By what: the tool itself, a recording, a stub; ``unmatched``: the recording has no such call; ``gone``: no tool of
    that name exists any more; ``refused``: it writes, and is not declared safe; empty: it was not run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What came of one attempt at a case."""

    text: str = ""
    """The final answer; empty where the agent was stopped at its decision."""
    tools: tuple[ToolUse, ...] = ()
    """In the order they were called."""
    output: Any = None
    """The answer as data, where the agent gives data."""
    messages: Sequence[Mapping[str, Any]] = ()
    """The whole conversation, ``role`` and ``content`` or ``parts``, where the target tells it."""
    error: str = ""
    """What the agent raised; its first line is the kind."""
    unconsumed: tuple[str, ...] = ()
    """Recorded calls that were not made again, as ``name(arguments)``."""
    model_calls: int | None = None
    tokens: int | None = None
    cost_usd: float | None = None
    duration_s: float = 0.0
    trace_id: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """What the target adds, for checks of the user's own."""
