"""The one shape of every JSON answer, and the models that describe it in the OpenAPI document."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, Literal, TypeVar

from fastapi import Response
from pydantic import BaseModel, Field

from pilothouse.traces.jsons import Cut, dumps
from pilothouse.traces.model import Page, Window

T = TypeVar("T")


class PageInfo(BaseModel):
    """Where a list goes on, and what it covers."""

    next: str = Field("", description="Cursor of the next page; empty at the end.")
    more: bool = Field(False, description="Whether there is a next page.")
    total: int = Field(0, description="How many there are on all pages.")
    total_is: Literal["exact", "estimate"] = "exact"
    since: str = Field(description="Start of the time range searched, ISO 8601 UTC.")
    until: str = Field(description="End of the time range searched.")
    since_is: Literal["given", "default"] = Field("given", description="default: none was named, so seven days.")
    emptied_by: list[str] = Field([], description="Where nothing was found: the filters without which something is.")


class CutInfo(BaseModel):
    """Something left out to stay within the budget."""

    path: str = Field(description="Where in data, e.g. spans.13.input_head.")
    bytes: int = Field(description="How large it is as a whole.")
    get: str = Field(description="The command that fetches it.")


class Envelope(BaseModel, Generic[T]):
    """A good answer."""

    ok: Literal[True] = True
    data: T
    page: PageInfo | None = None
    cut: list[CutInfo] = []
    next: list[str] = Field([], description="At most three commands that usually follow.")


class ErrorDetail(BaseModel):
    """What went wrong, with which value, and the way out."""

    kind: str
    message: str
    got: Any = None
    allowed: Any = None
    fix: str | None = None


class ErrorAnswer(BaseModel):
    """A bad answer."""

    error: ErrorDetail


def answer(
    data: Any,
    *,
    page: Page[Any] | None = None,
    cut: Sequence[Cut] = (),
    next: Sequence[str] = (),
    status: int = 200,
) -> Response:
    """A good answer as a response. Keys without content are left out, except ``ok`` and ``data``."""
    body: dict[str, Any] = {"ok": True, "data": data}
    if page is not None:
        body["page"] = _page(page, page.window)
    if cut:
        body["cut"] = cut
    # A command that could not be written safely is empty, and left out.
    following = [line for line in next if line][:3]
    if following:
        body["next"] = following
    return Response(dumps(body), status_code=status, media_type="application/json")


def _page(page: Page[Any], window: Window) -> dict[str, Any]:
    return {
        "next": page.next,
        "more": page.more,
        "total": page.total,
        "total_is": page.total_is,
        "since": window.since,
        "until": window.until,
        "since_is": "default" if window.assumed else "given",
        "emptied_by": page.emptied_by,
    }
