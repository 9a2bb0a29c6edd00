"""``sessions``: conversations of several turns."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import click

from .client import segment
from .help import command
from .options import page, window
from .root import Run
from .terminal import count, dollars, duration, moment, one_line, table

_BRIEF = (
    *("session_id", "agent", "user_id", "traces", "status", "start_time", "end_time", "errors", "total_tokens"),
    *("cost_usd", "first_input", "last_output"),
)


@command(
    "sessions",
    examples=(
        "pilothouse sessions --since 24h",
        "pilothouse sessions --filter 'agent:support status:error'",
        "pilothouse sessions conv-4711 --as transcript",
    ),
    keys="data[]: session_id agent traces status start_time end_time errors cost_usd …; with an ID: row, turns[]",
)
@click.argument("id", default="")
@click.option("--as", "form", default="", metavar="FORM", help="of one session: transcript card md json")
@click.option("--filter", "filter_text", default="", metavar="FILTER", help="only with traces that fit, as in ls")
@window()
@page(20)
@click.pass_obj
def sessions(run: Run, id: str, form: str, filter_text: str, since: str, until: str, limit: int, cursor: str) -> None:
    """List conversations, newest first; with an ID, show that one."""
    if id:
        _one(run, id, form, cursor)
        return
    answer = run.client.get(
        "/sessions", {"filter": filter_text, "since": since, "until": until, "limit": limit, "cursor": cursor}
    )
    run.output.envelope(answer, human=_rows, brief=_BRIEF)


def _one(run: Run, id: str, form: str, cursor: str) -> None:
    path = f"/sessions/{segment(id)}"
    if form in ("", "json"):
        run.output.envelope(run.client.get(path, {"cursor": cursor}), human=_session)
        return
    budget = 20_000_000 if run.settings.out else run.settings.budget
    text = run.client.text(path, {"as": form, "budget": budget})
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
