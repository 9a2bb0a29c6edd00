"""An agent's newest traces with the spans of its own runs: what levels and audits are told from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pilothouse.records import NotFound, steps
from pilothouse.store import TraceStore
from pilothouse.store import audit_reads as reads

from .load import Placed
from .model import Examined, TraceStep
from .windows import Range

TRACES_MAX = 200
SPANS_MAX = 50_000
_SLACK_NS = 86_400_000_000_000
"""Spans of a trace that starts at the end of a window may start so much later."""

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentTrace:
    """One trace, as far as an agent takes part in it."""

    row: Row
    """The trace as a whole."""
    spans: tuple[Row, ...]
    """Of the agent's own runs and of all they called, by start; the whole trace where no span is the agent's run."""
    numbers: Mapping[str, int]
    """Step numbers by span id, of the whole trace."""
    top: Row | None
    """The agent's first run; None where no span is one."""
    is_root: bool
    """True where the agent was asked by the user, not by another agent."""
    states: tuple[Row, ...] = ()
    """Transitions of state that were reported in it."""

    def kind(self, *kinds: str) -> list[Row]:
        """Spans of these kinds, second views of the same call left out."""
        return [span for span in self.spans if span["kind"] in kinds and not span["duplicate_of"]]

    def at(self, span: Row | None, note: str = "") -> TraceStep:
        """A span as evidence."""
        step = self.numbers.get(span["span_id"], 0) if span is not None else 0
        return TraceStep(trace_id=self.row["trace_id"], step=step, note=" ".join(note.split())[:120])


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentRuns:
    """What was read of one agent."""

    agent: str
    covered: Range
    looked: Examined
    traces: tuple[AgentTrace, ...] = field(default_factory=tuple[AgentTrace, ...])

    def spans(self, *kinds: str) -> Iterator[tuple[AgentTrace, Row]]:
        """Spans of these kinds with their traces, duplicates left out."""
        for trace in self.traces:
            for span in trace.kind(*kinds):
                yield trace, span

    @property
    def services(self) -> list[str]:
        """The services it runs in."""
        return sorted({span["service"] for trace in self.traces for span in trace.spans if span["service"]})

    @property
    def trace_ids(self) -> list[str]:
        """The traces looked at."""
        return [trace.row["trace_id"] for trace in self.traces]


def runs_of(store: TraceStore, project: str, agent: str, covered: Range) -> AgentRuns:
    """Read one agent's newest two hundred traces.

    Raises:
        NotFound: no trace of the window has this agent.
    """
    rows, total = reads.agent_traces(
        store, project, covered.since_ns, covered.until_ns, agent=agent, traces_max=TRACES_MAX
    )
    if not rows:
        raise NotFound("no trace of this window has that agent", got=agent[:200], fix="pilothouse fleet --since 7d")
    return _gathered(store, project, covered, {agent: (rows, total)})[0]


def runs_of_all(
    store: TraceStore, project: str, covered: Range, *, agents_max: int, traces_max: int
) -> list[AgentRuns]:
    """Read the newest traces of every agent, the busiest agents first."""
    by_agent: dict[str, tuple[list[dict[str, Any]], int]] = {}
    found = reads.traces_by_agent(
        store, project, covered.since_ns, covered.until_ns, agents_max=agents_max, traces_max=traces_max
    )
    for row in found:
        by_agent.setdefault(row["of_agent"], ([], row["set_size"]))[0].append(row)
    return _gathered(store, project, covered, by_agent)


def _gathered(
    store: TraceStore, project: str, covered: Range, by_agent: Mapping[str, tuple[Sequence[dict[str, Any]], int]]
) -> list[AgentRuns]:
    ids = list(dict.fromkeys(row["trace_id"] for rows, _ in by_agent.values() for row in rows))
    until = covered.until_ns + _SLACK_NS
    spans = reads.recorded_spans(store, project, ids, covered.since_ns, until, rows_max=SPANS_MAX)
    states = reads.state_changes(store, project, ids, covered.since_ns, until)
    spans_of = _grouped(spans)
    if len(spans) == SPANS_MAX:
        # The last trace that was read may lack spans: half of one tells lies.
        spans_of.popitem()
    states_of = _grouped(states)
    made: list[AgentRuns] = []
    for agent, (rows, total) in by_agent.items():
        traces = tuple(
            _of_agent(agent, row, spans_of[row["trace_id"]], states_of.get(row["trace_id"], []))
            for row in rows
            if row["trace_id"] in spans_of
        )
        looked = Examined(traces=len(traces), of_traces=total, spans=sum(len(trace.spans) for trace in traces))
        made.append(AgentRuns(agent=agent, covered=covered, looked=looked, traces=traces))
    return made


def _grouped(rows: Iterable[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        groups[row["trace_id"]].append(row)
    return dict(groups)


def _of_agent(agent: str, row: Row, spans: Sequence[Row], states: Sequence[Row]) -> AgentTrace:
    numbers = steps(Placed(span["span_id"], span["parent_span_id"], span["start_ns"]) for span in spans)
    ordered = sorted(spans, key=lambda span: numbers[span["span_id"]])
    below: dict[str, list[Row]] = defaultdict(list)
    for span in ordered:
        below[span["parent_span_id"]].append(span)
    own = [span for span in ordered if span["kind"] == "agent" and (span["agent"] or span["name"]) == agent]
    chosen: dict[str, Row] = {}
    stack = list(own)
    while stack:
        span = stack.pop()
        if span["span_id"] not in chosen:
            chosen[span["span_id"]] = span
            stack += below[span["span_id"]]
    mine = [span for span in ordered if span["span_id"] in chosen] if own else ordered
    present = {span["span_id"] for span in mine}
    return AgentTrace(
        row=row,
        spans=tuple(mine),
        numbers=numbers,
        top=own[0] if own else None,
        is_root=row["agent"] == agent,
        states=tuple(state for state in states if not own or state["span_id"] in present),
    )
