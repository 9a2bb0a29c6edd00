"""Many at once, for programs: spans of the traces a filter finds, and traces in groups."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from pilothouse.store.selection_reads import GROUP_FIELDS
from pilothouse.traces.jsons import Cut
from pilothouse.traces.model import TraceQuery
from pilothouse.traces.selections import GROUPS_MAX, SPANS_A_TRACE, GroupRow, SpanRow, groups, span_page

from .context import Caller
from .envelope import Envelope, answer
from .params import CursorText, FilterText, Since, Until, WindowQuery, moment

router = APIRouter(tags=["selections"])


@router.get("/spans", response_model=Envelope[list[SpanRow]])
def list_spans(
    caller: Caller,
    filter: FilterText = "",
    since: Since = "",
    until: Until = "",
    kind: Annotated[str, Query(max_length=40, description="Only these: model, tool, agent, …")] = "",
    name: Annotated[str, Query(max_length=500, description="Only spans or tools of this name.")] = "",
    content: Annotated[bool, Query(description="With attributes and the first 1,000 characters of texts.")] = False,
    limit: Annotated[int, Query(ge=1, le=500, description="Traces a page, with all their spans.")] = 100,
    cursor: CursorText = "",
) -> Response:
    """The spans of the traces that fit a filter, newest trace first. The page's total counts traces."""
    query = TraceQuery(
        text=filter,
        since_ns=None if cursor else moment(since, "since"),
        until_ns=None if cursor else moment(until, "until"),
        limit=limit,
        cursor=cursor,
    )
    found = span_page(caller.store, caller.project_id, query, kind=kind, name=name, content=content)
    cut = [
        Cut(path=f"{id}: more than {SPANS_A_TRACE:,} spans", bytes=0, get=f"pilothouse show {id}")
        for id in found.cut_traces
    ]
    return answer(found.page.items, page=found.page, cut=cut)


@router.get("/groups", response_model=Envelope[list[GroupRow]])
def group_traces(
    caller: Caller,
    covered: WindowQuery,
    by: Annotated[
        str, Query(max_length=1_000, description=f"Up to four fields, with commas between: {', '.join(GROUP_FIELDS)}.")
    ],
    filter: FilterText = "",
    limit: Annotated[int, Query(ge=1, le=GROUPS_MAX, description="Groups in the answer.")] = 1_000,
) -> Response:
    """Traces in groups with counts, sums, means and scores, the largest group first."""
    fields = [name.strip() for name in by.split(",") if name.strip()]
    page = groups(caller.store, caller.project_id, filter, fields, covered, limit=limit)
    return answer(page.items, page=page)
