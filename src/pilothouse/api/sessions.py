"""Sessions: the traces of one conversation."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response

from pilothouse import traces
from pilothouse.records import BadRequest, command
from pilothouse.traces.model import Session, SessionRow

from .context import Caller
from .envelope import Envelope, answer
from .params import BUDGET, Budget, CursorText, ListQuery

router = APIRouter(tags=["sessions"])

_FORMS = ("json", "tree", "transcript")
_TEXT: dict[int | str, dict[str, Any]] = {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}}


@router.get("/sessions", response_model=Envelope[list[SessionRow]])
def list_sessions(caller: Caller, query: ListQuery) -> Response:
    """Sessions with a trace that fits a filter, newest first unless sorted otherwise."""
    page = traces.sessions(caller.store, caller.project_id, query)
    following = [command("sessions", page.items[0].session_id)] if page.items else []
    return answer(page.items, page=page, next=following)


@router.get("/sessions/{id:path}", response_model=Envelope[Session], responses=_TEXT)
def show_session(
    caller: Caller,
    id: Annotated[str, Path(max_length=500, description="A session id.")],
    form: Annotated[str, Query(alias="as", max_length=20, description=f"One of {', '.join(_FORMS)}.")] = "json",
    cursor: CursorText = "",
    limit: Annotated[int, Query(ge=1, le=1_000, description="Turns a page.")] = 200,
    budget: Budget = BUDGET,
) -> Response:
    """One session: its sums, and its turns oldest first."""
    if form not in _FORMS:
        raise BadRequest("no such form", got=form, allowed=list(_FORMS), fix="as=transcript")
    found = traces.session(caller.store, caller.project_id, id, cursor=cursor, limit=limit)
    if form == "json":
        return answer(found)
    text = traces.session_text(found, budget, transcript=form == "transcript")
    return Response(text, media_type="text/plain; charset=utf-8")
