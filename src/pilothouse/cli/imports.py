"""``import``: what other tools wrote, as traces."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pilothouse.records import BadRequest, iso

from .help import command, unknown
from .root import Run
from .terminal import count

if TYPE_CHECKING:
    from pilothouse.imports.importer import Report
    from pilothouse.imports.sources import Source

_FAILURES_SHOWN = 20
_REDRAW_S = 0.2


@command(
    "import",
    examples=(
        "pilothouse import claude ~/.claude/projects --dry-run",
        "pilothouse import atif jobs/ --tag nightly",
        "pilothouse import otlp traces.jsonl.gz",
    ),
    keys="data: format files traces spans scores first last failed failures[]: file where reason",
    exits=(0, 2, 3, 4, 5, 9),
)
@click.argument("form", metavar="FORMAT")
@click.argument("paths", nargs=-1, required=True, metavar="PATH...", type=click.Path(path_type=Path))
@click.option("--dry-run", is_flag=True, help="read and count, send nothing")
@click.option("--session", default="", metavar="ID", help="one session for all of it")
@click.option("--agent", default="", metavar="NAME", help="instead of the agent's own name")
@click.option("--user", default="", metavar="ID", help="whose runs they are")
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="put on every span; may be repeated")
@click.pass_obj
def import_files(
    run: Run, form: str, paths: tuple[Path, ...], dry_run: bool, session: str, agent: str, user: str, tags: tuple[str]
) -> int:
    """Import files or folders of claude, codex, atif, inspect, swe-agent or otlp; twice is as good as once."""
    from pilothouse.imports.encode import Labels
    from pilothouse.imports.formats import FORMATS
    from pilothouse.imports.importer import run_import
    from pilothouse.otlp.destination import Destination

    if form not in FORMATS:
        raise unknown("format", form, list(FORMATS), "pilothouse import --help")
    if form == "otlp" and (session or agent or user or tags):
        raise BadRequest(
            "OTLP is sent on as it is: --session, --agent, --user and --tag are for the other formats",
            got=form,
            fix="pilothouse import otlp " + " ".join(map(str, paths)),
        )
    labels = Labels(format=form, session=session, agent=agent, user=user, tags=tuple(tags))
    destination = None if dry_run else Destination(endpoint=run.client.url, key=run.client.token)
    progress = _Progress()
    try:
        report = run_import(FORMATS[form], FORMATS[form].find(paths), labels, destination, progress)
    finally:
        progress.clear()
    data = _summary(form, report, dry_run=dry_run)
    run.output.answer(data, human=_told, next=_following(report, dry_run=dry_run))
    return 9 if report.failed else 0


def _summary(form: str, report: Report, *, dry_run: bool) -> dict[str, Any]:
    return {
        "format": form,
        "dry_run": dry_run,
        "files": report.files,
        "other_files": report.others,
        "traces": len(report.traces),
        "spans": report.sent.spans,
        "scores": report.sent.scores,
        "records": report.sent.records,
        "requests": report.sent.requests,
        "sent_bytes": report.sent.bytes,
        "first": iso(report.first_ns) if report.first_ns else "",
        "last": iso(report.last_ns) if report.last_ns else "",
        "failed": report.failed,
        "failures": [asdict(failure) for failure in report.failures[:_FAILURES_SHOWN]],
    }


def _following(report: Report, *, dry_run: bool) -> list[str]:
    if dry_run or not report.traces:
        return []
    since = f" --since {iso(report.first_ns)[:10]}" if report.first_ns else ""
    return [f"pilothouse ls{since}", *(["pilothouse show last --as transcript"] if not report.first_ns else [])]


def _told(data: dict[str, Any]) -> Iterable[str]:
    verb = "would be imported" if data["dry_run"] else "imported"
    yield f"{data['traces']:,} traces, {data['spans']:,} spans {verb} from {data['files']:,} files"
    if data["scores"]:
        yield f"{data['scores']:,} scores"
    if data["records"]:
        yield f"{data['records']:,} log records and data points"
    if data["first"]:
        yield f"from {data['first']} to {data['last']}"
    if data["other_files"]:
        yield f"{data['other_files']:,} files of another kind were passed over"
    if data["failed"]:
        yield f"{data['failed']:,} failed:"
    for failure in data["failures"]:
        place = " ".join(part for part in (failure["file"], failure["where"]) if part)
        yield f"  {place}: {failure['reason']}"


class _Progress:
    """One line on a terminal: how far it is."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._terminal = sys.stderr.isatty()
        self._clock = clock
        self._drawn = 0.0

    def __call__(self, report: Report, source: Source) -> None:
        if not self._terminal or self._clock() - self._drawn < _REDRAW_S:
            return
        self._drawn = self._clock()
        done = f"{report.files:,} files  {len(report.traces):,} traces  {count(report.sent.spans)} spans"
        sys.stderr.write(f"\r\x1b[K{done}  {_visible(source.name)}")
        sys.stderr.flush()

    def clear(self) -> None:
        """Leave nothing of it."""
        if self._terminal:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def _visible(name: str) -> str:
    return "".join(sign if sign.isprintable() else "?" for sign in name)[-60:]
