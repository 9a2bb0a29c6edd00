"""Log records: of a trace with the reason for each, of a search, and errors that no span tells of."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from pilothouse import traces
from pilothouse.records import NotFound
from pilothouse.traces.model import REASONS, LogFacet, LogQuery, LogRow, LostError, TraceLogs

from .context import Caller
from .envelope import Envelope, answer
from .params import CursorText, IdText, Since, Until, moment, trace_id_of

router = APIRouter(tags=["logs"])

Level = Annotated[str, Query(max_length=20, description="At least: trace, debug, info, warn, error or fatal.")]


def log_query(
    text: Annotated[str, Query(max_length=500, description="Words that stand together, whole words.")] = "",
    service: Annotated[str, Query(max_length=200, description="Only of this service.")] = "",
    host: Annotated[str, Query(max_length=200, description="Only of this host.")] = "",
    level: Level = "",
    trace: Annotated[str, Query(max_length=40, description="Only with this trace id, 32 hex digits.")] = "",
    since: Since = "",
    until: Until = "",
    limit: Annotated[int, Query(ge=1, le=1_000, description="Rows a page.")] = 50,
    cursor: CursorText = "",
) -> LogQuery:
    """The query of a list of log records, from the address."""
    return LogQuery(
        text=text,
        service=service,
        host=host,
        level=level,
        trace_id=trace,
        since_ns=None if cursor else moment(since, "since"),
        until_ns=None if cursor else moment(until, "until"),
        limit=limit,
        cursor=cursor,
    )


Asked = Annotated[LogQuery, Depends(log_query)]


@router.get("/logs", response_model=Envelope[list[LogRow]])
def list_logs(caller: Caller, query: Asked) -> Response:
    """Log records that fit, newest first; of the last 24 hours unless said otherwise."""
    page = traces.search_logs(caller.store, caller.project_id, query)
    joined = next((id for id in dict.fromkeys(row.trace_id for row in page.items[:50]) if _recorded(caller, id)), "")
    following = [f"pilothouse logs {joined}"] if joined else []
    if page.more:
        following.append(f"pilothouse logs search --cursor {page.next}")
    return answer(page.items, page=page, next=following)


def _recorded(caller: Caller, trace_id: str) -> bool:
    """Whether a line's trace id is one of a trace: other programs trace too."""
    try:
        return bool(trace_id) and traces.resolve(caller.store, caller.project_id, trace_id).trace_id == trace_id
    except NotFound:
        return False


@router.get("/logs/facets", response_model=Envelope[list[LogFacet]])
def show_log_facets(caller: Caller, query: Asked) -> Response:
    """How many records fit, by level, by service and by host."""
    return answer(traces.log_facets(caller.store, caller.project_id, query))


@router.get("/logs/lost", response_model=Envelope[list[LostError]])
def list_lost_errors(
    caller: Caller,
    since: Since = "",
    until: Until = "",
    limit: Annotated[int, Query(ge=1, le=1_000, description="Rows a page.")] = 50,
    cursor: CursorText = "",
) -> Response:
    """Errors in logs whose trace has no failed span, or no span at all; of the last 24 hours unless said otherwise."""
    page = traces.lost_errors(
        caller.store,
        caller.project_id,
        since_ns=None if cursor else moment(since, "since"),
        until_ns=None if cursor else moment(until, "until"),
        limit=limit,
        cursor=cursor,
    )
    known = next((item.row.trace_id for item in page.items if item.kind == "no_failed_span"), "")
    return answer(page.items, page=page, next=[f"pilothouse logs {known}"] if known else [])


@router.get("/traces/{id}/logs", response_model=Envelope[TraceLogs])
def show_trace_logs(
    caller: Caller,
    id: IdText,
    infra: Annotated[bool, Query(description="Also lines joined by place and time alone.")] = False,
    level: Level = "",
    reason: Annotated[str, Query(max_length=20, description=f"Only one of {', '.join(REASONS)}.")] = "",
    limit: Annotated[int, Query(ge=1, le=1_000, description="Rows a group.")] = 100,
) -> Response:
    """The log lines that belong to a trace, each with the reason and how sure it is."""
    trace_id = trace_id_of(caller, id)
    found = traces.logs(caller.store, caller.project_id, trace_id, infra=infra, level=level, reason=reason, limit=limit)
    step = next((row.step for group in found.groups for row in group.rows if row.severity_number >= 17 and row.step), 0)
    following = [f"pilothouse show {trace_id} --step {step}"] if step else []
    if found.infra_left_out:
        following.append(f"pilothouse logs {trace_id} --infra --level warn")
    return answer(found, next=following)
