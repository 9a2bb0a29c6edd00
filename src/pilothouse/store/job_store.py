"""The database of durable runs: its engine, our table of live workers, and a few reads on the engine's own tables.

``jobs`` runs on DBOS, which brings its own SQL and migrations. This module holds the SQL that is ours: SQLite opened so
that it is safe and works on every Python, heartbeats, and what adoption needs to know.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event, exc

from pilothouse.records import BadRequest, DiskFull, Overloaded, PilothouseError, Unreachable

SCHEMA = "pilothouse_jobs"
"""The schema in PostgreSQL; SQLite has none."""

_METADATA = sa.MetaData()

JOB_WORKER = sa.Table(
    "pilothouse_job_worker",
    _METADATA,
    sa.Column("worker_id", sa.String(80), primary_key=True),
    sa.Column("machine", sa.String(80), nullable=False),
    sa.Column("process_id", sa.Integer, nullable=False),
    sa.Column("process_start", sa.String(40), nullable=False),
    sa.Column("release", sa.String(40), nullable=False),
    sa.Column("workflows", sa.Text, nullable=False),
    sa.Column("beat", sa.BigInteger, nullable=False),
    sa.Column("beat_ns", sa.BigInteger, nullable=False),
)

JOB_SCHEDULE = sa.Table(
    "pilothouse_job_schedule",
    _METADATA,
    sa.Column("name", sa.String(200), primary_key=True),
    sa.Column("due_ns", sa.BigInteger, nullable=False),
)


class _EngineTables:
    """Columns of the engine's own tables that are read here; the bound on its version keeps them what they are."""

    def __init__(self, schema: str | None) -> None:
        self.run = sa.table(
            "workflow_status",
            sa.column("workflow_uuid", sa.String),
            sa.column("status", sa.String),
            sa.column("name", sa.String),
            sa.column("executor_id", sa.String),
            sa.column("authenticated_user", sa.String),
            sa.column("recovery_attempts", sa.BigInteger),
            schema=schema,
        )
        self.step = sa.table("operation_outputs", sa.column("workflow_uuid", sa.String), schema=schema)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobWorker:
    """A process that runs workflows."""

    worker_id: str
    machine: str
    """Where its process id means something: one boot of one host, one container."""
    process_id: int
    process_start: str
    """When the process began, as the system tells it: a process id is used again."""
    release: str
    workflows: tuple[str, ...]
    """What it can run, as ``name.v1``."""
    beat: int = 0
    """Counts up while it lives."""
    beat_ns: int = 0
    """When it last did, by its own clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenRun:
    """A run that a worker has begun and not ended."""

    run_id: str
    workflow: str
    worker_id: str


class JobStore:
    """The database that runs live in. Safe to use from several threads."""

    def __init__(self, url: str, *, lock_wait_ms: int = 15_000) -> None:
        """``lock_wait_ms``: how long SQLite waits for another writer before it is an error."""
        self.is_sqlite = url.startswith("sqlite")
        self.engine = _open(url, is_sqlite=self.is_sqlite, lock_wait_ms=lock_wait_ms)
        self._ours = self.engine.execution_options(schema_translate_map={None: None if self.is_sqlite else SCHEMA})
        self._theirs = _EngineTables(None if self.is_sqlite else SCHEMA)

    def migrate(self) -> None:
        """Make our tables where they are missing; the engine makes its own."""
        with explained(), self._ours.begin() as connection:
            if not self.is_sqlite:
                # Several servers may start at once, and "if not exists" is not safe against that.
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(728_105_466)))
                connection.execute(sa.schema.CreateSchema(SCHEMA, if_not_exists=True))
            _METADATA.create_all(connection)

    def close(self) -> None:
        """Let go of the database."""
        self.engine.dispose()

    def check_writable(self) -> None:
        """Take and leave the lock that writers need. The engine waits for it for ever; who asks over HTTP must not.

        Raises:
            Overloaded: another process holds it.
            DiskFull: there is no room.
        """
        if self.is_sqlite:
            with explained(), self.engine.connect() as connection:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
                connection.rollback()

    # -- workers -------------------------------------------------------------------------------------------------

    def workers(self) -> list[JobWorker]:
        """Every worker that has not said goodbye, oldest first."""
        with explained(), self._ours.connect() as connection:
            rows = connection.execute(sa.select(JOB_WORKER).order_by(JOB_WORKER.c.worker_id)).mappings().all()
        return [_worker(dict(row)) for row in rows]

    def add_worker(self, worker: JobWorker) -> None:
        """A worker begins."""
        values = {name: getattr(worker, name) for name in JobWorker.__slots__}
        values |= {"workflows": json.dumps(worker.workflows), "beat_ns": time.time_ns()}
        with explained(), self._ours.begin() as connection:
            connection.execute(JOB_WORKER.insert().values(**values))

    def beat(self, worker_id: str) -> bool:
        """A worker lives; False where it has been declared dead meanwhile, and must stop."""
        beats = JOB_WORKER.update().where(JOB_WORKER.c.worker_id == worker_id)
        with explained(), self._ours.begin() as connection:
            changed = connection.execute(beats.values(beat=JOB_WORKER.c.beat + 1, beat_ns=time.time_ns()))
            return changed.rowcount > 0

    def drop_worker(self, worker_id: str) -> None:
        """A worker has ended, or was found dead."""
        with explained(), self._ours.begin() as connection:
            connection.execute(JOB_WORKER.delete().where(JOB_WORKER.c.worker_id == worker_id))

    # -- schedules -----------------------------------------------------------------------------------------------

    def due_since(self, name: str) -> int | None:
        """Up to which moment a schedule has been served; None where it is new."""
        with explained(), self._ours.connect() as connection:
            found = connection.execute(sa.select(JOB_SCHEDULE.c.due_ns).where(JOB_SCHEDULE.c.name == name))
            return found.scalar_one_or_none()

    def set_due(self, name: str, due_ns: int) -> None:
        """A schedule has been served up to a moment; never goes back."""
        later = JOB_SCHEDULE.update().where((JOB_SCHEDULE.c.name == name) & (JOB_SCHEDULE.c.due_ns < due_ns))
        with explained(), self._ours.begin() as connection:
            if connection.execute(later.values(due_ns=due_ns)).rowcount:
                return
            known = connection.execute(sa.select(JOB_SCHEDULE.c.name).where(JOB_SCHEDULE.c.name == name)).first()
            if known is not None:
                return
        try:
            with explained(), self._ours.begin() as connection:
                connection.execute(JOB_SCHEDULE.insert().values(name=name, due_ns=due_ns))
        except exc.IntegrityError:
            # Another worker was first: it has served the same moment.
            return

    # -- runs ----------------------------------------------------------------------------------------------------

    def open_runs(self) -> list[OpenRun]:
        """Runs that some worker has begun and not ended."""
        wanted = sa.select(
            self._theirs.run.c.workflow_uuid, self._theirs.run.c.name, self._theirs.run.c.executor_id
        ).where(self._theirs.run.c.status == "PENDING")
        with explained(), self.engine.connect() as connection:
            return [
                OpenRun(run_id=str(row[0]), workflow=str(row[1]), worker_id=str(row[2] or ""))
                for row in connection.execute(wanted)
            ]

    def count_unfinished(self) -> int:
        """Runs that wait, or that a worker has begun and not ended."""
        waiting = self._theirs.run.c.status.in_(("PENDING", "ENQUEUED", "DELAYED"))
        with explained(), self.engine.connect() as connection:
            return int(connection.scalar(sa.select(sa.func.count()).select_from(self._theirs.run).where(waiting)) or 0)

    def count_runs(self, projects: Sequence[str], statuses: Sequence[str], names: Sequence[str]) -> int:
        """How many runs there are, by project, status and workflow; empty sequences do not filter."""
        wanted = sa.select(sa.func.count()).select_from(self._theirs.run)
        for column, allowed in (("authenticated_user", projects), ("status", statuses), ("name", names)):
            if allowed:
                wanted = wanted.where(self._theirs.run.c[column].in_(allowed))
        with explained(), self.engine.connect() as connection:
            return int(connection.scalar(wanted) or 0)

    def workflow_names(self) -> list[str]:
        """The names of all workflows that were ever run here."""
        with explained(), self.engine.connect() as connection:
            return sorted(str(row[0]) for row in connection.execute(sa.select(self._theirs.run.c.name).distinct()))

    def count_steps(self, run_ids: Sequence[str]) -> Mapping[str, int]:
        """How many steps each of some runs has recorded."""
        wanted = sa.select(self._theirs.step.c.workflow_uuid, sa.func.count()).where(
            self._theirs.step.c.workflow_uuid.in_(list(run_ids))
        )
        with explained(), self.engine.connect() as connection:
            rows = connection.execute(wanted.group_by(self._theirs.step.c.workflow_uuid))
            return {str(row[0]): int(row[1]) for row in rows}

    def attempts(self, run_ids: Sequence[str]) -> Mapping[str, int]:
        """How often a worker began each of some runs."""
        wanted = sa.select(self._theirs.run.c.workflow_uuid, self._theirs.run.c.recovery_attempts)
        with explained(), self.engine.connect() as connection:
            rows = connection.execute(wanted.where(self._theirs.run.c.workflow_uuid.in_(list(run_ids))))
            return {str(row[0]): int(row[1] or 0) for row in rows}


def _worker(row: dict[str, Any]) -> JobWorker:
    row["workflows"] = tuple(json.loads(row["workflows"]))
    return JobWorker(**row)


def job_url(url: str, data: Path) -> str:
    """Where runs live: PostgreSQL where small records do, else a SQLite file of their own in the data folder."""
    if url.startswith("postgresql://"):
        return "postgresql+psycopg://" + url.removeprefix("postgresql://")
    if url.startswith("postgresql"):
        return url
    return f"sqlite:///{data / 'jobs.db'}"


@contextlib.contextmanager
def explained() -> Generator[None]:
    """A database's error becomes one of ours, naming the remedy."""
    try:
        yield
    except exc.IntegrityError:
        raise
    except exc.DBAPIError as error:
        raise explain(error) from error
    except exc.TimeoutError as error:
        raise Unreachable("all connections to the database of runs are in use", retry_after_s=2) from error


def explain(error: exc.DBAPIError) -> PilothouseError:
    """What a database's error means to who reads it."""
    text = str(error.orig).strip().splitlines()[0] if str(error.orig).strip() else type(error.orig).__name__
    if "disk is full" in text or "No space left" in text or "disk I/O error" in text:
        return DiskFull(
            f"runs cannot be written: {text}; open ones wait and go on by themselves",
            fix="free disk under the data folder",
            retry_after_s=30,
        )
    if "database is locked" in text or "database table is locked" in text:
        return Overloaded(
            f"the database of runs is held by another process: {text}",
            fix="end whatever else has jobs.db open, e.g. a backup or a sqlite3 shell",
            retry_after_s=5,
        )
    if "readonly" in text or "read-only" in text or "unable to open" in text:
        return Unreachable(f"the database of runs cannot be opened: {text}", fix="check the data folder's permissions")
    return Unreachable(f"the database of runs does not answer: {text}", retry_after_s=5)


def _open(url: str, *, is_sqlite: bool, lock_wait_ms: int) -> sa.Engine:
    if not is_sqlite:
        try:
            return sa.create_engine(url, pool_pre_ping=True, pool_size=20, max_overflow=10)
        except (exc.ArgumentError, exc.NoSuchModuleError, ModuleNotFoundError) as error:
            raise BadRequest(
                f"this is no database for runs: {error}",
                got=url.split("@")[-1],
                allowed="postgresql://USER@HOST/DATABASE",
            ) from error
    # A waiting writer is queued by SQLite itself; more connections than threads only wait in another place.
    engine = sa.create_engine(url, pool_size=20, max_overflow=20)

    def prepare(connection: Any, _: Any) -> None:
        _prepare_sqlite(connection, lock_wait_ms)

    event.listen(engine, "connect", prepare)
    return engine


def _prepare_sqlite(connection: Any, lock_wait_ms: int) -> None:
    """WAL, writers one at a time, and ``unixepoch`` where SQLite is older than it.

    The engine's tables use ``unixepoch('subsec')`` as a default value on Python 3.12 and later, which SQLite knows
    since 3.42. Older systems keep older libraries for years, so the function is lent.
    """
    connection.isolation_level = "IMMEDIATE"
    for pragma in (f"busy_timeout={lock_wait_ms}", "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")
    if sqlite3.sqlite_version_info < (3, 42):
        connection.create_function("unixepoch", -1, _unixepoch)


def _unixepoch(*words: object) -> float:
    return time.time() if "subsec" in words else int(time.time())
