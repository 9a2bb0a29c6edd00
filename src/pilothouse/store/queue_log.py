"""Annotation queues in the database of small records: what waits for a label, who has it, and who gave one.

What a label says is no column here: it is an annotation, and the act names it. Where that was removed, by whatever
command, there is no label any more.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.sql.elements import ColumnElement

from pilothouse.records import Target

from .annotation_log import forget_floors
from .control_schema import ANNOTATION, QUEUE, QUEUE_ACT, QUEUE_CHANGE, QUEUE_FLOOR, QUEUE_ITEM
from .control_store import ControlStore

Act = Literal["lease", "label", "skip"]
How = Literal["random", "informative", "chosen"]


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueRow:
    """One queue as it is kept."""

    queue: str
    body: Mapping[str, Any]
    made_by: str
    made_ns: int
    closed_ns: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemRow:
    """One thing that waits for labels."""

    number: int
    target: Target
    how: How
    reason: str
    added_by: str
    added_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ActRow:
    """What one person did with one item: has it, labelled it, left it out."""

    number: int
    who: str
    act: Act
    annotation_id: str
    until_ns: int
    at_ns: int
    state: str | None = None
    """Of a label: what it says, as JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeRow:
    """A change of a queue's choices."""

    verb: Literal["add", "rename", "merge"]
    before: str
    after: str
    who: str
    at_ns: int


class QueueLog:
    """Reads and writes of the queues of one project."""

    def __init__(self, control: ControlStore, project: str) -> None:
        self._control = control
        self._project = project

    @contextlib.contextmanager
    def writing(self) -> Generator[QueueWriting]:
        """A transaction that no other one of the project runs beside: two who ask at once are told different things."""
        with self._control.transaction(self._project) as connection:
            yield QueueWriting(connection, self._project)

    @contextlib.contextmanager
    def reading(self) -> Generator[QueueWriting]:
        """The same to read from."""
        with self._control.reading() as connection:
            yield QueueWriting(connection, self._project)


class QueueWriting:
    """The queues inside of one transaction."""

    def __init__(self, connection: sa.Connection, project: str) -> None:
        self._connection = connection
        self._project = project

    # -- queues ----------------------------------------------------------------------------------------------------

    def queues(self) -> list[QueueRow]:
        """All queues, the newest first."""
        wanted = sa.select(QUEUE).where(QUEUE.c.project_id == self._project)
        rows = self._connection.execute(wanted.order_by(QUEUE.c.made_ns.desc(), QUEUE.c.queue)).mappings()
        return [_queue(row) for row in rows]

    def queue(self, name: str) -> QueueRow | None:
        """A queue by its name."""
        wanted = sa.select(QUEUE).where((QUEUE.c.project_id == self._project) & (QUEUE.c.queue == name))
        row = self._connection.execute(wanted).mappings().first()
        return None if row is None else _queue(row)

    def put_queue(self, row: QueueRow) -> None:
        """Make a queue, or make it what it is from now on."""
        own = (QUEUE.c.project_id == self._project) & (QUEUE.c.queue == row.queue)
        new = {"body": json.dumps(row.body, ensure_ascii=False), "closed_ns": row.closed_ns}
        if not self._connection.execute(QUEUE.update().where(own).values(**new)).rowcount:
            made = {"queue": row.queue, "made_by": row.made_by, "made_ns": row.made_ns}
            self._connection.execute(QUEUE.insert().values(project_id=self._project, **made, **new))

    # -- items -----------------------------------------------------------------------------------------------------

    def items(self, queue: str) -> list[ItemRow]:
        """All items of a queue, in their order."""
        wanted = sa.select(QUEUE_ITEM).where(self._mine(QUEUE_ITEM, queue)).order_by(QUEUE_ITEM.c.number)
        return [_item(row) for row in self._connection.execute(wanted).mappings()]

    def item(self, queue: str, number: int) -> ItemRow | None:
        """One item."""
        wanted = sa.select(QUEUE_ITEM).where(self._mine(QUEUE_ITEM, queue) & (QUEUE_ITEM.c.number == number))
        row = self._connection.execute(wanted).mappings().first()
        return None if row is None else _item(row)

    def items_from(self, queue: str, first: int, *, limit: int) -> list[ItemRow]:
        """Items from a number on, in their order."""
        wanted = sa.select(QUEUE_ITEM).where(self._mine(QUEUE_ITEM, queue) & (QUEUE_ITEM.c.number >= first))
        rows = self._connection.execute(wanted.order_by(QUEUE_ITEM.c.number).limit(limit)).mappings()
        return [_item(row) for row in rows]

    def last_number(self, queue: str) -> int:
        """The number of the last item, so also how many there are: none is ever taken out."""
        wanted = sa.select(sa.func.max(QUEUE_ITEM.c.number)).where(self._mine(QUEUE_ITEM, queue))
        return self._connection.scalar(wanted) or 0

    def add_items(self, queue: str, rows: Sequence[ItemRow]) -> None:
        """Append items."""
        if rows:
            self._connection.execute(
                QUEUE_ITEM.insert(),
                [
                    {
                        "project_id": self._project,
                        "queue": queue,
                        "number": row.number,
                        "trace_id": row.target.trace_id,
                        "span_id": row.target.span_id,
                        "session_id": row.target.session_id,
                        "how": row.how,
                        "reason": row.reason,
                        "added_by": row.added_by,
                        "added_ns": row.added_ns,
                    }
                    for row in rows
                ],
            )

    # -- what people did -------------------------------------------------------------------------------------------

    def acts(self, queue: str, *, first: int = 0, last: int | None = None) -> list[ActRow]:
        """What people did with items from one number to another, in order; labels only as far as their annotations are there."""
        where = self._mine(QUEUE_ACT, queue)
        if first:
            where &= QUEUE_ACT.c.number >= first
        if last is not None:
            where &= QUEUE_ACT.c.number <= last
        wanted = sa.select(*_ACT_COLUMNS, ANNOTATION.c.state).select_from(_THERE).where(where & _LIVE)
        rows = self._connection.execute(wanted.order_by(QUEUE_ACT.c.at_ns, QUEUE_ACT.c.number)).mappings()
        return [ActRow(**dict(row)) for row in rows]  # type: ignore[arg-type]  # columns by their names

    def last_act(self, queue: str, who: str) -> ActRow | None:
        """A person's newest label or skip that stands."""
        found: list[ActRow] = []
        for act in ("label", "skip"):
            own = self._mine(QUEUE_ACT, queue) & (QUEUE_ACT.c.who == who) & (QUEUE_ACT.c.act == act) & _LIVE
            wanted = sa.select(*_ACT_COLUMNS, ANNOTATION.c.state).select_from(_THERE).where(own)
            newest = wanted.order_by(QUEUE_ACT.c.at_ns.desc(), QUEUE_ACT.c.number.desc()).limit(1)
            found += [ActRow(**dict(row)) for row in self._connection.execute(newest).mappings()]  # type: ignore[arg-type]
        return max(found, key=lambda one: (one.at_ns, one.number), default=None)

    def leased(self, queue: str, who: str, now_ns: int) -> list[int]:
        """The items that a person has before them."""
        own = self._mine(QUEUE_ACT, queue) & (QUEUE_ACT.c.who == who) & (QUEUE_ACT.c.act == "lease")
        wanted = sa.select(QUEUE_ACT.c.number).where(own & (QUEUE_ACT.c.until_ns > now_ns))
        return sorted(self._connection.scalars(wanted))

    def closed(self, queue: str, who: str, per_item: int, first: int) -> int:
        """How many items from a number on a person cannot be asked about any more."""
        where = self._mine(QUEUE_ACT, queue) & (QUEUE_ACT.c.number >= first) & _LIVE
        labels = sa.func.sum(sa.case((QUEUE_ACT.c.act == "label", 1), else_=0))
        own = sa.func.sum(sa.case(((QUEUE_ACT.c.who == who) & (QUEUE_ACT.c.act != "lease"), 1), else_=0))
        each = sa.select(QUEUE_ACT.c.number).select_from(_THERE).where(where).group_by(QUEUE_ACT.c.number)
        done = each.having((labels >= per_item) | (own > 0)).subquery()
        return self._connection.scalar(sa.select(sa.func.count()).select_from(done)) or 0

    def floor(self, queue: str, who: str) -> int:
        """The first item that a person may still be asked about, as far as is known."""
        own = self._mine(QUEUE_FLOOR, queue) & (QUEUE_FLOOR.c.who == who)
        return self._connection.scalar(sa.select(QUEUE_FLOOR.c.number).where(own)) or 1

    def put_floor(self, queue: str, who: str, number: int) -> None:
        """Keep that all items before a number are behind a person."""
        own = self._mine(QUEUE_FLOOR, queue) & (QUEUE_FLOOR.c.who == who)
        if not self._connection.execute(QUEUE_FLOOR.update().where(own).values(number=number)).rowcount:
            values = {"project_id": self._project, "queue": queue, "who": who, "number": number}
            self._connection.execute(QUEUE_FLOOR.insert().values(values))

    def forget_floors(self, queue: str) -> None:
        """Items that were done may be open again, for anybody."""
        forget_floors(self._connection, self._project, queue)

    def put_act(self, queue: str, row: ActRow) -> None:
        """What a person has done with an item, in the place of what they did before."""
        own = self._mine(QUEUE_ACT, queue) & (QUEUE_ACT.c.number == row.number) & (QUEUE_ACT.c.who == row.who)
        new = {
            "act": row.act,
            "annotation_id": row.annotation_id,
            "until_ns": row.until_ns,
            "at_ns": row.at_ns,
        }
        if not self._connection.execute(QUEUE_ACT.update().where(own).values(**new)).rowcount:
            key = {"project_id": self._project, "queue": queue, "number": row.number, "who": row.who}
            self._connection.execute(QUEUE_ACT.insert().values(**key, **new))

    # -- choices ---------------------------------------------------------------------------------------------------

    def changes(self, queue: str) -> list[ChangeRow]:
        """What became of the choices, oldest first."""
        own = QUEUE_CHANGE.c
        columns = (own.verb, own.before, own.after, own.who, own.at_ns)
        wanted = sa.select(*columns).where(self._mine(QUEUE_CHANGE, queue)).order_by(own.sequence)
        rows = self._connection.execute(wanted).mappings()
        return [ChangeRow(**dict(row)) for row in rows]  # type: ignore[arg-type]  # columns by their names

    def add_change(self, queue: str, row: ChangeRow) -> None:
        """Note a change of the choices."""
        values = {name: getattr(row, name) for name in ChangeRow.__slots__}
        self._connection.execute(QUEUE_CHANGE.insert().values(project_id=self._project, queue=queue, **values))

    def _mine(self, table: sa.Table, queue: str) -> ColumnElement[bool]:
        return (table.c.project_id == self._project) & (table.c.queue == queue)


_THERE = QUEUE_ACT.outerjoin(ANNOTATION, ANNOTATION.c.annotation_id == QUEUE_ACT.c.annotation_id)
_LIVE = (QUEUE_ACT.c.act != "label") | ANNOTATION.c.state.is_not(None)
_ACT_COLUMNS = [QUEUE_ACT.c[name] for name in ("number", "who", "act", "annotation_id", "until_ns", "at_ns")]


def _queue(row: Mapping[Any, Any]) -> QueueRow:
    return QueueRow(
        queue=row["queue"],
        body=json.loads(row["body"]),
        made_by=row["made_by"],
        made_ns=int(row["made_ns"]),
        closed_ns=row["closed_ns"],
    )


def _item(row: Mapping[Any, Any]) -> ItemRow:
    return ItemRow(
        number=int(row["number"]),
        target=Target(trace_id=row["trace_id"], span_id=row["span_id"], session_id=row["session_id"]),
        how=row["how"],
        reason=row["reason"],
        added_by=row["added_by"],
        added_ns=int(row["added_ns"]),
    )
