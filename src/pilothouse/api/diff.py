"""Two traces side by side."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from pilothouse import traces
from pilothouse.traces.diff import ITEMS_MAX, page
from pilothouse.traces.model import DiffPage

from .context import Caller
from .envelope import Envelope, answer
from .params import trace_id_of

router = APIRouter(tags=["traces"])

_Id = Query(
    min_length=1, max_length=500, description="An id, its unique beginning, last or last-error.", examples=["last"]
)


@router.get("/traces/diff", response_model=Envelope[DiffPage])
def show_diff(
    caller: Caller,
    a: Annotated[str, _Id],
    b: Annotated[str, _Id],
    step: Annotated[
        str,
        Query(max_length=40, description="The step to give in full: 12 of a, b12 of b. Default: the first divergence."),
    ] = "",
    after: Annotated[int, Query(ge=0, le=1_000_000, description="next_row of the page before.")] = 0,
    limit: Annotated[int, Query(ge=1, le=ITEMS_MAX, description="Rows and folded stretches a page.")] = 200,
    whole: Annotated[bool, Query(description="True: rows that are the same are not folded.")] = False,
) -> Response:
    """Two traces aligned step by step: where they part, what differs before and after, one row in full."""
    first, second = trace_id_of(caller, a), trace_id_of(caller, b)
    found = traces.diff(caller.store, caller.project_id, first, second, step)
    shown = page(found, after=after, limit=limit, whole=whole)
    command = f"pilothouse diff {first} {second}"
    following: list[str] = []
    if shown.next_row is not None:
        following.append(f"{command} --after {shown.next_row}")
    if found.action_divergence is not None and found.action_divergence != found.divergence:
        other = found.action_divergence
        following.append(f"{command} --step {other.a_step if other.a_step is not None else f'b{other.b_step}'}")
    return answer(shown, next=following)
