"""``live`` and ``tail``: what runs now, and what happens from now on."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TextIO

import click

from pilothouse.records import BadRequest
from pilothouse.records import command as line

from .answers import BRIEF
from .budget import dumps
from .emptied import ask
from .live_stream import Heard, events_from, stopped_by_signals
from .output import pick
from .root import Run
from .terminal import clean, count, dollars, duration, table, visible
from .traces import FilterCommand, short_ids

_TOLD = {
    "span": ("time", "trace_id", "step", "agent", "kind", "name", "status", "duration_ms", "total_tokens", "cost_usd"),
    "trace": ("trace_id", "agent", "environment", "state", "since", "status", "spans", "cost_usd", "signals"),
    "signal": ("trace_id", "agent", "environment", "signal"),
    "lag": ("cursor", "since", "skipped", "get"),
}
_UNITS_S = {"s": 1, "m": 60, "h": 3_600}
_CONTEXT = 10
"""Spans shown of what was before, where following begins without a cursor."""
_END_ROOM = 200
"""Characters kept for the last line, which says where to go on."""


@click.command(
    "live",
    cls=FilterCommand,
    examples=(
        "pilothouse live",
        "pilothouse live --state died,stalled,waiting_human",
        "pilothouse live agent:refunds env:production --fields trace_id,state,reason",
    ),
    keys="data[]: trace_id agent state since doing last elapsed_ms cost_usd …; page: counts attention cursor",
)
@click.argument("terms", nargs=-1, metavar="[FILTER]...")
@click.option("--state", "states", default="", metavar="A,B", help="died stalled waiting_human rate_limited running …")
@click.option("--limit", default=100, show_default=True, metavar="N", help="rows")
@click.pass_obj
def live(run: Run, terms: tuple[str, ...], states: str, limit: int) -> None:
    """What runs now, those that need somebody first: who runs, waits, is held up, stuck, or has died."""
    chosen = [state.strip() for state in states.split(",") if state.strip()]
    query = {"filter": " ".join(terms), "state": chosen, "limit": limit}
    answer = ask(run.client, "/live", query, found=lambda data: data["rows"])
    data: dict[str, Any] = answer["data"]
    page = {name: data[name] for name in ("now", "total", "counts", "attention", "cursor")}
    page |= answer.get("page") or {}
    run.output.answer(
        data["rows"],
        human=lambda rows: _picture(rows, page),
        page=page,
        next=answer.get("next") or (),
        brief=BRIEF["live"],
    )


def _picture(rows: list[dict[str, Any]], page: dict[str, Any]) -> Iterable[str]:
    counts = "  ".join(f"{number} {state.replace('_', ' ')}" for state, number in page["counts"].items())
    yield f"{counts or 'nothing runs'}; {page['attention']} need somebody"
    heads = ("trace", "state", "agent", "env", "doing", "elapsed", "usual", "spans", "tokens", "cost", "why")
    yield from table(
        heads,
        (
            (
                id,
                row["state"].replace("_", " "),
                row["agent"] or row["root_name"],
                row["environment"],
                row["doing"]["name"] if row["doing"] else "",
                duration(row["elapsed_ms"]),
                duration(row["usual_p50_ms"]),
                row["spans"],
                count(row["total_tokens"]),
                dollars(row["cost_usd"]),
                row["reason"],
            )
            for id, row in zip(short_ids([row["trace_id"] for row in rows]), rows, strict=True)
        ),
        right="elapsed usual spans tokens cost",
    )


@click.command(
    "tail",
    cls=FilterCommand,
    examples=(
        "pilothouse tail --limit 20",
        "pilothouse tail --follow agent:refunds --for 30s",
        "pilothouse tail --follow --cursor 1795232049199 --budget 4000",
    ),
    keys="lines {event: span|trace|signal|lag, …}; the last one {event: end, cursor, reason, next}",
)
@click.argument("terms", nargs=-1, metavar="[FILTER]...")
@click.option("--follow", "-f", is_flag=True, help="go on as things happen")
@click.option("--cursor", default="", metavar="C", help="go on there; the last line of a tail has it")
@click.option("--trace", default="", metavar="ID", help="only this trace")
@click.option("--limit", default=0, metavar="N", help="at most so many lines; default 100, following: no bound")
@click.option("--for", "period", default="", metavar="TIME", help="follow so long: 30s, 5m, 1h")
@click.pass_obj
def tail(run: Run, terms: tuple[str, ...], follow: bool, cursor: str, trace: str, limit: int, period: str) -> int:
    """Print spans, traces and signals as they arrive, one a line; at the end, where to go on."""
    # Checked before anything is asked.
    until = time.monotonic() + (_seconds(period) if period else 10**9)
    if limit < 0 or (not follow and limit > 1_000):
        raise BadRequest("a tail has 1 to 1,000 lines", got=limit, fix="pilothouse tail --limit 100")
    if period and not follow:
        raise BadRequest("--for goes with --follow", got=period, fix=line("tail", "--follow", "--for", period))
    with run.output.lines() as written:
        telling = _Telling(run, written, limit)
        asked = {"filter": " ".join(terms), "trace": trace}
        if not (follow and cursor):
            first = {**asked, "cursor": cursor, "limit": limit or (_CONTEXT if follow else 100)}
            data: dict[str, Any] = run.client.get("/live/changes", first)["data"]
            reason = telling.all(_page(data), data["cursor"])
            cursor = telling.cursor or cursor
            if not follow:
                telling.end(cursor, reason or ("more" if data["more"] else "that is all"), run.output.repeat())
                return 0
        interrupted = False
        try:
            with stopped_by_signals():
                reason = telling.all(events_from(run.client, asked, cursor, until=until), cursor)
        except KeyboardInterrupt:
            reason, interrupted = "interrupted", True
        telling.end(telling.cursor or cursor, reason or "time is over", run.output.repeat())
    return 130 if interrupted else 0


def _page(data: dict[str, Any]) -> Iterator[Heard]:
    """A page of changes as the events they would have been."""
    if data["skipped"]:
        lag = {"cursor": data["cursor"], "since": "", "skipped": data["skipped"], "get": "pilothouse ls"}
        yield Heard(name="lag", id=data["cursor"], data=lag)
    for span in data["spans"]:
        yield Heard(name="span", id=span["cursor"], data=span)
    for row in data["traces"]:
        yield Heard(name="trace", id=data["cursor"], data=row)


class _Telling:
    """Writes one line an event, within the budget and the limit, and knows where it is."""

    def __init__(self, run: Run, written: TextIO, limit: int) -> None:
        self._settings = run.settings
        self._written = written
        self._limit = limit
        self._lines = 0
        self._room = run.settings.budget - _END_ROOM - len(run.output.repeat())
        self._said: dict[str, tuple[Any, ...]] = {}
        self.cursor = ""

    def all(self, events: Iterable[Heard], end: str) -> str:
        """Write events until there are no more; else why it stopped."""
        for event in events:
            line = self._line(event)
            if line is not None:
                if self._limit and self._lines >= self._limit:
                    return "limit"
                if self._settings.out is None and len(line) + 1 > self._room:
                    return "budget"
                self._room -= len(line) + 1
                self._lines += 1
                self._written.write(line + "\n")
                self._written.flush()
            self.cursor = event.id or self.cursor
        self.cursor = max(self.cursor, end, key=_order)
        return ""

    def end(self, cursor: str, reason: str, repeat: str) -> None:
        """The last line: where to go on."""
        again = re.sub(r" --cursor \S+", "", repeat) + f" --cursor {cursor}"
        if self._settings.json:
            line = dumps({"event": "end", "reason": reason, "lines": self._lines, "cursor": cursor, "next": again})
        else:
            line = f"{reason}; go on: {again}"
        self._written.write(line + "\n")

    def _line(self, event: Heard) -> str | None:
        known = _TOLD.get(event.name)
        if known is None:
            return None
        data = event.data
        if event.name == "trace":
            state = (data["state"], data.get("status"), data.get("signals"))
            if self._said.get(data["trace_id"]) == state or data["state"] == "gone":
                return None
            self._said[data["trace_id"]] = state
        if not self._settings.json:
            return " ".join(clean(_HUMAN[event.name](data)).split("\n"))
        # An event has the fields of its kind: of those that were chosen, the ones it has.
        chosen = [field for field in self._settings.fields if field.partition(".")[0] in data] or known
        shown = {name: value for name, value in pick(data, chosen).items() if value not in (None, "", [])}
        return visible(dumps({"event": event.name, **shown}))


def _order(cursor: str) -> tuple[int, int, str]:
    """Cursors in the order of arrival; one without a span lies behind all that arrived at its moment."""
    moment, _, rest = cursor.partition(".")
    start, _, span = rest.partition(".")
    return (int(moment or 0), int(start) if start else 2**63, span)


def _span_line(span: dict[str, Any]) -> str:
    cost = dollars(span["cost_usd"]) if span["cost_usd"] else ""
    tokens = f"{count(span['total_tokens'])} tok" if span["total_tokens"] else ""
    took = "" if span["status"] == "running" else duration(span["duration_ms"])
    parts = (
        *(span["time"][11:19], span["trace_id"][:12], f"{span['step']:>3}", span["agent"], span["kind"], span["name"]),
        *(span["status"], took, tokens, cost, " ".join(span["error"].split())),
    )
    return "  ".join(part for part in parts if part)


def _trace_line(row: dict[str, Any]) -> str:
    signals = f"  [{', '.join(row['signals'])}]" if row["signals"] else ""
    where = row["agent"] or row["root_name"]
    return f"{row['since'][11:19]}  {row['trace_id'][:12]}  == {where}: {row['state'].replace('_', ' ')}, {row['reason']}{signals}"


_HUMAN: dict[str, Callable[[dict[str, Any]], str]] = {
    "span": _span_line,
    "trace": _trace_line,
    "signal": lambda data: f"          {data['trace_id'][:12]}  !! {data['agent']}: {data['signal'].replace('_', ' ')}",
    "lag": lambda data: f"          ... {data['skipped']} were left out; {data['get']} lists them",
}


def _seconds(text: str) -> float:
    found = re.fullmatch(r"([0-9]{1,6})([smh])", text)
    if found is None:
        raise BadRequest(
            "--for is a number and a unit", got=text, allowed="30s, 5m, 1h", fix="pilothouse tail --for 30s"
        )
    return int(found[1]) * _UNITS_S[found[2]]
