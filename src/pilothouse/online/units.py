"""What gets a score: a tool call, the task of one agent, a trace, a session; read whole, as steps in order."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pilothouse.records import NotFound
from pilothouse.store import TraceStore
from pilothouse.store.export_reads import session_traces
from pilothouse.store.online_store import Claim
from pilothouse.traces import head, load
from pilothouse.traces.model import MessageView, Span, Trace, TraceRow, TranscriptStep
from pilothouse.traces.transcripts import said_steps

from .rules import Level

UNITS_A_TRACE: Final = 20
"""Tool calls or tasks of one trace that are scored: of more, those that a hash picks."""
SPANS_MAX: Final = 2_000
TRACES_MAX: Final = 100
"""Of a session. What is larger than either is not read, and unscored."""
_CHARS: Final = 20_000
"""Of one text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """One thing that gets a score, by its ids."""

    trace_id: str = ""
    span_id: str = ""
    session_id: str = ""

    @property
    def id(self) -> str:
        """Names it in the ledger of scores."""
        if self.trace_id:
            return f"{self.trace_id}:{self.span_id}" if self.span_id else self.trace_id
        # A session's id is the user's own, of any length.
        return f"session:{hashlib.sha256(self.session_id.encode('utf-8', 'surrogatepass')).hexdigest()[:40]}"

    def claim(self, project: str, scorer: str, version: str, *, cluster: str) -> Claim:
        """The unit as it is taken to be scored."""
        return Claim(
            project_id=project, scorer=scorer, version=version, unit_id=self.id,
            trace_id=self.trace_id, span_id=self.span_id, session_id=self.session_id, cluster=cluster[:200],
        )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """All of one unit that a scorer may look at."""

    level: Level
    unit: Unit
    traces: tuple[TraceRow, ...]
    """One; of a session all of them, oldest first."""
    spans: tuple[Span, ...]
    """In order, without their content."""
    steps: tuple[TranscriptStep, ...] = ()
    """The same with what is new in each; empty where nobody asked for it."""
    too_large: str = ""
    """Why it was not read."""

    @property
    def tools(self) -> list[Span]:
        """Tool calls, each once."""
        return [one for one in self.spans if one.kind == "tool" and not one.duplicate_of]


def units_of(trace: Trace, level: Level) -> list[Unit]:
    """What of a trace gets a score at a level below the session."""
    row = trace.row
    if level == "trace":
        return [Unit(trace_id=row.trace_id, session_id="")]
    kind = "tool" if level == "tool_call" else "agent"
    ids = [one.span_id for one in trace.spans if one.kind == kind and not one.duplicate_of]
    if len(ids) > UNITS_A_TRACE:
        picked = sorted(ids, key=lambda id: hashlib.sha256(id.encode()).digest())[:UNITS_A_TRACE]
        ids = [one for one in ids if one in set(picked)]
    return [Unit(trace_id=row.trace_id, span_id=id) for id in ids]


def read_unit(store: TraceStore, project: str, unit: Unit, level: Level, *, content: bool) -> Seen:
    """Read one unit; ``content``: also what was said.

    Raises:
        NotFound: it is gone.
    """
    if level == "session":
        return _session(store, project, unit, content=content)
    trace = load(store, project, unit.trace_id)
    if len(trace.spans) > SPANS_MAX:
        return _too_large(level, unit, trace.row, f"{len(trace.spans):,} spans, and {SPANS_MAX:,} are read")
    wanted = _spans_of(trace, unit, level)
    if not wanted:
        raise NotFound("the span is not there any more", got=unit.id)
    # A tool call is judged by what led to it: the steps before it come along.
    shown = [one for one in trace.spans if one.step <= wanted[-1].step] if level == "tool_call" else wanted
    steps = said_steps(store, project, head(store, project, unit.trace_id), shown, chars=_CHARS) if content else ()
    return Seen(level=level, unit=unit, traces=(trace.row,), spans=tuple(wanted), steps=steps)


def _session(store: TraceStore, project: str, unit: Unit, *, content: bool) -> Seen:
    ids = session_traces(store, project, unit.session_id, limit=TRACES_MAX + 1)
    if not ids:
        raise NotFound("the session is not there any more", got=unit.session_id[:100])
    rows: list[TraceRow] = []
    spans: list[Span] = []
    steps: list[TranscriptStep] = []
    if len(ids) > TRACES_MAX:
        row = head(store, project, ids[0]).row
        return _too_large("session", unit, row, f"more than {TRACES_MAX} traces")
    for trace_id in ids:
        trace = load(store, project, trace_id)
        if len(spans) + len(trace.spans) > SPANS_MAX:
            return _too_large("session", unit, trace.row, f"more than {SPANS_MAX:,} spans")
        rows.append(trace.row)
        spans += trace.spans
        if content:
            steps += said_steps(store, project, head(store, project, trace_id), trace.spans, chars=_CHARS)
    return Seen(level="session", unit=unit, traces=tuple(rows), spans=tuple(spans), steps=tuple(steps))


def _too_large(level: Level, unit: Unit, row: TraceRow, why: str) -> Seen:
    return Seen(level=level, unit=unit, traces=(row,), spans=(), too_large=why)


def _spans_of(trace: Trace, unit: Unit, level: Level) -> list[Span]:
    if level == "trace":
        return list(trace.spans)
    if level == "tool_call":
        return [one for one in trace.spans if one.span_id == unit.span_id]
    within = {unit.span_id}
    # Spans stand in order of their start, so a parent before its children, but for clocks that differ.
    for _ in range(3):
        within |= {one.span_id for one in trace.spans if one.parent_span_id in within}
    return [one for one in trace.spans if one.span_id in within]


def as_data(seen: Seen) -> dict[str, Any]:
    """A unit as plain data: what a scorer written as code is given."""
    row = seen.traces[-1]
    return {
        "level": seen.level,
        "trace_id": seen.unit.trace_id,
        "span_id": seen.unit.span_id,
        "session_id": seen.unit.session_id or row.session_id,
        "agent": row.agent,
        "agent_version": row.agent_version,
        "user_id": row.user_id,
        "environment": row.environment,
        "tags": list(row.tags),
        "status": row.status,
        "input": row.input_text,
        "output": row.output_text,
        "duration_ms": sum(one.duration_ms for one in seen.traces),
        "cost_usd": _cost(seen),
        "steps": [_step(one) for one in seen.steps],
    }


def _cost(seen: Seen) -> float | None:
    known = [one.cost_usd for one in seen.spans if one.counted and one.cost_usd is not None]
    return float(sum(known)) if known else None


def cost_of(seen: Seen) -> float | None:
    """US dollars of the unit's spans; None where no price is known."""
    return _cost(seen)


def _step(one: TranscriptStep) -> dict[str, Any]:
    span = one.span
    return {
        "step": span.step,
        "kind": span.kind,
        "name": span.label,
        "agent": span.agent,
        "status": span.status,
        "error": span.error_message or span.tool_error,
        "duration_ms": span.duration_ms,
        "said": [_message(view) for view in one.said],
        "output": [_message(view) for view in one.output],
        "input_value": one.input_value,
        "output_value": one.output_value,
    }


def _message(view: MessageView) -> dict[str, Any]:
    parts: Sequence[Mapping[str, Any]] = view.parts
    return {"role": view.role, "text": view.text, "parts": [dict(part) for part in parts]}
