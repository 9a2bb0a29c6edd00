"""``schema``: the contract of a command's answer."""

from __future__ import annotations

from typing import Any, cast

import click

from pilothouse.records import BadRequest

from .help import command
from .root import Run

ROUTES = {
    "ls": ("get", "/traces"),
    "show": ("get", "/traces/{id}"),
    "search": ("get", "/search"),
    "logs show": ("get", "/traces/{id}/logs"),
    "logs search": ("get", "/logs"),
    "logs lost": ("get", "/logs/lost"),
    "note": ("post", "/annotations"),
    "score": ("post", "/annotations"),
    "label": ("post", "/annotations"),
    "notes": ("get", "/annotations"),
    "undo": ("post", "/annotations/undo"),
    "sql": ("post", "/sql"),
    "cost": ("get", "/cost"),
    "cost why": ("get", "/cost/{id}"),
    "sessions": ("get", "/sessions"),
    "sessions show": ("get", "/sessions/{id}"),
    "fleet": ("get", "/fleet"),
    "overview": ("get", "/overview"),
    "stats": ("get", "/stats"),
    "doctor": ("get", "/doctor"),
    "reprocess": ("post", "/reprocess"),
    "store stats": ("get", "/store/stats"),
    "retention show": ("get", "/retention"),
    "retention set": ("post", "/retention"),
    "retention apply": ("post", "/retention/apply"),
    "keys ls": ("get", "/keys"),
    "keys new": ("post", "/keys"),
    "keys revoke": ("delete", "/keys/{key_id}"),
    "projects ls": ("get", "/projects"),
    "projects new": ("post", "/projects"),
}
"""The API route behind each command: its answer is the command's answer, cut to the budget."""


@command(
    "schema",
    examples=(
        "pilothouse schema ls",
        "pilothouse schema cost why --json",
        "pilothouse schema sql --out sql.schema.json",
    ),
    keys="data: a JSON Schema",
)
@click.argument("words", nargs=-1, required=True, metavar="COMMAND")
@click.pass_obj
def schema(run: Run, words: tuple[str, ...]) -> None:
    """Print the JSON Schema of a command's answer."""
    name = " ".join(words)
    if name not in ROUTES:
        raise BadRequest(
            "no schema is known for this command", got=name, allowed=sorted(ROUTES), fix="pilothouse schema ls"
        )
    method, path = ROUTES[name]
    document = run.client.document()
    operation: dict[str, Any] = document["paths"].get(f"/api/v1{path}", {}).get(method, {})
    content: dict[str, Any] = operation.get("responses", {}).get("200", {}).get("content", {})
    found = _inlined(content.get("application/json", {}).get("schema", {}), document["components"]["schemas"], ())
    run.output.answer(found, human=_lines)


def _inlined(schema: Any, known: dict[str, Any], inside: tuple[str, ...]) -> Any:
    """The schema with its references put in place; one that is inside itself stays a reference."""
    if isinstance(schema, list):
        return [_inlined(item, known, inside) for item in cast("list[Any]", schema)]
    if not isinstance(schema, dict):
        return schema
    fields = cast("dict[str, Any]", schema)
    name = str(fields.get("$ref", "")).rsplit("/", 1)[-1]
    if name and name in known and name not in inside:
        return _inlined(known[name], known, (*inside, name))
    return {key: _inlined(value, known, inside) for key, value in fields.items()}


def _lines(schema: Any) -> list[str]:
    import json

    return json.dumps(schema, ensure_ascii=False, indent=1).split("\n")
