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
)


def _first(connection: sa.Connection) -> None:
    for table in (PROJECT, API_KEY, PAGE_SESSION, REFUSAL, RETENTION, AUDIT):
        table.create(connection)


MIGRATIONS: tuple[Callable[[sa.Connection], None], ...] = (_first,)
