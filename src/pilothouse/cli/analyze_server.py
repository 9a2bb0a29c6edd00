"""``analyze`` for analyses that run on the server: begun, listed and read from here."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from .client import segment
from .overview import facts
from .root import Run
from .terminal import dollars, moment, one_line, table

_ID = re.compile(r"run_[0-9a-z]{4,40}")


def is_server_run(text: str) -> bool:
    """True where that is the id of an analysis on the server, not a folder here."""
    return _ID.fullmatch(text) is not None


def new_on_server(run: Run, asked: dict[str, Any]) -> None:
    """Begin an analysis on the server."""
    run.output.envelope(run.client.post("/analysis", asked), human=_facts)


def list_on_server(run: Run, *, state: str, limit: int, cursor: str) -> None:
    """The server's analyses."""
    answer = run.client.get("/analysis", {"state": state, "limit": limit, "cursor": cursor})
    run.output.envelope(answer, human=_rows)


def status_on_server(run: Run, id: str) -> None:
    """How far one is, with what it found."""
    run.output.envelope(run.client.get(f"/analysis/{segment(id)}"), human=_one)


def report_on_server(run: Run, id: str, *, data: bool) -> None:
    """Its report, or its findings as data."""
    path = f"/analysis/{segment(id)}/report"
    if data or run.settings.json_asked:
        run.output.envelope(run.client.get(path, {"as": "json"}), human=facts)
        return
    run.output.text(run.client.text(path, {}))


def _asked(ask: dict[str, Any]) -> str:
    return ask.get("session") or ask.get("filter") or "all traces"


def _share(progress: dict[str, Any]) -> str:
    return f"{progress['done']}/{progress['readings']}" if progress["readings"] else progress["phase"]


def _rows(rows: list[dict[str, Any]]) -> list[str]:
    if not rows:
        return ["no analysis on this server yet"]
    return table(
        ("analysis", "playbook", "of", "state", "created", "read", "cost", "error"),
        (
            (
                row["analysis_id"],
                row["ask"].get("playbook", ""),
                one_line(_asked(row["ask"]), 30),
                row["state"],
                moment(row["created"]),
                _share(row["progress"]),
                dollars(row["progress"]["usd"]),
                one_line(row["error"], 40),
            )
            for row in rows
        ),
        right="read cost",
    )


def _facts(row: dict[str, Any]) -> Iterable[str]:
    progress = row["progress"]
    yield f"{row['analysis_id']}  {row['ask'].get('playbook', '')} of {one_line(_asked(row['ask']), 60)}  {row['state']}"
    yield (
        f"{progress['phase']}: {progress['traces']:,} traces, {progress['items']:,} items, {progress['done']:,} of "
        f"{progress['readings']:,} readings done, {progress['tokens']:,} tokens"
    )
    if progress["note"]:
        yield f"blocked: {one_line(progress['note'], 200)}"
    if row["error"]:
        yield f"error: {one_line(row['error'], 300)}"


def _one(data: dict[str, Any]) -> Iterable[str]:
    yield from _facts(data["analysis"])
    yield from table(("file", "bytes"), ((file["path"], file["bytes"]) for file in data["files"][:40]), right="bytes")
