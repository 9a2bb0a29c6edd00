"""``store`` and ``retention``: what is stored, what it takes, how long it is kept."""

from __future__ import annotations

from typing import Any

import click

from pilothouse.records import BadRequest

from .help import PlainGroup, command
from .overview import facts
from .root import Run
from .terminal import table


@click.group("store", cls=PlainGroup, help="What is stored and what it takes.")
def store() -> None:
    """What is stored and what it takes."""


@command(
    "stats",
    group=store,
    examples=(
        "pilothouse store stats",
        "pilothouse store stats --json",
        "pilothouse store stats --fields bytes_per_span",
    ),
    keys="data: spans traces messages bytes bytes_per_span tables[] references dedup_share_saved oldest newest",
)
@click.pass_obj
def stats(run: Run) -> None:
    """Bytes a span, by table, and what storing messages once has saved."""
    run.output.envelope(run.client.get("/store/stats"), human=facts)


@click.group("retention", cls=PlainGroup, help="How long what is kept.")
def retention() -> None:
    """How long what is kept."""


@command(
    "show",
    group=retention,
    examples=(
        "pilothouse retention show",
        "pilothouse retention show --json",
        "pilothouse retention show --fields days",
    ),
    keys="data[]: environment kind days budget_bytes",
)
@click.pass_obj
def show_retention(run: Run) -> None:
    """Show the rules of this project; without a rule everything is kept."""
    run.output.envelope(run.client.get("/retention"), human=_rules)


def _rules(rows: list[dict[str, Any]]) -> list[str]:
    if not rows:
        return ["no rule: everything is kept"]
    return table(
        ("environment", "kind", "days", "size"),
        (
            (row["environment"] or "(all)", row["kind"], row["days"] or "", _size_text(row["budget_bytes"]))
            for row in rows
        ),
        right="days size",
    )


@command(
    "set",
    group=retention,
    examples=(
        "pilothouse retention set --days 90",
        "pilothouse retention set --environment production --days 365 --max-size 50GB",
        "pilothouse retention set --kind logs --off",
    ),
    keys="data: environment kind days budget_bytes",
)
@click.option("--days", default=0, metavar="N", help="keep for so many days")
@click.option(
    "--max-size", default="", metavar="SIZE", help="keep at most so much on disk, e.g. 500MB, 50GB; oldest go"
)
@click.option("--environment", default="", metavar="NAME", help="default: every one without a rule of its own")
@click.option("--kind", default="traces", show_default=True, metavar="KIND", help="traces, or logs (and metrics)")
@click.option("--off", is_flag=True, help="drop this rule: keep everything")
@click.pass_obj
def set_retention(run: Run, days: int, max_size: str, environment: str, kind: str, off: bool) -> None:
    """Set a rule by age, by size or both. It is applied every hour; nothing is deleted by this command."""
    if off == bool(days or max_size) or days < 0:
        got = f"--days {days}" if days else "neither --days nor --max-size"
        raise BadRequest(
            "say how long or how much to keep, or --off", got=got, fix="pilothouse retention set --days 90"
        )
    if kind not in ("traces", "logs"):
        raise BadRequest("there is no such kind", got=kind, allowed=["traces", "logs"], fix="--kind traces")
    body = {
        "environment": environment,
        "kind": kind,
        "days": days or None,
        "budget_bytes": _size_bytes(max_size) if max_size else None,
    }
    run.output.envelope(run.client.post("/retention", body), human=facts)


@command(
    "apply",
    group=retention,
    examples=(
        "pilothouse retention apply --dry-run",
        "pilothouse retention apply",
        "pilothouse retention apply --dry-run --json",
    ),
    keys="data[]: environment traces spans messages logs freed_bytes dry_run kept",
)
@click.option("--dry-run", is_flag=True, help="only say what would go and what would stay")
@click.pass_obj
def apply_retention(run: Run, dry_run: bool) -> None:
    """Apply the rules now instead of within the hour: whole traces at a time, and say what is kept."""
    run.output.envelope(run.client.post("/retention/apply", {"dry_run": dry_run}), human=facts)


_UNITS = {"kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}


def _size_bytes(text: str) -> int:
    number, unit = text[:-2].strip(), text[-2:].lower()
    try:
        return round(float(number) * _UNITS[unit])
    except (KeyError, ValueError):
        raise BadRequest(
            "this is no size", got=text, allowed="a number and KB, MB, GB or TB", fix="--max-size 50GB"
        ) from None


def _size_text(size: int | None) -> str:
    for unit, factor in reversed(_UNITS.items()):
        if size is not None and size >= factor:
            return f"{size / factor:g}{unit.upper()}"
    return "" if size is None else str(size)
