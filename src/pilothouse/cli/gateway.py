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
    keys="data: upstreams[]: name wire addresses[] keys[] calls calls_max; routes[] breakers[] active traces_lost",
)
@click.pass_obj
def gateway(run: Run) -> None:
    """Show the gateway now: upstreams, keys by name, breakers, calls under way."""
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
    yield ""
    yield f"{data['active']} requests under way; {data['traces_recorded']} traced, {data['traces_lost']} lost since the start"


def _rests(name: str, seconds: float) -> str:
    return f"{one_line(name, 60)} (rests {seconds:.0f} s)" if seconds else one_line(name, 60)
