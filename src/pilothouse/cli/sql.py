"""``sql``: questions over the documented views."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click

from pilothouse.records import BadRequest

from .help import command
from .root import Run
from .terminal import table

FORMATS = ("table", "json", "csv", "md")


@command(
    "sql",
    examples=(
        'pilothouse sql "SELECT model, count() FROM spans GROUP BY model"',
        "pilothouse sql --schema spans",
        "pilothouse sql --file question.sql --format csv --out answer.csv",
    ),
    keys="data: columns types rows row_count more elapsed_ms rows_read bytes_read notes",
)
@click.argument("query", default="")
@click.option("--schema", is_flag=True, help="the views and their columns; with a name, that view alone")
@click.option("--file", "file", default="", metavar="FILE", help="read the statement from a file, - is stdin")
@click.option("--format", "form", default="", metavar="FORM", help="table json csv md")
@click.option("--rows", default=1_000, show_default=True, metavar="N", help="most rows, up to 10000")
@click.pass_obj
def sql(run: Run, query: str, schema: bool, file: str, form: str, rows: int) -> None:
    """Ask in SQL (ClickHouse's dialect): read-only, one SELECT, bounded."""
    if form and form not in FORMATS:
        raise BadRequest("there is no such format", got=form, allowed=list(FORMATS), fix="--format csv")
    if schema:
        _schema(run, query)
        return
    statement = _statement(query, file)
    answer = run.client.post("/sql", {"query": statement, "rows": rows})
    result: dict[str, Any] = answer["data"]
    if form in ("csv", "md", "table"):
        lines = _WRITERS[form](result)
        run.output.text("\n".join(lines), rows=True)
        _notes(result)
    elif form == "json" or run.settings.json:
        run.output.answer(_within(result, run), human=_plain, next=answer.get("next") or ())
    else:
        run.output.text("\n".join([*_table(result), "", _summary(result)]), rows=True)


def _schema(run: Run, view: str) -> None:
    if run.settings.json_asked:
        answer = run.client.get("/sql/schema", {"as": "json", "view": view})
        run.output.envelope(answer, human=_plain)
    else:
        run.output.text(run.client.text("/sql/schema", {"as": "text", "view": view}), rows=True)


def _statement(query: str, file: str) -> str:
    if file and query:
        raise BadRequest("give the statement or --file, not both", got=file, allowed="one of them")
    if not file and not query:
        raise BadRequest("there is no statement", fix='pilothouse sql "SELECT count() FROM spans"')
    if not file:
        return query
    if file == "-":
        return sys.stdin.read()
    try:
        return Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadRequest(f"the file cannot be read: {error}", got=file, fix="--file FILE") from error


def _within(result: dict[str, Any], run: Run) -> dict[str, Any]:
    """Fewer rows where all of them would pass the budget: whole rows say more than crumbs of all."""
    from .budget import dumps

    room = run.settings.budget - 600 - len(dumps({**result, "rows": []}))
    kept = 0
    for row in result["rows"]:
        room -= len(dumps(row)) + 1
        if room < 0 and not run.settings.out:
            break
        kept += 1
    if kept in (0, len(result["rows"])):
        return result
    note = f"first {kept} of {result['row_count']} rows to stay within the budget; all of them: --out FILE"
    return {**result, "rows": result["rows"][:kept], "more": True, "notes": [*result["notes"], note]}


def _notes(result: dict[str, Any]) -> None:
    # Not on stdout: that is the data, ready for the next program.
    for note in result["notes"]:
        sys.stderr.write(f"note: {note}\n")


def _summary(result: dict[str, Any]) -> str:
    read = f"{result['rows_read']:,} rows read, {result['elapsed_ms']} ms"
    return "\n".join([f"{result['row_count']:,} rows; {read}", *(f"note: {note}" for note in result["notes"])])


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _table(result: dict[str, Any]) -> list[str]:
    numeric = " ".join(
        name
        for name, kind in zip(result["columns"], result["types"], strict=True)
        if " " not in name and any(word in kind for word in ("Int", "Float", "Decimal"))
    )
    return table(result["columns"], ([_cell(value) for value in row] for row in result["rows"]), right=numeric)


def _csv(result: dict[str, Any]) -> list[str]:
    import csv
    import io

    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(result["columns"])
    writer.writerows([_cell(value) for value in row] for row in result["rows"])
    return buffer.getvalue().rstrip("\n").split("\n")


def _md(result: dict[str, Any]) -> Iterable[str]:
    def cells(values: Iterable[Any]) -> str:
        shown = (" ".join(_cell(value).split()).replace("|", "\\|") for value in values)
        return f"| {' | '.join(shown)} |"

    yield cells(result["columns"])
    yield f"|{'|'.join('---' for _ in result['columns'])}|"
    for row in result["rows"]:
        yield cells(row)


def _plain(data: Any) -> list[str]:
    return json.dumps(data, ensure_ascii=False, indent=1).split("\n")


_WRITERS: dict[str, Callable[[dict[str, Any]], Iterable[str]]] = {"csv": _csv, "md": _md, "table": _table}
