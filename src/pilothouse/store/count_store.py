"""How much of a capped action was done in a period. SQLite by default, PostgreSQL by URL; sqlalchemy alone is needed.

One statement adds and compares: whoever comes second sees what the first one added, in whichever process.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from .database import address_of, answering, open_database

_METADATA = sa.MetaData()

_COUNT = sa.Table(
    "guard_count",
    _METADATA,
    # The hash of who and what: names of users have any length.
    sa.Column("count_key", sa.String(64), primary_key=True),
    sa.Column("period", sa.BigInteger, nullable=False),
    sa.Column("used", sa.BigInteger, nullable=False),
)


class CountStore:
    """The counts of one database. Safe for several threads and processes; serves the guards' ``Counts``."""

    def __init__(self, url: str) -> None:
        """Open it, and make its table where it is not there.

        Raises:
            BadRequest: the address is none.
            Unreachable: it does not open.
        """
        self._engine = open_database(url)
        with answering("counts", opens=True):
            _METADATA.create_all(self._engine)

    def take(self, key: str, amount: int, *, at_most: int, period_s: int, now_s: float) -> bool:
        """Count an amount within the period of now, unless it would pass the most; says whether it was counted.

        A clock that was put back counts on in the period that had begun.

        Raises:
            Unreachable: the database does not answer.
        """
        if amount > at_most:
            return False
        insert = postgresql.insert if self._engine.dialect.name == "postgresql" else sqlite.insert
        new = insert(_COUNT).values(
            count_key=hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest(),
            period=int(now_s // period_s),
            used=amount,
        )
        later = new.excluded.period > _COUNT.c.period
        used = sa.case((later, new.excluded.used), else_=_COUNT.c.used + new.excluded.used)
        period = sa.case((later, new.excluded.period), else_=_COUNT.c.period)
        # What is given back says whether a row was written: not every driver counts the rows of such a statement.
        statement = new.on_conflict_do_update(
            index_elements=[_COUNT.c.count_key], set_={"used": used, "period": period}, where=used <= at_most
        ).returning(_COUNT.c.used)
        with answering("counts"), self._engine.begin() as connection:
            return connection.execute(statement).first() is not None

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()


def counts_of(url: str, folder: Path) -> CountStore:
    """The counts kept beside the small records that ``--control`` names; empty: ``guards.db`` in the folder."""
    return CountStore(address_of(url, folder, "guards.db"))
