"""``cache``: answers that the gateway keeps, and what providers' prompt caches do."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import click

from .help import PlainGroup, command
from .root import Run
from .terminal import one_line, table


@click.group("cache", cls=PlainGroup, help="Kept answers, and providers' prompt caches.")
def cache() -> None:
    """Kept answers, and providers' prompt caches."""


@command(
    "show",
    examples=(
        "pilothouse cache show",
        "pilothouse cache show --days 30",
        "pilothouse cache show --fields routes.route,routes.hit_rate",
    ),
    keys="data: routes[]: route calls hits meaning_hits bypassed hit_rate saved_tokens saved_usd answers bytes; compared differed",
)
@click.option("--days", default=7, show_default=True, metavar="N", help="today and the days before it, UTC")
@click.pass_obj
def show(run: Run, days: int) -> None:
    """Show the gateway's response cache: hits by route, what they saved, what is kept."""
    run.output.envelope(run.client.get("/cache", {"days": days}), human=_routes)


@command(
    "clear",
    examples=("pilothouse cache clear", "pilothouse cache clear --route 'gpt-*'", "pilothouse cache clear --json"),
    keys="data: answers",
)
@click.option("--route", default="", metavar="PATTERN", help="only of this route, as the policy has it")
@click.pass_obj
def clear(run: Run, route: str) -> None:
    """Delete this project's kept answers."""
    run.output.envelope(run.client.post("/cache/clear", {"route": route}), human=_cleared)


for _one in (show, clear):
    cache.add_command(_one)


def _routes(data: dict[str, Any]) -> Iterable[str]:
    if not data["routes"]:
        yield f"no call looked for a kept answer in {data['days']} days: cache: under a route (pilothouse docs caching)"
        return
    yield from table(
        ("route", "calls", "hits", "rate", "by meaning", "passed by", "saved", "tokens", "kept", "kB"),
        (
            (
                one_line(row["route"], 30),
                row["calls"],
                row["hits"],
                "" if row["hit_rate"] is None else f"{row['hit_rate']:.1%}",
                row["meaning_hits"],
                row["bypassed"],
                f"${row['saved_usd']}",
                f"{row['saved_tokens']:,}",
                row["answers"],
                f"{row['bytes'] / 1000:,.0f}",
            )
            for row in data["routes"]
        ),
        right="calls hits rate by meaning passed by saved tokens kept kB",
    )
    if data["compared"]:
        yield f"{data['compared']} hits by meaning were asked again: {data['differed']} gave another answer"


def _cleared(data: dict[str, Any]) -> Iterable[str]:
    yield f"{data['answers']} answers deleted"
