"""``note``, ``score``, ``label``, ``notes`` and ``undo``: writing to what was recorded, and taking it back."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import click

from pilothouse.records import BadRequest

from .client import segment
from .help import command
from .root import Run
from .terminal import moment, one_line, table

_F = TypeVar("_F", bound=Callable[..., Any])
_ANSWER = "data: run items[].outcome items[].annotation undo; the same write twice changes nothing"


def _place(function: _F) -> _F:
    """``--step``."""
    return click.option("--step", default="", metavar="N", help="a step of the trace, or a span id")(function)


def _stamp(function: _F) -> _F:
    """``--run`` and ``--dry-run``."""
    run = click.option("--run", "run_name", default="", metavar="RUN", help="what undoes it; default PILOTHOUSE_RUN")
    dry = click.option("--dry-run", is_flag=True, help="only say what would change")
    return run(dry(function))


def _identifier(function: _F) -> _F:
    """``--identifier``."""
    help = "write again with the same one to change it"
    return click.option("--identifier", default="", metavar="KEY", help=help)(function)


@command(
    "note",
    examples=(
        "pilothouse note last-error 'the refund tool was asked twice' --step 14",
        "pilothouse note 4bf92f35 'looks fine' --run triage-1",
        "pilothouse note note_1f0c… --remove",
    ),
    keys=_ANSWER,
)
@click.argument("id")
@click.argument("text", default="")
@_place
@_identifier
@click.option("--remove", is_flag=True, help="ID is a note's: take it away")
@_stamp
@click.pass_obj
def note(run: Run, id: str, text: str, step: str, identifier: str, remove: bool, run_name: str, dry_run: bool) -> None:
    """Write a note on a trace, a step of it, or a session."""
    if remove:
        if text or step:
            raise BadRequest("a note is removed by its own id", got=id, fix=f"pilothouse notes {id}  lists the ids")
        _remove(run, id, run_name, dry_run)
        return
    _write(run, {"kind": "note", "id": id, "step": step, "text": text, "identifier": identifier}, run_name, dry_run)


@command(
    "score",
    examples=(
        "pilothouse score 4bf92f35 helpful 0.8 --explanation 'answers all three questions'",
        "pilothouse score 4bf92f35 verdict fail --step 14 --run judge-1",
        "pilothouse score 4bf92f35 helpful --remove",
    ),
    keys=_ANSWER,
)
@click.argument("id")
@click.argument("name")
@click.argument("value", default="")
@click.option("--label", default="", metavar="WORD", help="a word beside the number, e.g. pass")
@click.option("--explanation", default="", metavar="TEXT", help="why")
@_place
@_identifier
@click.option("--remove", is_flag=True, help="take away what you scored there by this name")
@_stamp
@click.pass_obj
def score(
    run: Run,
    id: str,
    name: str,
    value: str,
    label: str,
    explanation: str,
    step: str,
    identifier: str,
    remove: bool,
    run_name: str,
    dry_run: bool,
) -> None:
    """Score a trace, a step or a session: a number, or a word such as pass."""
    item: dict[str, Any] = {"kind": "score", "id": id, "step": step, "name": name, "identifier": identifier}
    if remove:
        item["remove"] = True
    else:
        number = _number(value)
        if number is None and value and label:
            raise BadRequest("the value is a word, and --label is another", got=f"{value} {label}", fix="give one word")
        item |= {"value": number, "label": label or ("" if number is not None else value), "text": explanation}
    _write(run, item, run_name, dry_run)


@command(
    "label",
    examples=(
        "pilothouse label 4bf92f35 wrong-tool --step 14",
        "pilothouse label 4bf92f35 reviewed --run triage-1",
        "pilothouse label 4bf92f35 wrong-tool --remove",
    ),
    keys=_ANSWER,
)
@click.argument("id")
@click.argument("name")
@_place
@_identifier
@click.option("--remove", is_flag=True, help="take away the label that you put there")
@_stamp
@click.pass_obj
def label(run: Run, id: str, name: str, step: str, identifier: str, remove: bool, run_name: str, dry_run: bool) -> None:
    """Label a trace, a step or a session; find it again with ls label:NAME."""
    item = {"kind": "label", "id": id, "step": step, "name": name, "identifier": identifier, "remove": remove}
    _write(run, item, run_name, dry_run)


@command(
    "notes",
    examples=(
        "pilothouse notes 4bf92f35",
        "pilothouse notes --run triage-1 --kind score",
        "pilothouse notes --runs",
    ),
    keys="data[]: annotation_id kind trace_id step name value label text actor actor_kind run time",
)
@click.argument("id", default="")
@_place
@click.option("--kind", default="", metavar="KIND", help="only note, score or label")
@click.option("--run", "run_name", default="", metavar="RUN", help="instead of an ID: what this run wrote")
@click.option("--runs", is_flag=True, help="instead: the runs that wrote")
@click.option("--limit", default=200, show_default=True, metavar="N", help="at most so many, the oldest first")
@click.pass_obj
def notes(run: Run, id: str, step: str, kind: str, run_name: str, runs: bool, limit: int) -> None:
    """List the notes, scores and labels of a trace, a session with its traces, or a run."""
    if runs:
        run.output.envelope(run.client.get("/annotations/runs", {"limit": limit}), human=_runs)
        return
    query = {"id": id, "step": step, "kind": kind, "run": run_name, "limit": limit}
    run.output.envelope(run.client.get("/annotations", query), human=_listed)


@command(
    "undo",
    examples=(
        "pilothouse undo --run triage-1 --dry-run",
        "pilothouse undo --run triage-1",
        "pilothouse notes --runs",
    ),
    keys="data: run undo_id removed restored kept_count already_undone items[] kept[]; twice changes nothing more",
)
@click.option(
    "--run", "run_name", default="", metavar="RUN", help="the run, as its writes said; default PILOTHOUSE_RUN"
)
@click.option("--dry-run", is_flag=True, help="only say what would change")
@click.pass_obj
def undo(run: Run, run_name: str, dry_run: bool) -> None:
    """Take back all that a run wrote; what another run wrote over since stays."""
    name = run_name or run.settings.run
    if not name:
        raise BadRequest("name the run", got="no --run", fix="pilothouse notes --runs")
    run.output.envelope(run.client.post("/annotations/undo", {"run": name, "dry_run": dry_run}), human=_undone)


def _write(run: Run, item: Mapping[str, Any], run_name: str, dry_run: bool) -> None:
    body = {"items": [item], "run": run_name or run.settings.run, "dry_run": dry_run}
    run.output.envelope(run.client.post("/annotations", body), human=_written)


def _remove(run: Run, annotation_id: str, run_name: str, dry_run: bool) -> None:
    query = {"run": run_name or run.settings.run, "dry_run": dry_run}
    run.output.envelope(run.client.delete(f"/annotations/{segment(annotation_id)}", query), human=_written)


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _written(data: dict[str, Any]) -> Iterable[str]:
    would = "would be " if data["dry_run"] else ""
    for item in data["items"]:
        known = item["annotation"] or item["before"]
        if known is None:
            yield "unchanged: there is none of yours there"
            continue
        yield f"{would}{item['outcome']}: {_line(known)}"
        if item["outcome"] == "changed":
            yield f"  before: {_line(item['before'])}"
    if data["undo"]:
        yield f"run {data['run']}; take it back: {data['undo']}"


def _undone(data: dict[str, Any]) -> Iterable[str]:
    would = "would be " if data["dry_run"] else ""
    for item in data["items"]:
        known = item["annotation"] or item["before"]
        yield f"{would}{item['outcome']}: {_line(known)}"
    for one in data["kept"]:
        said = _line(one["annotation"]) if one["annotation"] else f"{one['annotation_id']}, removed"
        yield f"left alone, run {one['run']} of {one['actor']} wrote to it since: {said}"
    counts = f"{data['removed']} {would}removed, {data['restored']} {would}restored, {data['kept_count']} left alone"
    yield f"run {data['run']}: {counts}; {data['already_undone']} writes were undone before"


def _line(one: Mapping[str, Any]) -> str:
    where = one["session_id"] or one["trace_id"][:12]
    if one["step"]:
        where += f" step {one['step']:03d}"
    words = one["text"]
    return f"{one['kind']} on {where}: {_what(one)}{one_line(words, 100) if words else ''}  [{one['annotation_id']}]"


def _what(one: Mapping[str, Any]) -> str:
    if one["kind"] == "note":
        return ""
    said = "" if one["value"] is None else f"{one['value']:g}"
    return " ".join(filter(None, (one["name"], said, one["label"]))) + "  "


def _listed(rows: list[dict[str, Any]]) -> list[str]:
    if not rows:
        return ["none"]
    return table(
        ("time", "where", "kind", "what", "by", "run", "id", "words"),
        (
            (
                moment(row["time"]),
                row["session_id"] or row["trace_id"][:12] + (f"/{row['step']:03d}" if row["step"] else ""),
                row["kind"],
                _what(row).strip(),
                row["actor"],
                row["run"],
                row["annotation_id"],
                row["text"],
            )
            for row in rows
        ),
    )


def _runs(rows: list[dict[str, Any]]) -> list[str]:
    return table(
        ("run", "by", "", "writes", "undone", "first", "last"),
        (
            (
                row["run"],
                row["actor"],
                row["actor_kind"],
                row["writes"],
                row["undone"] or "",
                moment(row["first"]),
                moment(row["last"]),
            )
            for row in rows
        ),
        right="writes undone",
    )
