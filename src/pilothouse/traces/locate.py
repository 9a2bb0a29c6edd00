"""What an annotation is put on: a step, a trace or a session, from what people type."""

from __future__ import annotations

from pilothouse.records import BadRequest, Target
from pilothouse.store import TraceStore
from pilothouse.store.trace_reads import placed_spans

from .detail import find_span
from .filters import check_text
from .load import SPANS_MAX, head, number
from .resolve import resolve


def locate(store: TraceStore, project: str, id: str, step: str = "") -> Target:
    """The span, trace or session of an id; with a step, that step of the trace.

    Raises:
        NotFound: nothing has such an id, or the trace has no such step.
        BadRequest: several ids begin so, or a session is asked for a step.
    """
    found = resolve(store, project, id)
    if found.kind == "session":
        if step:
            raise BadRequest("a session has no steps", got=f"--step {step}", fix=f"pilothouse sessions {found.id}")
        return Target(session_id=found.id)
    if not step:
        return Target(trace_id=found.trace_id, span_id=found.id if found.kind == "span" else "")
    check_text(step, "a step", 40)
    numbers = step_numbers(store, project, found.trace_id)
    return Target(trace_id=found.trace_id, span_id=find_span(step.strip().lower(), found.trace_id, numbers))


def step_numbers(store: TraceStore, project: str, trace_id: str) -> dict[str, int]:
    """The step of each span of a trace.

    Raises:
        NotFound: the project has no such trace.
    """
    top = head(store, project, trace_id)
    return number(placed_spans(store, project, trace_id, top.stretch, limit=SPANS_MAX))
