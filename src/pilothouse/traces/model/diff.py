"""Two traces side by side: which steps correspond, where they part, and what differs in each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from .lists import TraceRow

Differs = Literal[
    "tool", "arguments", "decision", "input", "prompt", "tools", "result", "model", "parameters", "status"
]
"""What differs between two corresponding steps.

``tool``, ``arguments`` and ``decision`` are what the agent decided. ``input`` is what an agent was asked, ``prompt`` the
messages a model was sent, ``tools`` what it could choose from, ``result`` what came back.
"""
DECIDED: frozenset[str] = frozenset({"tool", "arguments", "decision"})

DivergenceKind = Literal["tool", "arguments", "text", "only_a", "only_b"]
Side = Literal["a", "b"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DiffSide:
    """One step of one of the two traces."""

    step: int
    span_id: str
    kind: str
    label: str
    agent: str
    head: str
    """What was decided, on one line: a model's calls or words, a tool's arguments."""
    result: str
    """What came back, its first words; of a model that is its ``head``."""
    status: str
    failed: bool
    tokens: int
    """0 on spans that only sum up others."""
    cost_usd: Decimal | None
    duration_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DiffRow:
    """A step of one trace and the one of the other that corresponds to it."""

    row: int
    """From 1."""
    state: Literal["same", "changed", "only_a", "only_b", "moved"]
    """``moved``: the same step of a parallel branch, at another place."""
    differs: tuple[Differs, ...]
    depth: int
    a: DiffSide | None
    b: DiffSide | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DiffRun:
    """Rows in a row that are the same, folded."""

    first_row: int
    last_row: int
    same: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Divergence:
    """Where the two part."""

    row: int
    kind: DivergenceKind
    """``text``: the same calls in other words."""
    what: str
    """In a sentence."""
    a_step: int | None
    """The step of ``a`` that decided; where its row has none, the next one that a model decided."""
    b_step: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Total:
    """One figure of both traces."""

    name: str
    unit: str
    """ms, usd, tokens or count."""
    a: float | None
    b: float | None
    delta: float | None
    """``b`` less ``a``; None where one of them is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A stretch of text that both have, or one of them."""

    op: Literal["same", "a", "b"]
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptEntry:
    """A message of a prompt, or a run of equal ones."""

    op: Literal["same", "only_a", "only_b", "changed"]
    count: int
    """Messages it stands for: more than one where they are the same."""
    role: str
    head: str
    chars_a: int
    chars_b: int
    text: tuple[Segment, ...]
    """Of a changed message: what changed, by line and word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueChange:
    """A named value that differs; None where a side does not have it."""

    name: str
    a: Any
    b: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class DiffDetail:
    """One row in full."""

    row: DiffRow
    """Of a divergence at a step that only one trace has, with the decision the other took at that point beside it."""
    decision: tuple[Segment, ...]
    """Of a model: its calls and words. Of a step that only one trace has: all of it."""
    arguments: tuple[Segment, ...]
    """Of other steps: what they were given."""
    result: tuple[Segment, ...]
    """Of other steps: what came back."""
    prompt: tuple[PromptEntry, ...]
    """Message by message; at most 400 entries."""
    tools: tuple[ValueChange, ...]
    """Tools that only one side was offered, or whose definition differs."""
    parameters: tuple[ValueChange, ...]
    """Model, provider and request parameters that differ."""
    facts: Mapping[str, ValueChange]
    """Figures: tokens, cost, duration, status."""
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceDiff:
    """Two traces compared."""

    a: TraceRow
    b: TraceRow
    totals: tuple[Total, ...]
    signals_gained: tuple[str, ...]
    """Signals that only ``b`` has."""
    signals_lost: tuple[str, ...]
    """Signals that only ``a`` has."""
    divergence: Divergence | None
    """The first step at which another decision was taken; None where there is none."""
    action_divergence: Divergence | None
    """The first such step that is more than other words: another tool, other arguments, a step more or less."""
    before: tuple[int, ...]
    """Rows before the divergence in which something else differs, such as a prompt or a tool's result: what may have
    led to it; at most twenty."""
    rows: tuple[DiffRow, ...]
    same: int
    """Rows in which nothing differs but figures."""
    detail: DiffDetail | None
    """The row asked for, else that of the divergence."""
    exact: bool
    """False where the traces were too long and too different to try every alignment."""
    left_out_a: int
    """Steps of ``a`` beyond what is compared at most."""
    left_out_b: int
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DiffPage:
    """A comparison as it is shown: equal stretches folded, one page of rows."""

    diff: TraceDiff
    """With its rows left out."""
    items: tuple[DiffRow | DiffRun, ...]
    rows: int
    """Rows in all."""
    next_row: int | None
    """``after`` of the next page; None at the end."""
