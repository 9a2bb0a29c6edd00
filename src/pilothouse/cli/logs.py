"""``logs``: the log lines of a trace, of everything, those of errors no span tells of, and following log files."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from pilothouse.records import BadRequest

from .answers import BRIEF
from .client import segment
from .emptied import ask
from .help import PlainGroup, command
from .options import page, window
from .root import Run
from .terminal import moment, table

_LEVELS = ("trace", "debug", "info", "warn", "error", "fatal")
_FORMATS = ("auto", "json", "logfmt", "klog", "nginx", "syslog", "plain")

_HELP = """Log lines: of a trace, of a search, of errors that no span tells of; and following log files.

usage: pilothouse logs [show] ID [--infra] [--level LEVEL] [--reason R]
       pilothouse logs search [WORDS]... [--service S] [--level LEVEL] [--since T]
       pilothouse logs lost [--since T]
       pilothouse logs follow PATH... [--service NAME] [--since-start]

  show    lines that belong to a trace, each with the reason and how sure it is
  search  lines by time, service, level and words, newest first
  lost    errors in logs whose trace has no failed span, or no span at all
  follow  read log files, standard input (-) or journald, and send what they say

examples:
  pilothouse logs last-error
  pilothouse logs 4bf92f35 --infra --level warn
  pilothouse logs search 'connection refused' --service shop
  pilothouse logs follow /var/log/shop/*.log --service shop

answer: data: groups[] of rows[] (show), rows (search, lost); pilothouse logs COMMAND --help says more
also: --json --human --budget N --fields a,b --out FILE
exit: 0 ok, 2 the call is wrong, 3 not found, 4 key missing, wrong or without the right, 5 the server does not answer
"""


class _LogsGroup(PlainGroup):
    """``logs ID`` is short for ``logs show ID``."""

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write(_HELP)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        known = self.list_commands(ctx)
        return super().resolve_command(ctx, args if args and args[0] in known else ["show", *args])


logs = _LogsGroup("logs", no_args_is_help=True, help="Log lines: of a trace, of a search, from files.")


def _level(function: Any) -> Any:
    return click.option("--level", default="", metavar="LEVEL", help="at least: " + " ".join(_LEVELS))(function)


@command(
    "show",
    group=logs,
    examples=(
        "pilothouse logs last-error",
        "pilothouse logs 4bf92f35 --infra --level warn",
        "pilothouse logs 4bf92f35 --reason request_id --json",
    ),
    keys="data: trace_id since until groups[].reason confidence why count rows[] (time severity service body step why)",
)
@click.argument("id")
@click.option("--infra", is_flag=True, help="also lines joined only by host and moment (low confidence)")
@_level
@click.option("--reason", default="", metavar="R", help="only: trace_id request_id session_id user_id time")
@click.option("--limit", default=100, show_default=True, metavar="N", help="rows a group")
@click.pass_obj
def show(run: Run, id: str, infra: bool, level: str, reason: str, limit: int) -> None:
    """Log lines that belong to a trace, each with the reason and how sure it is."""
    query = {"infra": infra or reason == "time", "level": level, "reason": reason, "limit": limit}
    run.output.envelope(run.client.get(f"/traces/{segment(id)}/logs", query), human=_groups)


@command(
    "search",
    group=logs,
    examples=(
        "pilothouse logs search --level error --since 1h",
        "pilothouse logs search 'connection refused' --service shop",
        "pilothouse logs search --trace 4bf92f3577b34da6a3ce929d0e0e4736",
    ),
    keys="data[]: time severity service host body trace_id span_id attributes; page.next is the cursor",
)
@click.argument("words", nargs=-1)
@click.option("--service", default="", metavar="NAME", help="only of this service")
@click.option("--host", default="", metavar="NAME", help="only of this host")
@_level
@click.option("--trace", default="", metavar="ID", help="only with this trace id")
@window("24h")
@page(50)
@click.pass_obj
def search(
    run: Run,
    words: tuple[str, ...],
    service: str,
    host: str,
    level: str,
    trace: str,
    since: str,
    until: str,
    limit: int,
    cursor: str,
) -> None:
    """Log lines that hold all these words together, newest first."""
    query = {"text": " ".join(words), "service": service, "host": host, "level": level, "trace": trace}
    query |= {"since": since, "until": until, "cursor": cursor}
    answer = ask(run.client, "/logs", {**query, "limit": limit}, found=bool)
    run.output.envelope(answer, human=_rows, brief=BRIEF["logs search"])


@command(
    "lost",
    group=logs,
    examples=("pilothouse logs lost", "pilothouse logs lost --since 1h --limit 100", "pilothouse logs lost --json"),
    keys="data[]: kind (no_span or no_failed_span) agent row.time row.service row.body row.trace_id; page.next",
)
@window("24h")
@page(50)
@click.pass_obj
def lost(run: Run, since: str, until: str, limit: int, cursor: str) -> None:
    """Errors in logs whose trace has no failed span, or no span at all; newest first."""
    query = {"since": since, "until": until, "limit": limit, "cursor": cursor}
    run.output.envelope(ask(run.client, "/logs/lost", query, found=bool), human=_lost)


@command(
    "follow",
    group=logs,
    examples=(
        "pilothouse logs follow /var/log/shop/*.log --service shop",
        "pilothouse logs follow - --service my-server",
        "pilothouse logs follow --journald shop.service",
    ),
    keys="at the end: records refused files",
    exits=(0, 2, 4),
)
@click.argument("paths", nargs=-1, metavar="PATH...")
@click.option("--format", "format_name", default="auto", show_default=True, metavar="F", help=" ".join(_FORMATS[1:]))
@click.option("--service", default="", metavar="NAME", help="default: what the line or the file's name says")
@click.option("--since-start", is_flag=True, help="also what the files hold already")
@click.option("--journald", is_flag=False, flag_value="*", default="", metavar="[UNIT]", help="systemd's journal")
@click.option("--state", default="", metavar="FILE", help="where to note what was delivered")
@click.pass_obj
def follow(
    run: Run, paths: tuple[str, ...], format_name: str, service: str, since_start: bool, journald: str, state: str
) -> None:
    """Follow log files, standard input (-) or journald, and send their lines; goes on where it stopped."""
    from pilothouse.otlp.destination import Destination
    from pilothouse.sdk.log_follow import Follower, FollowSettings, state_file

    if not paths and not journald:
        raise BadRequest(
            "nothing to follow", allowed="files, patterns, - or --journald", fix="pilothouse logs follow -"
        )
    if format_name not in _FORMATS:
        raise BadRequest("no such format", got=format_name, allowed=list(_FORMATS), fix="--format auto")
    unit = "" if journald == "*" else journald
    url, key = run.client.url, run.client.token
    data = run.settings.data
    settings = FollowSettings(
        paths=paths,
        state=Path(state).expanduser() if state else state_file(data, paths, journald),
        format=format_name,  # type: ignore[arg-type]  # one of the formats, checked above
        service=service,
        from_start=since_start,
        journal=bool(journald),
        journal_unit=unit,
    )
    stop = threading.Event()

    def end(number: int, frame: object) -> None:
        stop.set()

    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, end)
    # The local server has another address and key after a restart: it is found again by its data folder.
    local = None if os.environ.get("PILOTHOUSE_URL") else data
    follower = Follower(settings, Destination(endpoint=url, key=key, local_data=local), stop=stop, notify=_notify)
    _notify(f"following {', '.join(paths) or 'the journal'}; sending to {url}")
    tally = follower.run()
    facts = {"records": tally.records, "refused": tally.refused, "files": tally.files}
    run.output.answer(facts, human=lambda done: [f"{done['records']:,} records sent, {done['refused']:,} refused"])


def _notify(text: str) -> None:
    sys.stderr.write(f"pilothouse: {text}\n")
    sys.stderr.flush()


def _groups(found: dict[str, Any]) -> Iterable[str]:
    yield f"trace {found['trace_id']}  lines from {moment(found['since'])} to {moment(found['until'])}"
    for group in found["groups"]:
        yield ""
        more = f", {len(group['rows'])} shown" if group["count"] > len(group["rows"]) else ""
        below = sum(row["never_a_span"] for row in group["rows"])
        more += f", {below} of them below" if below else ""
        yield f"{group['reason']} ({group['confidence']}): {group['why']}; {group['count']} lines{more}"
        yield from _trace_rows([row for row in group["rows"] if not row["never_a_span"]])
    if found["lost"]:
        yield ""
        yield f"errors that never became spans, no step failed then: {len(found['lost'])}"
        yield from _trace_rows(found["lost"])
    if found["infra_left_out"]:
        yield ""
        yield f"{found['infra_left_out']} more lines of the same hosts at the same time: --infra"
    if not found["groups"] and not found["lost"]:
        yield "no log line belongs to it"


def _trace_rows(rows: list[dict[str, Any]]) -> list[str]:
    cells = (
        (
            moment(row["time"]) + row["time"][19:23],
            row["severity"],
            f"{row['step']:03d}" if row["step"] else "",
            row["service"],
            row["why"],
            row["body"],
        )
        for row in rows
    )
    return table(("time", "level", "step", "service", "why", "line"), cells, right="step")


def _rows(rows: list[dict[str, Any]]) -> list[str]:
    cells = (
        (moment(row["time"]) + row["time"][19:23], row["severity"], row["service"], row["trace_id"][:12], row["body"])
        for row in rows
    )
    return table(("time", "level", "service", "trace", "line"), cells)


def _lost(found: list[dict[str, Any]]) -> list[str]:
    cells = (
        (
            moment(item["row"]["time"]),
            item["kind"].replace("_", " "),
            item["row"]["trace_id"][:12],
            item["agent"],
            item["row"]["service"],
            item["row"]["body"],
        )
        for item in found
    )
    return table(("time", "what", "trace", "agent", "service", "line"), cells)
