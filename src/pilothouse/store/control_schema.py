"""Small records: projects, keys, sign-ins, refusals, audit. SQLite by default, PostgreSQL by URL.

A migration is a numbered function, applied and recorded in one transaction, never edited after release.
"""

from __future__ import annotations

from collections.abc import Callable

import sqlalchemy as sa

METADATA = sa.MetaData()

MIGRATION = sa.Table(
    "schema_migration",
    METADATA,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("applied_ns", sa.BigInteger, nullable=False),
)

PROJECT = sa.Table(
    "project",
    METADATA,
    sa.Column("project_id", sa.String(60), primary_key=True),
    sa.Column("name", sa.String(200), nullable=False, unique=True),
    sa.Column("created_ns", sa.BigInteger, nullable=False),
)

API_KEY = sa.Table(
    "api_key",
    METADATA,
    sa.Column("key_id", sa.String(60), primary_key=True),
    sa.Column("project_id", sa.String(60), sa.ForeignKey("project.project_id"), nullable=False),
    sa.Column("name", sa.String(200), nullable=False),
    sa.Column("mode", sa.String(20), nullable=False),
    sa.Column("secret_hash", sa.String(64), nullable=False, unique=True),
    sa.Column("hint", sa.String(20), nullable=False),
    sa.Column("created_ns", sa.BigInteger, nullable=False),
    sa.Column("revoked_ns", sa.BigInteger),
    sa.Column("actor_kind", sa.String(20), nullable=False, server_default=""),
)

PAGE_SESSION = sa.Table(
    "page_session",
    METADATA,
    sa.Column("secret_hash", sa.String(64), primary_key=True),
    sa.Column("purpose", sa.String(20), nullable=False),
    sa.Column("project_id", sa.String(60), sa.ForeignKey("project.project_id"), nullable=False),
    sa.Column("mode", sa.String(20), nullable=False),
    sa.Column("created_ns", sa.BigInteger, nullable=False),
    sa.Column("expires_ns", sa.BigInteger, nullable=False),
    sa.Column("person", sa.String(200), nullable=False, server_default=""),
)

REFUSAL = sa.Table(
    "refusal",
    METADATA,
    sa.Column("hour_ns", sa.BigInteger, primary_key=True),
    sa.Column("project_id", sa.String(60), primary_key=True),
    sa.Column("reason", sa.String(60), primary_key=True),
    sa.Column("source", sa.String(100), primary_key=True),
    sa.Column("count", sa.BigInteger, nullable=False),
    sa.Column("last_ns", sa.BigInteger, nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
)

RETENTION = sa.Table(
    "retention",
    METADATA,
    sa.Column("project_id", sa.String(60), primary_key=True),
    sa.Column("environment", sa.String(200), primary_key=True),
    sa.Column("kind", sa.String(20), primary_key=True),
    sa.Column("days", sa.Integer),
    sa.Column("budget_bytes", sa.BigInteger),
)

AUDIT = sa.Table(
    "audit",
    METADATA,
    sa.Column("audit_id", sa.String(60), primary_key=True),
    sa.Column("time_ns", sa.BigInteger, nullable=False),
    sa.Column("project_id", sa.String(60), nullable=False),
    sa.Column("who", sa.String(200), nullable=False),
    sa.Column("action", sa.String(60), nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
    sa.Column("run", sa.String(200), nullable=False, server_default=""),
)

ANNOTATION = sa.Table(
    "annotation",
    METADATA,
    sa.Column("annotation_id", sa.String(60), primary_key=True),
    sa.Column("project_id", sa.String(60), sa.ForeignKey("project.project_id"), nullable=False),
    sa.Column("kind", sa.String(20), nullable=False),
    sa.Column("trace_id", sa.String(32), nullable=False),
    sa.Column("span_id", sa.String(16), nullable=False),
    sa.Column("session_id", sa.Text, nullable=False),
    sa.Column("name", sa.String(200), nullable=False),
    sa.Column("state", sa.Text),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Column("stored_version", sa.BigInteger, nullable=False),
    sa.Column("created_ns", sa.BigInteger, nullable=False),
)
sa.Index("annotation_by_target", ANNOTATION.c.project_id, ANNOTATION.c.trace_id, ANNOTATION.c.span_id)
_UNSTORED = ANNOTATION.c.version > ANNOTATION.c.stored_version
sa.Index("annotation_unstored", ANNOTATION.c.version, sqlite_where=_UNSTORED, postgresql_where=_UNSTORED)

ANNOTATION_WRITE = sa.Table(
    "annotation_write",
    METADATA,
    sa.Column("sequence", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("project_id", sa.String(60), nullable=False),
    sa.Column("annotation_id", sa.String(60), nullable=False),
    sa.Column("run", sa.String(200), nullable=False),
    sa.Column("actor_id", sa.String(200), nullable=False),
    sa.Column("actor", sa.String(200), nullable=False),
    sa.Column("actor_kind", sa.String(20), nullable=False),
    sa.Column("verb", sa.String(20), nullable=False),
    sa.Column("before", sa.Text),
    sa.Column("after", sa.Text),
    sa.Column("time_ns", sa.BigInteger, nullable=False),
    sa.Column("undone", sa.String(60), nullable=False, server_default=""),
    # A number that was given once is never given again: the order of writes stays what it was.
    sqlite_autoincrement=True,
)
sa.Index("annotation_write_by_item", ANNOTATION_WRITE.c.annotation_id, ANNOTATION_WRITE.c.sequence)
sa.Index("annotation_write_by_run", ANNOTATION_WRITE.c.project_id, ANNOTATION_WRITE.c.run)

DELETION = sa.Table(
    "deletion",
    METADATA,
    sa.Column("deletion_id", sa.String(60), primary_key=True),
    sa.Column("project_id", sa.String(60), sa.ForeignKey("project.project_id"), nullable=False),
    sa.Column("kind", sa.String(20), nullable=False),
    sa.Column("target_id", sa.Text, nullable=False),
    sa.Column("state", sa.String(20), nullable=False),
    sa.Column("weighed", sa.Text, nullable=False),
    sa.Column("trace_ids", sa.Text, nullable=False),
    sa.Column("asked_by", sa.String(200), nullable=False),
    sa.Column("asked_kind", sa.String(20), nullable=False),
    sa.Column("asked_ns", sa.BigInteger, nullable=False),
    sa.Column("expires_ns", sa.BigInteger, nullable=False),
    sa.Column("decided_by", sa.String(200), nullable=False, server_default=""),
    sa.Column("decided_ns", sa.BigInteger),
)

POLICY_VERSION = sa.Table(
    "policy_version",
    METADATA,
    sa.Column("number", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("version", sa.String(12), nullable=False),
    sa.Column("revision", sa.String(12), nullable=False),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("state", sa.String(20), nullable=False),
    sa.Column("who", sa.String(200), nullable=False),
    sa.Column("who_kind", sa.String(20), nullable=False),
    sa.Column("note", sa.Text, nullable=False),
    sa.Column("of", sa.BigInteger),
    sa.Column("made_ns", sa.BigInteger, nullable=False),
    sqlite_autoincrement=True,
)

GUARD_PROPOSAL = sa.Table(
    "guard_proposal",
    METADATA,
    sa.Column("proposal_id", sa.String(60), primary_key=True),
    sa.Column("project_id", sa.String(60), sa.ForeignKey("project.project_id"), nullable=False),
    sa.Column("state", sa.String(20), nullable=False),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
    sa.Column("made_by", sa.String(200), nullable=False),
    sa.Column("made_ns", sa.BigInteger, nullable=False),
    sa.Column("decided_by", sa.String(200), nullable=False, server_default=""),
    sa.Column("decided_ns", sa.BigInteger),
    sa.Column("policy_number", sa.BigInteger),
)

QUEUE = sa.Table(
    "annotation_queue",
    METADATA,
    sa.Column("project_id", sa.String(60), sa.ForeignKey("project.project_id"), primary_key=True),
    sa.Column("queue", sa.String(100), primary_key=True),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("made_by", sa.String(200), nullable=False),
    sa.Column("made_ns", sa.BigInteger, nullable=False),
    sa.Column("closed_ns", sa.BigInteger),
)

QUEUE_ITEM = sa.Table(
    "annotation_queue_item",
    METADATA,
    sa.Column("project_id", sa.String(60), primary_key=True),
    sa.Column("queue", sa.String(100), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("trace_id", sa.String(32), nullable=False),
    sa.Column("span_id", sa.String(16), nullable=False),
    sa.Column("session_id", sa.Text, nullable=False),
    sa.Column("how", sa.String(20), nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("added_by", sa.String(200), nullable=False),
    sa.Column("added_ns", sa.BigInteger, nullable=False),
)

QUEUE_ACT = sa.Table(
    "annotation_queue_act",
    METADATA,
    sa.Column("project_id", sa.String(60), primary_key=True),
    sa.Column("queue", sa.String(100), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    # One row for each person and item: what they have, gave or left out there.
    sa.Column("who", sa.String(220), primary_key=True),
    sa.Column("act", sa.String(20), nullable=False),
    sa.Column("annotation_id", sa.String(60), nullable=False),
    sa.Column("until_ns", sa.BigInteger, nullable=False),
    sa.Column("at_ns", sa.BigInteger, nullable=False),
)

QUEUE_CHANGE = sa.Table(
    "annotation_queue_change",
    METADATA,
    sa.Column("sequence", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("project_id", sa.String(60), nullable=False),
    sa.Column("queue", sa.String(100), nullable=False),
    sa.Column("verb", sa.String(20), nullable=False),
    sa.Column("before", sa.String(200), nullable=False),
    sa.Column("after", sa.String(200), nullable=False),
    sa.Column("who", sa.String(200), nullable=False),
    sa.Column("at_ns", sa.BigInteger, nullable=False),
    sqlite_autoincrement=True,
)
sa.Index("annotation_queue_change_by_queue", QUEUE_CHANGE.c.project_id, QUEUE_CHANGE.c.queue)


QUEUE_FLOOR = sa.Table(
    "annotation_queue_floor",
    METADATA,
    sa.Column("project_id", sa.String(60), primary_key=True),
    sa.Column("queue", sa.String(100), primary_key=True),
    sa.Column("who", sa.String(220), primary_key=True),
    # Of all items before it this person cannot be asked any more. Gone where a label is taken back.
    sa.Column("number", sa.Integer, nullable=False),
)
_ACT = QUEUE_ACT.c
_ACT_BY_WHO = sa.Index("annotation_queue_act_by_who", _ACT.project_id, _ACT.queue, _ACT.who, _ACT.act, _ACT.at_ns)


def _first(connection: sa.Connection) -> None:
    for table in (PROJECT, API_KEY, PAGE_SESSION, REFUSAL, RETENTION, AUDIT):
        table.create(connection)


def _second(connection: sa.Connection) -> None:
    """Annotations and who wrote them."""
    _add_column(connection, API_KEY, "actor_kind")
    _add_column(connection, AUDIT, "run")
    ANNOTATION.create(connection)
    ANNOTATION_WRITE.create(connection)


def _third(connection: sa.Connection) -> None:
    """Deletions that wait for a person."""
    DELETION.create(connection)


def _fourth(connection: sa.Connection) -> None:
    """Versions of the policy file, and rules that are proposed for it."""
    POLICY_VERSION.create(connection)
    GUARD_PROPOSAL.create(connection)


def _fifth(connection: sa.Connection) -> None:
    """Whom a browser was signed in for."""
    _add_column(connection, PAGE_SESSION, "person")


def _sixth(connection: sa.Connection) -> None:
    """Queues of what people are to label."""
    for table in (QUEUE, QUEUE_ITEM, QUEUE_ACT, QUEUE_CHANGE):
        table.create(connection)


def _seventh(connection: sa.Connection) -> None:
    """Up to where each person has labelled a queue, and what they did there last."""
    QUEUE_FLOOR.create(connection)
    _ACT_BY_WHO.create(connection, checkfirst=True)


def _add_column(connection: sa.Connection, table: sa.Table, name: str) -> None:
    """Add a column that a database of an older version lacks; a new one was made with it."""
    if name in {column["name"] for column in sa.inspect(connection).get_columns(table.name)}:
        return
    column = sa.schema.CreateColumn(table.c[name]).compile(dialect=connection.dialect)
    connection.execute(sa.text(f"ALTER TABLE {table.name} ADD COLUMN {column}"))


MIGRATIONS: tuple[Callable[[sa.Connection], None], ...] = (_first, _second, _third, _fourth, _fifth, _sixth, _seventh)
