"""Notes, scores and labels: read, write, remove, and take back what a run wrote."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from pilothouse.annotations import (
    CHANGES_MAX,
    Change,
    Undone,
    Written,
    Wrote,
    of_run,
    of_session,
    of_traces,
    runs,
    undo,
    write,
)
from pilothouse.records import Annotation, BadRequest, NotFound, Target, iso
from pilothouse.traces.filters import check_text
from pilothouse.traces.locate import locate, step_numbers

from .context import Caller, Context
from .envelope import Envelope, answer

router = APIRouter(tags=["annotations"])

Run = Annotated[str, Query(max_length=200, description="The run it belongs to; a new one is made where none is named.")]
DryRun = Annotated[bool, Query(description="Only say what would change.")]


class AnnotationInfo(BaseModel):
    """A note, a score or a label."""

    annotation_id: str = Field(description="Empty for a score that came with the telemetry.")
    kind: Literal["note", "score", "label"]
    trace_id: str = Field(description="Empty on a session.")
    span_id: str = Field(description="Empty on a whole trace or session.")
    step: int | None = Field(description="The step of the span, where it is on one.")
    session_id: str = Field(description="Set on a session.")
    name: str = Field(description="What was judged, or the label; empty for a note.")
    value: float | None = Field(description="A score's number.")
    label: str = Field(description="A score's word.")
    text: str = Field(description="The note, or why a score is what it is.")
    actor: str
    actor_kind: str = Field(description="person, agent or evaluator; empty where it came with the telemetry.")
    run: str
    time: str


class WroteInfo(BaseModel):
    """What became of one write."""

    outcome: Literal["added", "changed", "unchanged", "removed", "restored"]
    annotation: AnnotationInfo | None = Field(description="As it is now; null where it is removed.")
    before: AnnotationInfo | None = Field(description="As it was; null where there was none.")


class WrittenInfo(BaseModel):
    """What became of a write, and how to take it back."""

    run: str
    dry_run: bool
    items: list[WroteInfo]
    undo: str = Field(description="The command that takes back all that this run wrote; empty for a dry run.")
    shown: bool = Field(description="False: safe on disk, and shown as soon as the trace store answers.")


class KeptInfo(BaseModel):
    """What an undo left alone."""

    annotation_id: str
    run: str = Field(description="The run that wrote to it since.")
    actor: str
    annotation: AnnotationInfo | None


class UndoneInfo(BaseModel):
    """What an undo took back."""

    run: str
    dry_run: bool
    undo_id: str = Field(description="Empty for a dry run, or where nothing was left to undo.")
    removed: int
    restored: int = Field(description="Back to what they were before the run.")
    kept_count: int = Field(description="Left alone: another run wrote to them since.")
    already_undone: int = Field(description="Writes of the run that were taken back before.")
    items: list[WroteInfo] = Field(description="At most 200.")
    kept: list[KeptInfo] = Field(description="At most 200.")
    shown: bool


class RunInfo(BaseModel):
    """What a run wrote."""

    run: str
    actor: str
    actor_kind: str
    writes: int
    undone: int
    first: str
    last: str


class NewAnnotation(BaseModel):
    """One note, score or label to write, or to remove."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal["note", "score", "label"]
    id: str = Field(max_length=500, description="A trace, span or session: its id, its unique beginning, or last.")
    step: str = Field("", max_length=40, description="A step of that trace, or a span id.")
    name: str = Field("", max_length=200, description="What is judged, or the label.")
    value: float | None = Field(None, description="A score's number.")
    label: str = Field("", max_length=200, description="A score's word, e.g. pass.")
    text: str = Field("", max_length=20_000, description="The note, or why a score is what it is.")
    identifier: str = Field(
        "", max_length=200, description="Writing again with the same one changes it, in whatever run."
    )
    remove: bool = Field(False, description="Take it away: one's own of that kind and name on that target.")


class NewAnnotations(BaseModel):
    """Writes that belong together: all are made, or none."""

    model_config = ConfigDict(extra="forbid")

    items: list[NewAnnotation] = Field(min_length=1, max_length=CHANGES_MAX)
    run: str = Field("", max_length=200, description="What undoes them; a new one is made where none is named.")
    dry_run: bool = Field(False, description="Only say what would change.")


class UndoRun(BaseModel):
    """Which run to take back."""

    model_config = ConfigDict(extra="forbid")

    run: str = Field(max_length=200)
    dry_run: bool = Field(False, description="Only say what would change.")


@router.get("/annotations", response_model=Envelope[list[AnnotationInfo]])
def list_annotations(
    caller: Caller,
    id: Annotated[str, Query(max_length=500, description="A trace, span or session: an id or its beginning.")] = "",
    step: Annotated[str, Query(max_length=40, description="Only this step of the trace.")] = "",
    kind: Annotated[str, Query(max_length=20, description="Only note, score or label.")] = "",
    run: Annotated[str, Query(max_length=200, description="Instead of an id: what this run wrote.")] = "",
    limit: Annotated[int, Query(ge=1, le=10_000, description="At most so many, the oldest first.")] = 200,
) -> Response:
    """What was noted, judged and labelled on a trace with its steps, a session with its traces, or by a run."""
    caller.need("read")
    if bool(id) == bool(run):
        raise BadRequest("name an id or a run", got=id or run, fix="pilothouse notes ID")
    if kind not in ("", "note", "score", "label"):
        raise BadRequest("there is no such kind", got=kind, allowed=["note", "score", "label"])
    if run:
        check_text(run, "a run", 200)
        found = of_run(caller.store, caller.project_id, run, limit=limit)
    else:
        target = locate(caller.store, caller.project_id, id, step)
        found = _on(caller, target, limit)
    chosen = [one for one in found if kind in ("", one.kind)]
    return answer(shown(caller, chosen))


@router.get("/annotations/runs", response_model=Envelope[list[RunInfo]])
def list_runs(
    caller: Caller, limit: Annotated[int, Query(ge=1, le=1_000, description="At most so many, the newest first.")] = 50
) -> Response:
    """The runs that wrote annotations, and how much of each was taken back."""
    caller.need("read")
    return answer(
        [
            {
                "run": one.run,
                "actor": one.actor,
                "actor_kind": one.actor_kind,
                "writes": one.writes,
                "undone": one.undone,
                "first": iso(one.first_ns),
                "last": iso(one.last_ns),
            }
            for one in runs(caller.control, caller.project_id, limit=limit)
        ]
    )


@router.post("/annotations", response_model=Envelope[WrittenInfo])
def write_annotations(caller: Caller, wanted: NewAnnotations) -> Response:
    """Write notes, scores and labels, stamped with who writes and the run; the same twice changes nothing. Needs annotate."""
    caller.need("annotate")
    places: dict[tuple[str, str], Target] = {}
    changes: list[Change] = []
    for item in wanted.items:
        place = (item.id, item.step)
        if place not in places:
            places[place] = locate(caller.store, caller.project_id, *place)
        changes.append(
            Change(
                kind=item.kind,
                target=places[place],
                name=item.name if item.kind != "note" else "",
                value=item.value,
                label=item.label,
                text=item.text,
                identifier=item.identifier,
                remove=item.remove,
            )
        )
    written = _write(caller, changes, wanted.run, wanted.dry_run)
    return answer(_written(caller, written), next=_next(written))


@router.delete("/annotations/{annotation_id}", response_model=Envelope[WrittenInfo])
def remove_annotation(
    caller: Caller,
    annotation_id: Annotated[str, Path(max_length=60, description="The id, as the list shows it.")],
    run: Run = "",
    dry_run: DryRun = False,
) -> Response:
    """Remove one's own note, score or label; somebody else's with mode write. Needs annotate."""
    caller.need("annotate")
    check_text(annotation_id, "an annotation's id", 60)
    kind = annotation_id.partition("_")[0]
    if kind not in ("note", "score", "label"):
        raise NotFound("no annotation has this id", got=annotation_id, fix="pilothouse notes ID")
    change = Change(kind=kind, target=Target(), annotation_id=annotation_id, remove=True)
    written = _write(caller, [change], run, dry_run)
    return answer(_written(caller, written), next=_next(written))


@router.post("/annotations/undo", response_model=Envelope[UndoneInfo])
def undo_run(caller: Caller, wanted: UndoRun) -> Response:
    """Take back what a run wrote, restoring what it replaced; what another run wrote since stays. Needs annotate."""
    caller.need("annotate")
    undone = undo(
        caller.store,
        caller.control,
        caller.project_id,
        wanted.run,
        actor=caller.actor,
        anybodys=caller.grant.allows("write"),
        dry_run=wanted.dry_run,
        now_ns=time.time_ns(),
    )
    following = [f"pilothouse undo --run {undone.run}"] if wanted.dry_run and undone.items else []
    return answer(_undone(caller, undone), next=following)


def shown(caller: Context, found: Sequence[Annotation | None]) -> list[dict[str, Any] | None]:
    """Annotations as the API gives them, with the steps of their spans."""
    steps: dict[str, dict[str, int]] = {}
    for one in found:
        if one is not None and one.target.span_id and one.target.trace_id not in steps:
            steps[one.target.trace_id] = {}
            # Its trace may be gone by now: the annotation is shown all the same, without its step.
            with contextlib.suppress(NotFound):
                steps[one.target.trace_id] = step_numbers(caller.store, caller.project_id, one.target.trace_id)
    return [None if one is None else _info(one, steps.get(one.target.trace_id, {})) for one in found]


def _info(one: Annotation, steps: dict[str, int]) -> dict[str, Any]:
    return {
        "annotation_id": one.annotation_id,
        "kind": one.kind,
        "trace_id": one.target.trace_id,
        "span_id": one.target.span_id,
        "step": steps.get(one.target.span_id),
        "session_id": one.target.session_id,
        "name": one.name,
        "value": one.value,
        "label": one.label,
        "text": one.text,
        "actor": one.actor,
        "actor_kind": one.actor_kind,
        "run": one.run,
        "time": iso(one.time_ns),
    }


def _on(caller: Context, target: Target, limit: int) -> list[Annotation]:
    store, project = caller.store, caller.project_id
    if target.session_id:
        return of_session(store, project, target.session_id, limit=limit)
    found = of_traces(store, project, [target.trace_id], limit=limit)
    return [one for one in found if target.span_id in ("", one.target.span_id)]


def _write(caller: Context, changes: Sequence[Change], run: str, dry_run: bool) -> Written:
    return write(
        caller.store,
        caller.control,
        caller.project_id,
        changes,
        actor=caller.actor,
        run=run,
        anybodys=caller.grant.allows("write"),
        dry_run=dry_run,
        now_ns=time.time_ns(),
    )


def _written(caller: Context, written: Written) -> dict[str, Any]:
    return {
        "run": written.run,
        "dry_run": written.dry_run,
        "items": _wrote(caller, written.items),
        "undo": "" if written.dry_run else f"pilothouse undo --run {written.run}",
        "shown": written.shown,
    }


def _wrote(caller: Context, items: Sequence[Wrote]) -> list[dict[str, Any]]:
    now, before = (
        shown(caller, [item.annotation for item in items]),
        shown(caller, [item.before for item in items]),
    )
    return [
        {"outcome": item.outcome, "annotation": one, "before": was}
        for item, one, was in zip(items, now, before, strict=True)
    ]


def _undone(caller: Context, undone: Undone) -> dict[str, Any]:
    kept = shown(caller, [one.annotation for one in undone.kept])
    return {
        "run": undone.run,
        "dry_run": undone.dry_run,
        "undo_id": undone.undo_id,
        "removed": undone.removed,
        "restored": undone.restored,
        "kept_count": undone.kept_count,
        "already_undone": undone.already_undone,
        "items": _wrote(caller, undone.items),
        "kept": [
            {"annotation_id": one.annotation_id, "run": one.run, "actor": one.actor, "annotation": now}
            for one, now in zip(undone.kept, kept, strict=True)
        ],
        "shown": undone.shown,
    }


def _next(written: Written) -> list[str]:
    known = next((item.annotation or item.before for item in written.items if item.annotation or item.before), None)
    if known is None or written.dry_run:
        return []
    place = known.target.session_id or known.target.trace_id[:12]
    return [f"pilothouse notes {place}", f"pilothouse undo --run {written.run}"]
