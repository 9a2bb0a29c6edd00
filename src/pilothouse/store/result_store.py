"""Runs of suites as they were sent to the server, and what became of each case. SQLite, PostgreSQL by URL."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from pilothouse.records import NotFound, TooLarge

from .database import READING, address_of, answering, open_database

CASES_MAX: Final = 200_000
"""Cases of one run."""
FOLDED: Final = ("fail", "flaky", "unscored", "pass")
"""What a case came to, in the order of lists; its place here is its rank."""

_METADATA = sa.MetaData()

_RUN = sa.Table(
    "eval_run",
    _METADATA,
    sa.Column("project_id", sa.String(60), primary_key=True),
    sa.Column("run_id", sa.String(40), primary_key=True),
    sa.Column("suite", sa.String(200), nullable=False),
    sa.Column("target", sa.Text, nullable=False),
    sa.Column("version", sa.Text, nullable=False),
    sa.Column("state", sa.String(20), nullable=False),
    sa.Column("started_ns", sa.BigInteger, nullable=False),
    sa.Column("sent_ns", sa.BigInteger, nullable=False),
    sa.Column("who", sa.String(200), nullable=False),
    sa.Column("cases", sa.Integer, nullable=False, server_default="0"),
    sa.Column("revision", sa.Integer, nullable=False, server_default="0"),
    sa.Column("head", sa.Text, nullable=False),
    sa.Column("totals", sa.Text, nullable=False, server_default="{}"),
    sa.Column("held", sa.Text, nullable=False, server_default="{}"),
)
sa.Index("eval_run_by_time", _RUN.c.project_id, _RUN.c.started_ns, _RUN.c.run_id)
sa.Index("eval_run_by_suite", _RUN.c.project_id, _RUN.c.suite, _RUN.c.started_ns)

_CASE = sa.Table(
    "eval_case",
    _METADATA,
    sa.Column("project_id", sa.String(60), primary_key=True),
    sa.Column("run_id", sa.String(40), primary_key=True),
    sa.Column("case_id", sa.String(120), primary_key=True),
    sa.Column("rank", sa.Integer, nullable=False),
    sa.Column("sha256", sa.String(64), nullable=False),
    sa.Column("capability", sa.String(120), nullable=False),
    sa.Column("cluster", sa.String(200), nullable=False),
    sa.Column("severity", sa.String(40), nullable=False),
    sa.Column("quarantined", sa.Text, nullable=False),
    sa.Column("groups", sa.JSON, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("passed", sa.Integer, nullable=False),
    sa.Column("taken_over", sa.Integer, nullable=False),
    sa.Column("why", sa.Text, nullable=False),
    sa.Column("traces", sa.Text, nullable=False),
    sa.Column("cost_usd", sa.Float, nullable=False),
    sa.Column("judge_usd", sa.Float, nullable=False),
    sa.Column("seconds", sa.Float, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
)
sa.Index("eval_case_by_rank", _CASE.c.project_id, _CASE.c.run_id, _CASE.c.rank, _CASE.c.case_id)

_BATCH = sa.Table(
    "eval_batch",
    _METADATA,
    sa.Column("project_id", sa.String(60), primary_key=True),
    sa.Column("run_id", sa.String(40), primary_key=True),
    sa.Column("digest", sa.String(64), primary_key=True),
)

_LOCK: Final = 7_210_773


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """One run as it is kept."""

    run_id: str
    suite: str
    target: str
    version: str
    state: str
    """``open`` while cases come in, then ``finished``."""
    started_ns: int
    sent_ns: int
    who: str
    cases: int
    revision: int
    """How many batches came: what was read at one revision holds until the next."""
    head: Mapping[str, Any]
    totals: Mapping[str, Any]
    held: Mapping[str, Any]
    """What it is worth against the run it is held against; empty while that is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseRow:
    """What one case came to in a run."""

    case_id: str
    folded: str
    """One of FOLDED."""
    sha256: str
    capability: str
    cluster: str
    severity: str
    quarantined: str
    groups: Mapping[str, str]
    attempts: int
    passed: int
    taken_over: int
    why: str
    traces: tuple[str, ...]
    """Of its attempts, those that do not pass first."""
    cost_usd: float
    judge_usd: float
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseBody:
    """A case with its attempts as they were sent."""

    row: CaseRow
    attempts: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseFilter:
    """Which cases are meant; what is empty holds nothing back."""

    folded: tuple[str, ...] = ()
    key: str = ""
    """``capability``, ``severity``, ``cluster``, or a key of groups."""
    value: str = ""
    """Of that key; empty: those that have none."""
    words: str = ""
    """Part of an id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """Cases of one value of a key, counted."""

    value: str
    folded: str
    cases: int
    attempts: int
    passed: int
    taken_over: int
    cost_usd: float
    judge_usd: float
    seconds: float


_PLAIN_KEYS: Final = {"capability": _CASE.c.capability, "severity": _CASE.c.severity, "cluster": _CASE.c.cluster}
_ROW: Final = tuple(column for column in _CASE.c if column.name not in ("project_id", "run_id", "body"))


class ResultStore:
    """What one database keeps of runs. Safe for several threads and processes."""

    def __init__(self, url: str) -> None:
        """Open it, and make its tables where they are not there.

        Raises:
            BadRequest: the address is none.
            Unreachable: it does not open.
        """
        # A batch is one transaction of hundreds of rows: a reader must not wait for it, nor it for a reader.
        self._engine = open_database(url, immediate=True)
        self._reader = self._engine.execution_options(**READING)
        postgres = self._engine.dialect.name == "postgresql"
        self._insert = postgresql.insert if postgres else sqlite.insert
        with answering("results", opens=True), self._engine.begin() as connection:
            if postgres:
                # Several processes may start at once, and "if not exists" is not safe against that.
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
            _METADATA.create_all(connection)

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()

    # -- writing ---------------------------------------------------------------------------------------------------

    def begin(self, project: str, row: RunRow) -> frozenset[str]:
        """Keep a run that is about to be sent; the digests of the batches that are here already.

        A run that is known keeps who sent it first and when; its head becomes what is said now, and where that is another
        one than before, the run is open until it is finished again.
        """
        values = {
            "project_id": project,
            "run_id": row.run_id,
            "suite": row.suite,
            "target": row.target,
            "version": row.version,
            "state": "open",
            "started_ns": row.started_ns,
            "sent_ns": row.sent_ns,
            "who": row.who,
            "head": json.dumps(row.head, sort_keys=True),
        }
        known = self._insert(_RUN).values(values)
        same = sa.case((_RUN.c.head == known.excluded.head, _RUN.c.state), else_="open")
        known = known.on_conflict_do_update(
            index_elements=["project_id", "run_id"], set_={"head": known.excluded.head, "state": same}
        )
        mine = (_BATCH.c.project_id == project) & (_BATCH.c.run_id == row.run_id)
        with answering("results"), self._engine.begin() as connection:
            connection.execute(known)
            return frozenset(connection.scalars(sa.select(_BATCH.c.digest).where(mine)))

    def add(self, project: str, run_id: str, digest: str, cases: Sequence[CaseBody]) -> bool:
        """Keep a batch of cases: all of it or nothing. False where it is here already, and nothing changes.

        Raises:
            NotFound: the run was not begun.
            TooLarge: the run has too many cases.
        """
        mine = {"project_id": project, "run_id": run_id}
        own = (_RUN.c.project_id == project) & (_RUN.c.run_id == run_id)
        once = self._insert(_BATCH).values(**mine, digest=digest).on_conflict_do_nothing().returning(_BATCH.c.digest)
        rows = [{**mine, **_values(one)} for one in cases]
        with answering("results"), self._engine.begin() as connection:
            # The row of the run is locked first: two senders of one run take turns, in SQLite as in PostgreSQL.
            if not connection.execute(_RUN.update().where(own).values(sent_ns=_RUN.c.sent_ns)).rowcount:
                raise NotFound("this run was not begun here", got=run_id, fix="pilothouse eval push")
            if connection.execute(once).first() is None:
                return False
            put = self._insert(_CASE)
            fixed = (*mine, "case_id")
            changed = {one.name: put.excluded[one.name] for one in _CASE.c if one.name not in fixed}
            connection.execute(put.on_conflict_do_update(index_elements=fixed, set_=changed), rows)
            count = sa.select(sa.func.count()).where(_CASE.c.project_id == project, _CASE.c.run_id == run_id)
            total = connection.scalar(count) or 0
            if total > CASES_MAX:
                raise TooLarge(f"a run has at most {CASES_MAX:,} cases here", got=total)
            connection.execute(_RUN.update().where(own).values(state="open", cases=total, revision=_RUN.c.revision + 1))
        return True

    def finish(self, project: str, run_id: str, totals: Mapping[str, Any], held: Mapping[str, Any]) -> None:
        """Say that all of a run is here, and what it came to."""
        own = (_RUN.c.project_id == project) & (_RUN.c.run_id == run_id)
        values = {"state": "finished", "totals": json.dumps(totals), "held": json.dumps(held)}
        with answering("results"), self._engine.begin() as connection:
            connection.execute(_RUN.update().where(own).values(values))

    def delete(self, project: str, run_id: str) -> bool:
        """Take a run away with all its cases; False where there is none."""
        with answering("results"), self._engine.begin() as connection:
            for table in (_CASE, _BATCH):
                connection.execute(table.delete().where(table.c.project_id == project, table.c.run_id == run_id))
            gone = _RUN.delete().where(_RUN.c.project_id == project, _RUN.c.run_id == run_id)
            return connection.execute(gone).rowcount > 0

    # -- runs ------------------------------------------------------------------------------------------------------

    def run(self, project: str, name: str) -> list[RunRow]:
        """Runs whose id begins so: one where it is whole or unique, two at most."""
        wanted = sa.select(_RUN).where(_RUN.c.project_id == project)
        with answering("results"), self._reader.connect() as connection:
            exact = connection.execute(wanted.where(_RUN.c.run_id == name)).first()
            if exact is not None:
                return [_run(exact)]
            near = wanted.where(_RUN.c.run_id.startswith(name, autoescape=True)).order_by(_RUN.c.run_id).limit(2)
            return [_run(row) for row in connection.execute(near)]

    def runs(
        self, project: str, *, suite: str = "", limit: int = 50, before: tuple[int, str] | None = None
    ) -> tuple[list[RunRow], int]:
        """Runs of a project, the newest first, and how many there are. ``before``: start and id of the last one seen."""
        mine = _RUN.c.project_id == project
        if suite:
            mine &= _RUN.c.suite == suite
        wanted = sa.select(_RUN).where(mine).order_by(_RUN.c.started_ns.desc(), _RUN.c.run_id.desc()).limit(limit)
        if before is not None:
            at, id = before
            wanted = wanted.where((_RUN.c.started_ns < at) | ((_RUN.c.started_ns == at) & (_RUN.c.run_id < id)))
        with answering("results"), self._reader.connect() as connection:
            rows = [_run(row) for row in connection.execute(wanted)]
            total = connection.scalar(sa.select(sa.func.count()).select_from(_RUN).where(mine)) or 0
        return rows, total

    def suites(self, project: str, *, limit: int) -> list[tuple[str, int]]:
        """Suites with how many runs they have, the one that ran last first."""
        wanted = (
            sa.select(_RUN.c.suite, sa.func.count())
            .where(_RUN.c.project_id == project)
            .group_by(_RUN.c.suite)
            .order_by(sa.func.max(_RUN.c.started_ns).desc(), _RUN.c.suite)
            .limit(limit)
        )
        with answering("results"), self._reader.connect() as connection:
            return [(suite, count) for suite, count in connection.execute(wanted)]

    # -- cases -----------------------------------------------------------------------------------------------------

    def cases(
        self, project: str, run_id: str, wanted: CaseFilter, *, limit: int, after: tuple[int, str] | None = None
    ) -> tuple[list[CaseRow], int]:
        """Cases of a run by rank, then id, and how many fit. ``after``: rank and id of the last one seen."""
        fits = _fits(project, run_id, wanted)
        listed = sa.select(*_ROW).where(fits).order_by(_CASE.c.rank, _CASE.c.case_id).limit(limit)
        if after is not None:
            rank, id = after
            listed = listed.where((_CASE.c.rank > rank) | ((_CASE.c.rank == rank) & (_CASE.c.case_id > id)))
        with answering("results"), self._reader.connect() as connection:
            rows = [_case(row) for row in connection.execute(listed)]
            total = connection.scalar(sa.select(sa.func.count()).select_from(_CASE).where(fits)) or 0
        return rows, total

    def case(self, project: str, run_id: str, case_id: str) -> CaseBody | None:
        """One case with its attempts; None where the run has none of this id."""
        fits = (_CASE.c.project_id == project) & (_CASE.c.run_id == run_id) & (_CASE.c.case_id == case_id)
        with answering("results"), self._reader.connect() as connection:
            row = connection.execute(sa.select(_CASE).where(fits)).first()
        return None if row is None else CaseBody(row=_case(row), attempts=json.loads(row.body))

    def bodies(self, project: str, run_id: str) -> Iterator[CaseBody]:
        """Every case of a run with its attempts, by id: read a few thousand at a time."""
        fits = (_CASE.c.project_id == project) & (_CASE.c.run_id == run_id)
        wanted = sa.select(_CASE).where(fits).order_by(_CASE.c.case_id)
        after = ""
        while True:
            with answering("results"), self._reader.connect() as connection:
                rows = connection.execute(wanted.where(_CASE.c.case_id > after).limit(2_000)).all()
            for row in rows:
                yield CaseBody(row=_case(row), attempts=json.loads(row.body))
            if len(rows) < 2_000:
                return
            after = rows[-1].case_id

    def quarantined(self, project: str, run_id: str) -> dict[str, str]:
        """Why which case of a run does not count."""
        wanted = sa.select(_CASE.c.case_id, _CASE.c.quarantined).where(
            _CASE.c.project_id == project, _CASE.c.run_id == run_id, _CASE.c.quarantined != ""
        )
        with answering("results"), self._reader.connect() as connection:
            return {row.case_id: row.quarantined for row in connection.execute(wanted)}

    def count_by(self, project: str, run_id: str, key: str = "", *, limit: int = 2_000) -> list[Counted]:
        """Cases of a run, counted by what they came to, within each value of a key; no key: of all."""
        value: sa.ColumnElement[str] = _value_of(key) if key else sa.literal("")
        wanted = (
            sa.select(
                value.label("value"),
                _CASE.c.rank,
                sa.func.count().label("cases"),
                *(
                    sa.func.sum(_CASE.c[name]).label(name)
                    for name in ("attempts", "passed", "taken_over", "cost_usd", "judge_usd", "seconds")
                ),
            )
            .where(_CASE.c.project_id == project, _CASE.c.run_id == run_id)
            .group_by("value", _CASE.c.rank)
            .order_by(sa.text("value"))
            .limit(limit)
        )
        with answering("results"), self._reader.connect() as connection:
            return [
                Counted(
                    value=row.value or "",
                    folded=str(FOLDED[int(row.rank)]),
                    cases=row.cases,
                    attempts=int(row.attempts),
                    passed=int(row.passed),
                    taken_over=int(row.taken_over),
                    cost_usd=float(row.cost_usd),
                    judge_usd=float(row.judge_usd),
                    seconds=float(row.seconds),
                )
                for row in connection.execute(wanted)
            ]

    def groups(self, project: str, run_id: str) -> Iterator[Mapping[str, str]]:
        """What each case of a run may be grouped by, in no order."""
        wanted = sa.select(_CASE.c.capability, _CASE.c.severity, _CASE.c.cluster, _CASE.c.groups)
        wanted = wanted.where(_CASE.c.project_id == project, _CASE.c.run_id == run_id)
        with answering("results"), self._reader.connect() as connection:
            for row in connection.execute(wanted):
                plain = {name: getattr(row, name) for name in _PLAIN_KEYS}
                yield {**row.groups, **{name: value for name, value in plain.items() if value}}


def results_of(url: str, folder: Path) -> ResultStore:
    """Kept beside the small records that ``--control`` names; empty: ``results.db`` in the folder."""
    return ResultStore(address_of(url, folder, "results.db"))


def _value_of(key: str) -> sa.ColumnElement[str]:
    plain = _PLAIN_KEYS.get(key)
    if plain is not None:
        return plain
    return sa.func.coalesce(_CASE.c.groups[key].as_string(), "")


def _fits(project: str, run_id: str, wanted: CaseFilter) -> sa.ColumnElement[bool]:
    fits: sa.ColumnElement[bool] = (_CASE.c.project_id == project) & (_CASE.c.run_id == run_id)
    if wanted.folded:
        fits &= _CASE.c.rank.in_([FOLDED.index(one) for one in wanted.folded])
    if wanted.key:
        fits &= _value_of(wanted.key) == wanted.value
    if wanted.words:
        fits &= _CASE.c.case_id.contains(wanted.words, autoescape=True)
    return fits


def _values(one: CaseBody) -> dict[str, Any]:
    row = one.row
    plain = {name: getattr(row, name) for name in CaseRow.__slots__ if name not in ("folded", "traces", "groups")}
    return {
        **plain,
        "rank": FOLDED.index(row.folded),
        "groups": dict(row.groups),
        "traces": json.dumps(row.traces),
        "body": json.dumps(one.attempts, ensure_ascii=False),
    }


def _run(row: Any) -> RunRow:
    found = {name: getattr(row, name) for name in RunRow.__slots__}
    return RunRow(**{**found, **{name: json.loads(found[name]) for name in ("head", "totals", "held")}})


def _case(row: Any) -> CaseRow:
    found = {name: getattr(row, name) for name in CaseRow.__slots__ if name not in ("folded", "traces")}
    return CaseRow(**found, folded=str(FOLDED[int(row.rank)]), traces=tuple(json.loads(row.traces)))
