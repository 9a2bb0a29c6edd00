"""Pending actions, what happened to each, and who is to be told. SQLite by default, PostgreSQL by URL.

A change is read, decided and written in one transaction, and transactions that write come one after the other: in
SQLite by its lock, in PostgreSQL by the row of the clock, which each of them takes first. The row is written only where
it is still the one that was read. So of two clicks, two servers or two processes one is first, and the other sees it.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from pilothouse.records import Broken

from .database import READING, address_of, answering, open_database

_METADATA = sa.MetaData()
_LOCK: Final = 728_105_468

_APPROVAL = sa.Table(
    "approval",
    _METADATA,
    sa.Column("project_id", sa.String(60), primary_key=True),
    sa.Column("approval_id", sa.String(100), primary_key=True),
    sa.Column("state", sa.String(10), nullable=False),
    sa.Column("revision", sa.Integer, nullable=False),
    sa.Column("digest", sa.String(64), nullable=False),
    sa.Column("tool", sa.String(200), nullable=False),
    sa.Column("agent", sa.String(200), nullable=False),
    sa.Column("run", sa.String(200), nullable=False),
    # Null where the asker gave none: those are never the same question.
    sa.Column("ask_key", sa.String(200)),
    sa.Column("due_ns", sa.BigInteger, nullable=False),
    sa.Column("made_ns", sa.BigInteger, nullable=False),
    sa.Column("changed_ns", sa.BigInteger, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.UniqueConstraint("project_id", "ask_key"),
    sa.Index("approval_by_due", "due_ns"),
    sa.Index("approval_by_state", "project_id", "state", "made_ns"),
    sa.Index("approval_by_time", "project_id", "made_ns"),
)

_EVENT = sa.Table(
    "approval_event",
    _METADATA,
    sa.Column("project_id", sa.String(60), primary_key=True),
    sa.Column("approval_id", sa.String(100), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("at_ns", sa.BigInteger, nullable=False),
    sa.Column("kind", sa.String(20), nullable=False),
    sa.Column("who", sa.String(200), nullable=False),
    sa.Column("who_kind", sa.String(20), nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
)

_NOTICE = sa.Table(
    "approval_notice",
    _METADATA,
    sa.Column("number", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("project_id", sa.String(60), nullable=False),
    sa.Column("approval_id", sa.String(100), nullable=False),
    sa.Column("channel", sa.String(100), nullable=False),
    sa.Column("kind", sa.String(20), nullable=False),
    sa.Column("state", sa.String(10), nullable=False),
    sa.Column("tries", sa.Integer, nullable=False),
    sa.Column("next_ns", sa.BigInteger, nullable=False),
    sa.Column("made_ns", sa.BigInteger, nullable=False),
    sa.Column("changed_ns", sa.BigInteger, nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
    sa.Index("approval_notice_by_next", "state", "next_ns"),
    sa.Index("approval_notice_by_approval", "project_id", "approval_id"),
)

_LINK = sa.Table(
    "approval_link",
    _METADATA,
    # The hash of the link: what stands here opens nothing.
    sa.Column("link_sha256", sa.String(64), primary_key=True),
    sa.Column("used_ns", sa.BigInteger, nullable=False),
)

_CLOCK = sa.Table(
    "approval_clock",
    _METADATA,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("seen_ns", sa.BigInteger, nullable=False),
)

_SEEN = sa.select(_CLOCK.c.seen_ns)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalRow:
    """An approval as it is kept: what is searched for in columns of its own, the rest as JSON text."""

    project_id: str
    approval_id: str
    state: str
    digest: str
    tool: str
    agent: str
    run: str
    ask_key: str | None
    due_ns: int
    """When something comes of it by itself; 0: never."""
    made_ns: int
    changed_ns: int
    body: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRow:
    """One thing that happened."""

    kind: str
    at_ns: int
    who: str
    who_kind: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeRow:
    """Somebody who is to be told of something."""

    channel: str
    kind: str
    detail: Mapping[str, Any] = field(default_factory=dict[str, Any])
    project_id: str = ""
    approval_id: str = ""
    number: int = 0
    state: str = "waiting"
    """``waiting``, ``delivered`` or ``failed``."""
    tries: int = 0
    next_ns: int = 0
    made_ns: int = 0
    changed_ns: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a decision writes, all of it or nothing."""

    row: ApprovalRow | None = None
    """The record as it is from now on; None: it stays as it is."""
    events: tuple[EventRow, ...] = ()
    made: tuple[ApprovalRow, ...] = ()
    """Further approvals that come into being with it, each with the same events."""
    notices: tuple[NoticeRow, ...] = ()
    link_sha256: str = ""
    """A link that is used up by it."""


class LinkUsed(Exception):
    """The link was used before; nothing was written."""


Decide = Callable[[str, int, int], Change]
"""Given the body, how many questions were asked, and the moment; raising writes nothing."""


class ApprovalStore:
    """The approvals of one database. Safe for several threads and processes."""

    def __init__(self, url: str) -> None:
        """Open it, and make its tables where they are not there.

        Raises:
            BadRequest: the address is none.
            Unreachable: it does not open.
        """
        self._engine = open_database(url, immediate=True)
        self._sqlite = self._engine.dialect.name == "sqlite"
        self._reader = self._engine.execution_options(**READING)
        newest = sa.func.max if self._sqlite else sa.func.greatest
        self._tick = (
            _CLOCK.update()
            .values(seen_ns=newest(_CLOCK.c.seen_ns, sa.bindparam("now", type_=sa.BigInteger)))
            .returning(_CLOCK.c.seen_ns)
        )
        with answering("approvals", opens=True), self._engine.begin() as connection:
            if not self._sqlite:
                # Several processes may start at once, and "if not exists" is not safe against that.
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
            _METADATA.create_all(connection)
            connection.execute(self._insert(_CLOCK).values(number=1, seen_ns=0).on_conflict_do_nothing())

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()

    def add(self, row: ApprovalRow, events: Sequence[EventRow], notices: Sequence[NoticeRow]) -> ApprovalRow:
        """Keep a new approval. Where its ``ask_key`` is known the one that has it is given back, and nothing is kept."""
        with self._writing(row.made_ns) as (connection, now_ns):
            made = self._insert(_APPROVAL).values(**_values(row), revision=1).on_conflict_do_nothing()
            found = connection.execute(made.returning(_APPROVAL)).first()
            if found is None:
                known = (_APPROVAL.c.project_id == row.project_id) & (_APPROVAL.c.ask_key == row.ask_key)
                return _row(connection.execute(sa.select(_APPROVAL).where(known)).one())
            self._note(connection, row.project_id, row.approval_id, events, notices, now_ns)
            return row

    def change(
        self, project_id: str, approval_id: str, now_ns: Callable[[int], int], decide: Decide
    ) -> ApprovalRow | None:
        """Read an approval, decide, and write what was decided, as one; None where there is none.

        ``now_ns`` is given the latest moment that anybody has seen, and says which it is.

        Raises:
            LinkUsed: the link it came by was used before.
            Unreachable: the database does not answer.
        """
        here = (_APPROVAL.c.project_id == project_id) & (_APPROVAL.c.approval_id == approval_id)
        with self._writing(now_ns(0)) as (connection, seen_ns):
            moment_ns = now_ns(seen_ns)
            found = connection.execute(sa.select(_APPROVAL).where(here)).first()
            if found is None:
                return None
            asked = (
                sa.select(sa.func.count())
                .select_from(_EVENT)
                .where(
                    _EVENT.c.project_id == project_id, _EVENT.c.approval_id == approval_id, _EVENT.c.kind == "question"
                )
            )
            change = decide(found.body, connection.scalar(asked) or 0, moment_ns)
            if change.link_sha256:
                used = self._insert(_LINK).values(link_sha256=change.link_sha256, used_ns=moment_ns)
                if connection.execute(used.on_conflict_do_nothing().returning(_LINK.c.used_ns)).first() is None:
                    raise LinkUsed
            if change.row is not None:
                values = _values(change.row) | {"revision": found.revision + 1}
                for key in ("project_id", "approval_id", "ask_key", "made_ns"):
                    del values[key]
                same = here & (_APPROVAL.c.revision == found.revision)
                if connection.execute(_APPROVAL.update().where(same).values(**values)).rowcount != 1:
                    raise Broken("an approval changed within the transaction that had read it", got=approval_id)
            self._note(connection, project_id, approval_id, change.events, change.notices, moment_ns)
            for made in change.made:
                connection.execute(self._insert(_APPROVAL).values(**_values(made), revision=1))
                self._note(connection, project_id, made.approval_id, change.events, (), moment_ns)
            return change.row or _row(found)

    def find(self, project_id: str, approval_id: str) -> ApprovalRow | None:
        """An approval; None where there is none."""
        here = (_APPROVAL.c.project_id == project_id) & (_APPROVAL.c.approval_id == approval_id)
        with self._reading() as connection:
            found = connection.execute(sa.select(_APPROVAL).where(here)).first()
        return None if found is None else _row(found)

    def by_key(self, project_id: str, ask_key: str) -> ApprovalRow | None:
        """The approval that a question with this key made; None where there is none."""
        here = (_APPROVAL.c.project_id == project_id) & (_APPROVAL.c.ask_key == ask_key)
        with self._reading() as connection:
            found = connection.execute(sa.select(_APPROVAL).where(here)).first()
        return None if found is None else _row(found)

    def beginning(self, project_id: str, head: str) -> list[ApprovalRow]:
        """At most two approvals whose id begins so: enough to tell whether it is one."""
        wanted = (_APPROVAL.c.project_id == project_id) & _APPROVAL.c.approval_id.startswith(head, autoescape=True)
        with self._reading() as connection:
            return [_row(row) for row in connection.execute(sa.select(_APPROVAL).where(wanted).limit(2))]

    def list(
        self,
        project_id: str,
        *,
        states: Sequence[str] = (),
        run: str = "",
        agent: str = "",
        before: tuple[int, str] | None = None,
        limit: int,
    ) -> list[ApprovalRow]:
        """Approvals, the newest first; ``before``: the moment and id of the last one of the page before."""
        wanted = _APPROVAL.c.project_id == project_id
        if states:
            wanted &= _APPROVAL.c.state.in_(states)
        if run:
            wanted &= _APPROVAL.c.run == run
        if agent:
            wanted &= _APPROVAL.c.agent == agent
        if before is not None:
            older, same = _APPROVAL.c.made_ns < before[0], _APPROVAL.c.made_ns == before[0]
            wanted &= older | (same & (_APPROVAL.c.approval_id < before[1]))
        newest = sa.select(_APPROVAL).where(wanted)
        newest = newest.order_by(_APPROVAL.c.made_ns.desc(), _APPROVAL.c.approval_id.desc())
        with self._reading() as connection:
            return [_row(row) for row in connection.execute(newest.limit(limit))]

    def counts(self, project_id: str) -> dict[str, int]:
        """How many approvals are in each state."""
        wanted = sa.select(_APPROVAL.c.state, sa.func.count()).where(_APPROVAL.c.project_id == project_id)
        with self._reading() as connection:
            rows = connection.execute(wanted.group_by(_APPROVAL.c.state))
            return {row[0]: row[1] for row in rows}

    def events(self, project_id: str, approval_id: str) -> list[EventRow]:
        """What happened to an approval, in order."""
        here = (_EVENT.c.project_id == project_id) & (_EVENT.c.approval_id == approval_id)
        with self._reading() as connection:
            rows = connection.execute(sa.select(_EVENT).where(here).order_by(_EVENT.c.number)).mappings()
            return [EventRow(**{name: row[name] for name in EventRow.__slots__}) for row in rows]

    def overdue(self, now_ns: int, limit: int) -> list[tuple[str, str]]:
        """Project and id of approvals of which something has come by itself."""
        wanted = (_APPROVAL.c.due_ns > 0) & (_APPROVAL.c.due_ns <= now_ns)
        named = sa.select(_APPROVAL.c.project_id, _APPROVAL.c.approval_id).where(wanted)
        with self._reading() as connection:
            return [
                (project_id, approval_id)
                for project_id, approval_id in connection.execute(named.order_by(_APPROVAL.c.due_ns).limit(limit))
            ]

    def tick(self, now_ns: int) -> None:
        """Note what time it is, so that whoever starts next with a clock that is behind knows."""
        with self._writing(now_ns):
            pass

    def seen_ns(self) -> int:
        """The latest moment that anybody has seen."""
        with self._reading() as connection:
            return connection.scalar(_SEEN) or 0

    # -- who is to be told -----------------------------------------------------------------------------------------

    def take_notices(self, now_ns: int, *, again_ns: int, limit: int) -> list[NoticeRow]:
        """Notices whose time has come; each is given to one of those who take them, and again only at ``again_ns``."""
        wanted = (_NOTICE.c.state == "waiting") & (_NOTICE.c.next_ns <= now_ns)
        with self._writing(now_ns) as (connection, _):
            numbers = list(
                connection.scalars(sa.select(_NOTICE.c.number).where(wanted).order_by(_NOTICE.c.next_ns).limit(limit))
            )
            taken = _NOTICE.update().where(_NOTICE.c.number.in_(numbers), wanted)
            taken = taken.values(next_ns=again_ns, tries=_NOTICE.c.tries + 1).returning(_NOTICE)
            return [_notice(row) for row in connection.execute(taken)] if numbers else []

    def end_notice(self, number: int, state: str, *, next_ns: int, detail: Mapping[str, Any], now_ns: int) -> None:
        """How telling somebody went."""
        with self._writing(now_ns) as (connection, _):
            values = {"state": state, "next_ns": next_ns, "changed_ns": now_ns, "detail": json.dumps(dict(detail))}
            connection.execute(_NOTICE.update().where(_NOTICE.c.number == number).values(**values))

    def notices(self, project_id: str, approval_id: str) -> list[NoticeRow]:
        """Who was told of an approval, and how that went."""
        here = (_NOTICE.c.project_id == project_id) & (_NOTICE.c.approval_id == approval_id)
        with self._reading() as connection:
            return [
                _notice(row) for row in connection.execute(sa.select(_NOTICE).where(here).order_by(_NOTICE.c.number))
            ]

    def link_used(self, link_sha256: str) -> bool:
        """Whether a link was used."""
        with self._reading() as connection:
            wanted = sa.select(_LINK.c.used_ns).where(_LINK.c.link_sha256 == link_sha256)
            return connection.scalar(wanted) is not None

    # -- within a transaction --------------------------------------------------------------------------------------

    def _note(
        self,
        connection: sa.Connection,
        project_id: str,
        approval_id: str,
        events: Sequence[EventRow],
        notices: Sequence[NoticeRow],
        now_ns: int,
    ) -> None:
        here = {"project_id": project_id, "approval_id": approval_id}
        if events:
            wanted = (_EVENT.c.project_id == project_id) & (_EVENT.c.approval_id == approval_id)
            last = connection.scalar(sa.select(sa.func.max(_EVENT.c.number)).where(wanted)) or 0
            rows = [
                here | {"number": last + place} | {name: getattr(event, name) for name in EventRow.__slots__}
                for place, event in enumerate(events, 1)
            ]
            connection.execute(_EVENT.insert(), rows)
        if notices:
            times = {"state": "waiting", "tries": 0, "next_ns": now_ns, "made_ns": now_ns, "changed_ns": now_ns}
            connection.execute(
                _NOTICE.insert(),
                [
                    here | times | {"channel": one.channel, "kind": one.kind, "detail": json.dumps(dict(one.detail))}
                    for one in notices
                ],
            )

    def _insert(self, table: sa.Table) -> sqlite.Insert | postgresql.Insert:
        return sqlite.insert(table) if self._sqlite else postgresql.insert(table)

    @contextlib.contextmanager
    def _writing(self, now_ns: int) -> Generator[tuple[sa.Connection, int]]:
        with answering("approvals"), self._engine.begin() as connection:
            # The row of the clock is the lock that writers share: whoever has it sees all that was written before.
            yield connection, connection.execute(self._tick, {"now": now_ns}).scalar_one()

    @contextlib.contextmanager
    def _reading(self) -> Generator[sa.Connection]:
        with answering("approvals"), self._reader.begin() as connection:
            yield connection


def approvals_of(url: str, folder: Path) -> ApprovalStore:
    """The approvals kept beside the small records that ``--control`` names; empty: ``approvals.db`` in the folder."""
    return ApprovalStore(address_of(url, folder, "approvals.db"))


def _values(row: ApprovalRow) -> dict[str, Any]:
    return {name: getattr(row, name) for name in ApprovalRow.__slots__}


# A row of the driver has no type of its own.
def _row(found: Any) -> ApprovalRow:
    return ApprovalRow(**{name: getattr(found, name) for name in ApprovalRow.__slots__})


def _notice(found: Any) -> NoticeRow:
    row = {name: getattr(found, name) for name in NoticeRow.__slots__}
    return NoticeRow(**{**row, "detail": json.loads(row["detail"])})
