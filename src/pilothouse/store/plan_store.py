"""Plans of agents, every version of them. SQLite by default, PostgreSQL by URL; sqlalchemy alone is needed."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event, exc

from pilothouse.records import BadRequest, Unreachable

_METADATA = sa.MetaData()

_PLAN = sa.Table(
    "agent_plan",
    _METADATA,
    sa.Column("plan_key", sa.String(200), primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True),
    sa.Column("changed_ns", sa.BigInteger, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
)


class PlanStore:
    """The plans of one database. Safe for several threads and processes."""

    def __init__(self, url: str) -> None:
        """Open it, and make its table where it is not there.

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
        if self._engine.dialect.name == "sqlite":
            event.listen(self._engine, "connect", _prepare_sqlite)
        try:
            _METADATA.create_all(self._engine)
        except exc.OperationalError as error:
            raise Unreachable(f"the database of plans does not open: {error.orig}") from error

    def load(self, key: str) -> Mapping[str, Any] | None:
        """The newest version of a plan; None where there is none."""
        newest = sa.select(_PLAN.c.body).where(_PLAN.c.plan_key == key).order_by(_PLAN.c.version.desc()).limit(1)
        with self._reading() as connection:
            body = connection.scalar(newest)
        return None if body is None else json.loads(body)

    def history(self, key: str) -> list[Mapping[str, Any]]:
        """Every version of a plan, oldest first."""
        wanted = sa.select(_PLAN.c.body).where(_PLAN.c.plan_key == key).order_by(_PLAN.c.version)
        with self._reading() as connection:
            return [json.loads(body) for body in connection.scalars(wanted)]

    def newest(self, prefix: str, limit: int, *, name: str | None = None) -> list[tuple[str, int, Mapping[str, Any]]]:
        """Keys that begin so (or are that and ``name``), when each plan was changed last, and it; the last first.

        What is kept beside a plan, under its key and a ``#``, is none.
        """
        last = sa.select(_PLAN.c.plan_key, sa.func.max(_PLAN.c.version).label("last")).group_by(_PLAN.c.plan_key)
        last = (
            last.where(_PLAN.c.plan_key == prefix + name)
            if name is not None
            else last.where(
                _PLAN.c.plan_key.startswith(prefix, autoescape=True), ~_PLAN.c.plan_key.contains("#", autoescape=True)
            )
        )
        ends = last.subquery()
        wanted = (
            sa.select(_PLAN.c.plan_key, _PLAN.c.changed_ns, _PLAN.c.body)
            .join(ends, sa.and_(_PLAN.c.plan_key == ends.c.plan_key, _PLAN.c.version == ends.c.last))
            .order_by(_PLAN.c.changed_ns.desc(), _PLAN.c.plan_key)
            .limit(limit)
        )
        with self._reading() as connection:
            return [(key, changed_ns, json.loads(body)) for key, changed_ns, body in connection.execute(wanted)]

    def save(self, key: str, version: int, plan: Mapping[str, Any]) -> bool:
        """Keep a version; False where another process kept one of this number first: load it and try again.

        Raises:
            Unreachable: the database does not answer.
        """
        # Escapes: a model may write half a character, which is no UTF-8.
        body = json.dumps(plan, sort_keys=True)
        try:
            with self._engine.begin() as connection:
                connection.execute(
                    _PLAN.insert().values(plan_key=key, version=version, changed_ns=time.time_ns(), body=body)
                )
        except exc.IntegrityError:
            return False
        except exc.OperationalError as error:
            raise Unreachable(f"the database of plans does not answer: {error.orig}") from error
        return True

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()

    def _reading(self) -> sa.Connection:
        try:
            return self._engine.connect()
        except exc.OperationalError as error:
            raise Unreachable(f"the database of plans does not answer: {error.orig}") from error


def plans_of(url: str, folder: Path) -> PlanStore:
    """The plans kept beside the small records that ``--control`` names; empty: ``plans.db`` in the folder."""
    if not url:
        return plans_in(folder)
    if url.startswith("postgresql://"):
        url = "postgresql+psycopg://" + url.removeprefix("postgresql://")
    return PlanStore(url)


def plans_in(folder: Path) -> PlanStore:
    """The plans kept in a folder: ``plans.db``."""
    folder.mkdir(parents=True, exist_ok=True)
    return PlanStore(f"sqlite:///{folder / 'plans.db'}")


def _prepare_sqlite(connection: Any, _: Any) -> None:
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=10000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
