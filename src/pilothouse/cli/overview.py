"""``overview``, ``fleet`` and ``stats``: a window in numbers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import click

from .emptied import ask
from .help import command
from .options import window
from .root import Run
from .terminal import count, dollars, duration, moment, table


@command(
    "overview",
    examples=(
        "pilothouse overview --since 24h",
        "pilothouse overview --filter environment:production",
        "pilothouse overview --fields traces,p95_ms,cost_per_trace_usd",
    ),
    keys="data: traces errors p50_ms p95_ms p99_ms cost_usd cost_per_trace_usd tokens series breakdowns[]",
)
@click.option("--filter", "filter_text", default="", metavar="FILTER", help="only traces that fit, as in ls")
@window()
@click.pass_obj
def overview(run: Run, filter_text: str, since: str, until: str) -> None:
    """Latency per trace, cost per trace and errors, in total and by agent, model, version, environment, user."""
    query = {"filter": filter_text, "since": since, "until": until}
    answer = ask(run.client, "/overview", query, found=lambda data: data["traces"])
    run.output.envelope(answer, human=_overview)


def _overview(data: dict[str, Any]) -> Iterable[str]:
    yield f"{data['window']['since']} to {data['window']['until']}"
    yield f"traces {data['traces']:,}  errors {data['errors']:,}  running {data['running']:,}"
    yield f"latency p50 {duration(data['p50_ms'])}  p95 {duration(data['p95_ms'])}  p99 {duration(data['p99_ms'])}"
    unknown = f"  ({data['cost_unknown']:,} calls of unknown price)" if data["cost_unknown"] else ""
    yield f"cost {dollars(data['cost_usd'])}  per trace {dollars(data['cost_per_trace_usd'])}{unknown}"
    for part in data["breakdowns"]:
        if not part["rows"]:
            continue
        yield ""
        rows = (
            (
                row["value"] or "(none)",
                row["traces"],
                f"{row['error_share']:.1%}",
                duration(row["p50_ms"]),
                duration(row["p95_ms"]),
                count(row["total_tokens"]),
                dollars(row["cost_usd"]),
            )
            for row in part["rows"]
        )
        heads = (part["by"], part["counts"], "errors", "p50", "p95", "tokens", "cost")
        yield from table(heads, rows, right=f"{part['counts']} errors p50 p95 tokens cost")


@command(
    "fleet",
    examples=(
        "pilothouse fleet",
        "pilothouse fleet --since 24h",
        "pilothouse fleet --fields agents",
    ),
    keys="data: window agents[]: agent state now traces errors p95_ms spend_now_usd spend_usual_usd cost_usd last_seen",
)
@window("24h")
@click.pass_obj
def fleet(run: Run, since: str, until: str) -> None:
    """Every agent, those that need attention first: what it does now, how it has done."""
    run.output.envelope(run.client.get("/fleet", {"since": since or "24h", "until": until}), human=_fleet)


def _fleet(data: dict[str, Any]) -> list[str]:
    heads = (
        "agent",
        "env",
        "state",
        "traces",
        "now",
        "errors",
        "p50",
        "p95",
        "hour",
        "usual",
        "cost",
        "last seen",
        "signals",
    )
    rows = (
        (
            row["agent"],
            row["environment"],
            row["state"],
            row["traces"],
            " ".join(f"{name}:{number}" for name, number in row["now"].items()),
            f"{row['error_share']:.1%}",
            duration(row["p50_ms"]),
            duration(row["p95_ms"]),
            dollars(row["spend_now_usd"]),
            dollars(row["spend_usual_usd"]),
            dollars(row["cost_usd"]),
            moment(row["last_seen"]),
            " ".join(f"{name}:{number}" for name, number in row["signals"].items()),
        )
        for row in data["agents"]
    )
    return table(heads, rows, right="traces errors p50 p95 hour usual cost")


@command(
    "stats",
    examples=("pilothouse stats", "pilothouse stats --since 1h", "pilothouse stats --json"),
    keys="data: what was recorded in the window, in numbers",
)
@window()
@click.pass_obj
def stats(run: Run, since: str, until: str) -> None:
    """What is recorded, in numbers."""
    run.output.envelope(run.client.get("/stats", {"since": since, "until": until}), human=facts)


def facts(data: Any, indent: str = "") -> Iterable[str]:
    """Any answer for people: one fact a line, tables where rows are alike."""
    if isinstance(data, list):
        rows: list[Any] = data  # pyright: ignore[reportUnknownVariableType]  # JSON
        if rows and all(isinstance(row, dict) for row in rows):
            names = [name for name, value in rows[0].items() if not isinstance(value, dict | list)]
            yield from (indent + line for line in table(names, ([row.get(name) for name in names] for row in rows)))
        else:
            yield from (f"{indent}{row}" for row in rows)
        return
    if not isinstance(data, dict):
        yield f"{indent}{data}"
        return
    fields: dict[str, Any] = data  # pyright: ignore[reportUnknownVariableType]  # JSON
    for name, value in fields.items():
        if isinstance(value, dict | list):
            if value:
                yield f"{indent}{name}"
                yield from facts(value, indent + "  ")
        else:
            shown = f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else value
            yield f"{indent}{name}  {'' if shown is None else shown}"
