"""The log of annotations in the database of small records: what each is now, and every write that made it so.

The log decides; the trace store holds what it says, for reading. A write is on disk here before it is shown there, and
what a killed process had not yet passed on is passed on later (``unstored``).
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa

from pilothouse.records import Actor, AnnotationKind, Target

from .control_schema import ANNOTATION, ANNOTATION_WRITE, QUEUE_FLOOR
from .control_store import ControlStore

Verb = Literal["add", "change", "remove", "confirm"]
_CHUNK = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """An annotation as it is now."""

    annotation_id: str
    kind: AnnotationKind
    target: Target
    name: str
    state: str | None
    """What it says, as JSON; None where it was removed."""
    version: int
    created_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One write of the log that was not undone."""

    sequence: int
    annotation_id: str
    run: str
    actor_id: str
    actor: str
    after: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """What one run wrote."""

    run: str
    actor: str
    actor_kind: str
    writes: int
    undone: int
    first_ns: int
    last_ns: int


class AnnotationLog:
    """Reads and writes of the log. Writes of one project are one after the other, in all processes."""

    def __init__(self, control: ControlStore) -> None:
        self._control = control

    @contextlib.contextmanager
    def writing(self, project: str, *, keep: bool = True) -> Generator[AnnotationWriting]:
        """A transaction of writes: all of them are on disk at its end, or none; without ``keep`` none."""
        with self._control.transaction(project, keep=keep) as connection:
            yield AnnotationWriting(connection, project)

    def item(self, project: str, annotation_id: str) -> Item | None:
        """One annotation, removed ones included."""
        with self._control.reading() as connection:
            return AnnotationWriting(connection, project).items([annotation_id]).get(annotation_id)

    def run_items(self, project: str, run: str) -> list[str]:
        """The annotations that a run wrote to and that were not taken back, in the order of its first write."""
        log = ANNOTATION_WRITE.c
        mine = (log.project_id == project) & (log.run == run) & (log.undone == "")
        first = sa.func.min(log.sequence)
        wanted = sa.select(log.annotation_id).where(mine).group_by(log.annotation_id).order_by(first)
        with self._control.reading() as connection:
            return list(connection.scalars(wanted))

    def run_actors(self, project: str, run: str) -> dict[str, str]:
        """Who wrote in a run what was not taken back: names by id."""
        log = ANNOTATION_WRITE.c
        mine = (log.project_id == project) & (log.run == run) & (log.undone == "")
        with self._control.reading() as connection:
            rows = connection.execute(
                sa.select(log.actor_id, sa.func.max(log.actor)).where(mine).group_by(log.actor_id)
            )
            return {str(row[0]): str(row[1]) for row in rows}

    def runs(self, project: str, *, run: str = "", limit: int = 200) -> list[RunSummary]:
        """The runs that wrote, the newest first."""
        log = ANNOTATION_WRITE.c
        wanted = (
            sa.select(
                log.run,
                sa.func.max(log.actor).label("actor"),
                sa.func.max(log.actor_kind).label("actor_kind"),
                sa.func.count().label("writes"),
                sa.func.sum(sa.case((log.undone != "", 1), else_=0)).label("undone"),
                sa.func.min(log.time_ns).label("first_ns"),
                sa.func.max(log.time_ns).label("last_ns"),
            )
            .where(log.project_id == project)
            .group_by(log.run)
            .order_by(sa.func.max(log.sequence).desc())
            .limit(limit)
        )
        if run:
            wanted = wanted.where(log.run == run)
        with self._control.reading() as connection:
            return [
                RunSummary(
                    run=row["run"],
                    actor=row["actor"],
                    actor_kind=row["actor_kind"],
                    writes=int(row["writes"]),
                    undone=int(row["undone"]),
                    first_ns=int(row["first_ns"]),
                    last_ns=int(row["last_ns"]),
                )
                for row in connection.execute(wanted).mappings()
            ]

    def unstored(self, limit: int = 500) -> list[tuple[str, Item]]:
        """Annotations, with their projects, that the trace store does not show yet as they are."""
        wanted = sa.select(ANNOTATION).where(ANNOTATION.c.version > ANNOTATION.c.stored_version).limit(limit)
        with self._control.reading() as connection:
            return [(row["project_id"], _item(row)) for row in connection.execute(wanted).mappings()]

    def stored(self, items: Iterable[Item]) -> None:
        """Remember that the trace store shows these as they are."""
        own = ANNOTATION.c
        with self._control.reading() as connection:
            for item in items:
                same = (own.annotation_id == item.annotation_id) & (own.stored_version < item.version)
                connection.execute(ANNOTATION.update().where(same).values(stored_version=item.version))

    def renew(self, project: str, annotation_ids: Sequence[str], now_ns: int) -> None:
        """Give annotations that are shown late a version of now: who asks for what changed since then must see them."""
        own = ANNOTATION.c
        with self._control.transaction(project) as connection:
            for annotation_id in annotation_ids:
                later = (own.annotation_id == annotation_id) & (own.version < now_ns)
                connection.execute(ANNOTATION.update().where(later).values(version=now_ns))


class AnnotationWriting:
    """The log inside of one transaction."""

    def __init__(self, connection: sa.Connection, project: str) -> None:
        self._connection = connection
        self._project = project

    def items(self, annotation_ids: Sequence[str]) -> dict[str, Item]:
        """Annotations by id, removed ones included."""
        found: dict[str, Item] = {}
        for some in _chunks(annotation_ids):
            wanted = sa.select(ANNOTATION).where(
                (ANNOTATION.c.project_id == self._project) & ANNOTATION.c.annotation_id.in_(some)
            )
            found.update((row["annotation_id"], _item(row)) for row in self._connection.execute(wanted).mappings())
        return found

    def on(self, target: Target, kind: str, name: str) -> list[Item]:
        """What is on a target now, of one kind and name, oldest first."""
        own = ANNOTATION.c
        place = (own.project_id == self._project) & (own.trace_id == target.trace_id) & (own.span_id == target.span_id)
        what = (own.session_id == target.session_id) & (own.kind == kind) & (own.name == name)
        wanted = sa.select(ANNOTATION).where(place & what & own.state.is_not(None))
        rows = self._connection.execute(wanted.order_by(own.created_ns, own.annotation_id)).mappings()
        return [_item(row) for row in rows]

    def entries(self, annotation_ids: Sequence[str]) -> dict[str, list[Entry]]:
        """The writes of annotations that were not undone, in order."""
        log = ANNOTATION_WRITE.c
        columns = (log.sequence, log.annotation_id, log.run, log.actor_id, log.actor, log.after)
        found: dict[str, list[Entry]] = {}
        for some in _chunks(annotation_ids):
            live = (log.project_id == self._project) & log.annotation_id.in_(some) & (log.undone == "")
            for row in self._connection.execute(sa.select(*columns).where(live).order_by(log.sequence)).mappings():
                found.setdefault(row["annotation_id"], []).append(Entry(**row))
        return found

    def put(self, item: Item) -> None:
        """Make an annotation what it is from now on."""
        own = ANNOTATION.c
        if item.state is None:
            # It may have been a label: its item may be asked about again, by those who had passed it as well.
            forget_floors(self._connection, self._project, item.name)
        change = ANNOTATION.update().where(own.annotation_id == item.annotation_id)
        changed = self._connection.execute(change.values(state=item.state, version=item.version)).rowcount
        if not changed:
            self._connection.execute(
                ANNOTATION.insert().values(
                    annotation_id=item.annotation_id,
                    project_id=self._project,
                    kind=item.kind,
                    trace_id=item.target.trace_id,
                    span_id=item.target.span_id,
                    session_id=item.target.session_id,
                    name=item.name,
                    state=item.state,
                    version=item.version,
                    stored_version=0,
                    created_ns=item.created_ns,
                )
            )

    def append(self, item: Item, verb: Verb, before: str | None, *, actor: Actor, run: str, now_ns: int) -> None:
        """Log a write."""
        self._connection.execute(
            ANNOTATION_WRITE.insert().values(
                project_id=self._project,
                annotation_id=item.annotation_id,
                run=run,
                actor_id=actor.id,
                actor=actor.name,
                actor_kind=actor.kind,
                verb=verb,
                before=before,
                after=item.state,
                time_ns=now_ns,
            )
        )

    def mark_undone(self, sequences: Sequence[int], undo_id: str) -> None:
        """Note that writes were taken back."""
        for some in _chunks(sequences):
            mine = ANNOTATION_WRITE.c.sequence.in_(some)
            self._connection.execute(ANNOTATION_WRITE.update().where(mine).values(undone=undo_id))


def forget_floors(connection: sa.Connection, project: str, queue: str = "") -> None:
    """Of a queue, or all of a project: look for open items from the first one on."""
    own = QUEUE_FLOOR.c.project_id == project
    connection.execute(QUEUE_FLOOR.delete().where(own & (QUEUE_FLOOR.c.queue == queue) if queue else own))


def _item(row: Mapping[Any, Any]) -> Item:
    return Item(
        annotation_id=row["annotation_id"],
        kind=row["kind"],
        target=Target(trace_id=row["trace_id"], span_id=row["span_id"], session_id=row["session_id"]),
        name=row["name"],
        state=row["state"],
        version=int(row["version"]),
        created_ns=int(row["created_ns"]),
    )


def _chunks(values: Sequence[Any]) -> Generator[Sequence[Any]]:
    for first in range(0, len(values), _CHUNK):
        yield values[first : first + _CHUNK]
