"""Opens the database of small records and keeps its schema current; the statements on it live here too."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event, exc
from sqlalchemy.dialects import postgresql, sqlite

from pilothouse.records import BadRequest, Clock, SystemClock, Unreachable

from .control_schema import API_KEY, AUDIT, MIGRATION, MIGRATIONS, PAGE_SESSION, PROJECT, REFUSAL, RETENTION

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionRule:
    """How long and how much is kept. ``environment`` empty: every environment without a rule of its own."""

    project_id: str
    environment: str = ""
    kind: str = "traces"
    """``traces`` or ``logs`` (log records and metrics)."""
    days: int | None = None
    """Kept for so many days after the start; None: no bound by age."""
    budget_bytes: int | None = None
    """Bytes on disk; the oldest go first. None: no bound by size."""


class ControlStore:
    """Small records with transactions. Safe to use from several threads."""

    def __init__(self, url: str, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        try:
            self._engine = sa.create_engine(url, pool_pre_ping=True)
        except (exc.ArgumentError, exc.NoSuchModuleError) as error:
            raise BadRequest(
                f"this is no database address: {error}",
                got=url.split("@")[-1],
                allowed="sqlite:///FILE or postgresql+psycopg://…",
            ) from error
        except ModuleNotFoundError as error:
            raise BadRequest("PostgreSQL needs its driver", fix="pip install 'pilothouse[postgres]'") from error
        if self._engine.dialect.name == "sqlite":
            event.listen(self._engine, "connect", _prepare_sqlite)

    def migrate(self) -> None:
        """Apply the migrations that are missing, each in a transaction of its own."""
        try:
            with self._engine.begin() as connection:
                MIGRATION.create(connection, checkfirst=True)
                done = set(connection.scalars(sa.select(MIGRATION.c.number)))
        except exc.OperationalError as error:
            raise Unreachable(f"the database of small records does not open: {error.orig}") from error
        if done and max(done) > len(MIGRATIONS):
            raise BadRequest(
                f"the control store was written by a newer Pilothouse (migration {max(done)}, this one knows {len(MIGRATIONS)})",
                fix="pip install --upgrade pilothouse",
            )
        for number, migration in enumerate(MIGRATIONS, 1):
            if number not in done:
                with self._engine.begin() as connection:
                    migration(connection)
                    connection.execute(MIGRATION.insert().values(number=number, applied_ns=self._clock.now_ns()))

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()

    # -- projects and keys ---------------------------------------------------------------------------------------

    def projects(self) -> list[Row]:
        """All projects, oldest first."""
        return self._rows(sa.select(PROJECT).order_by(PROJECT.c.created_ns, PROJECT.c.project_id))

    def add_project(self, project_id: str, name: str) -> None:
        """Add a project.

        Raises:
            BadRequest: the name is taken.
        """
        try:
            self._run(PROJECT.insert().values(project_id=project_id, name=name, created_ns=self._clock.now_ns()))
        except exc.IntegrityError as error:
            raise BadRequest("a project of that name exists", got=name, fix="pilothouse projects ls") from error

    def keys(self, project_id: str) -> list[Row]:
        """A project's keys without their hashes, oldest first, revoked ones included."""
        columns = [column for column in API_KEY.c if column.name != "secret_hash"]
        return self._rows(sa.select(*columns).where(API_KEY.c.project_id == project_id).order_by(API_KEY.c.created_ns))

    def add_key(
        self,
        *,
        key_id: str,
        project_id: str,
        name: str,
        mode: str,
        secret_hash: str,
        hint: str,
        actor_kind: str = "",
    ) -> None:
        """Add a key; only the hash of its secret is kept."""
        values = {"key_id": key_id, "project_id": project_id, "name": name, "mode": mode}
        values |= {"secret_hash": secret_hash, "hint": hint, "actor_kind": actor_kind}
        self._run(API_KEY.insert().values(**values, created_ns=self._clock.now_ns()))

    def active_keys(self) -> list[Row]:
        """Every key that is not revoked, with its hash."""
        return self._rows(sa.select(API_KEY).where(API_KEY.c.revoked_ns.is_(None)))

    def revoke_key(self, project_id: str, key_id: str) -> bool:
        """Revoke a key; False where the project has no such active key."""
        change = API_KEY.update().values(revoked_ns=self._clock.now_ns())
        mine = (API_KEY.c.project_id == project_id) & (API_KEY.c.key_id == key_id) & API_KEY.c.revoked_ns.is_(None)
        return self._run(change.where(mine)) > 0

    # -- the page's sessions -------------------------------------------------------------------------------------

    def add_page_session(
        self, *, secret_hash: str, purpose: str, project_id: str, mode: str, expires_ns: int, person: str = ""
    ) -> None:
        """Remember a sign-in link (``purpose='link'``) or a signed-in browser (``'cookie'``) by hash."""
        values = {"secret_hash": secret_hash, "purpose": purpose, "project_id": project_id, "mode": mode}
        values["person"] = person
        with self._engine.begin() as connection:
            connection.execute(PAGE_SESSION.delete().where(PAGE_SESSION.c.expires_ns < self._clock.now_ns()))
            connection.execute(
                PAGE_SESSION.insert().values(**values, created_ns=self._clock.now_ns(), expires_ns=expires_ns)
            )

    def page_session(self, secret_hash: str, purpose: str) -> Row | None:
        """The session of that hash, where it has not expired."""
        wanted = (PAGE_SESSION.c.secret_hash == secret_hash) & (PAGE_SESSION.c.purpose == purpose)
        rows = self._rows(sa.select(PAGE_SESSION).where(wanted & (PAGE_SESSION.c.expires_ns > self._clock.now_ns())))
        return rows[0] if rows else None

    def drop_page_session(self, secret_hash: str) -> bool:
        """Forget a session; True for exactly one of several callers."""
        return self._run(PAGE_SESSION.delete().where(PAGE_SESSION.c.secret_hash == secret_hash)) > 0

    # -- refusals ------------------------------------------------------------------------------------------------

    def add_refusals(self, rows: Iterable[Row]) -> None:
        """Add counts of refused writes by hour, project, reason and source."""
        insert = postgresql.insert if self._engine.dialect.name == "postgresql" else sqlite.insert
        with self._engine.begin() as connection:
            for row in rows:
                statement = insert(REFUSAL).values(**row)
                connection.execute(
                    statement.on_conflict_do_update(
                        index_elements=["hour_ns", "project_id", "reason", "source"],
                        set_={
                            "count": REFUSAL.c.count + statement.excluded.count,
                            "last_ns": statement.excluded.last_ns,
                            "detail": statement.excluded.detail,
                        },
                    )
                )

    def refusals(self, since_ns: int) -> list[Row]:
        """Refused writes since a moment, by project, reason and source, the most frequent first."""
        count = sa.func.sum(REFUSAL.c.count).label("count")
        last = sa.func.max(REFUSAL.c.last_ns).label("last_ns")
        detail = sa.func.max(REFUSAL.c.detail).label("detail")
        groups = (REFUSAL.c.project_id, REFUSAL.c.reason, REFUSAL.c.source)
        # The hour that has the moment in it counts whole: better one too many than one unseen.
        since_hour = since_ns - 3_600_000_000_000
        wanted = sa.select(*groups, count, last, detail).where(REFUSAL.c.hour_ns > since_hour)
        return self._rows(wanted.group_by(*groups).order_by(sa.desc("count")))

    # -- retention and audit -------------------------------------------------------------------------------------

    def retention(self, project_id: str | None = None) -> list[RetentionRule]:
        """The retention rules of one project, or of all."""
        wanted = sa.select(RETENTION).order_by(RETENTION.c.project_id, RETENTION.c.environment, RETENTION.c.kind)
        if project_id is not None:
            wanted = wanted.where(RETENTION.c.project_id == project_id)
        return [RetentionRule(**row) for row in self._rows(wanted)]

    def set_retention(self, rule: RetentionRule) -> None:
        """Set or, with neither days nor budget, drop a retention rule."""
        same = (RETENTION.c.project_id == rule.project_id) & (RETENTION.c.environment == rule.environment)
        with self._engine.begin() as connection:
            connection.execute(RETENTION.delete().where(same & (RETENTION.c.kind == rule.kind)))
            if rule.days is not None or rule.budget_bytes is not None:
                connection.execute(
                    RETENTION.insert().values(
                        project_id=rule.project_id,
                        environment=rule.environment,
                        kind=rule.kind,
                        days=rule.days,
                        budget_bytes=rule.budget_bytes,
                    )
                )

    def add_audit(self, *, audit_id: str, project_id: str, who: str, action: str, detail: str, run: str = "") -> None:
        """Note who did what, and in which run."""
        values = {"audit_id": audit_id, "project_id": project_id, "who": who, "action": action, "detail": detail}
        self._run(AUDIT.insert().values(**values, run=run, time_ns=self._clock.now_ns()))

    def audit(self, project_id: str, limit: int = 200) -> list[Row]:
        """The newest notes of who did what."""
        wanted = sa.select(AUDIT).where(AUDIT.c.project_id == project_id)
        return self._rows(wanted.order_by(AUDIT.c.time_ns.desc()).limit(limit))

    @contextlib.contextmanager
    def transaction(self, project_id: str, *, keep: bool = True) -> Generator[sa.Connection]:
        """A transaction that no other one of the same project runs beside; rolled back at its end without ``keep``.

        Raises:
            Unreachable: the database does not answer.
        """
        try:
            with self._engine.connect() as connection, connection.begin() as begun:
                # The first statement takes the lock: the project's row in PostgreSQL, the file in SQLite.
                lock = PROJECT.update().values(created_ns=PROJECT.c.created_ns)
                connection.execute(lock.where(PROJECT.c.project_id == project_id))
                yield connection
                if not keep:
                    begun.rollback()
        except exc.OperationalError as error:
            raise Unreachable(f"the database of small records does not answer: {error.orig}") from error

    @contextlib.contextmanager
    def reading(self) -> Generator[sa.Connection]:
        """A connection to read with, or to change single rows at once.

        Raises:
            Unreachable: the database does not answer.
        """
        try:
            with self._engine.begin() as connection:
                yield connection
        except exc.OperationalError as error:
            raise Unreachable(f"the database of small records does not answer: {error.orig}") from error

    def _rows(self, statement: sa.Executable) -> list[Row]:
        try:
            with self._engine.connect() as connection:
                return [dict(row) for row in connection.execute(statement).mappings()]
        except exc.OperationalError as error:
            raise Unreachable(f"the database of small records does not answer: {error.orig}") from error

    def _run(self, statement: sa.Executable) -> int:
        try:
            with self._engine.begin() as connection:
                return connection.execute(statement).rowcount
        except exc.OperationalError as error:
            raise Unreachable(f"the database of small records does not answer: {error.orig}") from error


def open_control(url: str, data: Path) -> ControlStore:
    """Open the database that ``--control`` names; empty: SQLite in the data folder."""
    if not url:
        data.mkdir(parents=True, exist_ok=True)
        return ControlStore(f"sqlite:///{data / 'control.db'}")
    if url.startswith("postgresql://"):
        url = "postgresql+psycopg://" + url.removeprefix("postgresql://")
    return ControlStore(url)


def _prepare_sqlite(connection: Any, _: Any) -> None:
    cursor = connection.cursor()
    pragmas: Sequence[str] = ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=10000", "foreign_keys=ON")
    for pragma in pragmas:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
