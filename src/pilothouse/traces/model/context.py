"""What was in the context of each model call: shares, growth, what fell out, and whether the question was in view."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

PartKind = Literal[
    "system", "tools", "plan", "question", "history", "assistant", "tool_output", "media", "other", "unseen"
]
PART_KINDS: tuple[PartKind, ...] = (
    *("system", "tools", "plan", "question", "history", "assistant", "tool_output", "media", "other", "unseen"),
)
"""In the order they are drawn.

``tools`` are the definitions, ``plan`` what was written with or read from a tool for plans and todo lists and messages
that are one, ``question`` the newest thing a user asked, ``history`` what was said in the turns before it, ``assistant``
the model's own words, reasoning and calls since. ``unseen`` is what the provider counted and nobody recorded.
"""

QuestionState = Literal["in_view", "quoted", "gone", "none", "unknown"]
"""``quoted``: its words stand within another message. ``none``: nobody asked. ``unknown``: no content was recorded."""

Fate = Literal["gone", "rewritten", "summarised"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextPart:
    """One kind of content in the window of one call."""

    kind: PartKind
    tokens: int
    """Apportioned: of all parts together exactly the call's ``tokens``."""
    share: float
    """Of the call's tokens, 0 to 1."""
    messages: int
    chars: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextMessage:
    """One message in a window, or one that fell out of it."""

    role: str
    kind: PartKind
    """What most of it is."""
    tokens: int
    chars: int
    head: str
    """Its first words, at most 160 characters."""
    hash: str
    new: bool = False
    """True where the call before did not have it."""
    fate: Fate | None = None
    """Set on what fell out."""
    kept_tokens: int = 0
    """Of what was rewritten: how much of it is still there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeat:
    """The same long tool output more than once in one window."""

    tool: str
    times: int
    chars: int
    """Of one copy."""
    wasted_tokens: int
    """All copies but one."""
    head: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextCall:
    """The window of one model call."""

    step: int
    span_id: str
    thread: int
    """The agent's conversation it belongs to: :attr:`ContextThread.number`."""
    agent: str
    model: str
    start_time: str
    offset_ms: float
    tokens: int
    """Input tokens."""
    tokens_are: Literal["reported", "estimated"]
    window: int | None
    """Tokens the model can be sent at once; None where that is not known."""
    full: float | None
    """``tokens`` as a share of ``window``."""
    parts: tuple[ContextPart, ...]
    """Those that take room, in the order of ``PART_KINDS``. Shares are estimated from the lengths of texts."""
    messages: int
    previous_step: int | None
    """The call before in the same thread."""
    grew: int | None
    """Tokens more than the call before; exact where both are reported."""
    new_messages: int
    new_tokens: int
    dropped_messages: int
    """Messages of the call before that are no longer there as they were."""
    dropped_tokens: int
    """What they took in the call before, less what is left of those that were rewritten."""
    dropped: tuple[ContextMessage, ...]
    """The largest of them, at most ten."""
    compacted: Literal["", "summary", "emitter"]
    """How it is known that a summary took their place: from the messages, or because the emitter says so."""
    summary: ContextMessage | None
    """The message that took their place."""
    question: QuestionState
    question_lost: bool
    """True at the first call of a thread that no longer has the question in view."""
    repeats: tuple[Repeat, ...]
    wasted_tokens: int
    """By repeats of the same tool output in this window."""
    content: bool
    """False where no messages were recorded: nothing but the size is known."""
    server_state: bool
    """True where the provider keeps the conversation: what it adds to the window is not visible."""
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Something a user asked in a thread."""

    head: str
    hash: str
    first_step: int
    last_step: int
    """The last call that had it in view."""
    gone_step: int | None
    """The first call after that without it, while it was the newest question or the first one; None where there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextThread:
    """One conversation of one agent: its model calls, each going on from the one before."""

    number: int
    agent: str
    steps: tuple[int, ...]
    peak_tokens: int
    peak_full: float | None
    wasted_tokens: int
    """By repeated tool outputs, in all calls together."""
    compactions: int
    questions: tuple[Question, ...]
    """The first one and the latest ones, at most twenty."""
    question_gone_step: int | None
    """The first call without the question that was newest then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextStep:
    """The whole window of one call, message by message."""

    messages: tuple[ContextMessage, ...]
    """In order; at most 2,000, the oldest left out."""
    dropped: tuple[ContextMessage, ...]
    tools: tuple[str, ...]
    """Names of the tools offered."""
    cut: int = 0
    """Messages left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What was in the context of the model calls of a trace."""

    trace_id: str
    threads: tuple[ContextThread, ...]
    calls: tuple[ContextCall, ...]
    """In order of time; with a step asked for, that call alone."""
    detail: ContextStep | None
    """With a step asked for: its messages."""
    duplicates: int
    """Model spans left out because they are the same call seen by another instrumentation, or a sum over others."""
    left_out: int
    """Calls beyond what is read at most."""
    notes: tuple[str, ...]
