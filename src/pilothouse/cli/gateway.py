"""``gateway``: upstreams, keys by name, breakers, and what is under way."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import click

from .help import command
from .root import Run
from .terminal import one_line, table


@command(
    "gateway",
    examples=("pilothouse gateway", "pilothouse gateway --json", "pilothouse gateway --fields breakers"),
    keys="data: upstreams[]: name wire addresses[] keys[] calls calls_max; routes[] breakers[] active traces_lost; hour day: total upstreams[] routes[]: name calls errors p50_ms p95_ms cost_usd",
)
@click.pass_obj
def gateway(run: Run) -> None:
    """Show the gateway now: upstreams, keys by name, breakers, calls under way, and the traffic of the last hour and day."""
    run.output.envelope(run.client.get("/gateway"), human=_lines)


def _lines(data: dict[str, Any]) -> Iterable[str]:
    if not data["upstreams"]:
        yield "no upstream: name one under gateway: in pilothouse.yaml (pilothouse docs gateway)"
        return
    yield from table(
        ("upstream", "speaks", "calls", "of", "addresses", "keys"),
        (
            (
                row["name"],
                row["wire"],
                row["calls"],
                row["calls_max"],
                ", ".join(_rests(one["url"], one["rests_s"]) for one in row["addresses"]),
                ", ".join(_rests(one["source"], one["rests_s"]) for one in row["keys"]),
            )
            for row in data["upstreams"]
        ),
        right="calls of",
    )
    if data["routes"]:
        yield ""
        columns = ("model", "upstream", "send_as", "rules", "cache")
        yield from table(columns, (tuple(one_line(str(row[name]), 60) for name in columns) for row in data["routes"]))
    if data["breakers"]:
        yield ""
        names = ("upstream", "model", "kind", "state", "failures", "calls", "opens_in_s")
        yield from table(
            names, (tuple(row[name] for name in names) for row in data["breakers"]), right="failures calls"
        )
    for name, label in (("hour", "the last hour"), ("day", "the last 24 hours")):
        yield ""
        yield from _traffic(data[name], label)
    yield ""
    yield f"{data['active']} requests under way; {data['traces_recorded']} traced, {data['traces_lost']} lost since the start"


def _traffic(data: dict[str, Any], label: str) -> Iterable[str]:
    if not data["total"]["calls"]:
        yield f"no call in {label}"
        return
    counts = ("errors", "retried", "fell_back", "stood_in", "cached", "blocked", "over_budget", "limited")
    rows = [*(("upstream", one) for one in data["upstreams"]), *(("route", one) for one in data["routes"])]
    yield from table(
        (label, "name", "calls", "p50 ms", "p95 ms", "cost", *(name.replace("_", " ") for name in counts)),
        (
            (
                kind,
                one_line(one["name"] or "(none)", 40),
                f"{one['calls']:,}",
                _number(one["p50_ms"]),
                _number(one["p95_ms"]),
                f"${float(one['cost_usd']):,.4f}",
                *(f"{one[name]:,}" if one[name] else "" for name in counts),
            )
            for kind, one in rows
        ),
        right="calls p50 ms p95 ms cost errors retried fell_back",
    )


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}"


def _rests(name: str, seconds: float) -> str:
    return f"{one_line(name, 60)} (rests {seconds:.0f} s)" if seconds else one_line(name, 60)
