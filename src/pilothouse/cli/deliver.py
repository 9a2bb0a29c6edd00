"""``deliver``: records that wait on disk because the server was away are sent now."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from pilothouse.records import BadRequest

from .help import command
from .root import Run


@command(
    "deliver",
    examples=(
        "pilothouse deliver",
        "pilothouse deliver --follow",
        "pilothouse deliver --json",
    ),
    keys="data: endpoint delivered waiting refused elsewhere[]: folder endpoint records bytes",
)
@click.option("--follow", is_flag=True, help="go on until stopped, through any failure")
@click.option("--from", "folder", default="", metavar="FOLDER", help="records of another address or key; see elsewhere")
@click.option("--spill", type=click.Path(path_type=Path), help="default PILOTHOUSE_SPILL_DIR or ~/.pilothouse/spill")
@click.pass_obj
def deliver(run: Run, follow: bool, folder: str, spill: Path | None) -> None:
    """Send what recorders put on disk while the server was away. Any later recorder does the same by itself."""
    # Here, since OpenTelemetry comes in with them: `pilothouse deliver --help` needs it not.
    try:
        from pilothouse.sdk.deliver import deliver as send
        from pilothouse.sdk.settings import read_settings
    except ImportError as error:
        fix = "pip install pilothouse"
        raise BadRequest("the recorder is not installed", got=error.name, fix=fix) from error
    settings = read_settings(spill_dir=spill)
    if not follow:
        done = send(settings, folder=folder)
        run.output.answer(asdict(done), human=_told)
        return
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: stop.set())
    with run.output.lines() as out:

        def tell(count: int) -> None:
            line = json.dumps({"delivered": count}) if run.settings.json else f"delivered {count:,} records"
            out.write(line + "\n")
            out.flush()

        send(settings, folder=folder, stop=stop, tell=tell)


def _told(data: dict[str, Any]) -> Iterable[str]:
    yield f"delivered {data['delivered']:,} records to {data['endpoint']}"
    if data["waiting"]:
        yield f"{data['waiting']:,} still wait"
    if data["refused"]:
        yield f"{data['refused']:,} were refused, and are kept with the reason"
    for place in data["elsewhere"]:
        yield f"{place['records']:,} records ({place['bytes']:,} B) wait for {place['endpoint']} with another key or address"
        yield f"hint: with its PILOTHOUSE_URL and PILOTHOUSE_API_KEY set: pilothouse deliver --from {place['folder']}"
