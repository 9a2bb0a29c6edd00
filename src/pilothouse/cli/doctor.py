"""``doctor`` and ``reprocess``: whether the recorded picture is the whole truth, and mending it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import click

from .help import command
from .options import window
from .overview import facts
from .root import Run


@command(
    "doctor",
    examples=(
        "pilothouse doctor",
        "pilothouse doctor --since 24h",
        "pilothouse doctor --json --fields healthy,findings",
    ),
    keys="data: healthy window findings[]: check level count summary examples fix",
)
@window()
@click.pass_obj
def doctor(run: Run, since: str, until: str) -> None:
    """Say what is rejected, dropped, skewed, orphaned, unpriced or counted twice, and how to mend it."""
    run.output.envelope(run.client.get("/doctor", {"since": since, "until": until}), human=_doctor)


def _doctor(data: dict[str, Any]) -> Iterable[str]:
    yield "healthy" if data["healthy"] else "not healthy"
    for finding in data["findings"]:
        number = f"  {finding['count']:,}" if finding["count"] else ""
        yield f"{finding['level']:<5} {finding['check']}{number}: {finding['summary']}"
        for example in finding["examples"][:3]:
            yield "        " + "  ".join(f"{name}={value}" for name, value in example.items())
        if finding["fix"]:
            yield f"        hint: {finding['fix']}"


@command(
    "reprocess",
    examples=(
        "pilothouse reprocess --since 7d --dry-run",
        "pilothouse reprocess --since 2026-11-01 --until 2026-11-08",
        "pilothouse reprocess --since 90d --json",
    ),
    keys="data: what changed: spans, traces, usage, costs",
)
@click.option("--since", default="7d", show_default=True, metavar="TIME", help="15m, 24h, 7d or ISO 8601")
@click.option("--until", default="", metavar="TIME", help="before; default now")
@click.option("--dry-run", is_flag=True, help="only count what would change")
@click.pass_obj
def reprocess(run: Run, since: str, until: str, dry_run: bool) -> None:
    """Normalise and price stored history again, after a rule or a price changed. Raw attributes stay as they came."""
    answer = run.client.post("/reprocess", {"since": since, "until": until, "dry_run": dry_run})
    run.output.envelope(answer, human=facts)
