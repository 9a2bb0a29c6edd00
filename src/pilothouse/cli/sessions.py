"""``sessions``: conversations of several turns."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import click

from .answers import BRIEF
from .client import segment
from .emptied import ask
from .help import PlainGroup, command
from .options import page, window
from .root import Run
from .terminal import count, dollars, duration, moment, one_line, table

_HELP = """List conversations, newest first; with an ID, show that one.

usage: pilothouse sessions [OPTIONS]
       pilothouse sessions [show] ID [--as FORM] [--cursor C]

  --filter FILTER  only with traces that fit, as in ls
  --since TIME     15m, 24h, 7d or ISO 8601; default 7d
  --until TIME     before; default now
  --sort ORDER     newest oldest slowest dearest tokens errors spans
  --limit N        rows a page; default 20
  --cursor C       page.next of the page before
  --as FORM        of one session: json tree transcript

examples:
  pilothouse sessions --since 24h
  pilothouse sessions --filter 'agent:support status:error'
  pilothouse sessions conv-4711 --as transcript

answer: data[]: session_id agent traces status start_time end_time errors cost_usd; with an ID: row, turns[], next
also: --json --human --budget N --fields a,b --out FILE
exit: 0 ok, 2 the call is wrong, 3 not found, 4 key missing, wrong or without the right, 5 the server does not answer
"""


class _SessionsGroup(PlainGroup):
    """``sessions ID`` is short for ``sessions show ID``."""

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write(_HELP)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        return super().resolve_command(ctx, args if args[:1] == ["show"] else ["show", *args])


@click.group("sessions", cls=_SessionsGroup, invoke_without_command=True, help="List conversations, newest first.")
@click.option("--filter", "filter_text", default="", metavar="FILTER")
@window()
@click.option("--sort", default="newest", metavar="ORDER")
@page(20)
@click.pass_context
def sessions(ctx: click.Context, filter_text: str, since: str, until: str, sort: str, limit: int, cursor: str) -> None:
    """List conversations, newest first."""
    if ctx.invoked_subcommand is not None:
        return
    run: Run = ctx.obj
    query = {"filter": filter_text, "since": since, "until": until, "sort": sort, "limit": limit, "cursor": cursor}
    run.output.envelope(ask(run.client, "/sessions", query, found=bool), human=_rows, brief=BRIEF["sessions"])


@command(
    "show",
    group=sessions,
    examples=(
        "pilothouse sessions show conv-4711",
        "pilothouse sessions conv-4711 --as transcript",
        "pilothouse sessions conv-4711 --as tree --budget 30000",
    ),
    keys="data: row, turns[], next",
)
@click.argument("id")
@click.option("--as", "form", default="json", metavar="FORM", help="json tree transcript")
@click.option("--cursor", default="", metavar="C", help="next of the turns before")
@click.pass_obj
def show_session(run: Run, id: str, form: str, cursor: str) -> None:
    """Show one conversation, its turns oldest first."""
    path = f"/sessions/{segment(id)}"
    if form == "json":
        run.output.envelope(run.client.get(path, {"cursor": cursor}), human=_session)
        return
    budget = 20_000_000 if run.settings.out else run.settings.budget
    text = run.client.text(path, {"as": form, "cursor": cursor, "budget": budget})
    if run.settings.json_asked:
        run.output.answer({"form": form, "text": text}, human=lambda data: [data["text"]])
    else:
        run.output.text(text)


def _rows(rows: list[dict[str, Any]]) -> list[str]:
    heads = ("session", "last", "agent", "user", "turns", "status", "err", "tokens", "cost", "first input")
    return table(
        heads,
        (
            (
                one_line(row["session_id"], 24),
                moment(row["end_time"]),
                row["agent"],
                row["user_id"],
                row["traces"],
                row["status"],
                row["errors"] or "",
                count(row["total_tokens"]),
                dollars(row["cost_usd"]),
                row["first_input"],
            )
            for row in rows
        ),
        right="turns err tokens cost",
    )


def _session(session: dict[str, Any]) -> Iterable[str]:
    row = session["row"]
    yield f"session {row['session_id']}  agent {row['agent']}  user {row['user_id'] or '-'}  {row['status']}"
    yield f"{row['traces']} turns  {row['spans']} spans  {row['errors']} errors  {dollars(row['cost_usd'])}"
    heads = ("turn", "trace", "start", "status", "took", "cost", "input")
    yield from table(
        heads,
        (
            (
                position,
                turn["trace_id"][:12],
                moment(turn["start_time"]),
                turn["status"],
                duration(turn["duration_ms"]),
                dollars(turn["cost_usd"]),
                turn["input_text"],
            )
            for position, turn in enumerate(session["turns"], 1)
        ),
        right="turn took cost",
    )
