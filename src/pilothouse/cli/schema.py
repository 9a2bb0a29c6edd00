"""``schema``: the contract of a command's answer, from the file that is written with the reference."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any, cast

import click

from .help import command, unknown
from .root import Run

FILE = "schemas.json"


@command(
    "schema",
    examples=(
        "pilothouse schema ls",
        "pilothouse schema cost why",
        "pilothouse schema sql --out sql.schema.json",
    ),
    keys="data: a JSON Schema of the whole answer; without COMMAND: data[] are the names",
    exits=(0, 2),
    takes_all=True,
)
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[COMMAND]")
@click.pass_obj
def schema(run: Run, words: tuple[str, ...]) -> None:
    """Print the JSON Schema of a command's answer. Keys are only ever added. It needs no server."""
    known = json.loads(resources.files("pilothouse.cli").joinpath(FILE).read_text(encoding="utf-8"))
    name = " ".join(words)
    if not name:
        run.output.answer(sorted(known["commands"]), human=lambda names: names, next=["pilothouse schema ls"])
        return
    if name not in known["commands"]:
        raise unknown("command with a schema", name, sorted(known["commands"]), "pilothouse schema")
    run.output.answer(_inlined(known["commands"][name], known["$defs"], ()), human=_lines)


def _inlined(schema: Any, known: dict[str, Any], inside: tuple[str, ...]) -> Any:
    """The schema with its references put in place; one that is inside itself is left open."""
    if isinstance(schema, list):
        return [_inlined(item, known, inside) for item in cast("list[Any]", schema)]
    if not isinstance(schema, dict):
        return schema
    fields = cast("dict[str, Any]", schema)
    name = str(fields.get("$ref", "")).rsplit("/", 1)[-1]
    if name in inside:
        return {"type": "object", "description": f"{name} again"}
    if name:
        return _inlined(known[name], known, (*inside, name))
    return {key: _inlined(value, known, inside) for key, value in fields.items()}


def _lines(schema: Any) -> list[str]:
    return json.dumps(schema, ensure_ascii=False, indent=1).split("\n")
