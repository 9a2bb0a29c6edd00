"""What runs now, and the stream of what changes."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from pilothouse import traces
from pilothouse.records import PilothouseError
from pilothouse.traces.filters import parse_filter
from pilothouse.traces.jsons import dumps
from pilothouse.traces.live import ROWS_MAX
from pilothouse.traces.live_changes import SPANS_MAX
from pilothouse.traces.live_cursors import read_place
from pilothouse.traces.model import LIVE_STATES, Changes, Live

from .context import Caller, context
from .envelope import Envelope, answer
from .live_feed import Event, Feeds, Subscription
from .params import FilterText, trace_id_of

router = APIRouter(tags=["live"])

KEEP_ALIVE_S = 15.0
"""A comment this often keeps proxies from closing a silent stream; the right to listen is checked as often."""
RETRY_MS = 2_000

StreamCursor = Annotated[str, Query(max_length=100, description="cursor of an answer, or the id of an event.")]
OneTrace = Annotated[str, Query(alias="trace", max_length=500, description="Only this trace: an id or its beginning.")]


@router.get("/live", response_model=Envelope[Live])
def show_live(
    caller: Caller,
    filter: FilterText = "",
    state: Annotated[list[str], Query(max_length=20, description=f"Only these states: {', '.join(LIVE_STATES)}.")] = [],  # noqa: B006  # FastAPI copies it
    limit: Annotated[int, Query(ge=1, le=ROWS_MAX, description="Rows.")] = ROWS_MAX,
) -> Response:
    """Traces that run, wait, are held up, are stuck or have died; those that need somebody first."""
    found = traces.live(caller.store, caller.project_id, text=filter, states=state, limit=limit, rules=caller.rules)
    first = found.rows[0].trace_id if found.rows else ""
    following = [f"pilothouse show {first} --as transcript"] if first else []
    return answer(found, next=[*following, f"pilothouse tail --follow --for 30s --cursor {found.cursor}"])


@router.get("/live/changes", response_model=Envelope[Changes])
def show_changes(
    caller: Caller,
    filter: FilterText = "",
    cursor: StreamCursor = "",
    trace: OneTrace = "",
    limit: Annotated[int, Query(ge=1, le=SPANS_MAX, description="Spans.")] = 100,
) -> Response:
    """What arrived after a cursor, oldest first; without one, what arrived last."""
    trace_id = trace_id_of(caller, trace) if trace else ""
    found = traces.changes(
        caller.store,
        caller.project_id,
        cursor=cursor,
        text=filter,
        trace_id=trace_id,
        limit=limit,
        rules=caller.rules,
    )
    return answer(found, next=[f"pilothouse tail --cursor {found.cursor}"])


@router.get(
    "/live/events",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}, "description": "The stream."}},
)
async def stream_events(
    request: Request,
    caller: Caller,
    filter: FilterText = "",
    cursor: StreamCursor = "",
    trace: OneTrace = "",
    seconds: Annotated[int, Query(ge=0, le=86_400, description="End after so many seconds; 0: never.")] = 0,
    last_event_id: Annotated[str, Header(max_length=100, description="The id of the last event that was heard.")] = "",
) -> Response:
    """Server-sent events: span, trace, signal and counts as they come; lag where some had to be left out.

    An event's id is a cursor: sent back as Last-Event-ID (or cursor), nothing is missed and no span comes twice.
    """
    after = last_event_id or cursor
    if after:
        read_place(after)
    parse_filter(filter)
    trace_id = await run_in_threadpool(trace_id_of, caller, trace) if trace else ""
    feeds: Feeds = request.app.state.feeds
    listening = feeds.listening(caller.project_id, text=filter, trace_id=trace_id)
    # Entered here, so that a refusal is answered as one; left by the stream.
    subscription = await listening.__aenter__()

    async def stream() -> AsyncIterator[bytes]:
        try:
            async for piece in _told(request, subscription, after, time.monotonic() + (seconds or 10**9)):
                yield piece
        finally:
            await listening.__aexit__(None, None, None)

    return StreamingResponse(
        stream(),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no"},
    )


async def _told(request: Request, subscription: Subscription, after: str, until: float) -> AsyncIterator[bytes]:
    yield f"retry: {RETRY_MS}\n\n".encode()
    if after:
        async for event in subscription.missed(after):
            yield _written(event)
    yield _written(subscription.picture())
    checked = time.monotonic()
    while (left := until - time.monotonic()) > 0:
        try:
            event = await subscription.next(min(KEEP_ALIVE_S, left))
        except StopAsyncIteration:
            return
        if event is not None:
            yield _written(event)
        elif time.monotonic() < until:
            yield b": still here\n\n"
        if time.monotonic() - checked >= KEEP_ALIVE_S:
            checked = time.monotonic()
            try:
                await run_in_threadpool(context, request)
            except PilothouseError:
                return  # the key was revoked, or the visitor signed out


def _written(event: Event) -> bytes:
    # Objects of JSON have no line breaks: one data line is enough.
    return b"id: %s\nevent: %s\ndata: %s\n\n" % (event.cursor.encode(), event.name.encode(), dumps(event.data))
