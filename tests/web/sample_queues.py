"""Annotation queues to look at: one of verdicts, one of categories with a history, one that is closed; hostile words."""

from __future__ import annotations

from pilothouse.queues import (
    Category,
    CategoryChange,
    Example,
    Handed,
    Progress,
    Queue,
    QueueInfo,
    QueueItem,
    QueueLabel,
    Record,
    RecordPart,
    Taxonomy,
)
from pilothouse.records import NotFound, clean
from pilothouse.web import QueueShown

from .sample import HOSTILE, NOW_NS

_HOUR = 3_600_000_000_000
_WORDS = clean(HOSTILE)


def sample_queues(*, empty: bool = False) -> tuple[QueueInfo, ...]:
    """All queues."""
    return () if empty else (_info("refunds"), _info("failures"), _info("old"))


def sample_annotations(name: str) -> QueueShown:
    """One queue with its labels."""
    if name not in ("refunds", "failures", "old"):
        raise NotFound("there is no such queue", got=name)
    info = _info(name)
    labels = tuple(
        QueueLabel(
            number=number, trace_id=f"{number:032x}", span_id="", session_id=HOSTILE if number == 3 else "", how="random",
            choice=info.queue.choices[number % 2], said=info.queue.choices[number % 2], note=HOSTILE if number == 1 else "",
            who=HOSTILE if number == 2 else "ada", who_kind="person", time_ns=NOW_NS - number * _HOUR, annotation_id="score_1",
        )
        for number in (1, 2, 3)
    )  # fmt: skip
    example = Example(
        number=1, trace_id=f"{1:032x}", span_id="", session_id="", note=HOSTILE, who=HOSTILE, time_ns=NOW_NS
    )
    categories = tuple(
        Category(
            name=choice, labels=3 - place, items=3 - place, share=(3 - place) / 6,
            by_day={"2026-11-18": 1, "2026-11-20": 2 - place} if place < 2 else {}, first_ns=NOW_NS, last_ns=NOW_NS,
            words=(choice, "earlier-name") if place == 0 else (choice,), examples=(example,) if place == 0 else (),
        )
        for place, choice in enumerate(info.queue.choices[:3])
    )  # fmt: skip
    change = CategoryChange(
        verb="rename", before="earlier-name", after=info.queue.choices[0], who=HOSTILE, time_ns=NOW_NS
    )
    taxonomy = Taxonomy(
        queue=name,
        labelled_items=6,
        categories=categories,
        changes=(change,) if name == "failures" else (),
        held_back=2,
    )
    return QueueShown(info=info, taxonomy=taxonomy, labels=labels, more_labels=4, may_change=True)


def sample_next(name: str, number: int | None, *, whole: bool) -> Handed:
    """An item to label; the closed queue has none."""
    info = _info(name)
    if name == "old":
        return Handed(queue=info.queue, left=0, may_undo=False, info=info, item=None, record=None, until_ns=0)
    item = QueueItem(
        number=number or 4, trace_id=f"{4:032x}", span_id="", session_id="", how="random", labels=0, wanted=2,
        mine="pass" if number == 1 else "", skipped=False,
    )  # fmt: skip
    parts = (
        RecordPart(what="user", text=_WORDS, cut_chars=0, step=1),
        RecordPart(what="call refund", text='{"order": 4411}', cut_chars=0, step=2),
        RecordPart(what="assistant", text="It is done. " * 20, cut_chars=812, step=3, marked=True),
    )
    record = Record(title=f"trace {item.trace_id[:12]} of {_WORDS[:60]}", parts=parts, left_out="12 later steps")
    left = info.progress.left
    return Handed(queue=info.queue, left=left, may_undo=True, info=None, item=item, record=record, until_ns=NOW_NS)


def _info(name: str) -> QueueInfo:
    categories = name == "failures"
    queue = Queue(
        name=name,
        question="What went wrong first?" if categories else f"Was the refund right? {HOSTILE}",
        rubric=f"Pass where the amount is right.\n{HOSTILE}",
        kind="categories" if categories else "verdict",
        choices=tuple(f"category-{number}" for number in range(1, 13))
        if categories
        else ("pass", "fail", "cannot-tell"),
        per_item=2,
        closed=name == "old",
        made_by="ada",
        made_ns=NOW_NS - 48 * _HOUR,
    )
    progress = Progress(
        items=50, done=12, labels=26, skipped=1, out=2, people={"ada": 14, HOSTILE: 12}, twice=12, agreed=10, mine=14,
        left=0 if queue.closed else 36,
    )  # fmt: skip
    why = "the queue is closed" if queue.closed else ""
    return QueueInfo(queue=queue, progress=progress, may_label=not why, why_not=why)
