"""``pull``: traces as a folder of files, brought up to date by asking again."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pilothouse.records import BadRequest, Unverified
from pilothouse.records import command as line

from .client import segment
from .help import command
from .overview import facts
from .root import Run

if TYPE_CHECKING:
    from pilothouse.files.spec import ExportSpec


@command(
    "pull",
    examples=(
        "pilothouse pull last-error",
        "pilothouse pull 'status:error agent:support' errors --since 24h",
        "pilothouse pull verify errors",
    ),
    keys="data: folder traces gone files bytes complete counts",
)
@click.argument("what", required=False, default="")
@click.argument("folder", required=False, default="", type=click.Path(file_okay=False))
@click.option("--since", default="", metavar="TIME", help="of a filter: 15m, 24h, 7d or ISO 8601  [default: 7d]")
@click.option("--until", default="", metavar="TIME", help="of a filter: before; default now")
@click.option("--content", type=click.Choice(("full", "meta")), default="full", help="meta: no text anybody wrote")
@click.option("--again", default="", metavar="DIR", help="bring this folder up to date")
@click.option("--fresh", is_flag=True, help="from the start, replacing what the folder holds")
@click.option("--verify", default="", metavar="DIR", help="hash every file of this folder again")
@click.pass_obj
def pull(
    run: Run, what: str, folder: str, since: str, until: str, content: str, again: str, fresh: bool, verify: str
) -> None:
    """Write a trace, a session or all traces of a filter to a folder: files, JSON lines, SQLite with full-text search."""
    if what == "verify" and folder:
        verify = folder
    if verify:
        _verify(run, Path(verify))
        return
    from pilothouse.files.folder import ExportFolder, read_state
    from pilothouse.files.spec import read_spec

    if again:
        spec, path = read_spec(read_state(Path(again))["spec"]), Path(again)
    elif what:
        spec = _spec(run, what, since, until, content)
        path = Path(folder or f"pilothouse-export/{spec.folder}")
    else:
        raise BadRequest(
            "what is to be pulled?", allowed="an id, last, last-error or a filter", fix="pilothouse pull last"
        )
    target = ExportFolder(path, spec, fresh=fresh)
    totals = {"traces": 0, "gone": 0, "files": 0, "bytes": 0}
    complete = False
    try:
        while not complete:
            before = totals["traces"]
            pulled = target.take(_lines(run, spec, target.watermark), _progress(before))
            for name in totals:
                totals[name] += getattr(pulled, name)
            complete = pulled.complete
    finally:
        _clear_progress()
        manifest = target.finish(complete=complete)
        target.close()
    data = {"folder": str(path), **totals, "complete": complete, "counts": manifest["counts"]}
    following = [shlex.join(["head", "-40", f"{path}/index.md"]), line("pull", "--again", path)]
    run.output.envelope({"ok": True, "data": data, "next": following}, human=facts)


def _spec(run: Run, what: str, since: str, until: str, content: str) -> ExportSpec:
    from pilothouse.files.spec import ExportSpec

    kind, _, rest = what.partition(":")
    meta = "meta" if content == "meta" else "full"
    if kind in ("trace", "session") and rest and not since and not until:
        what = rest
    elif since or until or not _names_one(what):
        # One that cannot be read leaves no folder behind.
        run.client.get("/traces", {"filter": what, "since": since, "until": until, "limit": 1})
        # A filter without a start is as wide as a list without one.
        return ExportSpec(kind="query", text=what, since=since or "7d", until=until, content=meta)
    if kind == "session":
        return ExportSpec(kind="session", id=what, content=meta)
    found: dict[str, Any] = run.client.get(f"/resolve/{segment(what)}")["data"]
    if found["kind"] == "session":
        return ExportSpec(kind="session", id=found["id"], content=meta)
    return ExportSpec(kind="trace", id=found["trace_id"] or found["id"], content=meta)


def _names_one(what: str) -> bool:
    """Whether it can be an id: a filter has a colon, a comparison, quotes or several words."""
    return not any(sign in what for sign in (":", "<", ">", "=", '"', " "))


def _lines(run: Run, spec: ExportSpec, after: tuple[int, str]) -> Iterator[bytes]:
    params = {"spec": spec.canonical, "after_version": after[0], "after_id": after[1]}
    return run.client.lines("/export", params)


def _verify(run: Run, path: Path) -> None:
    from pilothouse.files.folder import verify

    found = verify(path)
    if not found.sound:
        raise Unverified(
            f"{found.wrong_count:,} files of the export are not what its manifest says",
            got=list(found.wrong[:10]),
            fix=line("pull", "--again", path, "--fresh"),
        )
    run.output.envelope({"ok": True, "data": {"folder": str(path), "files": found.files, "sound": True}}, human=facts)


def _progress(before: int) -> Callable[[int, int], None]:
    terminal = sys.stderr.isatty()

    def show(done: int, total: int) -> None:
        if not terminal:
            return
        share = (before + done) / max(before + total, 1)
        bar = "#" * round(share * 30)
        sys.stderr.write(f"\r[{bar:<30}] {before + done:,} of {before + total:,} traces")
        sys.stderr.flush()

    return show


def _clear_progress() -> None:
    if sys.stderr.isatty():
        sys.stderr.write("\r\x1b[K")
