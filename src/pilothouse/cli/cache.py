"""``cache``: answers that the gateway keeps, and what providers' prompt caches do."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import click

from .help import PlainGroup, command
from .options import window
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


@command(
    "prompts",
    examples=(
        "pilothouse cache prompts",
        "pilothouse cache prompts --since 24h --agent planner",
        "pilothouse cache prompts --fields rows.agent,rows.hit_rate,rows.lost_usd",
    ),
    keys="data: rows[]: agent version model calls input_tokens read_tokens hit_rate possible_rate saved_usd lost_usd",
)
@window("7d")
@click.option("--agent", default="", metavar="NAME", help="only this agent's calls")
@click.pass_obj
def prompts(run: Run, since: str, until: str, agent: str) -> None:
    """Show providers' prompt caches: what they served, what that saved, what was possible."""
    query = {"since": since, "until": until, "agent": agent}
    run.output.envelope(run.client.get("/cache/prompts", query), human=_prompts)


@command(
    "lint",
    examples=(
        "pilothouse cache lint",
        "pilothouse cache lint --since 24h --agent planner",
        "pilothouse cache lint --fields breaks.kind,breaks.lost_usd,breaks.trace_id",
    ),
    keys="data: breaks[]: kind what agent model calls lost_tokens lost_usd trace_id step message role offset before after",
)
@window("7d")
@click.option("--agent", default="", metavar="NAME", help="only this agent's calls")
@click.pass_obj
def lint(run: Run, since: str, until: str, agent: str) -> None:
    """Find what breaks the prefix that providers' caches need, dearest first."""
    query = {"since": since, "until": until, "agent": agent}
    run.output.envelope(run.client.get("/cache/lint", query), human=_breaks)


for _one in (prompts, lint, show, compared, clear):
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


def _prompts(data: dict[str, Any]) -> Iterable[str]:
    yield from table(
        ("agent", "version", "model", "calls", "input", "served", "possible", "saved", "lost"),
        (
            (
                one_line(row["agent"], 24),
                one_line(row["version"], 12),
                one_line(row["model"], 28),
                row["calls"],
                f"{row['input_tokens']:,}",
                _rate(row["hit_rate"]),
                _rate(row["possible_rate"]),
                _dollars(row["saved_usd"]),
                _dollars(row["lost_usd"]),
            )
            for row in data["rows"]
        ),
        right="calls input served possible saved lost",
    )
    yield from data["notes"]


def _breaks(data: dict[str, Any]) -> Iterable[str]:
    if not data["breaks"]:
        yield f"nothing breaks a prefix in {data['calls']} calls"
    for row in data["breaks"]:
        who = " ".join(one_line(row[name], 40) for name in ("agent", "version", "model") if row[name])
        yield f"{row['kind']}  {row['calls']} calls, {row['lost_tokens']:,} tokens, {_dollars(row['lost_usd'])}  {who}"
        yield f"  {row['what']}"
        place = f", message {row['message']} ({one_line(row['role'], 20)})" if row["message"] else ""
        at = f", character {row['offset']:,}" if row["offset"] is not None else ""
        yield f"  {row['trace_id']} step {row['step']}{place}{at}; before: {row['before_trace_id']} step {row['before_step']}"
        if row["offset"] is not None:
            yield f"    was  {one_line(row['before'], 100)}"
            yield f"    now  {one_line(row['after'], 100)}"
    yield from data["notes"]


def _rate(share: float | None) -> str:
    return "" if share is None else f"{share:.1%}"


def _dollars(usd: str | None) -> str:
    return "" if usd is None else f"${float(usd):,.4f}"


def _cleared(data: dict[str, Any]) -> Iterable[str]:
    yield f"{data['answers']} answers deleted"
