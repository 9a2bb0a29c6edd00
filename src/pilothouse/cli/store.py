"""``store`` and ``retention``: what is stored, what it takes, how long it is kept."""

from __future__ import annotations

import click

from .help import PlainGroup, command
from .overview import facts
from .root import Run


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
