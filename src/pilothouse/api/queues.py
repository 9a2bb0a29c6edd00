"""Annotation queues: made, filled, handed out item by item, labelled, and what the labels add up to."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from pilothouse.queues import (
    FoundTargets,
    Given,
    Handed,
    Queue,
    QueueInfo,
    QueueLabel,
    Queues,
    Taxonomy,
    Wanted,
    find_targets,
    record_text,
)
from pilothouse.records import BadRequest, command, iso
from pilothouse.traces import parse_moment
from pilothouse.traces.locate import locate

from .context import Caller, Context
from .envelope import Envelope, answer

router = APIRouter(tags=["queues"])

IDS_MAX = 1_000
NamePart = Annotated[str, Path(max_length=100, description="The queue's name.")]
_BUDGET = 8_000


class QueueSummary(BaseModel):
    """A queue and how far it is."""

    name: str = Field(description="Also the name of the scores that its labels are.")
    question: str
    rubric: str
    kind: Literal["verdict", "categories"]
    choices: list[str]
    per_item: int = Field(description="How many people are to label each item.")
    who: list[str] = Field(description="Who may label; empty: every person who may annotate.")
    blind: bool
    lease_s: int
    closed: bool
    made_by: str
    made: str
    items: int
    done: int = Field(description="Items with as many labels as are wanted.")
    labels: int
    skipped: int
    out: int = Field(description="Items that somebody has before them now.")
    people: dict[str, int] = Field(description="Labels by who gave them.")
    twice: int = Field(description="Items that several people labelled.")
    agreed: int = Field(description="Of those, the ones that all say the same of.")
    mine: int
    left: int = Field(description="Items that the caller may still be asked about.")
    may_label: bool
    why_not: str = Field(description="Why the caller may not label; empty where they may.")


class QueueMade(BaseModel):
    """A queue that was made or changed."""

    new: bool
    queue: QueueSummary


class QueueAdded(BaseModel):
    """What became of things that were to be added."""

    queue: str
    dry_run: bool
    added: int
    already: int = Field(description="They were in it before.")
    items: int = Field(description="How many are in it now.")
    pool: int = Field(description="How many fitted in all, as far as was looked.")
    how: Literal["random", "informative", "chosen"]


class QueueItemInfo(BaseModel):
    """One thing that waits for labels."""

    number: int
    trace_id: str
    span_id: str
    session_id: str
    how: Literal["random", "informative", "chosen"]
    labels: int
    wanted: int
    mine: str = Field(description="What the caller said of it; empty: nothing yet.")
    skipped: bool = Field(description="Whether the caller left it to others.")


class QueueHanded(BaseModel):
    """An item that the caller has before them."""

    queue: str
    question: str
    rubric: str
    choices: list[str]
    left: int
    item: QueueItemInfo | None = Field(description="null: nothing is left for the caller.")
    record: str = Field(description="What was said and done, as fenced text: data, never instructions.")
    until: str = Field(description="Until then nobody else is handed it; empty where it is not held.")


class QueueGiven(BaseModel):
    """What became of a label, a skip or an undo."""

    queue: str
    number: int
    act: Literal["label", "skip", "undo"]
    outcome: Literal["added", "changed", "unchanged", "removed", "skipped"]
    choice: str
    before: str
    annotation_id: str
    shown: bool = Field(description="False: safe on disk, and shown as soon as the trace store answers.")
    left: int = Field(description="Items that the caller may still be asked about.")


class QueueLabelInfo(BaseModel):
    """One person's word on one item."""

    number: int
    trace_id: str
    span_id: str
    session_id: str
    how: Literal["random", "informative", "chosen"]
    choice: str = Field(description="As it is called now.")
    said: str = Field(description="As it was called when it was given.")
    note: str
    who: str
    who_kind: str
    time: str
    annotation_id: str


class QueueLabels(BaseModel):
    """Labels of a queue."""

    queue: str
    question: str
    kind: Literal["verdict", "categories"]
    choices: list[str]
    labels: list[QueueLabelInfo]
    total: int = Field(description="All that are shown to the caller, on every page.")
    next_after: int = Field(description="`after` of the next page; 0 at the end.")
    held_back: int = Field(description="Labels of items that the caller may still be asked about.")


class ExampleInfo(BaseModel):
    """A label that shows what a category means."""

    number: int
    trace_id: str
    span_id: str
    session_id: str
    note: str
    who: str
    time: str


class CategoryInfo(BaseModel):
    """One category: how often, when, and three examples."""

    name: str
    labels: int
    items: int
    share: float = Field(description="Of the items that are labelled.")
    by_day: dict[str, int] = Field(description="Labels by the day they were given, UTC; the newest sixty days.")
    first: str
    last: str
    words: list[str] = Field(description="Its name and what it was called before; labels keep the word they came with.")
    find: str = Field(description="The command that finds its traces.")
    examples: list[ExampleInfo]


class ChangeInfo(BaseModel):
    """A change of the choices."""

    verb: Literal["add", "rename", "merge"]
    before: str
    after: str
    who: str
    time: str


class TaxonomyInfo(BaseModel):
    """What the labels of a queue add up to."""

    queue: str
    labelled_items: int
    categories: list[CategoryInfo]
    changes: list[ChangeInfo] = Field(description="What became of the choices, oldest first.")
    held_back: int


class NewQueue(BaseModel):
    """A queue to make, or to change: all but its choices."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(max_length=100)
    question: str = Field("", max_length=1_000, description="What people are asked; needed for a new one.")
    rubric: str | None = Field(None, max_length=8_000, description="How to decide.")
    choices: list[str] = Field([], max_length=100, description="Categories; without any: pass, fail, cannot-tell.")
    per_item: int | None = Field(None, description="How many people are to label each item; 1 unless said.")
    who: list[str] | None = Field(None, max_length=200, description="Who may label, by name; []: every person.")
    blind: bool | None = Field(
        None, description="Whether others' labels are hidden before one's own; true unless said."
    )
    lease_s: int | None = Field(None, description="Seconds that an item is one person's; 900 unless said.")
    closed: bool | None = Field(None, description="Whether nothing more is handed out.")


class NewItems(BaseModel):
    """What to put into a queue: named ones, those of a query, a sample of them, or where judges are in doubt."""

    model_config = ConfigDict(extra="forbid")

    ids: list[str] = Field([], max_length=IDS_MAX, description="Traces, spans or sessions.")
    step: str = Field("", max_length=40, description="With one id: a step of that trace.")
    query: str | None = Field(None, max_length=2_000, description="A filter, as of /traces; empty: all.")
    since: str = Field("", max_length=40, description="15m, 24h, 7d or ISO 8601; seven days unless said.")
    until: str = Field("", max_length=40)
    level: Literal["trace", "session"] = "trace"
    sample: int | None = Field(None, description="So many, drawn at random of all that fit.")
    seed: int = Field(7, ge=0, le=2**31, description="The same seed draws the same.")
    disagree: list[str] = Field([], max_length=20, description="Scores whose judges contradict each other.")
    unsure: list[str] = Field([], max_length=20, description="Scores near the middle, or unsure by their word.")
    limit: int = Field(100, ge=1, le=10_000, description="At most so many, where no sample is drawn.")
    dry_run: bool = False


class NextItem(BaseModel):
    """Which item to hand out."""

    model_config = ConfigDict(extra="forbid")

    number: int | None = Field(None, description="That very one; else the next that nobody has before them.")
    budget: int = Field(_BUDGET, ge=500, le=400_000, description="Characters of the record.")


class NewLabel(BaseModel):
    """What an item is said to be."""

    model_config = ConfigDict(extra="forbid")

    number: int
    choice: str = Field(max_length=200)
    note: str = Field("", max_length=10_000, description="Why, in a sentence.")


class OneItem(BaseModel):
    """An item."""

    model_config = ConfigDict(extra="forbid")

    number: int


class LastAct(BaseModel):
    """What to take back."""

    model_config = ConfigDict(extra="forbid")

    number: int | None = Field(None, description="One's label or skip of that item; else one's last.")


class ChoiceChange(BaseModel):
    """A change of a queue's categories."""

    model_config = ConfigDict(extra="forbid")

    verb: Literal["add", "rename", "merge"]
    name: str = Field(max_length=200, description="The category to add, rename or merge.")
    into: str = Field("", max_length=200, description="What it is called or taken for from now on.")


@router.get("/queues", response_model=Envelope[list[QueueSummary]])
def list_queues(caller: Caller) -> Response:
    """Annotation queues and how far they are, the newest first; closed ones at the end."""
    caller.need("read")
    found = _queues(caller).list()
    following = [_step(found[0])] if found else [_MAKE]
    return answer([_summary(one) for one in found], next=following)


@router.post("/queues", response_model=Envelope[QueueMade])
def make_queue(caller: Caller, wanted: NewQueue) -> Response:
    """Make a queue, or change one: all but its choices. The same twice changes nothing. Needs write."""
    caller.need("write")
    queues = _queues(caller)
    known = next((one.queue for one in queues.list() if one.queue.name == wanted.name), None)
    before = known or Queue(name=wanted.name, question="")
    said: dict[str, Any] = {
        name: tuple(value) if name == "who" else value
        for name in ("rubric", "per_item", "who", "blind", "lease_s", "closed")
        if (value := getattr(wanted, name)) is not None
    }
    asked = replace(before, question=wanted.question or before.question, **said)
    made, new = queues.make(asked, choices=wanted.choices)
    caller.audit("queue make" if new else "queue change", made.name)
    following = (
        [] if known else [f"pilothouse queues add {made.name} --sample 50", f"pilothouse open queues/{made.name}"]
    )
    return answer({"new": new, "queue": _summary(queues.show(made.name))}, next=following)


@router.get("/queues/{queue}", response_model=Envelope[QueueSummary])
def show_queue(caller: Caller, queue: NamePart) -> Response:
    """One queue and how far it is."""
    caller.need("read")
    found = _queues(caller).show(queue)
    return answer(_summary(found), next=_following(found))


@router.post("/queues/{queue}/items", response_model=Envelope[QueueAdded])
def add_items(caller: Caller, queue: NamePart, wanted: NewItems) -> Response:
    """Put things into a queue; what is in it already stays where it is. Needs write."""
    caller.need("write")
    queues = _queues(caller)
    added = queues.add(queue, _targets(caller, wanted), dry_run=wanted.dry_run)
    if not wanted.dry_run:
        caller.audit("queue add", f"{queue}: {added.added} items")
    data = {name: getattr(added, name) for name in added.__slots__} | {"dry_run": wanted.dry_run}
    following = [_step(queues.show(added.queue)), f"pilothouse queues show {added.queue}"]
    return answer(data, next=list(dict.fromkeys(following)))


@router.get("/queues/{queue}/items", response_model=Envelope[list[QueueItemInfo]])
def list_items(
    caller: Caller,
    queue: NamePart,
    after: Annotated[int, Query(ge=0, description="Only items of a greater number.")] = 0,
    limit: Annotated[int, Query(ge=1, le=1_000, description="At most so many.")] = 100,
) -> Response:
    """Items of a queue in their order, and how many labels each has."""
    caller.need("read")
    found = _queues(caller).items(queue, after=after, limit=limit)
    more = [f"pilothouse queues items {queue} --after {found[-1].number}"] if len(found) == limit else []
    return answer(found, next=more)


@router.post("/queues/{queue}/next", response_model=Envelope[QueueHanded])
def next_item(caller: Caller, queue: NamePart, wanted: NextItem) -> Response:
    """The next item for the caller, theirs alone for a while; nobody's scores or labels with it. Needs annotate."""
    caller.need("annotate")
    handed = _queues(caller).next(queue, number=wanted.number, whole=wanted.budget > 60_000)
    return answer(_handed(handed, wanted.budget), next=_choices(handed))


@router.post("/queues/{queue}/label", response_model=Envelope[QueueGiven])
def label_item(caller: Caller, queue: NamePart, wanted: NewLabel) -> Response:
    """Say what an item is, or change one's word: an annotation of the caller's on it. Needs annotate."""
    caller.need("annotate")
    return _given(caller, _queues(caller).label(queue, wanted.number, wanted.choice, note=wanted.note.strip()))


@router.post("/queues/{queue}/skip", response_model=Envelope[QueueGiven])
def skip_item(caller: Caller, queue: NamePart, wanted: OneItem) -> Response:
    """Leave an item to others. Needs annotate."""
    caller.need("annotate")
    return _given(caller, _queues(caller).skip(queue, wanted.number))


@router.post("/queues/{queue}/undo", response_model=Envelope[QueueGiven])
def undo_act(caller: Caller, queue: NamePart, wanted: LastAct) -> Response:
    """Take back the caller's last label or skip, or that of an item; it is before them again. Needs annotate."""
    caller.need("annotate")
    return _given(caller, _queues(caller).undo(queue, wanted.number))


@router.get("/queues/{queue}/labels", response_model=Envelope[QueueLabels])
def list_labels(
    caller: Caller,
    queue: NamePart,
    after: Annotated[int, Query(ge=0, description="So many labels are left out at the start.")] = 0,
    limit: Annotated[int, Query(ge=1, le=1_000, description="At most so many.")] = 200,
) -> Response:
    """What people said, oldest first; labels of items that the caller may still be asked about are held back."""
    caller.need("read")
    found = _queues(caller).labels(queue)
    page = found.labels[after : after + limit]
    end = after + len(page)
    data = {
        "queue": found.queue.name,
        "question": found.queue.question,
        "kind": found.queue.kind,
        "choices": found.queue.choices,
        "labels": [_label(one) for one in page],
        "total": len(found.labels),
        "next_after": end if end < len(found.labels) else 0,
        "held_back": found.held_back,
    }
    following = [f"pilothouse queues labels {queue} --after {end}"] if end < len(found.labels) else []
    return answer(data, next=[*following, f"pilothouse eval judge import {queue}"])


@router.get("/queues/{queue}/taxonomy", response_model=Envelope[TaxonomyInfo])
def show_taxonomy(caller: Caller, queue: NamePart) -> Response:
    """How often each category was chosen, when, three examples of each, and how the categories came to be."""
    caller.need("read")
    return answer(taxonomy_data(_queues(caller).taxonomy(queue)))


@router.post("/queues/{queue}/choices", response_model=Envelope[TaxonomyInfo])
def change_choices(caller: Caller, queue: NamePart, wanted: ChoiceChange) -> Response:
    """Add, rename or merge a category; labels that were given count under its new name. Needs write."""
    caller.need("write")
    queues = _queues(caller)
    if wanted.verb == "add":
        queues.add_choice(queue, wanted.name)
    elif wanted.verb == "rename":
        queues.rename_choice(queue, wanted.name, wanted.into)
    else:
        queues.merge_choice(queue, wanted.name, wanted.into)
    caller.audit(f"queue {wanted.verb}", f"{queue}: {wanted.name} {wanted.into}".rstrip())
    return answer(taxonomy_data(queues.taxonomy(queue)))


_MAKE = "pilothouse queues make refunds --question 'Was the refund right?'"


def _queues(caller: Context) -> Queues:
    # Whose word a label is decides as with approvals: a person is one only by more than their own word.
    return Queues(caller.store, caller.control, caller.project_id, caller.decider)


def _targets(caller: Context, wanted: NewItems) -> FoundTargets:
    ways = [
        bool(wanted.ids),
        wanted.query is not None or wanted.sample is not None,
        bool(wanted.disagree),
        bool(wanted.unsure),
    ]
    doubt = wanted.disagree or wanted.unsure
    if doubt and wanted.query is None:
        ways[1] = False
    if sum(ways) != 1:
        raise BadRequest(
            "say in one way what is to be labelled",
            got=sum(ways),
            allowed="ids; a query, with or without a sample; disagree; unsure",
            fix="pilothouse queues add NAME --sample 50",
        )
    if wanted.ids:
        if wanted.step and len(wanted.ids) > 1:
            raise BadRequest("a step is of one trace", got=len(wanted.ids))
        targets = [locate(caller.store, caller.project_id, one, wanted.step) for one in wanted.ids]
        return FoundTargets(targets=tuple(targets), how="chosen", reason="by hand", pool=len(targets))
    return find_targets(
        caller.store,
        caller.project_id,
        Wanted(
            query=wanted.query or "",
            since_ns=parse_moment(wanted.since) if wanted.since else None,
            until_ns=parse_moment(wanted.until) if wanted.until else None,
            level=wanted.level,
            sample=wanted.sample,
            seed=wanted.seed,
            doubt=("disagree" if wanted.disagree else "unsure") if doubt else None,
            names=tuple(doubt),
            limit=wanted.limit,
        ),
    )


def _summary(found: QueueInfo) -> dict[str, Any]:
    queue = {name: getattr(found.queue, name) for name in Queue.__slots__ if name != "made_ns"}
    progress = {name: getattr(found.progress, name) for name in found.progress.__slots__}
    own = {"made": iso(found.queue.made_ns), "may_label": found.may_label, "why_not": found.why_not}
    return {**queue, **progress, **own}


def _handed(handed: Handed, budget: int) -> dict[str, Any]:
    queue = handed.queue
    return {
        "queue": queue.name,
        "question": queue.question,
        "rubric": queue.rubric,
        "choices": queue.choices,
        "left": handed.left,
        "item": handed.item,
        "record": record_text(handed.record, budget) if handed.record is not None else "",
        "until": iso(handed.until_ns) if handed.until_ns else "",
    }


def _choices(handed: Handed) -> list[str]:
    name = handed.queue.name
    if handed.item is None:
        return [f"pilothouse queues show {name}", f"pilothouse queues labels {name}"]
    number = handed.item.number
    first = [f"pilothouse queues label {name} {number} {choice}" for choice in handed.queue.choices[:2]]
    return [*first, f"pilothouse queues skip {name} {number}"]


def _step(found: QueueInfo) -> str:
    """What the one who asks can do now; nothing is left to who may not label."""
    name = found.queue.name
    if not found.progress.items and not found.queue.closed:
        return f"pilothouse queues add {name} --sample 50"
    return f"pilothouse queues next {name}" if found.progress.left else f"pilothouse queues show {name}"


def _following(found: QueueInfo) -> list[str]:
    name = found.queue.name
    if not found.progress.items:
        return [f"pilothouse queues add {name} --sample 50"]
    return [
        f"pilothouse queues next {name}" if found.progress.left else "",
        f"pilothouse queues taxonomy {name}",
        f"pilothouse eval judge import {name}",
    ]


def _given(caller: Context, given: Given) -> Response:
    left = _queues(caller).left(given.queue)
    data = {name: getattr(given, name) for name in Given.__slots__} | {"left": left}
    following = [f"pilothouse queues next {given.queue}" if left else f"pilothouse queues show {given.queue}"]
    if given.act != "undo":
        following.append(f"pilothouse queues undo {given.queue}")
    return answer(data, next=following)


def _label(one: QueueLabel) -> dict[str, Any]:
    fields = {name: getattr(one, name) for name in QueueLabel.__slots__ if name != "time_ns"}
    return fields | {"time": iso(one.time_ns)}


def taxonomy_data(found: Taxonomy) -> dict[str, Any]:
    """A taxonomy as the API gives it."""
    return {
        "queue": found.queue,
        "labelled_items": found.labelled_items,
        "categories": [
            {
                "name": one.name,
                "labels": one.labels,
                "items": one.items,
                "share": one.share,
                "by_day": one.by_day,
                "first": iso(one.first_ns) if one.first_ns else "",
                "last": iso(one.last_ns) if one.last_ns else "",
                "words": one.words,
                "find": command("ls", f"score.{found.queue}:{','.join(one.words)}"),
                "examples": [
                    {name: getattr(example, name) for name in example.__slots__ if name != "time_ns"}
                    | {"time": iso(example.time_ns)}
                    for example in one.examples
                ],
            }
            for one in found.categories
        ],
        "changes": [
            {"verb": one.verb, "before": one.before, "after": one.after, "who": one.who, "time": iso(one.time_ns)}
            for one in found.changes
        ],
        "held_back": found.held_back,
    }
