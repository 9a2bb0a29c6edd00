"""``why``: what is wrong with a trace, by which evidence, and how to tune the rule that says so."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import click

from .client import segment
from .help import command
from .root import Run


@command(
    "why",
    examples=(
        "pilothouse why last",
        "pilothouse why 4bf92f35",
        "pilothouse why last-error --json --fields signals",
    ),
    keys="data: trace_id status signals[]: name severity message evidence[]: step note code; limit settings tune; looked_for[]",
)
@click.argument("id")
@click.pass_obj
def why(run: Run, id: str) -> None:
    """Say what is wrong with a trace, by rules: loops, stalls, failures, early finishes, and the steps that show it."""
    run.output.envelope(run.client.get(f"/traces/{segment(id)}/why"), human=_why)


def _why(data: dict[str, Any]) -> Iterable[str]:
    short = data["trace_id"][:12]
    signals: list[dict[str, Any]] = data["signals"]
    agent = f" of {data['agent']}" if data["agent"] else ""
    found = f"{len(signals)} signal{'s' if len(signals) != 1 else ''}" if signals else "nothing found"
    yield f"trace {short}{agent}: {data['status']}, {found}"
    for signal in signals:
        yield ""
        yield f"{signal['severity']}  {signal['name']}: {signal['message']}"
        for item in signal["evidence"]:
            where = f"  ({item['code']})" if item["code"] else ""
            yield f"  step {item['step']:03d}  {item['note']}{where}"
        settings = ", ".join(f"{name} = {value:g}" for name, value in signal["settings"].items())
        if settings:
            yield f"  limits: {settings}"
        if signal["tune"]:
            yield f"  to change: {signal['tune']}"
    yield ""
    yield "looked for and not found:" if signals else "looked for:"
    for rule in data["looked_for"]:
        settings = ", ".join(f"{name} = {value:g}" for name, value in rule["settings"].items())
        yield (
            f"  {rule['name']}: {rule['meaning']}"
            + (f" ({settings})" if settings else "")
            + (" Switched off." if rule["off"] else "")
        )
    if data["note"]:
        yield f"note: {data['note']}"
