"""How many rows a statement would change: it is run, its rows are counted, and everything is rolled back.

    count_rows(engine, "DELETE FROM orders WHERE year = :year", {"year": 2019})

Locks are held meanwhile, and triggers run; what a statement does outside of its transaction (sequences, calls of other
servers) is not taken back. So only a single INSERT, UPDATE, DELETE, MERGE or REPLACE is counted; all else is refused.
"""

from __future__ import annotations

import re
from typing import Any, Final

from pilothouse.records import BadRequest, Unreachable

_CHANGES = re.compile(r"\s*(?:--[^\n]*\n\s*|/\*.*?\*/\s*)*(insert|update|delete|merge|replace|with)\b", re.I | re.S)
_SAVEPOINT: Final = "pilothouse_dry_run"
TIMEOUT_S: Final = 10
"""In PostgreSQL: what takes longer is not counted, since it holds locks."""


# A database is an engine or connection of sqlalchemy, or a connection of a driver: they have no common type.
def count_rows(database: Any, statement: str, parameters: Any = None, *, timeout_s: float = TIMEOUT_S) -> int:
    """How many rows it would change.

    ``parameters`` are written as the database wants them: ``:name`` for sqlalchemy, the driver's own way otherwise.
    A connection that is in a transaction already keeps it as it was.

    Raises:
        BadRequest: it is more than one statement, or changes no rows, or fails.
        Unreachable: the database does not answer.
    """
    text = statement.strip().rstrip(";").rstrip()
    # One that ends the transaction within would make the count real.
    if ";" in text:
        raise BadRequest("one statement is counted at a time, and none that holds a semicolon", got=statement[:200])
    if not _CHANGES.match(text):
        raise BadRequest(
            "only a statement that changes rows is counted",
            got=statement[:200],
            allowed=["INSERT", "UPDATE", "DELETE", "MERGE", "REPLACE"],
        )
    if hasattr(database, "dialect"):
        return _by_sqlalchemy(database, text, parameters, timeout_s)
    return _by_driver(database, text, parameters, timeout_s)


def _by_sqlalchemy(database: Any, text: str, parameters: Any, timeout_s: float) -> int:
    import sqlalchemy as sa
    from sqlalchemy import exc

    try:
        if isinstance(database, sa.Engine):
            with database.connect() as connection:
                return _counted(connection, text, parameters, timeout_s)
        return _counted(database, text, parameters, timeout_s)
    except exc.OperationalError as error:
        raise Unreachable(f"the statement cannot be counted: {error.orig}") from error
    except exc.SQLAlchemyError as error:
        raise BadRequest(f"the statement cannot be counted: {str(error)[:300]}", got=text[:200]) from error


def _counted(connection: Any, text: str, parameters: Any, timeout_s: float) -> int:
    import sqlalchemy as sa

    before = connection.in_transaction()
    postgresql = connection.dialect.name == "postgresql"
    if connection.dialect.name == "sqlite" and not before:
        # Its driver begins a transaction only at the first change, and by then a savepoint would stand outside of it.
        connection.exec_driver_sql("BEGIN")
    nested = connection.begin_nested()
    try:
        if postgresql:
            # It ends with the savepoint that it was set in.
            connection.execute(
                sa.text("SELECT set_config('statement_timeout', :most, true)"), {"most": str(int(timeout_s * 1_000))}
            )
        return _whole(connection.execute(sa.text(text), parameters or {}).rowcount, text)
    finally:
        if nested.is_active:
            nested.rollback()
        if not before:
            connection.rollback()


def _by_driver(connection: Any, text: str, parameters: Any, timeout_s: float) -> int:
    cursor = connection.cursor()
    sqlite = type(connection).__module__.partition(".")[0] == "sqlite3"
    begun = bool(getattr(connection, "in_transaction", True)) if sqlite else True
    try:
        if not begun:
            cursor.execute("BEGIN")
        cursor.execute(f"SAVEPOINT {_SAVEPOINT}")
        try:
            if not sqlite:
                cursor.execute("SELECT set_config('statement_timeout', %s, true)", (str(int(timeout_s * 1_000)),))
            cursor.execute(text, parameters) if parameters else cursor.execute(text)
            return _whole(cursor.rowcount, text)
        finally:
            cursor.execute(f"ROLLBACK TO SAVEPOINT {_SAVEPOINT}")
            cursor.execute(f"RELEASE SAVEPOINT {_SAVEPOINT}")
            if not begun:
                cursor.execute("ROLLBACK")
    except BadRequest:
        raise
    except Exception as error:  # each driver has its own
        raise BadRequest(f"the statement cannot be counted: {str(error)[:300]}", got=text[:200]) from error
    finally:
        cursor.close()


def _whole(rows: int, text: str) -> int:
    if rows < 0:
        raise BadRequest("the database does not say how many rows this changes", got=text[:200])
    return rows
