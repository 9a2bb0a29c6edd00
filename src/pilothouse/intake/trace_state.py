"""What the worker remembers of traces that are arriving, so that a batch can be judged against the whole trace."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import cast

from pilothouse.records import Kind, Signal
from pilothouse.signals import plans
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
    provider: str
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
    tools_offered: tuple[str, ...]
    purpose: str
    """What a tool call does to the world (``write``), or what a span of waiting waits for (``human``)."""
    input_ref: str
    """Of a tool call: the hash of its arguments where they are stored by content."""
    output_ref: str
    """Of a tool call: the same of its result. Of a model call: its last message."""
    received_day: str
    kept_text: str = ""
    """Of texts cut above: the end of a model's answer, or the whole arguments of a tool that plans."""

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
    received_ns: int = 0
    """When the newest span of it arrived."""
    facts: dict[str, Fact] = field(default_factory=dict[str, Fact])
    signals: tuple[Signal, ...] = ()
    """What was found wrong with it when it was last judged."""
    fresh: int = 0
    """How many spans came since."""
    judged_open: bool = True
    """Whether more was expected of it then."""
    settled: bool = False
    """Its root never came and nothing more is expected."""


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
                state = TraceState(project, trace_id, day)
                if trace_id in known:
                    _, _, state.received_day, state.received_ns = known[trace_id]
                wanted[trace_id] = state
                self._states[(project, trace_id)] = state
            if known:
                lo = min(start for start, *_ in known.values())
                hi = max(end for _, end, *_ in known.values())
                for trace_id, values in self._store.facts(project, list(known), lo, hi):
                    fact = _fact(values)
                    wanted[trace_id].facts[fact.span_id] = fact
                    self._spans += 1
                for trace_id in known:
                    load_kept_texts(self._store, wanted[trace_id])
        return wanted

    def known(self, key: Key) -> TraceState | None:
        """The state of a trace, where it is remembered."""
        return self._states.get(key)

    def add(self, state: TraceState, fact: Fact) -> None:
        """Remember one more span, or a newer version of one."""
        if fact.span_id not in state.facts:
            self._spans += 1
        state.facts[fact.span_id] = fact
        state.fresh += 1
        state.settled = False

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


def load_kept_texts(store: IngestStore, state: TraceState) -> None:
    """Read again what the rows have only the head of: the end of the last answers and the last plan."""
    latest = sorted(state.facts.values(), key=lambda fact: fact.end_ns, reverse=True)
    answers = [fact for fact in latest if fact.kind == "model" and fact.output_text.endswith("…") and fact.output_ref]
    planned = [fact for fact in latest if fact.kind == "tool" and fact.input_ref and plans(fact.tool_name)]
    for fact, reference, kept in (
        *((fact, fact.output_ref, slice(-ANSWER_END_CHARS, None)) for fact in answers[:2]),
        *((fact, fact.input_ref, slice(0, PLAN_CHARS)) for fact in planned[:1]),
    ):
        fact.kept_text = store.content(state.project_id, fact.session_id or state.trace_id, reference)[kept]


ANSWER_END_CHARS = 400
"""Kept of a long answer, from its end: what it announces stands there."""
PLAN_CHARS = 20_000
"""Kept of a long plan."""


def _fact(values: list[object]) -> Fact:
    named = dict(zip(FACT_COLUMNS, values, strict=True))
    cost = named["cost_usd"]
    named["cost_usd"] = None if cost is None else Decimal(str(cost))
    for name in ("tokens", "tags", "notes", "tools_offered"):
        named[name] = tuple(cast("list[object]", named[name]))
    named["usage_ambiguous"] = bool(named["usage_ambiguous"])
    return Fact(**named)  # pyright: ignore[reportArgumentType]  # the store's column types are the schema's
