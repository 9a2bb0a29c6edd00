"""What the rules are given: the facts of a trace's spans, what is usual for its agent, and its process's heartbeats."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Protocol

from pilothouse.records import Kind


class SpanFact(Protocol):
    """What the rules read of one span."""

    @property
    def span_id(self) -> str: ...
    @property
    def parent_span_id(self) -> str: ...
    @property
    def step(self) -> int: ...
    @property
    def kind(self) -> Kind: ...
    @property
    def name(self) -> str: ...
    @property
    def agent(self) -> str: ...
    @property
    def model(self) -> str: ...
    @property
    def provider(self) -> str: ...
    @property
    def status(self) -> str: ...
    @property
    def error_message(self) -> str: ...
    @property
    def tool_error(self) -> str: ...
    @property
    def start_ns(self) -> int: ...
    @property
    def end_ns(self) -> int: ...
    @property
    def tokens(self) -> tuple[int, ...]: ...
    @property
    def usage_scope(self) -> str: ...
    @property
    def cost_usd(self) -> Decimal | None: ...
    @property
    def duplicate_of(self) -> str: ...
    @property
    def tool_name(self) -> str: ...
    @property
    def finish_reason(self) -> str: ...
    @property
    def tools_offered(self) -> tuple[str, ...]: ...
    @property
    def purpose(self) -> str:
        """What a tool call does to the world (``write``), or what a span of waiting waits for (``human``)."""
        ...

    @property
    def input_text(self) -> str:
        """Arguments of a tool call, or the last message to a model; the head of it where it is long."""
        ...

    @property
    def output_text(self) -> str:
        """A tool's result, or a model's answer with its calls as ``name({…})``; the head of it where it is long."""
        ...

    @property
    def input_ref(self) -> str:
        """The hash of a tool call's arguments where they are too long to stay whole in ``input_text``."""
        ...

    @property
    def output_ref(self) -> str:
        """The same of its result."""
        ...

    @property
    def kept_text(self) -> str:
        """Of texts that are too long: the end of a model's answer, or the whole arguments of a tool that plans."""
        ...

    @property
    def notes(self) -> tuple[str, ...]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Three quartiles of what an agent's traces came to."""

    low: float
    middle: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """What is usual for one agent of one project, from its finished traces of the last days."""

    traces: int = 0
    """How many traces it is from; rules ask for a minimum."""
    days: int = 7
    """How far back it reaches."""
    seconds: Spread | None = None
    """Wall clock of a trace."""
    usd: Spread | None = None
    """Cost of a trace, of those with a known price."""
    gap_s: float = 0.0
    """Seconds between two spans of a trace: what 19 of 20 traces stay below on average; 0 where unknown."""
    rooted: float = 1.0
    """The share of its traces whose root span arrived: where it is low, a missing root says nothing."""
    canned_counts: Mapping[str, int] = field(default_factory=dict[str, int])
    """Of inputs that came again and again within a day: MD5 of the text, hex, to how often."""


NO_BASELINE = Baseline()


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulse:
    """The heartbeats of the process that works on a trace. Times are the server's clock, in nanoseconds."""

    last_ns: int
    """When the last heartbeat arrived."""
    interval_s: float = 5.0
    """How often one is promised."""
    said_goodbye: bool = False
    """The process ended in order."""
    waiting_for: str = ""
    """What the innermost open span waits for: ``human``, ``rate_limit``, ``queue``, ``retry``, ``other`` or nothing."""
    open_spans: tuple[str, ...] = ()
    """Ids of the trace's spans that the last heartbeat named as open."""


WindowOf = Callable[[str, str], int]
"""From provider and model to the tokens its context window holds; 0 where unknown."""


def no_window(provider: str, model: str) -> int:
    """For callers that know no model's window."""
    return 0
