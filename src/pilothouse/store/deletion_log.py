"""Deletions in the database of small records: asked for, confirmed or refused by a person, done."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import sqlalchemy as sa

from .annotation_log import forget_floors
from .control_schema import ANNOTATION, ANNOTATION_WRITE, DELETION
from .control_store import ControlStore
from .deletion import Weighed

DeletionState = Literal["pending", "approved", "refused", "done"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeletionRecord:
    """A deletion that was asked for."""

    deletion_id: str
    project_id: str
    kind: Literal["trace", "session"]
    target_id: str
    state: DeletionState
    weighed: Weighed
    trace_ids: tuple[str, ...]
    """The traces that were there when it was asked for."""
    asked_by: str
    asked_kind: str
    asked_ns: int
    expires_ns: int
    decided_by: str = ""
    decided_ns: int | None = None


class DeletionLog:
    """Reads and writes of deletions."""

    def __init__(self, control: ControlStore) -> None:
        self._control = control

    def add(self, record: DeletionRecord) -> None:
        """Add a deletion."""
        values: dict[str, Any] = asdict(record)
        values |= {"weighed": json.dumps(values["weighed"]), "trace_ids": json.dumps(record.trace_ids)}
        with self._control.reading() as connection:
            connection.execute(DELETION.insert().values(**values))

    def get(self, project: str, deletion_id: str) -> DeletionRecord | None:
        """A deletion by its id."""
        found = self._found((DELETION.c.project_id == project) & (DELETION.c.deletion_id == deletion_id))
        return found[0] if found else None

    def pending(self, project: str, kind: str, target_id: str, now_ns: int) -> DeletionRecord | None:
        """The deletion of a target that waits for a person and has not expired."""
        own = DELETION.c
        same = (own.project_id == project) & (own.kind == kind) & (own.target_id == target_id)
        found = self._found(same & (own.state == "pending") & (own.expires_ns > now_ns))
        return found[0] if found else None

    def approved(self) -> list[DeletionRecord]:
        """Deletions that were confirmed and are not done, of all projects."""
        return self._found(DELETION.c.state == "approved")

    def decide(self, project: str, deletion_id: str, state: DeletionState, who: str, now_ns: int) -> bool:
        """Confirm or refuse a deletion that waits; True for exactly one of several callers."""
        own = DELETION.c
        waits = (own.project_id == project) & (own.deletion_id == deletion_id) & (own.state == "pending")
        change = DELETION.update().where(waits & (own.expires_ns > now_ns))
        with self._control.reading() as connection:
            return connection.execute(change.values(state=state, decided_by=who, decided_ns=now_ns)).rowcount > 0

    def done(self, record: DeletionRecord, session_id: str) -> None:
        """Note that a deletion is done, and forget what was written to what is gone. That it was written stays."""
        item = ANNOTATION.c
        mine = (item.project_id == record.project_id) & (
            item.trace_id.in_(record.trace_ids) | ((item.session_id == session_id) & (item.session_id != ""))
        )
        written = sa.select(item.annotation_id).where(mine)
        log = ANNOTATION_WRITE.update().where(ANNOTATION_WRITE.c.annotation_id.in_(written))
        with self._control.transaction(record.project_id) as connection:
            connection.execute(log.values(before=None, after=None, undone="deleted"))
            connection.execute(ANNOTATION.delete().where(mine))
            # Labels may be among them.
            forget_floors(connection, record.project_id)
            same = DELETION.c.deletion_id == record.deletion_id
            connection.execute(DELETION.update().where(same).values(state="done"))

    def _found(self, where: sa.ColumnElement[bool]) -> list[DeletionRecord]:
        wanted = sa.select(DELETION).where(where).order_by(DELETION.c.asked_ns.desc())
        with self._control.reading() as connection:
            return [_record(row) for row in connection.execute(wanted).mappings()]


def _record(row: Mapping[Any, Any]) -> DeletionRecord:
    ids: Sequence[str] = json.loads(row["trace_ids"])
    return DeletionRecord(
        deletion_id=row["deletion_id"],
        project_id=row["project_id"],
        kind=row["kind"],
        target_id=row["target_id"],
        state=row["state"],
        weighed=Weighed(**json.loads(row["weighed"])),
        trace_ids=tuple(ids),
        asked_by=row["asked_by"],
        asked_kind=row["asked_kind"],
        asked_ns=row["asked_ns"],
        expires_ns=row["expires_ns"],
        decided_by=row["decided_by"],
        decided_ns=row["decided_ns"],
    )
