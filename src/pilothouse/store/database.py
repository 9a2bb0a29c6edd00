"""Opening a database of small records: SQLite in a folder by default, PostgreSQL by URL; sqlalchemy alone is needed."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event, exc

from pilothouse.records import BadRequest, Unreachable

READING = {"pilothouse_reading": True}
"""Execution options of a connection that only reads: in a database that is opened ``immediate`` it waits for no writer."""


def address_of(url: str, folder: Path, name: str) -> str:
    """The database that ``--control`` names; where it names none, a file of this name in the folder, which is made."""
    if not url:
        folder.mkdir(parents=True, exist_ok=True)
        return f"sqlite:///{folder / name}"
    if url.startswith("postgresql://"):
        return "postgresql+psycopg://" + url.removeprefix("postgresql://")
    return url


def open_database(
    url: str, *, immediate: bool = False, wait_ms: int = 20_000, pragmas: Sequence[str] = ()
) -> sa.Engine:
    """An engine over that address. Nothing is connected yet.

    ``immediate``: in SQLite a transaction takes the lock for writing as it begins. The driver's own way of beginning
    takes it too late: a reader that turns into a writer is refused.

    Raises:
        BadRequest: the address is none.
    """
    try:
        engine = sa.create_engine(url, pool_pre_ping=True)
    except (exc.ArgumentError, exc.NoSuchModuleError, ModuleNotFoundError) as error:
        raise BadRequest(
            f"this is no database address: {error}",
            got=url.split("@")[-1],
            allowed="sqlite:///FILE or postgresql+psycopg://…",
        ) from error
    if engine.dialect.name != "sqlite":
        return engine
    wanted = ("journal_mode=WAL", "synchronous=FULL", f"busy_timeout={wait_ms}", *pragmas)

    # The driver's own connection has no common type.
    def prepare(connection: Any, _: Any) -> None:
        if immediate:
            connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in wanted:
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    event.listen(engine, "connect", prepare)
    if immediate:
        event.listen(engine, "begin", _begin)
    return engine


def add_columns(connection: sa.Connection, table: sa.Table) -> None:
    """Give a table of an earlier version the columns it lacks; each needs a default of the server."""
    present = {column["name"] for column in sa.inspect(connection).get_columns(table.name)}
    for column in table.columns:
        if column.name not in present:
            shown = sa.schema.CreateColumn(column).compile(dialect=connection.dialect)
            connection.execute(sa.DDL(f"ALTER TABLE {table.name} ADD COLUMN {shown}"))


@contextlib.contextmanager
def answering(noun: str, *, opens: bool = False) -> Generator[None]:
    """Trouble of a database told as ours: ``the database of NOUN does not answer``.

    Raises:
        Unreachable: it does not answer; or where it is being opened, it does not open.
    """
    try:
        yield
    except exc.OperationalError as error:
        what = "open" if opens else "answer"
        raise Unreachable(f"the database of {noun} does not {what}: {error.orig}") from error


def _begin(connection: sa.Connection) -> None:
    reading = connection.get_execution_options().get("pilothouse_reading", False)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")
