"""The queues of a project: made, filled, handed out item by item, and what people said.

A label is an annotation: a score by the queue's name, of the person who gave it. It shows beside the trace, is found by
search, and is in exports; taking the annotation back by whatever command takes the label back. What is kept here is who
has which item before them, who gave and who left out what.
"""

from __future__ import annotations

import difflib
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pilothouse.annotations import Change, write
from pilothouse.annotations.states import identity
from pilothouse.records import Actor, BadRequest, Clock, Forbidden, NotFound, SystemClock, Target, command
from pilothouse.store import TraceStore
from pilothouse.store.control_store import ControlStore
from pilothouse.store.queue_log import ActRow, ChangeRow, ItemRow, QueueLog, QueueWriting

from .check import ADDED_MAX, ITEMS_MAX, NOTE_CHARS_MAX, check_choice, check_choices, check_queue, check_words
from .finding import FoundTargets
from .model import OUTCOMES, Given, Handed, Progress, Queue, QueueInfo, QueueItem, QueueLabel, Taxonomy, queue_of
from .record import record_of
from .taxonomy import called_now, taxonomy_of

_SECOND = 1_000_000_000
_WINDOW = 200
"""Items that are looked through at once for the next one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Added:
    """What became of things that were to be added."""

    queue: str
    added: int
    already: int
    """They were in it before."""
    items: int
    """How many are in it now."""
    pool: int
    how: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """The labels of a queue."""

    queue: Queue
    labels: tuple[QueueLabel, ...]
    held_back: int
    """Labels that are not shown: who asks may still be asked about their items."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """A queue as it stands, for one person."""

    queue: Queue
    items: Sequence[ItemRow]
    acts: Sequence[ActRow]
    changes: Sequence[ChangeRow]
    me: str
    now_ns: int
    by_item: dict[int, list[ActRow]] = field(default_factory=dict[int, list[ActRow]])

    def __post_init__(self) -> None:
        for act in self.acts:
            self.by_item.setdefault(act.number, []).append(act)

    def labels(self, number: int) -> list[ActRow]:
        """The labels of an item."""
        return [act for act in self.by_item.get(number, ()) if act.act == "label"]

    def mine(self, number: int) -> ActRow | None:
        """What this person did with an item."""
        return next((act for act in self.by_item.get(number, ()) if act.who == self.me), None)

    def open(self, item: ItemRow) -> bool:
        """Whether this person may still be asked about an item."""
        mine = self.mine(item.number)
        done = mine is not None and mine.act != "lease"
        return not done and len(self.labels(item.number)) < self.queue.per_item

    def free(self, item: ItemRow) -> bool:
        """Whether it can be handed to this person now: others who have it before them count as if they had labelled."""
        others = sum(
            act.act == "lease" and act.who != self.me and act.until_ns > self.now_ns
            for act in self.by_item.get(item.number, ())
        )
        return self.open(item) and len(self.labels(item.number)) + others < self.queue.per_item

    def choice(self, act: ActRow) -> str:
        """What a label says, as it is called now."""
        return called_now(_said(act)["label"], _said(act)["time_ns"], self.changes)

    def hidden(self, item: ItemRow) -> bool:
        """Whether what others said of it must not be shown to this person."""
        return self.queue.blind and not self.queue.closed and self.open(item) and not why_not(self.queue, self.me)


class Queues:
    """The queues of a project, for one person or program."""

    def __init__(
        self, store: TraceStore, control: ControlStore, project: str, actor: Actor, clock: Clock | None = None
    ) -> None:
        self._store = store
        self._control = control
        self._project = project
        self._actor = actor
        self._who = who_of(actor)
        self._clock = clock or SystemClock()
        self._log = QueueLog(control, project)

    # -- making and filling ----------------------------------------------------------------------------------------

    def make(self, queue: Queue, *, choices: Sequence[str] = ()) -> tuple[Queue, bool]:
        """Make a queue; whether it is new. One of the same name is changed, except for what its labels depend on.

        Raises:
            BadRequest: it does not fit, or its choices are others.
        """
        if choices:
            queue = replace(queue, kind="categories", choices=tuple(choices))
        check_queue(queue)
        now_ns = self._clock.now_ns()
        with self._log.writing() as log:
            before = log.queue(queue.name)
            if before is None:
                made = replace(queue, made_by=self._actor.name, made_ns=now_ns)
                log.put_queue(made.as_row(now_ns if queue.closed else None))
                return made, True
            was = queue_of(before)
            if choices and set(choices) != set(was.choices):
                raise BadRequest(
                    "the queue has other choices: they are renamed and merged, so that its labels stay what they are",
                    got=list(choices),
                    allowed=list(was.choices),
                    fix=f"pilothouse queues choices {queue.name} --add wrong-tool",
                )
            kept = {"kind": was.kind, "choices": was.choices, "made_by": was.made_by, "made_ns": was.made_ns}
            changed = replace(queue, **kept)
            log.put_queue(changed.as_row((before.closed_ns or now_ns) if queue.closed else None))
            if changed.per_item != was.per_item:
                log.forget_floors(queue.name)
            return changed, False

    def find(self, name: str) -> Queue:
        """A queue by its name.

        Raises:
            NotFound: there is none.
        """
        with self._log.reading() as log:
            return self._queue(log, name)

    def close(self, name: str, *, closed: bool) -> Queue:
        """Hand out nothing more, or go on."""
        with self._log.writing() as log:
            queue = replace(self._queue(log, name), closed=closed)
            log.put_queue(queue.as_row(self._clock.now_ns() if closed else None))
        return queue

    def add(self, name: str, found: FoundTargets, *, dry_run: bool = False) -> Added:
        """Put things into a queue; what is in it already stays where it is.

        Raises:
            BadRequest: they are too many.
        """
        if len(found.targets) > ADDED_MAX:
            raise BadRequest(
                "that many are not added at once", got=len(found.targets), allowed=f"at most {ADDED_MAX:,}"
            )
        with self._log.writing() as log:
            self._queue(log, name)
            items = log.items(name)
            there = {one.target for one in items}
            fresh = [one for one in dict.fromkeys(found.targets) if one not in there]
            if len(items) + len(fresh) > ITEMS_MAX:
                raise BadRequest("the queue would hold too many", got=len(items) + len(fresh), allowed=f"{ITEMS_MAX:,}")
            first = items[-1].number + 1 if items else 1
            rows = [
                ItemRow(
                    number=first + place,
                    target=target,
                    how=found.how,
                    reason=found.reason,
                    added_by=self._actor.name,
                    added_ns=self._clock.now_ns(),
                )
                for place, target in enumerate(fresh)
            ]
            if not dry_run:
                log.add_items(name, rows)
        return Added(
            queue=name,
            added=len(rows),
            already=len(found.targets) - len(rows),
            items=len(items) + len(rows),
            pool=found.pool,
            how=found.how,
        )

    # -- looking ---------------------------------------------------------------------------------------------------

    def list(self) -> list[QueueInfo]:
        """All queues and how far they are, the newest first; closed ones at the end."""
        with self._log.reading() as log:
            found = [self._seen(log, queue_of(row)) for row in log.queues()]
        return sorted((self._info(one) for one in found), key=lambda one: one.queue.closed)

    def show(self, name: str) -> QueueInfo:
        """One queue and how far it is."""
        with self._log.reading() as log:
            return self._info(self._seen(log, self._queue(log, name)))

    def items(self, name: str, *, after: int = 0, limit: int = 100) -> list[QueueItem]:
        """Items of a queue in their order, after one of them."""
        with self._log.reading() as log:
            seen = self._seen(log, self._queue(log, name))
        return [self._item(seen, one) for one in seen.items if one.number > after][:limit]

    def labels(self, name: str) -> Labels:
        """What people said, oldest first; without what who asks is not to see before their own word."""
        with self._log.reading() as log:
            seen = self._seen(log, self._queue(log, name))
        shown: list[QueueLabel] = []
        held, gap = 0, _gap(seen)
        by_number = {one.number: one for one in seen.items}
        for act in seen.acts:
            item = by_number.get(act.number)
            if act.act != "label" or item is None:
                continue
            if seen.hidden(item):
                held += 1
                continue
            label = _label(seen, item, act)
            shown.append(replace(label, how="chosen") if item.how == "random" and item.number > gap else label)
        return Labels(queue=seen.queue, labels=tuple(shown), held_back=held)

    def taxonomy(self, name: str) -> Taxonomy:
        """How often each choice was made, when, with examples, and what became of the choices."""
        found = self.labels(name)
        with self._log.reading() as log:
            changes = log.changes(name)
        return taxonomy_of(found.queue, found.labels, changes, held_back=found.held_back)

    # -- labelling -------------------------------------------------------------------------------------------------

    def next(self, name: str, *, number: int | None = None, whole: bool = False) -> Handed:
        """The next item for who asks, theirs alone while the lease lasts. Asked again, it is the same one.

        ``number``: that very item, also one that is labelled.

        Raises:
            Forbidden: they may not label here.
            NotFound: there is no such queue or item.
        """
        with self._log.writing() as log:
            queue = self._queue(log, name)
            self._refuse(queue)
            if number is not None:
                seen = self._around(log, queue, number)
                item: ItemRow | None = seen.items[0]
            else:
                seen, item = self._next(log, queue)
            until_ns = 0
            if item is not None and seen.open(item):
                lease = self._lease(seen, item.number)
                until_ns = lease.until_ns
                log.put_act(name, lease)
            left = self._left(log, queue)
            may_undo = log.last_act(name, self._who) is not None
        record = record_of(self._store, self._project, item.target, whole=whole) if item is not None else None
        shown = self._item(seen, item) if item is not None else None
        return Handed(
            queue=queue,
            left=left,
            may_undo=may_undo,
            info=self.show(name) if item is None else None,
            item=shown,
            record=record,
            until_ns=until_ns,
        )

    def left(self, name: str) -> int:
        """How many items may still be handed to who asks."""
        with self._log.reading() as log:
            return self._left(log, self._queue(log, name))

    def label(self, name: str, number: int, choice: str, *, note: str = "") -> Given:
        """Say what an item is. The same twice changes nothing; something else changes one's word.

        Raises:
            BadRequest: there is no such choice.
            Forbidden: who asks may not label here.
            NotFound: there is no such queue or item.
        """
        check_words(note, "a note", NOTE_CHARS_MAX)
        now_ns = self._clock.now_ns()
        with self._log.writing() as log:
            queue = self._queue(log, name)
            self._refuse(queue)
            seen = self._around(log, queue, number)
            (item,) = seen.items
            if choice not in seen.queue.choices:
                raise _no_choice(seen.queue, choice)
            before = seen.mine(number)
            change = self._change(seen.queue, item.target, choice, note)
            annotation_id = identity(self._project, change, self._run(name))
            # First who, then what: an act whose annotation a kill left out is no label.
            log.put_act(
                name,
                ActRow(
                    number=number, who=self._who, act="label", annotation_id=annotation_id, until_ns=0, at_ns=now_ns
                ),
            )
        said = seen.choice(before) if before is not None and before.act == "label" else ""
        written = self._write(change, name)
        outcome = written.items[0].outcome
        return Given(
            queue=name,
            number=number,
            act="label",
            outcome="added" if outcome == "restored" else outcome,
            choice=choice,
            before=said,
            annotation_id=annotation_id,
            shown=written.shown,
        )

    def skip(self, name: str, number: int) -> Given:
        """Leave an item to others; one's own label of it stays.

        Raises:
            Forbidden: who asks may not label here.
            NotFound: there is no such queue or item.
        """
        with self._log.writing() as log:
            queue = self._queue(log, name)
            self._refuse(queue)
            seen = self._around(log, queue, number)
            mine = seen.mine(number)
            if mine is not None and mine.act != "lease":
                said = seen.choice(mine) if mine.act == "label" else ""
                return Given(queue=name, number=number, act="skip", outcome="unchanged", choice=said, before=said)
            log.put_act(
                name,
                ActRow(number=number, who=self._who, act="skip", annotation_id="", until_ns=0, at_ns=seen.now_ns),
            )
        return Given(queue=name, number=number, act="skip", outcome="skipped", choice="", before="")

    def undo(self, name: str, number: int | None = None) -> Given:
        """Take back one's last label or skip, or that of an item; it is before them again.

        Raises:
            Forbidden: who asks may not label here.
            NotFound: there is nothing of theirs to take back.
        """
        with self._log.reading() as log:
            queue = self._queue(log, name)
            self._refuse(queue)
            last = log.last_act(name, self._who) if number is None else self._around(log, queue, number).mine(number)
            seen = self._around(log, queue, last.number) if last is not None else None
        if last is None or seen is None or last.act == "lease":
            raise NotFound(
                "you have nothing to take back in this queue",
                got=name if number is None else f"{name} item {number}",
                fix=f"pilothouse queues next {name}",
            )
        said, shown = "", True
        if last.act == "label":
            said = seen.choice(last)
            target = seen.items[0].target
            # First what, then who: a label whose annotation is gone is none, wherever a kill comes.
            shown = self._write(replace(self._change(seen.queue, target, "", ""), remove=True), name).shown
        with self._log.writing() as log:
            log.put_act(name, self._lease(seen, last.number))
            if log.floor(name, self._who) > last.number:
                log.put_floor(name, self._who, last.number)
        return Given(queue=name, number=last.number, act="undo", outcome="removed", choice="", before=said, shown=shown)

    # -- choices ---------------------------------------------------------------------------------------------------

    def add_choice(self, name: str, choice: str) -> Queue:
        """One more choice, the last."""
        check_choice(choice)
        with self._log.writing() as log:
            queue = self._categories(log, name)
            if choice in queue.choices:
                return queue
            changed = replace(queue, choices=(*queue.choices, choice))
            return self._changed(log, changed, "add", "", choice)

    def rename_choice(self, name: str, before: str, after: str) -> Queue:
        """Call a choice something else from now on, in labels that were given as well.

        Raises:
            BadRequest: there is no such choice, or the new name is one.
        """
        check_choice(after)
        with self._log.writing() as log:
            queue = self._categories(log, name)
            _known(queue, before)
            if after in queue.choices:
                raise BadRequest(
                    "there is such a choice already",
                    got=after,
                    fix=f"pilothouse queues choices {name} --merge {before} {after}",
                )
            choices = tuple(after if one == before else one for one in queue.choices)
            return self._changed(log, replace(queue, choices=choices), "rename", before, after)

    def merge_choice(self, name: str, before: str, after: str) -> Queue:
        """Take a choice for another one from now on, in labels that were given as well.

        Raises:
            BadRequest: there are no such choices, or too few would be left.
        """
        with self._log.writing() as log:
            queue = self._categories(log, name)
            _known(queue, before)
            _known(queue, after)
            if before == after:
                raise BadRequest("a choice is not merged into itself", got=before)
            choices = tuple(one for one in queue.choices if one != before)
            return self._changed(log, replace(queue, choices=choices), "merge", before, after)

    def _categories(self, log: QueueWriting, name: str) -> Queue:
        queue = self._queue(log, name)
        if queue.kind == "verdict":
            raise BadRequest(
                "the choices of a queue of verdicts stay what they are",
                got=name,
                fix="pilothouse queues make failures --question 'What went wrong?' --choice wrong-tool --choice other",
            )
        return queue

    def _changed(self, log: QueueWriting, queue: Queue, verb: Any, before: str, after: str) -> Queue:
        check_choices(queue.choices)
        row = log.queue(queue.name)
        log.put_queue(queue.as_row(row.closed_ns if row is not None else None))
        change = ChangeRow(verb=verb, before=before, after=after, who=self._actor.name, at_ns=self._clock.now_ns())
        log.add_change(queue.name, change)
        return queue

    # -- parts -----------------------------------------------------------------------------------------------------

    def _queue(self, log: QueueWriting, name: str) -> Queue:
        row = log.queue(name)
        if row is not None:
            return queue_of(row)
        known = [one.queue for one in log.queues()]
        close = difflib.get_close_matches(name, known, n=3, cutoff=0.4) or known[:5]
        make = "pilothouse queues make refunds --question 'Was the refund right?'"
        raise NotFound(
            "there is no such queue",
            got=name[:100],
            allowed=close or None,
            fix=f"pilothouse queues show {close[0]}" if close else make,
        )

    def _seen(self, log: QueueWriting, queue: Queue) -> _Seen:
        return _Seen(
            queue,
            log.items(queue.name),
            log.acts(queue.name),
            log.changes(queue.name),
            self._who,
            self._clock.now_ns(),
        )

    def _part(self, log: QueueWriting, queue: Queue, items: Sequence[ItemRow]) -> _Seen:
        """Some items that follow each other, with all that was done with them."""
        acts = log.acts(queue.name, first=items[0].number, last=items[-1].number)
        return _Seen(queue, items, acts, log.changes(queue.name), self._who, self._clock.now_ns())

    def _around(self, log: QueueWriting, queue: Queue, number: int) -> _Seen:
        """One item, with all that was done with it."""
        found = log.item(queue.name, number)
        if found is None:
            last = log.last_number(queue.name)
            raise NotFound(
                "the queue has no such item",
                got=number,
                allowed=f"1 to {last}" if last else "it is empty",
                fix=f"pilothouse queues items {queue.name}",
            )
        return self._part(log, queue, [found])

    def _next(self, log: QueueWriting, queue: Queue) -> tuple[_Seen, ItemRow | None]:
        """What is handed out: what they have before them, else the first that is free. Notes up to where all is done."""
        name = queue.name
        for number in log.leased(name, self._who, self._clock.now_ns()):
            seen = self._around(log, queue, number)
            if seen.open(seen.items[0]):
                return seen, seen.items[0]
        before = log.floor(name, self._who)
        first, floor, found = before, 0, None
        seen = _Seen(queue, (), (), (), self._who, self._clock.now_ns())
        while found is None and (items := log.items_from(name, first, limit=_WINDOW)):
            seen = self._part(log, queue, items)
            floor = floor or next((one.number for one in items if seen.open(one)), 0)
            found = next((one for one in items if seen.free(one)), None)
            first = items[-1].number + 1
        if (floor or first) > before:
            log.put_floor(name, self._who, floor or first)
        return seen, found

    def _left(self, log: QueueWriting, queue: Queue) -> int:
        if why_not(queue, self._who):
            return 0
        first = log.floor(queue.name, self._who)
        last = log.last_number(queue.name)
        return max(0, last - first + 1) - log.closed(queue.name, self._who, queue.per_item, first)

    def _refuse(self, queue: Queue) -> None:
        reason = why_not(queue, self._who)
        if reason:
            fix = command(
                "queues", "make", queue.name, *(("--reopen",) if queue.closed else ("--who", self._actor.name))
            )
            raise Forbidden(reason, got=self._actor.name, allowed=list(queue.who) or "people", fix=fix)

    def _lease(self, seen: _Seen, number: int) -> ActRow:
        until_ns = seen.now_ns + seen.queue.lease_s * _SECOND
        return ActRow(number=number, who=self._who, act="lease", annotation_id="", until_ns=until_ns, at_ns=seen.now_ns)

    def _info(self, seen: _Seen) -> QueueInfo:
        reason = why_not(seen.queue, self._who)
        return QueueInfo(queue=seen.queue, progress=_progress(seen), may_label=not reason, why_not=reason)

    def _item(self, seen: _Seen, item: ItemRow) -> QueueItem:
        mine = seen.mine(item.number)
        return QueueItem(
            number=item.number,
            trace_id=item.target.trace_id,
            span_id=item.target.span_id,
            session_id=item.target.session_id,
            how=item.how,
            labels=len(seen.labels(item.number)),
            wanted=seen.queue.per_item,
            mine=seen.choice(mine) if mine is not None and mine.act == "label" else "",
            skipped=mine is not None and mine.act == "skip",
        )

    def _change(self, queue: Queue, target: Target, choice: str, note: str) -> Change:
        return Change(
            kind="score",
            target=target,
            name=queue.name,
            value=OUTCOMES.get(choice) if queue.kind == "verdict" else None,
            label=choice,
            text=note,
            identifier=f"queue:{queue.name}:{self._who}",
        )

    def _write(self, change: Change, name: str) -> Any:
        return write(
            self._store,
            self._control,
            self._project,
            [change],
            actor=self._actor,
            run=self._run(name),
            # It is their own by name, whether they gave it on the page or on a command line.
            anybodys=True,
            now_ns=self._clock.now_ns(),
        )

    def _run(self, name: str) -> str:
        return f"queue:{name}:{re.sub(r'[^A-Za-z0-9._@+-]+', '-', self._who)}"


def who_of(actor: Actor) -> str:
    """A person or program, told apart by name: the same on the page and on a command line."""
    return f"{actor.kind}:{actor.name.strip().casefold()[:100]}"


def why_not(queue: Queue, who: str) -> str:
    """Why somebody may not label in a queue; empty where they may."""
    kind, _, name = who.partition(":")
    if queue.closed:
        return "the queue is closed"
    if queue.who:
        return "" if name in {one.strip().casefold() for one in queue.who} else "the queue names others to label in it"
    return "" if kind == "person" else "a label is a person's word, unless the queue names a program"


def _progress(seen: _Seen) -> Progress:
    said = {item.number: [seen.choice(act) for act in seen.labels(item.number)] for item in seen.items}
    twice = [choices for choices in said.values() if len(choices) > 1]
    labels = [act for act in seen.acts if act.act == "label"]
    return Progress(
        items=len(seen.items),
        done=sum(len(choices) >= seen.queue.per_item for choices in said.values()),
        labels=len(labels),
        skipped=sum(act.act == "skip" for act in seen.acts),
        out=sum(act.act == "lease" and act.until_ns > seen.now_ns for act in seen.acts),
        people=dict(Counter(str(_said(act)["actor"]) for act in labels).most_common(50)),
        twice=len(twice),
        agreed=sum(len(set(choices)) == 1 for choices in twice),
        mine=sum(act.who == seen.me for act in labels),
        left=0 if why_not(seen.queue, seen.me) else sum(seen.open(item) for item in seen.items),
    )


def _gap(seen: _Seen) -> int:
    """The last item up to which the random sample is labelled without a gap: who picks among it has not drawn one.

    What somebody left out is no gap; how many that are is told beside it.
    """
    for item in seen.items:
        if item.how == "random" and not any(act.act != "lease" for act in seen.by_item.get(item.number, ())):
            return item.number
    return seen.items[-1].number if seen.items else 0


def _label(seen: _Seen, item: ItemRow, act: ActRow) -> QueueLabel:
    said = _said(act)
    return QueueLabel(
        number=item.number,
        trace_id=item.target.trace_id,
        span_id=item.target.span_id,
        session_id=item.target.session_id,
        how=item.how,
        choice=seen.choice(act),
        said=said["label"],
        note=said["text"],
        who=said["actor"],
        who_kind=said["actor_kind"],
        time_ns=said["time_ns"],
        annotation_id=act.annotation_id,
    )


def _said(act: ActRow) -> Mapping[str, Any]:
    found: Mapping[str, Any] = json.loads(act.state or "{}")
    return {"label": "", "text": "", "actor": "", "actor_kind": "", "time_ns": act.at_ns, **found}


def _known(queue: Queue, choice: str) -> None:
    if choice not in queue.choices:
        raise _no_choice(queue, choice)


def _no_choice(queue: Queue, choice: str) -> BadRequest:
    fix = f"pilothouse queues choices {queue.name} --add {choice}" if queue.kind == "categories" else None
    return BadRequest("the queue has no such choice", got=choice[:100], allowed=list(queue.choices), fix=fix)
