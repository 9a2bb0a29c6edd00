"""What the model calls of a trace decided."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from .spans import CodePlace, MessageView


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One thing a model wants next."""

    type: str
    """tool_call, answer, or none where the answer is empty."""
    tool: str = ""
    arguments: Any = None
    """Of a tool call: parsed, or the text as sent where it is not JSON."""
    text: str = ""
    """Of an answer: its first 300 characters."""
    call_id: str = ""
    step: int | None = None
    """The step that did it; None where none is known."""
    outcome: str = ""
    """How that step ended: ok, error, soft_error or running."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The decision record of one model call."""

    trace_id: str
    step: int
    span_id: str
    time: str
    agent: str
    model: str
    status: str
    prompt_sha256: str
    """64 hex digits over ``prompt``; empty where the messages were not recorded."""
    prompt_from: Literal["recorder", "stored", ""]
    """``recorder``: hashed in the agent's process before anything was masked; ``stored``: over what is stored."""
    prompt_intact: bool | None
    """Whether what is stored still has the recorder's hash; False where something was masked or cut on the way."""
    prompt_messages: int
    prompt: str
    """The whole prompt as canonical JSON: ``{"messages", "parameters", "tools"}``; its UTF-8 has the hash."""
    raw_response: str
    """The provider's answer as it came; empty where the emitter does not record it."""
    raw_from: str
    """The attribute that holds it."""
    answer: tuple[MessageView, ...]
    """The answer as it was read."""
    finish_reason: str
    actions: tuple[Action, ...]
    """What is to be done next, as parsed from the answer."""
    valid: bool | None
    """Whether that can be done; None where there is no answer to judge, since the call failed or still runs."""
    invalid_reason: str
    judged_by: Literal["recorder", "reader", ""]
    tools_offered: tuple[str, ...]
    tools_not_chosen: tuple[str, ...]
    code: CodePlace | None = None
    """Where in the code the call was made, or the nearest step around it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionRow:
    """A decision in one line."""

    step: int
    span_id: str
    agent: str
    model: str
    status: str
    actions: tuple[str, ...]
    """``get_weather({"city":"Paris"})``, ``answer: It is sunny…``, ``none``."""
    valid: bool | None
    invalid_reason: str
    tools_offered: int
    tools_not_chosen: tuple[str, ...]
    prompt_sha256: str
    """As the recorder hashed it; empty for other emitters, where the decision itself computes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decisions:
    """The decisions of a trace, in order."""

    trace_id: str
    rows: tuple[DecisionRow, ...]
    next_step: int | None
    """``after_step`` of the next page; None at the end."""
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """An agent went from one state to another."""

    agent: str
    step: int
    """The step that says so, or that shows it."""
    time: str
    offset_ms: float
    """From the start of the trace."""
    from_state: str
    to_state: str
    reason: str
    said: bool
    """True where the agent said it; False where it follows from a wait or a repeated call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StateShare:
    """Time and money spent in one state."""

    state: str
    """Empty: no state was said."""
    times: int
    """How often it was entered."""
    ms: float
    cost_usd: Decimal | None
    """None where nothing with a known price ran in it."""
    model_calls: int
    tool_calls: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceStates:
    """The states of a trace."""

    trace_id: str
    transitions: tuple[Transition, ...]
    """In order of time, at most 1,000."""
    by_state: tuple[StateShare, ...]
    """Most time first."""
    hidden_retries: int
    """Repeated tries that no state tells of: marked attempts, and the same call again after it failed."""
