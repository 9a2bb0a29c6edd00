"""Parameters that several routes share."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Path, Query

from pilothouse.records import BadRequest, command
from pilothouse.traces import DEFAULT_BUDGET, SORTS, TraceQuery, parse_moment, resolve
from pilothouse.traces.filters import check_text
from pilothouse.traces.render import BUDGET_MAX, BUDGET_MIN
from pilothouse.traces.windows import Range, time_range

from .context import Context

FilterText = Annotated[
    str,
    Query(
        alias="filter",
        max_length=2_000,
        description='Filter language, e.g. status:error agent:refunds cost>0.1 -tag:test "card declined"',
    ),
]
Since = Annotated[str, Query(max_length=40, description="From: 15m, 24h, 7d (ago) or ISO 8601. Default: 7d.")]
Until = Annotated[str, Query(max_length=40, description="Before: the same forms. Default: now.")]
Limit = Annotated[int, Query(ge=1, le=1_000, description="Rows a page.")]
CursorText = Annotated[str, Query(max_length=4_000, description="next of the page before.")]
SortName = Annotated[str, Query(max_length=20, description=f"One of {', '.join(SORTS)}. Ties go by id.")]
Budget = Annotated[int, Query(ge=BUDGET_MIN, le=BUDGET_MAX, description="Most characters of the answer.")]
IdText = Annotated[
    str, Path(max_length=500, description="An id, its unique beginning, last or last-error.", examples=["last"])
]
BUDGET = DEFAULT_BUDGET


def moment(text: str, name: str) -> int | None:
    """A moment from the address; None where it is empty."""
    if not text:
        return None
    check_text(text, name, 40)
    return parse_moment(text, name=name)


def trace_query(
    filter: FilterText = "",
    since: Since = "",
    until: Until = "",
    sort: SortName = "newest",
    limit: Limit = 50,
    cursor: CursorText = "",
) -> TraceQuery:
    """The query of a list, from the address."""
    if sort not in SORTS:
        raise BadRequest("no such order", got=sort, allowed=list(SORTS), fix="sort=newest")
    check_text(cursor, "a cursor", 4_000)
    # A cursor carries the time range of its first page: relative bounds would move between two pages.
    return TraceQuery(
        text=filter,
        since_ns=None if cursor else moment(since, "since"),
        until_ns=None if cursor else moment(until, "until"),
        sort=sort,  # type: ignore[arg-type]  # checked above
        limit=limit,
        cursor=cursor,
    )


def window(since: Since = "", until: Until = "") -> Range:
    """The time range of a chart, from the address."""
    return time_range(moment(since, "since"), moment(until, "until"))


ListQuery = Annotated[TraceQuery, Depends(trace_query)]
WindowQuery = Annotated[Range, Depends(window)]


def trace_id_of(caller: Context, id: str) -> str:
    """The whole trace id behind what was typed.

    Raises:
        BadRequest: it names a session, or begins several ids.
        NotFound: it names nothing.
    """
    found = resolve(caller.store, caller.project_id, id)
    if found.kind == "session":
        raise BadRequest("this is a session, not a trace", got=id, fix=command("sessions", found.id))
    return found.trace_id
