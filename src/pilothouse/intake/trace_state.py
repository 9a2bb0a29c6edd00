"""What the worker remembers of traces that are arriving, so that a batch can be judged against the whole trace."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import cast

from pilothouse.records import Kind
from pilothouse.store.ingest_store import FACT_COLUMNS, IngestStore


@dataclass(slots=True, kw_only=True)
class Fact:
    """What is remembered of one span: enough for the trace's summary, its steps and its usage decisions."""

    span_id: str
    parent_span_id: str
    step: int = 0
    kind: Kind
    name: str
    agent: str
    agent_version: str
    model: str
    dialect: str
    status: str
    error_message: str
    tool_error: str
    start_ns: int
    duration_ns: int
    tokens: tuple[int, ...]
    """The nine buckets in store order."""
    declared_scope: str
    """What the emitter's rule says: leaf, aggregate, or empty without usage."""
    usage_scope: str
    """What was decided with the whole trace in view; stored."""
    usage_ambiguous: bool
    cost_usd: Decimal | None
    cost_source: str
    duplicate_of: str
    tool_name: str
    response_id: str
    finish_reason: str
    session_id: str
    user_id: str
    environment: str
    service: str
    feature: str
    tags: tuple[str, ...]
    input_text: str
    output_text: str
    scope_name: str
    notes: tuple[str, ...]
    received_day: str

    @property
    def end_ns(self) -> int:
        """When it ended; its start where it is still running."""
        return self.start_ns + self.duration_ns


@dataclass(slots=True)
class TraceState:
    """One trace as far as it has arrived."""

    project_id: str
    trace_id: str
    received_day: str
    facts: dict[str, Fact] = field(default_factory=dict[str, Fact])


Key = tuple[str, str]
"""Project and trace."""


class TraceStates:
    """The recently touched traces, bounded by the number of spans remembered; the store fills the gaps.

    One worker owns a project's traces, so what is remembered and what is stored never disagree.
    """

    def __init__(self, store: IngestStore, *, spans_max: int = 60_000) -> None:
        self._store = store
        self._spans_max = spans_max
        self._states: OrderedDict[Key, TraceState] = OrderedDict()
        self._spans = 0

    def of(self, project: str, trace_ids: Iterable[str], day: str) -> dict[str, TraceState]:
        """The states of these traces, loaded where stored, new and empty where not."""
        wanted: dict[str, TraceState] = {}
        missing: list[str] = []
        for trace_id in trace_ids:
            state = self._states.get((project, trace_id))
            if state is None:
                missing.append(trace_id)
            else:
                self._states.move_to_end((project, trace_id))
                wanted[trace_id] = state
        if missing:
            known = self._store.known_traces(project, missing)
            for trace_id in missing:
                received_day = known[trace_id][2] if trace_id in known else day
                state = TraceState(project, trace_id, received_day)
                wanted[trace_id] = state
                self._states[(project, trace_id)] = state
            if known:
                lo = min(start for start, _, _ in known.values())
                hi = max(end for _, end, _ in known.values())
                for trace_id, values in self._store.facts(project, list(known), lo, hi):
                    fact = _fact(values)
                    wanted[trace_id].facts[fact.span_id] = fact
                    self._spans += 1
        return wanted

    def add(self, state: TraceState, fact: Fact) -> None:
        """Remember one more span, or a newer version of one."""
        if fact.span_id not in state.facts:
            self._spans += 1
        state.facts[fact.span_id] = fact

    def forget_oldest(self, keep: set[Key]) -> None:
        """Drop the least recently touched traces until the bound holds. Traces in ``keep`` stay."""
        for key in list(self._states):
            if self._spans <= self._spans_max:
                return
            if key not in keep:
                self._spans -= len(self._states.pop(key).facts)

    def forget_all(self) -> None:
        """Drop everything: after a failed write, memory may be ahead of the store."""
        self._states.clear()
        self._spans = 0


def _fact(values: list[object]) -> Fact:
    named = dict(zip(FACT_COLUMNS, values, strict=True))
    cost = named["cost_usd"]
    named["cost_usd"] = None if cost is None else Decimal(str(cost))
    for name in ("tokens", "tags", "notes"):
        named[name] = tuple(cast("list[object]", named[name]))
    named["usage_ambiguous"] = bool(named["usage_ambiguous"])
    return Fact(**named)  # pyright: ignore[reportArgumentType]  # the store's column types are the schema's
