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


@command(
    "compared",
    examples=(
        "pilothouse cache compared",
        "pilothouse cache compared --days 7 --limit 50",
        "pilothouse cache compared --fields same,why,asked,kept_for",
    ),
    keys="data[]: same why similarity asked kept_for kept_answer fresh_answer trace_id time route",
)
@click.option("--days", default=30, show_default=True, metavar="N", help="how far back")
@click.option("--limit", default=20, show_default=True, metavar="N", help="those that differ first")
@click.pass_obj
def compared(run: Run, days: int, limit: int) -> None:
    """Hits by meaning that were asked again: both questions, both answers, whether they say the same."""
    run.output.envelope(run.client.get("/cache/comparisons", {"days": days, "limit": limit}), human=_compared)


for _one in (show, compared, clear):
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
        high = f"at most {data['false_hit_high']:.1%} are false (95 %)"
        yield f"{data['compared']} hits by meaning were asked again: {data['differed']} gave another answer; {high}"


def _compared(data: list[dict[str, Any]]) -> Iterable[str]:
    if not data:
        yield "no hit by meaning was asked again (recheck: under semantic:, pilothouse docs caching)"
    for row in data:
        yield f"{'same' if row['same'] else 'DIFFERS'}  {one_line(row['why'], 60)}  {row['similarity']:.3f}  {row['trace_id']}"
        for name in ("asked", "kept_for", "kept_answer", "fresh_answer"):
            yield f"  {name:12}  {one_line(row[name], 160)}"


def _cleared(data: dict[str, Any]) -> Iterable[str]:
    yield f"{data['answers']} answers deleted"
