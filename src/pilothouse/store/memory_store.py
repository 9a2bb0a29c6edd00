"""What agents remember, searched by words. SQLite (FTS5) by default, PostgreSQL by URL; sqlalchemy alone is needed.

What is forgotten is deleted, not marked: the row, its words in the index, and the bytes they stood in.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Generator
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import exc

from pilothouse.records import BadRequest, Memory

from .database import address_of, answering, open_database

MEMORIES_MAX: Final = 1_000
"""Of one user and agent."""
_WORDS_MAX: Final = 20

_METADATA = sa.MetaData()

_MEMORY = sa.Table(
    "agent_memory",
    _METADATA,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("memory_id", sa.String(64), nullable=False, unique=True),
    sa.Column("user_id", sa.String(200), nullable=False),
    sa.Column("agent", sa.String(200), nullable=False),
    sa.Column("kind", sa.String(20), nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("body_sha256", sa.String(64), nullable=False),
    sa.Column("created_ns", sa.BigInteger, nullable=False),
    sa.Column("confirmed_ns", sa.BigInteger, nullable=False),
    sa.Column("run_id", sa.String(200), nullable=False),
    sa.Column("trace_id", sa.String(32), nullable=False),
    sa.UniqueConstraint("user_id", "agent", "body_sha256"),
)


class MemoryStore:
    """The memories of one database. Safe for several threads and processes."""

    def __init__(self, url: str) -> None:
        """Open it, and make its tables where they are not there.

        Raises:
            BadRequest: the address is none.
            Unreachable: it does not open.
        """
        self._engine = open_database(url, wait_ms=10_000, pragmas=("secure_delete=ON",))
        self._sqlite = self._engine.dialect.name == "sqlite"
        with answering("memories", opens=True):
            _METADATA.create_all(self._engine)
            if self._sqlite:
                with self._engine.begin() as connection:
                    connection.execute(
                        sa.text(
                            "CREATE VIRTUAL TABLE IF NOT EXISTS agent_memory_words "
                            "USING fts5(body, tokenize = 'unicode61 remove_diacritics 2')"
                        )
                    )

    def remember(self, memory: Memory) -> Memory:
        """Keep it. The same text again is the same memory: it keeps its id and is confirmed anew.

        Raises:
            BadRequest: there are as many as one user may have with one agent.
            Unreachable: the database does not answer.
        """
        try:
            return self._remembered(memory)
        except exc.IntegrityError:
            # Another process has said the same just now: this one confirms it.
            return self._remembered(memory)

    def _remembered(self, memory: Memory) -> Memory:
        digest = hashlib.sha256(" ".join(memory.text.casefold().split()).encode()).hexdigest()
        mine = (_MEMORY.c.user_id == memory.user) & (_MEMORY.c.agent == memory.agent)
        again = {"confirmed_ns": memory.confirmed_ns, "run_id": memory.run_id, "trace_id": memory.trace_id}
        with self._writing() as connection:
            known = connection.execute(
                sa.update(_MEMORY).where(mine & (_MEMORY.c.body_sha256 == digest)).values(**again).returning(_MEMORY)
            ).first()
            if known is not None:
                return _memory(known)
            there = connection.scalar(sa.select(sa.func.count()).select_from(_MEMORY).where(mine)) or 0
            if there >= MEMORIES_MAX:
                raise BadRequest(
                    f"an agent keeps at most {MEMORIES_MAX} memories of a user", got=there, fix="forget(id) what is old"
                )
            row = connection.execute(
                sa.insert(_MEMORY)
                .values(
                    memory_id=memory.id,
                    user_id=memory.user,
                    agent=memory.agent,
                    kind=memory.kind,
                    body=memory.text,
                    body_sha256=digest,
                    created_ns=memory.created_ns,
                    **again,
                )
                .returning(_MEMORY)
            ).one()
            if self._sqlite:
                connection.execute(
                    sa.text("INSERT INTO agent_memory_words (rowid, body) VALUES (:number, :body)"),
                    {"number": row.number, "body": memory.text},
                )
            return _memory(row)

    def recall(self, user: str, agent: str, words: str = "", *, limit: int = 10) -> list[Memory]:
        """The memories that have most in common with these words, or the newest where none are given.

        Raises:
            Unreachable: the database does not answer.
        """
        mine = (_MEMORY.c.user_id == user) & (_MEMORY.c.agent == agent)
        found = re.findall(r"\w+", words.casefold())[: _WORDS_MAX * 4]
        # The longest words tell most; the order of a query tells nothing.
        terms = sorted(set(found), key=lambda word: (-len(word), word))[:_WORDS_MAX]
        newest = _MEMORY.c.confirmed_ns.desc()
        if not words.strip():
            query = sa.select(_MEMORY).where(mine).order_by(newest, _MEMORY.c.number.desc())
        elif not terms:
            return []
        elif self._sqlite:
            match = " OR ".join(f'"{word}"*' for word in terms)
            hits = (
                sa.text("SELECT rowid AS number, bm25(agent_memory_words) AS rank FROM agent_memory_words "
                        "WHERE agent_memory_words MATCH :match")
                .bindparams(match=match)
                .columns(sa.column("number", sa.Integer), sa.column("rank", sa.Float))
                .subquery()
            )  # fmt: skip
            query = (
                sa.select(_MEMORY)
                .join(hits, hits.c.number == _MEMORY.c.number)
                .where(mine)
                .order_by(hits.c.rank, newest)
            )
        elif self._engine.dialect.name == "postgresql":
            vector = sa.func.to_tsvector(sa.literal_column("'simple'"), _MEMORY.c.body)
            asked = sa.func.to_tsquery(sa.literal_column("'simple'"), " | ".join(f"{word}:*" for word in terms))
            query = (
                sa.select(_MEMORY)
                .where(mine & vector.op("@@")(asked))
                .order_by(sa.func.ts_rank(vector, asked).desc(), newest)
            )
        else:
            any_of = sa.or_(*(_MEMORY.c.body.icontains(word, autoescape=True) for word in terms))
            query = sa.select(_MEMORY).where(mine & any_of).order_by(newest)
        with answering("memories"), self._engine.connect() as connection:
            return [_memory(row) for row in connection.execute(query.limit(limit))]

    def forget(self, user: str, agent: str, id: str) -> bool:
        """Delete one memory; False where this user and agent have none of this id."""
        mine = (_MEMORY.c.user_id == user) & (_MEMORY.c.agent == agent)
        return self._delete(mine & (_MEMORY.c.memory_id == id)) > 0

    def forget_all(self, user: str, agent: str | None = None) -> int:
        """Delete everything that is remembered of a user, by one agent or by all; how many memories that were."""
        wanted = _MEMORY.c.user_id == user
        return self._delete(wanted if agent is None else wanted & (_MEMORY.c.agent == agent))

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()

    def _delete(self, wanted: sa.ColumnElement[bool]) -> int:
        with self._writing() as connection:
            gone = list(connection.scalars(sa.delete(_MEMORY).where(wanted).returning(_MEMORY.c.number)))
            if self._sqlite and gone:
                connection.execute(
                    sa.text("DELETE FROM agent_memory_words WHERE rowid = :number"), [{"number": one} for one in gone]
                )
                # A deleted word stays in the index's older segments until they are merged: what is forgotten goes now.
                connection.execute(sa.text("INSERT INTO agent_memory_words (agent_memory_words) VALUES ('optimize')"))
        if self._sqlite and gone:
            # What was deleted stands in the write-ahead log until that is written back.
            with self._engine.connect() as connection:
                connection.execute(sa.text("PRAGMA wal_checkpoint(TRUNCATE)"))
        return len(gone)

    @contextlib.contextmanager
    def _writing(self) -> Generator[sa.Connection]:
        with answering("memories"), self._engine.begin() as connection:
            yield connection


def memories_in(folder: Path) -> MemoryStore:
    """The memories kept in a folder: ``memory.db``."""
    return MemoryStore(address_of("", folder, "memory.db"))


def _memory(row: Any) -> Memory:
    return Memory(
        id=row.memory_id,
        user=row.user_id,
        agent=row.agent,
        kind=row.kind,
        text=row.body,
        created_ns=row.created_ns,
        confirmed_ns=row.confirmed_ns,
        run_id=row.run_id,
        trace_id=row.trace_id,
    )
