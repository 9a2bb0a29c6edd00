"""Models of difficulty by project, and replays of stored calls with what they found so far. SQLite, PostgreSQL by URL."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from .database import address_of, answering, open_database

_METADATA = sa.MetaData()

_MODEL = sa.Table(
    "routing_model",
    _METADATA,
    sa.Column("project_id", sa.String(60), primary_key=True),
    sa.Column("version", sa.String(40), primary_key=True),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("made_ns", sa.BigInteger, nullable=False),
    sa.Column("in_force", sa.Boolean, nullable=False),
)

_REPLAY = sa.Table(
    "routing_replay",
    _METADATA,
    sa.Column("replay_id", sa.String(60), primary_key=True),
    sa.Column("project_id", sa.String(60), nullable=False),
    sa.Column("state", sa.String(20), nullable=False),
    sa.Column("plan", sa.Text, nullable=False),
    sa.Column("made_ns", sa.BigInteger, nullable=False),
    sa.Index("routing_replay_by_time", "project_id", "made_ns"),
)

_CALL = sa.Table(
    "routing_replay_call",
    _METADATA,
    sa.Column("replay_id", sa.String(60), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("body", sa.Text, nullable=False),
)

_MODELS_KEPT = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayRow:
    """One replay as it is kept."""

    replay_id: str
    project_id: str
    state: str
    plan: Mapping[str, Any]
    made_ns: int


class RoutingStore:
    """What one database keeps for routing. Safe for several threads and processes."""

    def __init__(self, url: str) -> None:
        """Open it, and make its tables where they are not there.

        Raises:
            BadRequest: the address is none.
            Unreachable: it does not open.
        """
        self._engine = open_database(url)
        with answering("routing", opens=True):
            _METADATA.create_all(self._engine)

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()

    # -- models of difficulty --------------------------------------------------------------------------------------

    def keep_model(self, project: str, version: str, body: Mapping[str, Any], made_ns: int, *, in_force: bool) -> None:
        """Keep a model, and put it in force where it shall be; the oldest beyond twenty go."""
        own = _MODEL.c.project_id == project
        with answering("routing"), self._engine.begin() as connection:
            if in_force:
                connection.execute(_MODEL.update().where(own).values(in_force=False))
            row = {
                "project_id": project,
                "version": version,
                "body": json.dumps(body),
                "made_ns": made_ns,
                "in_force": in_force,
            }
            insert = postgresql.insert if self._engine.dialect.name == "postgresql" else sqlite.insert
            new = {name: row[name] for name in ("body", "made_ns", "in_force")}
            connection.execute(
                insert(_MODEL).values(row).on_conflict_do_update(index_elements=["project_id", "version"], set_=new)
            )
            newest = sa.select(_MODEL.c.made_ns).where(own).order_by(_MODEL.c.made_ns.desc())
            oldest = connection.scalar(newest.offset(_MODELS_KEPT).limit(1))
            if oldest is not None:
                connection.execute(_MODEL.delete().where(own, _MODEL.c.made_ns <= oldest, ~_MODEL.c.in_force))

    def models(self, project: str = "", *, only_in_force: bool = False) -> list[tuple[str, dict[str, Any], bool]]:
        """Models with their project, newest first, and whether they are in force; no project: of all."""
        wanted = sa.select(_MODEL).order_by(_MODEL.c.made_ns.desc())
        if project:
            wanted = wanted.where(_MODEL.c.project_id == project)
        if only_in_force:
            wanted = wanted.where(_MODEL.c.in_force)
        with answering("routing"), self._engine.connect() as connection:
            rows = connection.execute(wanted).all()
        return [(row.project_id, json.loads(row.body), bool(row.in_force)) for row in rows]

    def versions_in_force(self) -> dict[str, str]:
        """By project: which model is in force."""
        wanted = sa.select(_MODEL.c.project_id, _MODEL.c.version).where(_MODEL.c.in_force)
        with answering("routing"), self._engine.connect() as connection:
            return {row.project_id: row.version for row in connection.execute(wanted)}

    # -- replays ---------------------------------------------------------------------------------------------------

    def add_replay(self, row: ReplayRow) -> None:
        """Keep a replay that begins."""
        values = {name: getattr(row, name) for name in ReplayRow.__slots__}
        with answering("routing"), self._engine.begin() as connection:
            connection.execute(_REPLAY.insert().values(**{**values, "plan": json.dumps(row.plan)}))

    def move_replay(self, replay_id: str, before: tuple[str, ...], state: str) -> bool:
        """Change its state; True for exactly one of several callers."""
        waits = (_REPLAY.c.replay_id == replay_id) & _REPLAY.c.state.in_(before)
        with answering("routing"), self._engine.begin() as connection:
            return connection.execute(_REPLAY.update().where(waits).values(state=state)).rowcount > 0

    def stop_replays(self) -> int:
        """Those that ran when a server was killed have stopped; how many."""
        with answering("routing"), self._engine.begin() as connection:
            runs = _REPLAY.update().where(_REPLAY.c.state == "running").values(state="stopped")
            return connection.execute(runs).rowcount

    def replays(self, project: str, *, replay_id: str = "", limit: int = 50) -> list[ReplayRow]:
        """Replays of a project, the newest first."""
        wanted = sa.select(_REPLAY).where(_REPLAY.c.project_id == project).order_by(_REPLAY.c.made_ns.desc())
        if replay_id:
            wanted = wanted.where(_REPLAY.c.replay_id == replay_id)
        with answering("routing"), self._engine.connect() as connection:
            rows = connection.execute(wanted.limit(limit)).all()
        return [
            ReplayRow(
                replay_id=row.replay_id,
                project_id=row.project_id,
                state=row.state,
                plan=json.loads(row.plan),
                made_ns=row.made_ns,
            )
            for row in rows
        ]

    def keep_call(self, replay_id: str, number: int, body: Mapping[str, Any]) -> None:
        """Keep what one call of a replay gave: it is not made again."""
        with answering("routing"), self._engine.begin() as connection:
            connection.execute(_CALL.insert().values(replay_id=replay_id, number=number, body=json.dumps(body)))

    def calls(self, replay_id: str) -> dict[int, dict[str, Any]]:
        """What a replay's calls gave so far, by number."""
        wanted = sa.select(_CALL).where(_CALL.c.replay_id == replay_id).order_by(_CALL.c.number)
        with answering("routing"), self._engine.connect() as connection:
            return {row.number: json.loads(row.body) for row in connection.execute(wanted)}


def routing_of(url: str, folder: Path) -> RoutingStore:
    """Kept beside the small records that ``--control`` names; empty: ``routing.db`` in the folder."""
    return RoutingStore(address_of(url, folder, "routing.db"))
