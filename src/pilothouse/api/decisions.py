"""What model calls decided, and the states of a trace."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response

from pilothouse import traces
from pilothouse.records import BadRequest
from pilothouse.traces.model import Decision, Decisions, TracePlan, TraceStates

from .context import Caller
from .envelope import Envelope, answer
from .params import IdText, trace_id_of

router = APIRouter(tags=["traces"])

_TEXT: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/plain": {"schema": {"type": "string"}}, "application/json": {}}}
}
_FIELDS = ("prompt", "raw_response")
StepKey = Annotated[str, Path(max_length=40, description="A step number such as 014, or a span id.", examples=["001"])]


@router.get("/traces/{id}/spans/{key}/decision", response_model=Envelope[Decision], responses=_TEXT)
def show_decision(
    caller: Caller,
    id: IdText,
    key: StepKey,
    field: Annotated[
        str, Query(max_length=40, description=f"Instead one part as it is, unfenced: {' or '.join(_FIELDS)}.")
    ] = "",
) -> Response:
    """The decision record of a model call: exact prompt with SHA-256, raw answer, next action, valid or not, tools."""
    trace_id = trace_id_of(caller, id)
    found = traces.decision(caller.store, caller.project_id, trace_id, key)
    if field and field not in _FIELDS:
        raise BadRequest("a decision has no such part", got=field, allowed=list(_FIELDS), fix="field=prompt")
    if field:
        # Byte for byte what was hashed: a fence around it would be another text.
        return Response(getattr(found, field), media_type="text/plain; charset=utf-8")
    following = [
        f"pilothouse decision {trace_id} {found.step} --field prompt",
        f"pilothouse show {trace_id} --step {found.step}",
    ]
    return answer(found, next=following)


@router.get("/traces/{id}/decisions", response_model=Envelope[Decisions])
def list_decisions(
    caller: Caller,
    id: IdText,
    after_step: Annotated[int, Query(ge=0, le=10_000_000, description="next_step of the page before.")] = 0,
    limit: Annotated[int, Query(ge=1, le=1_000, description="Decisions a page.")] = 100,
) -> Response:
    """What each model call of a trace decided, one line each, in order."""
    trace_id = trace_id_of(caller, id)
    found = traces.decisions(caller.store, caller.project_id, trace_id, after_step=after_step, limit=limit)
    following = [f"pilothouse decision {trace_id} {found.rows[0].step}"] if found.rows else []
    if found.next_step is not None:
        following.append(f"pilothouse decision {trace_id} --after {found.next_step}")
    return answer(found, next=following)


@router.get("/traces/{id}/states", response_model=Envelope[TraceStates])
def show_states(caller: Caller, id: IdText) -> Response:
    """What agents were doing when: states they told of, waits, retries; time and money spent in each."""
    return answer(traces.states(caller.store, caller.project_id, trace_id_of(caller, id)))


@router.get("/traces/{id}/plan", response_model=Envelope[TracePlan])
def show_plan(caller: Caller, id: IdText) -> Response:
    """What agents planned, task by task, what the runtime did to keep them to it, and what guards and gateway did."""
    return answer(traces.plan(caller.store, caller.project_id, trace_id_of(caller, id)))
