"""``eval escapes``: failures of production, and what the suite had said of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import click

from pilothouse.records import BadRequest
from pilothouse.records import command as line

from .client import Client
from .evals import open_suite
from .evals_history import pages, terms_of
from .root import Run
from .terminal import moment, one_line, table
from .traces import FilterCommand

if TYPE_CHECKING:
    from pilothouse.evals.backtests.escapes import Failure

_SIGNALS = (
    *("soft_error", "loop", "ping_pong", "no_answer", "premature_finish", "retry_storm", "truncated", "empty_output"),
    *("context_overflow", "tool_not_found", "stalled", "died"),
)
"""Signals that say that a trace went wrong; others say that it was dear, slow, a test, or badly recorded."""
_ANNOTATED_MAX = 5_000
"""Traces with labels and scores whose authors are asked for, one by one."""


@click.command(
    "escapes",
    cls=FilterCommand,
    examples=(
        "pilothouse eval escapes agent:support --since 30d --suite evals/refunds",
        "pilothouse eval escapes --signals loop,no_answer --rows 100",
        "pilothouse eval escapes env:production --label off_topic,rude --human",
    ),
    keys="data: failures escaped rate interval counts weeks[] missing[] (trace why command) passed[]",
    exits=(0, 2, 3, 4, 5),
)
@click.argument("terms", nargs=-1, metavar="[FILTER]...")
@click.option("--since", default="30d", metavar="TIME", help="as in ls  [default: 30d]")
@click.option("--until", default="", metavar="TIME", help="before; default now")
@click.option("--signals", default="", metavar="A,B", help="that are failures; none  [those of a wrong run]")
@click.option("--label", default="", metavar="A,B", help="a person's labels that say so too  [bad, wrong, …]")
@click.option("--suite", default="", metavar="FOLDER", help="that should have caught them  [this one]")
@click.option("--rows", default=20, metavar="N", help="failures listed  [default: 20]")
@click.pass_obj
def escapes(
    run: Run, terms: tuple[str, ...], since: str, until: str, signals: str, label: str, suite: str, rows: int
) -> None:
    """Production's failures: foretold by the suite, passed by it, or without a case."""
    from pilothouse.evals.backtests.escapes import escapes as find_escapes
    from pilothouse.evals.backtests.escapes import escapes_data, known_cases

    if rows < 0:
        raise BadRequest("rows are counted from 0", got=rows, fix="--rows 20")
    found = open_suite(suite)
    cases = known_cases(found)
    named = _SIGNALS if not signals else () if signals == "none" else tuple(_names(signals))
    failures = _failures(run.client, terms_of(terms), since, until, named, _names(label))
    data = escapes_data(find_escapes(failures, cases), suite=str(found.folder), rows=rows)
    for one in data["missing"]:
        # What should have been done is known where it failed as such; else a person says it.
        expect = ["--expect", "no_error"] if one["error"] else []
        one["command"] = line("eval", "from-trace", one["trace"], "--suite", str(found.folder), "--bad", *expect)
    run.output.answer(data, human=_lines, next=[one["command"] for one in data["missing"][:2]])


def _failures(
    client: Client, terms: str, since: str, until: str, signals: tuple[str, ...], labels: list[str]
) -> list[Failure]:
    """Traces that failed, have one of the signals, or that a person found wrong; the newest first, each once."""
    from pilothouse.evals.backtests.escapes import Failure, is_negative

    rows: dict[str, Mapping[str, Any]] = {}
    why: dict[str, list[str]] = {}

    def note(row: Mapping[str, Any], reasons: Iterable[str]) -> None:
        told = list(reasons)
        if told:
            rows[row["trace_id"]] = row
            why.setdefault(row["trace_id"], []).extend(told)

    for answer in pages(client, f"{terms} status:error", since, until):
        for row in answer["data"]:
            note(row, ["error"])
    if signals:
        for answer in pages(client, f"{terms} signal:{','.join(signals)}", since, until):
            for row in answer["data"]:
                note(row, (f"signal {one}" for one in row["signals"] if one in signals))
    asked = 0
    for answer in pages(client, f"{terms} has:label,score", since, until):
        for row in answer["data"]:
            asked += 1
            if asked > _ANNOTATED_MAX:
                raise BadRequest(
                    f"the authors of at most {_ANNOTATED_MAX:,} labelled traces are asked for",
                    got=since,
                    fix="--since 7d",
                )
            written = client.get("/annotations", {"id": row["trace_id"], "limit": 1_000})["data"]
            note(row, dict.fromkeys(told for one in written if (told := is_negative(one, labels))))
    ordered = sorted(rows.values(), key=lambda row: (row["start_time"], row["trace_id"]), reverse=True)
    return [
        Failure(
            trace=row["trace_id"],
            start=row["start_time"],
            why=why[row["trace_id"]],
            session=row["session_id"],
            agent=row["agent"],
            asked=row["input_text"],
            error=row["status"] == "error",
        )
        for row in ordered
    ]


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _lines(data: Mapping[str, Any]) -> Iterable[str]:
    if not data["failures"]:
        yield "no trace failed, has such a signal, or was found wrong by a person"
        return
    low, high = data["interval"]
    counts = data["counts"]
    yield (
        f"{data['escaped']:,} of {data['failures']:,} failures escaped {data['suite']}: {data['rate']:.1%}"
        f" (95 % interval {low:.1%} to {high:.1%})"
    )
    yield (
        f"  foretold {counts['foretold']:,} (a case for it was red before), passed {counts['passed']:,} (the case was green),"
        f" captured {counts['captured']:,} (the case came later), no case {counts['uncovered']:,}"
    )
    yield ""
    heads = ("week", "failures", "escaped", "rate", "95 %", "no case")
    yield from table(
        heads,
        (
            (
                one["week"],
                f"{one['failures']:,}",
                f"{one['escaped']:,}",
                f"{one['rate']:.1%}",
                f"{one['interval'][0]:.1%} to {one['interval'][1]:.1%}",
                f"{one['counts']['uncovered']:,}",
            )
            for one in data["weeks"]
        ),
        right="failures escaped rate",
    )
    for one in data["passed"][:5]:
        yield f"green when it happened: {one_line(one['case'], 60)}  {one['trace'][:12]}  {one_line(', '.join(one['why']), 60)}"
    if data["missing"]:
        yield ""
        yield "without a case"
    for one in data["missing"]:
        yield f"{moment(one['start'])}  {one_line(one['agent'], 20)}  {one_line(', '.join(one['why']), 50)}  {one_line(one['asked'], 50)}"
        yield f"  {one['command']}"
    if data["missing_more"]:
        yield f"… {data['missing_more']:,} more: --rows {len(data['missing']) + data['missing_more']}"
