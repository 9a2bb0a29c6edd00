"""What every format is read into: steps of a trace, scores, and what could not be read.

A reader is a generator of these, so that a file of any size is read with bounded memory. Steps come in any order; a
trace is whatever names it. Ids are the source's own words: the same source gives the same ids each time it is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pilothouse.records import Kind

Said = bytes
"""One message as JSON in the form of the GenAI convention: encoded once, however many calls repeat it."""


class Foreign(Exception):
    """The file is none of this format: one among many in a folder is passed over, one that was named is an error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """What a call used. Cached tokens are part of the input, reasoning is part of the output."""

    input: int = 0
    cache_read: int = 0
    cache_write: int = 0
    """All tokens written to a cache; those of known life are told apart below."""
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    output: int = 0
    reasoning: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One span to be: an agent, a model call, a tool call."""

    trace: str
    """The source's own name of the trace."""
    id: str
    """The source's own name of the step, unique in its trace."""
    parent: str = ""
    """The step it is part of; empty for a root."""
    kind: Kind
    name: str = ""
    """What it is called; empty: what its kind, tool, model or agent make of it."""
    start_ns: int
    end_ns: int
    agent: str = ""
    agent_id: str = ""
    agent_version: str = ""
    session: str = ""
    user: str = ""
    tags: tuple[str, ...] = ()
    model: str = ""
    provider: str = ""
    response_id: str = ""
    finish_reason: str = ""
    input: tuple[Said, ...] = ()
    """The whole conversation sent."""
    output: tuple[Said, ...] = ()
    tools: bytes = b""
    """JSON list of the tools the model could choose from."""
    input_value: str = ""
    """What was given where it is no conversation: a tool's arguments as JSON, a request."""
    output_value: str = ""
    tool: str = ""
    call_id: str = ""
    tool_error: str = ""
    """Why a tool failed, in its own words."""
    tokens: Tokens | None = None
    cost_usd: float | None = None
    """What the source says it cost."""
    error: str = ""
    error_type: str = ""
    attributes: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Whatever else is worth keeping, by attribute name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """A verdict on a trace or on one of its steps."""

    trace: str
    step: str = ""
    name: str
    value: float | None = None
    label: str = ""
    explanation: str = ""
    source: str = ""
    """Who judged."""
    time_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Posted:
    """OTLP as the file holds it, to be sent on unchanged."""

    signal: str
    """``traces``, ``logs`` or ``metrics``."""
    content_type: str
    body: bytes
    items: int
    """Spans, log records or data points in it."""
    traces: frozenset[str] = frozenset()
    """Ids of the traces in it, as the file spells them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """Something that could not be read; all around it was."""

    where: str
    """``line 12``, or whatever names the place in its file."""
    reason: str


Item = Step | Scored | Posted | Skipped
