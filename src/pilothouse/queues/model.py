"""What an annotation queue is, what waits in it, and what people said of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from pilothouse.store.queue_log import How, QueueRow

Kind = Literal["verdict", "categories"]
VERDICTS: Final = ("pass", "fail", "cannot-tell")
"""What a queue asks for where no categories are named."""
OUTCOMES: Final = {"pass": 1.0, "fail": 0.0}
"""The number beside the word, so that a mean can be taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """A question that people answer about traces, steps or sessions, one after the other."""

    name: str
    """Also the name of the scores that its labels are: ``pilothouse ls score.NAME:fail`` finds them."""
    question: str
    rubric: str = ""
    """How to decide, in a few sentences; shown beside every item."""
    kind: Kind = "verdict"
    choices: tuple[str, ...] = VERDICTS
    """In the order of the keys 1 to 9."""
    per_item: int = 1
    """How many people are to label each item."""
    who: tuple[str, ...] = ()
    """Who may label, by name; empty: every person with the right to annotate."""
    blind: bool = True
    """Whether a label is shown to others only once they cannot be asked about its item any more."""
    lease_s: int = 900
    """For how long an item that was handed out is nobody else's."""
    closed: bool = False
    """Whether nothing more is handed out."""
    made_by: str = ""
    made_ns: int = 0

    def as_row(self, closed_ns: int | None) -> QueueRow:
        """The queue as it is kept."""
        body = asdict(self)
        for name in ("name", "closed", "made_by", "made_ns"):
            del body[name]
        return QueueRow(queue=self.name, body=body, made_by=self.made_by, made_ns=self.made_ns, closed_ns=closed_ns)


def queue_of(row: QueueRow) -> Queue:
    """A queue from how it is kept."""
    body: dict[str, Any] = dict(row.body)
    body["choices"], body["who"] = tuple(body["choices"]), tuple(body["who"])
    closed = row.closed_ns is not None
    return Queue(name=row.queue, made_by=row.made_by, made_ns=row.made_ns, closed=closed, **body)


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a queue is."""

    items: int
    done: int
    """Items that have as many labels as are wanted."""
    labels: int
    skipped: int
    """Times somebody left an item to others."""
    out: int
    """Items that somebody has before them now."""
    people: dict[str, int]
    """Labels by who gave them."""
    twice: int
    """Items with labels of several people."""
    agreed: int
    """Of those, the ones that all say the same of."""
    mine: int
    """Labels of who asks."""
    left: int
    """Items that may still be handed to who asks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueInfo:
    """A queue and how far it is."""

    queue: Queue
    progress: Progress
    may_label: bool
    """Whether who asks may label in it."""
    why_not: str
    """Why not; empty where they may."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueItem:
    """One thing that waits for labels."""

    number: int
    """Its place in the queue, from 1; the address of its page."""
    trace_id: str
    span_id: str
    session_id: str
    how: How
    """random: of a random sample; informative: because judges are in doubt; chosen: by somebody's hand or query."""
    labels: int
    wanted: int
    mine: str
    """What who asks said of it; empty: nothing yet."""
    skipped: bool
    """Whether who asks left it to others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueLabel:
    """One person's word on one item."""

    number: int
    trace_id: str
    span_id: str
    session_id: str
    how: How
    choice: str
    """As the choices are called now."""
    said: str
    """As it was called when the label was given."""
    note: str
    who: str
    who_kind: str
    time_ns: int
    annotation_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordPart:
    """One thing that was said or done."""

    what: str
    """user, assistant, system, tool NAME, result of NAME, asked, answered."""
    text: str
    """Cleaned; its head where it is long."""
    cut_chars: int
    """How much is left out at its end."""
    step: int | None = None
    marked: bool = False
    """Whether it belongs to the very step that is to be labelled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What an item shows to who labels it: without scores, notes or labels of anybody."""

    title: str
    parts: tuple[RecordPart, ...]
    left_out: str = ""
    """What is not shown, in words; empty where it is whole."""
    gone: bool = False
    """Whether what was recorded is not stored any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Handed:
    """An item that somebody has before them."""

    queue: Queue
    left: int
    """Items that may still be handed to them, this one included."""
    may_undo: bool
    """Whether there is a label or skip of theirs to take back."""
    info: QueueInfo | None
    """How far the queue is, where nothing is left for them."""
    item: QueueItem | None
    """None: nothing is left for them."""
    record: Record | None
    until_ns: int
    """Until then nobody else is handed it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What became of a label, a skip or an undo."""

    queue: str
    number: int
    act: Literal["label", "skip", "undo"]
    outcome: Literal["added", "changed", "unchanged", "removed", "skipped"]
    choice: str
    """What is said of it now; empty: nothing."""
    before: str
    annotation_id: str = ""
    shown: bool = True
    """False where the trace store did not answer: it is safe, and shown as soon as it does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A label that shows what a category means."""

    number: int
    trace_id: str
    span_id: str
    session_id: str
    note: str
    who: str
    time_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Category:
    """One category of a taxonomy: how often, when, and three examples."""

    name: str
    labels: int
    items: int
    share: float
    """Of the items that are labelled."""
    by_day: dict[str, int]
    """Labels by the day they were given, UTC; the newest sixty."""
    first_ns: int | None
    last_ns: int | None
    words: tuple[str, ...]
    """What labels of it were called when they were given: its own name and the earlier ones."""
    examples: tuple[Example, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CategoryChange:
    """A change of the choices, as history keeps it."""

    verb: Literal["add", "rename", "merge"]
    before: str
    after: str
    who: str
    time_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Taxonomy:
    """What the labels of a queue add up to."""

    queue: str
    labelled_items: int
    categories: tuple[Category, ...]
    changes: tuple[CategoryChange, ...]
    held_back: int
    """Labels that do not count yet: who asks may still be asked about their items."""
