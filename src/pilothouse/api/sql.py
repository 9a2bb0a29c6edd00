"""SQL over the documented views: read-only, one project, bounded."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from pilothouse.records import BadRequest
from pilothouse.store import VIEWS, describe
from pilothouse.store.user_sql import ROWS_MAX, SqlLimits, SqlResult, run
from pilothouse.traces.filters import check_text

from .context import Caller
from .envelope import Envelope, answer

router = APIRouter(tags=["sql"])

_SQL_MAX = 100_000
SqlText = Annotated[str, Query(max_length=_SQL_MAX, description="One SELECT over the views.", examples=["SELECT 1"])]
Rows = Annotated[int, Query(ge=1, le=ROWS_MAX, description="Most rows of the answer.")]


class SqlQuestion(BaseModel):
    """One statement and its bounds."""

    model_config = ConfigDict(extra="forbid")

    query: str = Field(max_length=_SQL_MAX, description="One SELECT over the views.", examples=["SELECT 1"])
    rows: int = Field(1_000, ge=1, le=ROWS_MAX, description="Most rows of the answer.")
    seconds: int = Field(30, ge=1, le=60, description="Longest it may run.")


class SqlColumn(BaseModel):
    """A column of a view."""

    name: str
    help: str


class SqlView(BaseModel):
    """A view one can query."""

    name: str
    help: str
    time_column: str
    columns: list[SqlColumn]


@router.get("/sql", response_model=Envelope[SqlResult])
def ask(caller: Caller, query: SqlText, rows: Rows = 1_000) -> Response:
    """Run one statement."""
    return _run(caller, query, rows, 30)


@router.post("/sql", response_model=Envelope[SqlResult])
def ask_by_post(caller: Caller, question: SqlQuestion) -> Response:
    """Run one statement that is too long for an address."""
    return _run(caller, question.query, question.rows, question.seconds)


def _run(caller: Caller, query: str, rows: int, seconds: int) -> Response:
    check_text(query, "a statement", _SQL_MAX)
    result = run(caller.store, caller.project_id, query, SqlLimits(rows=rows, seconds=seconds))
    return answer(result)


@router.get("/sql/schema", response_model=Envelope[list[SqlView]], responses={200: {"content": {"text/plain": {}}}})
def schema(
    caller: Caller,
    form: Annotated[str, Query(alias="as", max_length=10, description="json or text.")] = "json",
    view: Annotated[str, Query(max_length=60, description="One view alone.")] = "",
) -> Response:
    """The views one can query, with a sentence for every column."""
    names = [item.name for item in VIEWS]
    if view and view not in names:
        raise BadRequest("no such view", got=view, allowed=names, fix="pilothouse sql --schema")
    if form == "text":
        return Response(describe(view), media_type="text/plain; charset=utf-8")
    if form != "json":
        raise BadRequest("no such form", got=form, allowed=["json", "text"])
    chosen: list[dict[str, Any]] = [
        {
            "name": item.name,
            "help": item.help,
            "time_column": item.time_column,
            "columns": [{"name": column.name, "help": column.help} for column in item.columns],
        }
        for item in VIEWS
        if view in ("", item.name)
    ]
    return answer(chosen)
