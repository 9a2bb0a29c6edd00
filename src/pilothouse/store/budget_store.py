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
from sqlalchemy.dialects import postgresql, sqlite

from pilothouse.records import Overloaded

from .database import READING, add_columns, address_of, answering, open_database

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
    # What a person allowed beyond the limit, in this period.
    sa.Column("raised_nano", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("raised_tokens", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("changed_ns", sa.BigInteger, nullable=False),
)

_RAISE = sa.Table(
    "budget_raise",
    _METADATA,
    sa.Column("project_id", sa.String(60), primary_key=True),
    sa.Column("raise_id", sa.String(100), primary_key=True),
    sa.Column("budget", sa.String(100), nullable=False),
    sa.Column("subject", sa.String(300), nullable=False),
    sa.Column("period", sa.String(20), nullable=False),
    sa.Column("nano", sa.BigInteger, nullable=False),
    sa.Column("tokens", sa.BigInteger, nullable=False),
    sa.Column("made_ns", sa.BigInteger, nullable=False),
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


_UNBOUNDED: Final = 2**62

# Statements are built once: building them again for each call takes longer than running them.
_BALANCE = [column for column in _ACCOUNT.c if column.name not in ("project_id", "changed_ns")]
_HERE = sa.and_(
    _ACCOUNT.c.project_id == sa.bindparam("p"),
    _ACCOUNT.c.budget == sa.bindparam("b"),
    _ACCOUNT.c.subject == sa.bindparam("s"),
    _ACCOUNT.c.period == sa.bindparam("t"),
)
_NANO: Final = sa.bindparam("nano", type_=sa.BigInteger)
_USED: Final = sa.bindparam("used", type_=sa.BigInteger)
_NOW: Final = sa.bindparam("now", type_=sa.BigInteger)
_TAKE = (
    _ACCOUNT.update()
    .where(
        _HERE,
        _ACCOUNT.c.spent_nano + _ACCOUNT.c.held_nano + _NANO - _ACCOUNT.c.raised_nano
        <= sa.bindparam("limit_nano", type_=sa.BigInteger),
        _ACCOUNT.c.tokens + _ACCOUNT.c.held_tokens + _USED - _ACCOUNT.c.raised_tokens
        <= sa.bindparam("limit_tokens", type_=sa.BigInteger),
    )
    .values(held_nano=_ACCOUNT.c.held_nano + _NANO, held_tokens=_ACCOUNT.c.held_tokens + _USED, changed_ns=_NOW)
)
_CHANGE = (
    _ACCOUNT.update()
    .where(_HERE)
    .values(
        spent_nano=_ACCOUNT.c.spent_nano + _NANO,
        tokens=_ACCOUNT.c.tokens + _USED,
        calls=_ACCOUNT.c.calls + sa.bindparam("count", type_=sa.BigInteger),
        held_nano=_ACCOUNT.c.held_nano - sa.bindparam("held", type_=sa.BigInteger),
        held_tokens=_ACCOUNT.c.held_tokens - sa.bindparam("held_used", type_=sa.BigInteger),
        changed_ns=_NOW,
    )
)
_REFUSE = _ACCOUNT.update().where(_HERE).values(refused=_ACCOUNT.c.refused + 1)
_READ = sa.select(*_BALANCE).where(_HERE)
_MINE = (_RESERVATION.c.project_id == sa.bindparam("p")) & (_RESERVATION.c.reservation_id == sa.bindparam("r"))
_FIND = sa.select(_RESERVATION).where(_MINE)
_DROP = _RESERVATION.delete().where(_MINE)
_CLAIM = (
    _RESERVATION.update()
    .where(_MINE, _RESERVATION.c.state == sa.bindparam("from_"))
    .values(
        state=sa.bindparam("to"), spent_nano=_NANO, spent_tokens=_USED, late=sa.bindparam("was_late", type_=sa.Boolean)
    )
    .returning(*_RESERVATION.c)
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
    raised_nano: int
    """What a person allowed beyond the limit."""
    raised_tokens: int


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
        self._engine = open_database(url, immediate=True)
        self._sqlite = self._engine.dialect.name == "sqlite"
        self._new_account = self._insert(_ACCOUNT).on_conflict_do_nothing()
        # By what comes back: not every driver counts rows of an insert.
        self._new_reservation = (
            self._insert(_RESERVATION)
            .values(expires=sa.select(_CLOCK.c.passed + sa.bindparam("lasts", type_=sa.BigInteger)).scalar_subquery())
            .on_conflict_do_nothing()
            .returning(*_RESERVATION.c)
        )
        # In SQLite a reader must not wait for a writer.
        self._reader = self._engine.execution_options(**READING)
        with self._writing() as connection:
            if not self._sqlite:
                # Several processes may start at once, and "if not exists" is not safe against that.
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
            _METADATA.create_all(connection)
            add_columns(connection, _ACCOUNT)
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
            "lasts": lease_ns,
        }
        in_order = sorted(accounts, key=_order)
        for _ in range(_TRIES_MAX):
            with self._writing() as connection:
                row = connection.execute(self._new_reservation, values).first()
                if row is None:
                    return self._one(connection, project_id, reservation_id)
                taking = connection.begin_nested()
                if all(self._take(connection, project_id, one, nano, tokens, now_ns) for one in in_order):
                    taking.commit()
                    return _held(row)
                taking.rollback()
                connection.execute(_DROP, {"p": project_id, "r": reservation_id})
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
            booked = {"nano": nano, "used": tokens}
            found = self._claim(connection, project_id, reservation_id, "held", "settled", booked)
            late = found is None
            if found is None:
                found = self._claim(
                    connection, project_id, reservation_id, "expired", "settled", booked | {"was_late": True}
                )
            if found is None:
                return self._maybe(connection, project_id, reservation_id)
            self._change(
                connection,
                project_id,
                found,
                nano=nano,
                used=tokens,
                count=1,
                held=0 if late else found.held_nano,
                held_used=0 if late else found.held_tokens,
                now=now_ns,
            )
            return found

    def release(self, project_id: str, reservation_id: str, *, now_ns: int) -> Held | None:
        """Give all of it back; None where there is no such reservation. One that is settled stays so."""
        with self._writing() as connection:
            found = self._claim(connection, project_id, reservation_id, "held", "released")
            if found is None:
                return self._maybe(connection, project_id, reservation_id)
            self._free(connection, project_id, found, now_ns)
            return found

    def renew(self, project_id: str, reservation_id: str) -> Held | None:
        """Hold it for its whole lease again; None where there is none. One that is no longer held stays what it is."""
        with self._writing() as connection:
            passed = sa.select(_CLOCK.c.passed).scalar_subquery()
            mine = self._named(project_id, reservation_id) & (_RESERVATION.c.state == "held")
            connection.execute(_RESERVATION.update().where(mine).values(expires=passed + _RESERVATION.c.lease_ns))
            return self._maybe(connection, project_id, reservation_id)

    def raise_limit(
        self, project_id: str, raise_id: str, account: Account, *, nano: int, tokens: int, now_ns: int
    ) -> bool:
        """Allow an account more in its period, once for each id; says whether it was now."""
        with self._writing() as connection:
            new = self._insert(_RAISE).values(
                project_id=project_id,
                raise_id=raise_id,
                budget=account.budget,
                subject=account.subject,
                period=account.period,
                nano=nano,
                tokens=tokens,
                made_ns=now_ns,
            )
            if connection.execute(new.on_conflict_do_nothing().returning(_RAISE.c.raise_id)).first() is None:
                return False
            self._open(connection, project_id, account, now_ns)
            here = _place(project_id, account.budget, account.subject, account.period)
            more = _ACCOUNT.update().where(_HERE)
            more = more.values(
                raised_nano=_ACCOUNT.c.raised_nano + _NANO,
                raised_tokens=_ACCOUNT.c.raised_tokens + _USED,
                changed_ns=_NOW,
            )
            connection.execute(more, here | {"nano": nano, "used": tokens, "now": now_ns})
            return True

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
                gone = self._claim(connection, project_id, reservation_id, "held", "expired")
                if gone is not None:
                    self._free(connection, project_id, gone, now_ns)
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
        given = _place(project_id, account.budget, account.subject, account.period) | {
            "nano": nano,
            "used": tokens,
            "now": now_ns,
            "limit_nano": _UNBOUNDED if account.limit_nano is None else account.limit_nano,
            "limit_tokens": _UNBOUNDED if account.limit_tokens is None else account.limit_tokens,
        }
        return connection.execute(_TAKE, given).rowcount == 1

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
            used = balance.spent_nano + balance.held_nano - balance.raised_nano
            short = account.limit_nano is not None and used + nano > account.limit_nano
            if account.limit_tokens is not None:
                used = balance.tokens + balance.held_tokens - balance.raised_tokens
                short = short or used + tokens > account.limit_tokens
            if short:
                connection.execute(_REFUSE, _place(project_id, account.budget, account.subject, account.period))
                found.append((account, balance))
        return Full(tuple(found))

    def _open(self, connection: sa.Connection, project_id: str, account: Account, now_ns: int) -> None:
        values = {"budget": account.budget, "subject": account.subject, "period": account.period}
        connection.execute(self._new_account, {"project_id": project_id, **values, "changed_ns": now_ns})

    def _claim(
        self,
        connection: sa.Connection,
        project_id: str,
        reservation_id: str,
        from_: str,
        to: str,
        booked: Mapping[str, Any] | None = None,
    ) -> Held | None:
        """Change its state, for one of several who try; None where it is in another."""
        values = {"nano": 0, "used": 0, "was_late": False} | dict(booked or {})
        given = {"p": project_id, "r": reservation_id, "from_": from_, "to": to} | values
        row = connection.execute(_CLAIM, given).first()
        return None if row is None else _held(row)

    def _free(self, connection: sa.Connection, project_id: str, found: Held, now_ns: int) -> None:
        held = {"held": found.held_nano, "held_used": found.held_tokens}
        self._change(connection, project_id, found, nano=0, used=0, count=0, now=now_ns, **held)

    def _change(self, connection: sa.Connection, project_id: str, found: Held, **values: int) -> None:
        for budget, subject, period in sorted(found.accounts):
            connection.execute(_CHANGE, _place(project_id, budget, subject, period) | values)

    def _balance(self, connection: sa.Connection, project_id: str, account: Account) -> Balance:
        given = _place(project_id, account.budget, account.subject, account.period)
        return Balance(**connection.execute(_READ, given).mappings().one())

    def _maybe(self, connection: sa.Connection, project_id: str, reservation_id: str) -> Held | None:
        row = connection.execute(_FIND, {"p": project_id, "r": reservation_id}).first()
        return None if row is None else _held(row)

    def _one(self, connection: sa.Connection, project_id: str, reservation_id: str) -> Held:
        found = self._maybe(connection, project_id, reservation_id)
        assert found is not None, "a reservation of this transaction"
        return found

    def _named(self, project_id: str, reservation_id: str) -> sa.ColumnElement[bool]:
        return (_RESERVATION.c.project_id == project_id) & (_RESERVATION.c.reservation_id == reservation_id)

    def _insert(self, table: sa.Table) -> sqlite.Insert | postgresql.Insert:
        return sqlite.insert(table) if self._sqlite else postgresql.insert(table)

    @contextlib.contextmanager
    def _writing(self) -> Generator[sa.Connection]:
        with answering("budgets"), self._engine.begin() as connection:
            yield connection

    @contextlib.contextmanager
    def _reading(self) -> Generator[sa.Connection]:
        with answering("budgets"), self._reader.begin() as connection:
            yield connection


def _held(row: Any) -> Held:
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


def _place(project_id: str, budget: str, subject: str, period: str) -> dict[str, Any]:
    return {"p": project_id, "b": budget, "s": subject, "t": period}


def _order(account: Account) -> tuple[str, str, str]:
    return (account.budget, account.subject, account.period)


def budgets_of(url: str, folder: Path) -> BudgetStore:
    """The budgets kept beside the small records that ``--control`` names; empty: ``budgets.db`` in the folder."""
    return BudgetStore(address_of(url, folder, "budgets.db"))
