"""The view to label in: what happened on one side, the question with its buttons on the other, the next one at once."""

from __future__ import annotations

from dataclasses import dataclass, field

from pilothouse.queues import Queue, QueueInfo, QueueItem, Record
from pilothouse.web.context import told
from pilothouse.web.visit import PageContext, PageSpec, Visit


@dataclass(frozen=True, slots=True, kw_only=True)
class LabellingPage(PageContext):
    """One item before somebody who labels; without anybody's scores, notes or labels."""

    queue: Queue = field(metadata=told("the queue"))
    left: int = field(metadata=told("how many items may still be handed to the visitor, this one included"))
    may_undo: bool = field(metadata=told("true where there is a label or skip of the visitor's to take back"))
    info: QueueInfo | None = field(metadata=told("how far the queue is; null while an item is handed out"))
    item: QueueItem | None = field(metadata=told("the item; null where nothing is left for the visitor"))
    record: Record | None = field(metadata=told("what was said and done, bounded"))
    whole: bool = field(metadata=told("true where all that fits is shown"))
    last: int = field(metadata=told("the item that was labelled or skipped just before; 0: none"))


def gather(visit: Visit) -> LabellingPage:
    """Hand out an item."""
    name = visit.parts["queue"]
    wanted = visit.number("item", 0)
    whole = visit.word("size", ("", "whole")) == "whole"
    handed = visit.reader.queue_next(name, wanted or None, whole=whole)
    number = f" --number {handed.item.number}" if handed.item is not None else ""
    return LabellingPage(
        title=f"Label {handed.queue.name}",
        command=f"pilothouse queues next {handed.queue.name}{number}",
        queue=handed.queue,
        left=handed.left,
        may_undo=handed.may_undo,
        info=handed.info,
        item=handed.item,
        record=handed.record,
        whole=whole,
        last=visit.number("last", 0),
    )


LABELLING = PageSpec(name="labelling", path="/queues/{queue}/next", context=LabellingPage, gather=gather, nav="queues")
