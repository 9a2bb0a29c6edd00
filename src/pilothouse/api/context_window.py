"""What was in the context of the model calls of a trace."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Query, Response

from pilothouse import traces
from pilothouse.traces.model import Context

from .context import Caller
from .envelope import Envelope, answer
from .params import IdText, trace_id_of

router = APIRouter(tags=["traces"])


@router.get("/traces/{id}/context", response_model=Envelope[Context])
def show_context(
    caller: Caller,
    id: IdText,
    step: Annotated[
        str, Query(max_length=40, description="A model call's step number or span id: its window message by message.")
    ] = "",
    after_step: Annotated[int, Query(ge=0, le=10_000_000, description="Only calls after this step.")] = 0,
    limit: Annotated[int, Query(ge=1, le=5_000, description="Calls an answer.")] = 500,
) -> Response:
    """What took the room in each model call's window, what fell out since the call before, and the user's question."""
    trace_id = trace_id_of(caller, id)
    found = traces.context(caller.store, caller.project_id, trace_id, step or None)
    if step:
        return answer(
            found, next=[f"pilothouse context {trace_id}", f"pilothouse show {trace_id} --step {found.calls[0].step}"]
        )
    later = [call for call in found.calls if call.step > after_step]
    following = [f"pilothouse context {trace_id} --step {call.step}" for call in later if call.question_lost][:1]
    if len(later) > limit:
        following.append(f"pilothouse context {trace_id} --after {later[limit - 1].step}")
    return answer(replace(found, calls=tuple(later[:limit])), next=following)
