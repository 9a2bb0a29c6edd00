"""Plans of agents, every version of them. SQLite by default, PostgreSQL by URL; sqlalchemy alone is needed."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc

from .database import address_of, answering, open_database

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
        self._engine = open_database(url, wait_ms=10_000)
        with answering("plans", opens=True):
            _METADATA.create_all(self._engine)

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
            with answering("plans"), self._engine.begin() as connection:
                connection.execute(
                    _PLAN.insert().values(plan_key=key, version=version, changed_ns=time.time_ns(), body=body)
                )
        except exc.IntegrityError:
            return False
        return True

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()

    def _reading(self) -> sa.Connection:
        with answering("plans"):
            return self._engine.connect()


def plans_of(url: str, folder: Path) -> PlanStore:
    """The plans kept beside the small records that ``--control`` names; empty: ``plans.db`` in the folder."""
    return PlanStore(address_of(url, folder, "plans.db"))


def plans_in(folder: Path) -> PlanStore:
    """The plans kept in a folder: ``plans.db``."""
    return plans_of("", folder)
