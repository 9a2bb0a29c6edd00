"""What was spent and what is held back, by budget, subject and period. SQLite by default, PostgreSQL by URL.

Money is whole billionths of a dollar: sums are exact and a comparison in SQL is too. A reservation touches all its
accounts in one transaction or none; each account is compared and raised by one UPDATE, so whoever comes second sees
what the first one held back. Accounts are taken in one order, so two reservations never wait for each other.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import event, exc
from sqlalchemy.dialects import postgresql, sqlite

from pilothouse.records import BadRequest, Overloaded, Unreachable

_METADATA = sa.MetaData()
_LOCK: Final = 728_105_467
_STEP_MAX_NS: Final = 60_000_000_000
_KEPT_NS: Final = 35 * 86_400_000_000_000
_SWEEP_ROWS: Final = 1_000
_TRIES_MAX: Final = 50

_ACCOUNT = sa.Table(
    "budget_account",
    _METADATA,
    sa.Column("project_id", sa.String(60), primary_key=True),
    sa.Column("budget", sa.String(100), primary_key=True),
    sa.Column("subject", sa.String(300), primary_key=True),
    sa.Column("period", sa.String(20), primary_key=True),
    sa.Column("spent_nano", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("held_nano", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("tokens", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("held_tokens", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("calls", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("refused", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("changed_ns", sa.BigInteger, nullable=False),
)

_RESERVATION = sa.Table(
    "budget_reservation",
    _METADATA,
    sa.Column("project_id", sa.String(60), primary_key=True),
    sa.Column("reservation_id", sa.String(100), primary_key=True),
    sa.Column("state", sa.String(10), nullable=False),
    sa.Column("held_nano", sa.BigInteger, nullable=False),
    sa.Column("held_tokens", sa.BigInteger, nullable=False),
    sa.Column("spent_nano", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("spent_tokens", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("late", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("accounts", sa.Text, nullable=False),
    sa.Column("purpose", sa.String(20), nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
    sa.Column("made_ns", sa.BigInteger, nullable=False),
    sa.Column("lease_ns", sa.BigInteger, nullable=False),
    sa.Column("expires", sa.BigInteger, nullable=False),
    sa.Index("budget_reservation_by_expiry", "state", "expires"),
    sa.Index("budget_reservation_by_time", "project_id", "made_ns"),
)

_CLOCK = sa.Table(
    "budget_clock",
    _METADATA,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("wall_ns", sa.BigInteger, nullable=False),
    sa.Column("passed", sa.BigInteger, nullable=False),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Where a reservation takes from: one budget of one subject in one period."""

    budget: str
    subject: str
    period: str
    limit_nano: int | None
    """Spent and held together never pass it by a reservation; None: no bound on money."""
    limit_tokens: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """An account as it stands."""

    budget: str
    subject: str
    period: str
    spent_nano: int
    held_nano: int
    tokens: int
    held_tokens: int
    calls: int
    refused: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A reservation as it stands."""

    reservation_id: str
    state: str
    """``held``, ``settled``, ``released`` or ``expired``."""
    held_nano: int
    held_tokens: int
    spent_nano: int
    spent_tokens: int
    late: bool
    """Settled after it had expired."""
    accounts: tuple[tuple[str, str, str], ...]
    purpose: str
    detail: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class PurposeRow:
    """What calls of one purpose cost."""

    purpose: str
    calls: int
    spent_nano: int
    tokens: int


class Full(Exception):
    """At least one account has too little left; nothing was taken from any."""

    def __init__(self, accounts: tuple[tuple[Account, Balance], ...]) -> None:
        super().__init__(f"{len(accounts)} accounts have too little left")
        self.accounts = accounts
        """Those that have, and how they stand."""


class BudgetStore:
    """The accounts and reservations of one database. Safe for several threads and processes."""

    def __init__(self, url: str) -> None:
        """Open it, and make its tables where they are not there.

        Raises:
            BadRequest: the address is none.
            Unreachable: it does not open.
        """
        try:
            self._engine = sa.create_engine(url, pool_pre_ping=True)
        except (exc.ArgumentError, exc.NoSuchModuleError, ModuleNotFoundError) as error:
            raise BadRequest(
                f"this is no database address: {error}",
                got=url.split("@")[-1],
                allowed="sqlite:///FILE or postgresql+psycopg://…",
            ) from error
        self._sqlite = self._engine.dialect.name == "sqlite"
        if self._sqlite:
            event.listen(self._engine, "connect", _prepare_sqlite)
            event.listen(self._engine, "begin", _begin_immediate)
        # In SQLite a reader must not wait for a writer.
        self._reader = self._engine.execution_options(pilothouse_reading=True)
        with self._writing() as connection:
            if not self._sqlite:
                # Several processes may start at once, and "if not exists" is not safe against that.
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
            _METADATA.create_all(connection)
            connection.execute(self._insert(_CLOCK).values(number=1, wall_ns=0, passed=0).on_conflict_do_nothing())

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()

    def reserve(
        self,
        project_id: str,
        reservation_id: str,
        accounts: Sequence[Account],
        *,
        nano: int,
        tokens: int,
        purpose: str,
        detail: Mapping[str, Any],
        lease_ns: int,
        now_ns: int,
    ) -> Held:
        """Hold an amount back in every account, or in none. An id that is known gives its reservation as it stands.

        Raises:
            Full: an account has too little left; its refusal is counted.
            Overloaded: so many calls came and went that there was never a moment to take from all accounts.
            Unreachable: the database does not answer.
        """
        values = {
            "project_id": project_id,
            "reservation_id": reservation_id,
            "state": "held",
            "held_nano": nano,
            "held_tokens": tokens,
            "accounts": json.dumps([(one.budget, one.subject, one.period) for one in accounts]),
            "purpose": purpose,
            "detail": json.dumps(dict(detail), sort_keys=True),
            "made_ns": now_ns,
            "lease_ns": lease_ns,
            "expires": sa.select(_CLOCK.c.passed + lease_ns).scalar_subquery(),
        }
        new = self._insert(_RESERVATION).values(**values).on_conflict_do_nothing()
        # By what comes back: not every driver counts rows of an insert.
        new = new.returning(_RESERVATION.c.reservation_id)
        for _ in range(_TRIES_MAX):
            with self._writing() as connection:
                if connection.execute(new).first() is None:
                    return self._one(connection, project_id, reservation_id)
                taking = connection.begin_nested()
                taken = (
                    self._take(connection, project_id, one, nano, tokens, now_ns)
                    for one in sorted(accounts, key=_order)
                )
                if all(taken):
                    taking.commit()
                    return self._one(connection, project_id, reservation_id)
                taking.rollback()
                connection.execute(_RESERVATION.delete().where(self._named(project_id, reservation_id)))
                full = self._full(connection, project_id, accounts, nano, tokens, now_ns)
            if full.accounts:
                raise full
            # Somebody gave back in between: there is room now, so it is tried again rather than refused.
        raise Overloaded("many calls reserve from the same budget at once", fix="try again", retry_after_s=1)

    def settle(self, project_id: str, reservation_id: str, *, nano: int, tokens: int, now_ns: int) -> Held | None:
        """Book what was spent and give the rest back; None where there is no such reservation.

        Once: of one that is settled or released nothing changes. One that has expired is booked too, and marked late.
        """
        with self._writing() as connection:
            state = self._claim(connection, project_id, reservation_id, ("held", "expired"), "settled")
            if state is not None:
                found = self._one(connection, project_id, reservation_id)
                late = state == "expired"
                freed = {} if late else {"held_nano": _ACCOUNT.c.held_nano - found.held_nano}
                freed |= {} if late else {"held_tokens": _ACCOUNT.c.held_tokens - found.held_tokens}
                self._change(
                    connection,
                    project_id,
                    found,
                    spent_nano=_ACCOUNT.c.spent_nano + nano,
                    tokens=_ACCOUNT.c.tokens + tokens,
                    calls=_ACCOUNT.c.calls + 1,
                    changed_ns=now_ns,
                    **freed,
                )
                booked = {"spent_nano": nano, "spent_tokens": tokens, "late": late}
                mine = self._named(project_id, reservation_id)
                connection.execute(_RESERVATION.update().where(mine).values(**booked))
            return self._maybe(connection, project_id, reservation_id)

    def release(self, project_id: str, reservation_id: str, *, now_ns: int) -> Held | None:
        """Give all of it back; None where there is no such reservation. One that is settled stays so."""
        with self._writing() as connection:
            if self._claim(connection, project_id, reservation_id, ("held",), "released") is not None:
                self._free(connection, project_id, self._one(connection, project_id, reservation_id), now_ns)
            return self._maybe(connection, project_id, reservation_id)

    def renew(self, project_id: str, reservation_id: str) -> Held | None:
        """Hold it for its whole lease again; None where there is none. One that is no longer held stays what it is."""
        with self._writing() as connection:
            passed = sa.select(_CLOCK.c.passed).scalar_subquery()
            mine = self._named(project_id, reservation_id) & (_RESERVATION.c.state == "held")
            connection.execute(_RESERVATION.update().where(mine).values(expires=passed + _RESERVATION.c.lease_ns))
            return self._maybe(connection, project_id, reservation_id)

    def sweep(self, now_ns: int) -> int:
        """Let the leases' clock go on and expire what has outlived its lease; how many reservations that were.

        The leases' clock counts what passed between sweeps, a minute at most for each: a wall clock that jumps ahead
        expires nothing that is alive, and one that jumps back keeps nothing for ever.
        """
        with self._writing() as connection:
            if not self._sqlite:
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
            wall_ns, passed = connection.execute(sa.select(_CLOCK.c.wall_ns, _CLOCK.c.passed)).one()
            passed += min(max(now_ns - wall_ns, 0), _STEP_MAX_NS) if wall_ns else 0
            connection.execute(_CLOCK.update().values(wall_ns=now_ns, passed=passed))
            old = (_RESERVATION.c.state != "held") & (_RESERVATION.c.made_ns < now_ns - _KEPT_NS)
            connection.execute(_RESERVATION.delete().where(old))
            due = (_RESERVATION.c.state == "held") & (_RESERVATION.c.expires < passed)
            named = sa.select(_RESERVATION.c.project_id, _RESERVATION.c.reservation_id)
            found = connection.execute(named.where(due).limit(_SWEEP_ROWS)).all()
        expired = 0
        for project_id, reservation_id in found:
            # Each in a transaction of its own: accounts of several would be taken in no order, and wait for each other.
            with self._writing() as connection:
                if self._claim(connection, project_id, reservation_id, ("held",), "expired") is not None:
                    self._free(connection, project_id, self._one(connection, project_id, reservation_id), now_ns)
                    expired += 1
        return expired

    def latest_period(self, project_id: str, budget: str, subject: str) -> str:
        """The latest period of an account; empty where it has none yet."""
        wanted = (_ACCOUNT.c.project_id == project_id) & (_ACCOUNT.c.budget == budget) & (_ACCOUNT.c.subject == subject)
        with self._reading() as connection:
            return connection.scalar(sa.select(sa.func.max(_ACCOUNT.c.period)).where(wanted)) or ""

    def balances(self, project_id: str, *, limit: int, budget: str = "", subject: str = "") -> list[Balance]:
        """Accounts, those that changed last first."""
        wanted = _ACCOUNT.c.project_id == project_id
        if budget:
            wanted &= _ACCOUNT.c.budget == budget
        if subject:
            wanted &= _ACCOUNT.c.subject == subject
        newest = sa.select(*_BALANCE).where(wanted).order_by(_ACCOUNT.c.changed_ns.desc(), _ACCOUNT.c.budget)
        with self._reading() as connection:
            return [Balance(**row) for row in connection.execute(newest.limit(limit)).mappings()]

    def find(self, project_id: str, reservation_id: str) -> Held | None:
        """A reservation; None where there is no such."""
        with self._reading() as connection:
            return self._maybe(connection, project_id, reservation_id)

    def by_purpose(self, project_id: str, since_ns: int) -> list[PurposeRow]:
        """What settled calls cost since a moment, by purpose. Reservations are kept for 35 days."""
        wanted = (_RESERVATION.c.project_id == project_id) & (_RESERVATION.c.made_ns >= since_ns)
        rows = (
            sa.select(
                _RESERVATION.c.purpose,
                sa.func.count().label("calls"),
                sa.func.sum(_RESERVATION.c.spent_nano).label("spent_nano"),
                sa.func.sum(_RESERVATION.c.spent_tokens).label("tokens"),
            )
            .where(wanted & (_RESERVATION.c.state == "settled"))
            .group_by(_RESERVATION.c.purpose)
            .order_by(_RESERVATION.c.purpose)
        )
        with self._reading() as connection:
            return [
                PurposeRow(purpose=row.purpose, calls=row.calls, spent_nano=int(row.spent_nano), tokens=int(row.tokens))
                for row in connection.execute(rows)
            ]

    # -- within a transaction ------------------------------------------------------------------------------------

    def _take(
        self, connection: sa.Connection, project_id: str, account: Account, nano: int, tokens: int, now_ns: int
    ) -> bool:
        self._open(connection, project_id, account, now_ns)
        fits = self._of(project_id, account.budget, account.subject, account.period)
        if account.limit_nano is not None:
            fits &= _ACCOUNT.c.spent_nano + _ACCOUNT.c.held_nano + nano <= account.limit_nano
        if account.limit_tokens is not None:
            fits &= _ACCOUNT.c.tokens + _ACCOUNT.c.held_tokens + tokens <= account.limit_tokens
        values = {"held_nano": _ACCOUNT.c.held_nano + nano, "held_tokens": _ACCOUNT.c.held_tokens + tokens}
        return connection.execute(_ACCOUNT.update().where(fits).values(**values, changed_ns=now_ns)).rowcount == 1

    def _full(
        self,
        connection: sa.Connection,
        project_id: str,
        accounts: Sequence[Account],
        nano: int,
        tokens: int,
        now_ns: int,
    ) -> Full:
        """Which accounts have too little; the refusal is counted in each of them."""
        found: list[tuple[Account, Balance]] = []
        for account in sorted(accounts, key=_order):
            self._open(connection, project_id, account, now_ns)
            balance = self._balance(connection, project_id, account)
            short = (
                account.limit_nano is not None and balance.spent_nano + balance.held_nano + nano > account.limit_nano
            )
            if account.limit_tokens is not None:
                short = short or balance.tokens + balance.held_tokens + tokens > account.limit_tokens
            if short:
                mine = self._of(project_id, account.budget, account.subject, account.period)
                connection.execute(_ACCOUNT.update().where(mine).values(refused=_ACCOUNT.c.refused + 1))
                found.append((account, balance))
        return Full(tuple(found))

    def _open(self, connection: sa.Connection, project_id: str, account: Account, now_ns: int) -> None:
        values = {"budget": account.budget, "subject": account.subject, "period": account.period}
        new = self._insert(_ACCOUNT).values(project_id=project_id, **values, changed_ns=now_ns)
        connection.execute(new.on_conflict_do_nothing())

    def _claim(
        self, connection: sa.Connection, project_id: str, reservation_id: str, from_: tuple[str, ...], to: str
    ) -> str | None:
        """Change its state, for one of several who try; the state before, None where it is in none of these."""
        mine = self._named(project_id, reservation_id)
        for state in from_:
            change = _RESERVATION.update().where(mine & (_RESERVATION.c.state == state)).values(state=to)
            if connection.execute(change).rowcount:
                return state
        return None

    def _free(self, connection: sa.Connection, project_id: str, found: Held, now_ns: int) -> None:
        self._change(
            connection,
            project_id,
            found,
            held_nano=_ACCOUNT.c.held_nano - found.held_nano,
            held_tokens=_ACCOUNT.c.held_tokens - found.held_tokens,
            changed_ns=now_ns,
        )

    def _change(self, connection: sa.Connection, project_id: str, found: Held, **values: Any) -> None:
        for budget, subject, period in sorted(found.accounts):
            change = _ACCOUNT.update().where(self._of(project_id, budget, subject, period))
            connection.execute(change.values(**values))

    def _balance(self, connection: sa.Connection, project_id: str, account: Account) -> Balance:
        mine = self._of(project_id, account.budget, account.subject, account.period)
        return Balance(**connection.execute(sa.select(*_BALANCE).where(mine)).mappings().one())

    def _maybe(self, connection: sa.Connection, project_id: str, reservation_id: str) -> Held | None:
        row = connection.execute(sa.select(_RESERVATION).where(self._named(project_id, reservation_id))).first()
        if row is None:
            return None
        return Held(
            reservation_id=row.reservation_id,
            state=row.state,
            held_nano=row.held_nano,
            held_tokens=row.held_tokens,
            spent_nano=row.spent_nano,
            spent_tokens=row.spent_tokens,
            late=bool(row.late),
            accounts=tuple((one[0], one[1], one[2]) for one in json.loads(row.accounts)),
            purpose=row.purpose,
            detail=json.loads(row.detail),
        )

    def _one(self, connection: sa.Connection, project_id: str, reservation_id: str) -> Held:
        found = self._maybe(connection, project_id, reservation_id)
        assert found is not None, "a reservation of this transaction"
        return found

    def _of(self, project_id: str, budget: str, subject: str, period: str) -> sa.ColumnElement[bool]:
        return sa.and_(
            _ACCOUNT.c.project_id == project_id,
            _ACCOUNT.c.budget == budget,
            _ACCOUNT.c.subject == subject,
            _ACCOUNT.c.period == period,
        )

    def _named(self, project_id: str, reservation_id: str) -> sa.ColumnElement[bool]:
        return (_RESERVATION.c.project_id == project_id) & (_RESERVATION.c.reservation_id == reservation_id)

    def _insert(self, table: sa.Table) -> sqlite.Insert | postgresql.Insert:
        return sqlite.insert(table) if self._sqlite else postgresql.insert(table)

    @contextlib.contextmanager
    def _writing(self) -> Generator[sa.Connection]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except exc.OperationalError as error:
            raise Unreachable(f"the database of budgets does not answer: {error.orig}") from error

    @contextlib.contextmanager
    def _reading(self) -> Generator[sa.Connection]:
        try:
            with self._reader.begin() as connection:
                yield connection
        except exc.OperationalError as error:
            raise Unreachable(f"the database of budgets does not answer: {error.orig}") from error


_BALANCE = [column for column in _ACCOUNT.c if column.name not in ("project_id", "changed_ns")]


def _order(account: Account) -> tuple[str, str, str]:
    return (account.budget, account.subject, account.period)


def budgets_of(url: str, folder: Path) -> BudgetStore:
    """The budgets kept beside the small records that ``--control`` names; empty: ``budgets.db`` in the folder."""
    if not url:
        folder.mkdir(parents=True, exist_ok=True)
        return BudgetStore(f"sqlite:///{folder / 'budgets.db'}")
    if url.startswith("postgresql://"):
        url = "postgresql+psycopg://" + url.removeprefix("postgresql://")
    return BudgetStore(url)


def _prepare_sqlite(connection: Any, _: Any) -> None:
    # The driver's own way of beginning takes the lock too late: a reader that turns into a writer is refused.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=20000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_immediate(connection: sa.Connection) -> None:
    reading = connection.get_execution_options().get("pilothouse_reading", False)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")
