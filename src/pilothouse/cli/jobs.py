"""``jobs``: durable runs of the server."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import click

from .answers import BRIEF
from .client import segment
from .help import PlainGroup, command
from .options import page
from .root import Run
from .terminal import moment, one_line, table


@click.group("jobs", cls=PlainGroup, help="Durable runs: what the server does in the background.")
def jobs() -> None:
    """Durable runs: what the server does in the background."""


@command(
    "ls",
    group=jobs,
    examples=(
        "pilothouse jobs ls",
        "pilothouse jobs ls --state running,queued",
        "pilothouse jobs ls --state failed --workflow analysis --limit 5",
    ),
    keys="data[]: run_id workflow version state queue created started ended worker attempts steps error",
)
@click.option("--state", default="", metavar="STATE", help="queued running held succeeded failed cancelled")
@click.option("--workflow", default="", metavar="NAME", help="only runs of this workflow")
@page(20)
@click.pass_obj
def ls(run: Run, state: str, workflow: str, limit: int, cursor: str) -> None:
    """List runs, newest first."""
    query = {"state": state, "workflow": workflow, "limit": limit, "cursor": cursor}
    run.output.envelope(run.client.get("/jobs", query), human=_rows, brief=BRIEF["jobs ls"])


@command(
    "show",
    group=jobs,
    examples=(
        "pilothouse jobs show run_01m8j5mtz9te5jsfgsh1",
        "pilothouse jobs show run_01m8j5mt --json",
        "pilothouse jobs show run_01m8j5mt --fields run",
    ),
    keys="data: run (state input result error …), steps[] (number name started ended error output)",
)
@click.argument("id")
@click.option("--limit", default=200, show_default=True, metavar="N", help="steps a page")
@click.option("--after", default=0, metavar="N", help="leave out so many steps")
@click.pass_obj
def show(run: Run, id: str, limit: int, after: int) -> None:
    """Show one run and its steps."""
    answer = run.client.get(f"/jobs/{segment(id)}", {"limit": limit, "after": after})
    run.output.envelope(answer, human=_one)


@command(
    "cancel",
    group=jobs,
    examples=(
        "pilothouse jobs cancel run_01m8j5mtz9te5jsfgsh1",
        "pilothouse jobs cancel run_01m8j5mt --json",
        "pilothouse jobs cancel run_01m8j5mt --fields state",
    ),
    keys="data: run_id state …",
)
@click.argument("id")
@click.pass_obj
def cancel(run: Run, id: str) -> None:
    """Stop a run: it does no further step. One that has ended stays as it is."""
    run.output.envelope(run.client.post(f"/jobs/{segment(id)}/cancel", {}), human=_facts)


def _rows(rows: list[dict[str, Any]]) -> list[str]:
    if not rows:
        return ["no run"]
    return table(
        ("run", "workflow", "state", "created", "steps", "attempts", "error"),
        (
            (
                row["run_id"],
                row["workflow"],
                row["state"],
                moment(row["created"]),
                row["steps"],
                row["attempts"],
                one_line(row["error"], 60),
            )
            for row in rows
        ),
        right="steps attempts",
    )


def _facts(run: dict[str, Any]) -> Iterable[str]:
    yield f"{run['run_id']}  {run['workflow']} v{run['version']}  {run['state']}"
    yield f"created {moment(run['created'])}  attempts {run['attempts']}  steps {run['steps']}  queue {run['queue']}"
    if run["error"]:
        yield f"error: {one_line(run['error'], 400)}"


def _one(data: dict[str, Any]) -> Iterable[str]:
    yield from _facts(data["run"])
    yield from table(
        ("step", "name", "ended", "result"),
        (
            (step["number"], step["name"], moment(step["ended"]), one_line(step["error"] or step["output"], 80))
            for step in data["steps"]
        ),
        right="step",
    )
