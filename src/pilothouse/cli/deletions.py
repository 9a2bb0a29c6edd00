"""``delete``: a trace or a session goes, once a person has said so."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import Any

import click

from pilothouse.records import BadRequest

from .help import command
from .root import Run

ALLOW = "PILOTHOUSE_PERSON"


@command(
    "delete",
    examples=(
        "pilothouse delete 4bf92f35 --dry-run",
        "pilothouse delete 4bf92f35",
        "pilothouse delete conv-4711 --yes",
    ),
    keys="data: deletion_id kind target_id state takes keeps; 8: error.fix is the page where a person confirms",
    exits=(0, 2, 3, 4, 5, 8),
)
@click.argument("id")
@click.option("--dry-run", is_flag=True, help="only say what would go and what would stay")
@click.option("--yes", is_flag=True, help=f"a person's script: do not ask; needs {ALLOW}=1")
@click.pass_obj
def delete(run: Run, id: str, dry_run: bool, yes: bool) -> None:
    """Delete a trace or a session: spans, messages, logs, notes, scores. It cannot be undone."""
    planned = run.client.post("/deletions", {"id": id, "dry_run": True})
    if dry_run:
        run.output.envelope(planned, human=_lines)
        return
    person = run.settings.actor.startswith("person")
    confirm = ""
    if yes:
        if os.environ.get(ALLOW) != "1":
            raise BadRequest(
                f"--yes deletes only where {ALLOW} is 1", got="--yes", fix=f"{ALLOW}=1 pilothouse delete {id} --yes"
            )
        confirm = planned["data"]["target_id"]
    elif person and sys.stdin.isatty():
        for line in _lines(planned["data"]):
            click.echo(line, err=True)
        confirm = click.prompt("type the whole id to delete it", default="", show_default=False, err=True).strip()
        if confirm != planned["data"]["target_id"]:
            raise BadRequest(
                "this is not the id: nothing is deleted", got=confirm, allowed=planned["data"]["target_id"]
            )
    run.output.envelope(run.client.post("/deletions", {"id": id, "confirm": confirm}), human=_lines)


def _lines(data: dict[str, Any]) -> Iterable[str]:
    takes = data["takes"]
    would = "would take" if data["state"] == "planned" else "took" if data["state"] == "done" else "takes"
    yield f"{data['kind']} {data['target_id']}: {data['state']}"
    counts = ", ".join(f"{takes[name]:,} {name}" for name in ("traces", "spans", "messages", "logs", "scores", "notes"))
    yield f"{would} {counts}; about {takes['bytes']:,} bytes"
    for kept in data["keeps"]:
        yield f"stays: {kept}"
