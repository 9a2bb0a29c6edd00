"""Full-text search."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from pilothouse import traces
from pilothouse.traces.model import Hit

from .context import Caller
from .envelope import Envelope, answer
from .params import CursorText, WindowQuery

router = APIRouter(tags=["search"])


@router.get("/search", response_model=Envelope[list[Hit]])
def search_text(
    caller: Caller,
    covered: WindowQuery,
    text: Annotated[str, Query(min_length=1, max_length=500, description="Words that stand together, whole words.")],
    limit: Annotated[int, Query(ge=1, le=500, description="Hits a page.")] = 20,
    cursor: CursorText = "",
) -> Response:
    """Where words were said, given to a tool or returned by one, newest first."""
    page = traces.text_search(
        caller.store,
        caller.project_id,
        text,
        since_ns=None if covered.assumed else covered.since_ns,
        until_ns=None if cursor else covered.until_ns,
        limit=limit,
        cursor=cursor,
    )
    first = page.items[0] if page.items else None
    following = [f"pilothouse show {first.trace_id} --step {first.span_id}"] if first else []
    return answer(page.items, page=page, next=following)
