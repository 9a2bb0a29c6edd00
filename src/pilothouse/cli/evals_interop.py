"""``eval import`` and ``eval export``: suites from and to other tools' files."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

import click

from pilothouse.records import BadRequest
from pilothouse.records import command as line

from .evals import LOCAL, open_suite, suite_option
from .help import command
from .root import Run
from .terminal import clean, one_line

_FORMATS = ("pydantic-evals", "inspect", "promptfoo", "openai-evals", "csv")
_TAU = "tau-bench"
"""Read from its results; there is no such file to write."""
_SHOWN = 20


@command(
    "import",
    examples=(
        "pilothouse eval import dataset.yaml --suite evals/refunds",
        "pilothouse eval import logs/2026-11-29.eval",
        "pilothouse eval import promptfooconfig.yaml --format promptfoo --json",
    ),
    keys="data: format read ids[] file run attempts lost notes[]: at case lost; unread failed[]: at why",
    exits=(0, 2, 3, 9),
)
@click.argument("file")
@suite_option
@click.option(
    "--format", "format_", type=click.Choice((*_FORMATS, _TAU)), default=None, help="whose file it is  [seen from it]"
)
@click.pass_obj
def import_(run: Run, file: str, suite: str, format_: str | None) -> int:
    """Add cases of another tool, and its scores as a run. What is not carried over is said. Exit 9: some are no cases."""
    from dataclasses import asdict

    from pilothouse.evals.interop.formats import Format, format_of
    from pilothouse.evals.interop.importing import import_file, import_tau_bench
    from pilothouse.evals.suite import Suite

    path = Path(file)
    format: Format | None = None if format_ == _TAU else cast("Format", format_) if format_ else format_of(path)
    if suite and not Path(suite).exists():
        _made(Path(suite))
        found = Suite(suite)
    else:
        found = open_suite(suite)
    told = import_tau_bench(found, path) if format is None else import_file(found, path, format)
    where = ("--suite", str(found.folder))
    next_ = [line("eval", "show", told.ids[0], *where)] if told.ids else []
    next_.append(line("eval", "runs", *where) if told.run else line("eval", "run", *where))
    run.output.answer({**asdict(told), "suite": str(found.folder)}, human=_imported, next=next_)
    return 9 if told.unread or not told.read else 0


def _made(folder: Path) -> None:
    try:
        (folder / "cases").mkdir(parents=True)
    except OSError as error:
        raise BadRequest(f"the folder cannot be made: {error.strerror}", got=str(folder)) from error


def _imported(data: Mapping[str, Any]) -> Iterable[str]:
    yield f"{data['read']:,} cases from {data['format']} into {clean(data['suite'])}/{data['file']}"
    if data["run"]:
        yield f"{data['attempts']:,} attempts with its scores: {data['run']}"
    if data["unread"]:
        yield f"{data['unread']:,} that are no cases:"
        yield from (f"  {clean(one['at'])}: {one_line(one['why'], 140)}" for one in data["failed"][:_SHOWN])
    if data["lost"]:
        yield f"{data['lost']:,} that could not be carried over:"
        yield from (f"  {clean(one['case'])}: {one_line(one['lost'], 140)}" for one in data["notes"][:_SHOWN])
    if data["lost"] > _SHOWN or data["unread"] > _SHOWN:
        yield "… more: --json"


@command(
    "export",
    examples=(
        "pilothouse eval export --format pydantic-evals dataset.yaml",
        "pilothouse eval export --format csv cases.csv --suite evals/refunds",
        "pilothouse eval export --format promptfoo promptfooconfig.yaml --overwrite --json",
    ),
    keys="data: file format cases lost notes[]: case lost",
    exits=LOCAL,
)
@click.argument("file")
@suite_option
@click.option("--format", "format_", type=click.Choice(_FORMATS), required=True, help="for which tool")
@click.option("--overwrite", is_flag=True, help="in the place of a file that is there")
@click.pass_obj
def export(run: Run, file: str, suite: str, format_: str, overwrite: bool) -> None:
    """Write a suite for another tool. What it has no word for stands in its metadata, and import reads it back."""
    from pilothouse.evals.case_text import as_data
    from pilothouse.evals.interop.formats import Format, write

    found = open_suite(suite)
    path = Path(file)
    if path.exists() and not overwrite:
        raise BadRequest("there is such a file", got=file, fix="--overwrite, or another name")
    notes: list[dict[str, str]] = []
    lost = 0
    cases = (as_data(one) for one in found.cases())
    as_json = path.suffix.lower() == ".json"
    handle, temporary = _beside(path)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", errors="surrogatepass", newline="") as out:
            for case, said in write(cases, out, cast("Format", format_), name=found.name, as_json=as_json):
                lost += 1
                if len(notes) < 1_000:
                    notes.append({"case": case, "lost": said})
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    finally:
        Path(temporary).unlink(missing_ok=True)
    data = {"file": file, "format": format_, "cases": len(found.places()), "lost": lost, "notes": notes}
    run.output.answer(data, human=_exported)


def _beside(path: Path) -> tuple[int, str]:
    try:
        return tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise BadRequest(f"the file cannot be written: {error.strerror}", got=str(path)) from error


def _exported(data: Mapping[str, Any]) -> Iterable[str]:
    yield f"{data['cases']:,} cases for {data['format']}: {clean(data['file'])}"
    if data["lost"]:
        yield f"{data['lost']:,} that it has no word for; they stand in its metadata, and an import reads them back:"
        yield from (f"  {clean(one['case'])}: {one_line(one['lost'], 140)}" for one in data["notes"][:_SHOWN])
    if data["lost"] > _SHOWN:
        yield "… more: --json"
