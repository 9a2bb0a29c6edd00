"""``sql`` and ``sql_schema``: counts, rates and anything a list cannot say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from pilothouse.records import BadRequest

from .answers import Answer
from .caller import Desk
from .calls import Call, call
from .outline import table

_ROWS = 200


def sql(desk: Desk, arguments: Mapping[str, Any]) -> Answer:
    """One SELECT over the views, as a markdown table.

    Raises:
        BadRequest: the statement is missing or wrong; the message says where.
    """
    query = str(arguments.get("query") or "").strip()
    if not query:
        raise BadRequest("there is no statement", fix='pilothouse sql "SELECT count() FROM spans"')
    rows = arguments.get("rows") or _ROWS
    result = cast("dict[str, Any]", desk.caller.post("/sql", {"query": query, "rows": rows})["data"])
    columns = [str(name) for name in result["columns"]]
    # By place, not by name: two columns may be called alike.
    names = {str(place): name for place, name in enumerate(columns)}
    found = [{str(place): value for place, value in enumerate(row)} for row in result["rows"]]
    lines = [f"{result['row_count']:,} rows, {result['rows_read']:,} read in {result['elapsed_ms']} ms"]
    lines += [f"note: {note}" for note in result["notes"]]
    if found:
        shown = table(found, list(names), chars=500)
        lines += ["", _heads(shown[0], names), *shown[1:]]
    more = [Call(tool="sql", arguments={**arguments, "rows": min(10_000, int(rows) * 10)})] if result["more"] else []
    return Answer(text="\n".join(lines), suggested=more, facts={"rows": result["row_count"], "more": result["more"]})


def _heads(line: str, names: Mapping[str, str]) -> str:
    from .outline import quoted

    places = [place.strip() for place in line.strip("|").split("|")]
    return "| " + " | ".join(quoted(names[place], 60).replace("|", "\\|") for place in places) + " |"


def sql_schema(desk: Desk, arguments: Mapping[str, Any]) -> Answer:
    """The views and their columns: all of them in brief, one with a sentence for each column."""
    view = str(arguments.get("view") or "")
    if view:
        text = desk.caller.text("/sql/schema", {"as": "text", "view": view})
        return Answer(text=text, suggested=[call("sql", query=f"SELECT * FROM {view} LIMIT 3")])  # noqa: S608  # an example
    views = cast("list[dict[str, Any]]", desk.caller.get("/sql/schema", {"as": "json"})["data"])
    lines = ["ClickHouse's dialect, one SELECT, read-only. `sql_schema` with view says what each column means.", ""]
    for one in views:
        columns = " ".join(column["name"] for column in one["columns"])
        lines += [f"## {one['name']}", f"{one['help']} Time: {one['time_column']}.", columns, ""]
    return Answer(text="\n".join(lines), suggested=[call("sql_schema", view=str(views[0]["name"]))])
