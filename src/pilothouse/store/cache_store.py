"""Kept answers of models: by key and form, bounded in bytes by route, with what they saved. SQLite, or PostgreSQL by URL.

An answer that is lost costs one call and nothing else, so writes are not synced one by one; a process that is killed
leaves the file whole. Rows that were used least recently go first when a route has more bytes than it may.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import event, exc
from sqlalchemy.dialects import postgresql, sqlite

from pilothouse.records import BadRequest, Unreachable

_METADATA = sa.MetaData()
_SWEEP_ROWS: Final = 1_000
_MEASURED_EVERY: Final = 64
"""Answers kept between two looks at how much there is: another process may keep some too."""
_FULL_TO: Final = 0.9
"""A route that is full is emptied to this share, so that not every answer deletes another."""
_TALLY_KEPT_DAYS: Final = 400
_COMPARISONS_MAX: Final = 10_000
_LOCK: Final = 728_105_468
_DAY_NS: Final = 86_400_000_000_000

_ANSWER = sa.Table(
    "cache_answer",
    _METADATA,
    sa.Column("key", sa.String(64), primary_key=True),
    sa.Column("form", sa.String(200), primary_key=True),
    sa.Column("project_id", sa.String(60), nullable=False),
    sa.Column("route", sa.String(300), nullable=False),
    sa.Column("model", sa.String(300), nullable=False),
    sa.Column("content_type", sa.String(200), nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Column("bytes", sa.BigInteger, nullable=False),
    sa.Column("input_tokens", sa.BigInteger, nullable=False),
    sa.Column("output_tokens", sa.BigInteger, nullable=False),
    sa.Column("worth_nano", sa.BigInteger, nullable=False),
    sa.Column("made_ns", sa.BigInteger, nullable=False),
    sa.Column("expires_ns", sa.BigInteger, nullable=False),
    sa.Column("used_ns", sa.BigInteger, nullable=False),
    sa.Column("hits", sa.BigInteger, nullable=False, server_default="0"),
    sa.Index("cache_answer_by_use", "route", "used_ns", "bytes"),
    sa.Index("cache_answer_by_expiry", "expires_ns"),
)

_TALLY = sa.Table(
    "cache_tally",
    _METADATA,
    sa.Column("project_id", sa.String(60), primary_key=True),
    sa.Column("route", sa.String(300), primary_key=True),
    sa.Column("day", sa.BigInteger, primary_key=True),
    sa.Column("outcome", sa.String(20), primary_key=True),
    sa.Column("calls", sa.BigInteger, nullable=False),
    sa.Column("tokens", sa.BigInteger, nullable=False),
    sa.Column("nano", sa.BigInteger, nullable=False),
)

_QUESTION = sa.Table(
    "cache_question",
    _METADATA,
    sa.Column("key", sa.String(64), primary_key=True),
    sa.Column("together", sa.String(64), nullable=False),
    sa.Column("question", sa.Text, nullable=False),
    sa.Column("vector", sa.LargeBinary, nullable=False),
    sa.Column("expires_ns", sa.BigInteger, nullable=False),
    sa.Column("made_ns", sa.BigInteger, nullable=False),
    sa.Index("cache_question_by_place", "together", "made_ns"),
)

_COMPARISON = sa.Table(
    "cache_comparison",
    _METADATA,
    sa.Column("comparison_id", sa.String(60), primary_key=True),
    sa.Column("project_id", sa.String(60), nullable=False),
    sa.Column("route", sa.String(300), nullable=False),
    sa.Column("made_ns", sa.BigInteger, nullable=False),
    sa.Column("same", sa.Boolean, nullable=False),
    sa.Column("why", sa.String(300), nullable=False),
    sa.Column("similarity", sa.Float, nullable=False),
    sa.Column("trace_id", sa.String(32), nullable=False),
    sa.Column("asked", sa.Text, nullable=False),
    sa.Column("kept_for", sa.Text, nullable=False),
    sa.Column("kept_answer", sa.Text, nullable=False),
    sa.Column("fresh_answer", sa.Text, nullable=False),
    sa.Index("cache_comparison_by_time", "project_id", "made_ns"),
)

# Statements are built once: building them again for each call takes longer than running them.
_FIND = sa.select(_ANSWER).where(
    _ANSWER.c.key == sa.bindparam("k"), _ANSWER.c.expires_ns > sa.bindparam("now", type_=sa.BigInteger)
)
_USED = (
    _ANSWER.update()
    .where(_ANSWER.c.key == sa.bindparam("k"), _ANSWER.c.form == sa.bindparam("f"))
    .values(used_ns=sa.bindparam("at", type_=sa.BigInteger), hits=_ANSWER.c.hits + sa.bindparam("n"))
)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptAnswer:
    """One answer as it is kept."""

    key: str
    """What makes two requests the same, as a hash."""
    form: str
    """``whole``, or how it was streamed."""
    project_id: str
    """Whose call it was."""
    route: str
    model: str
    content_type: str
    body: bytes
    input_tokens: int = 0
    output_tokens: int = 0
    worth_nano: int = 0
    """What the call cost, in billionths of a dollar: what each hit saves."""
    made_ns: int
    expires_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A question beside a kept answer, for finding it by meaning."""

    key: str
    """Of the kept answer."""
    together: str
    """Hash of all that has to be equal: scope, system text, tools, parameters, earlier turns, and the facts named."""
    question: str
    vector: bytes
    expires_ns: int
    made_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A hit by meaning that was asked again, and whether the answers say the same."""

    comparison_id: str
    project_id: str
    route: str
    made_ns: int
    same: bool
    why: str
    similarity: float
    trace_id: str
    """The call that was answered from the cache."""
    asked: str
    kept_for: str
    """The question that the kept answer had been given to."""
    kept_answer: str
    fresh_answer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """How calls of a route fared on one day."""

    route: str
    day: int
    """Days since 1970, UTC."""
    outcome: str
    """``hit``, ``meaning`` (a hit by meaning), ``miss`` or ``bypass``."""
    calls: int
    tokens: int
    """Saved; 0 but for hits."""
    nano: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """What a route keeps now."""

    route: str
    answers: int
    bytes: int
    hits: int
    oldest_ns: int


class CacheStore:
    """The kept answers of one database. Safe for several threads and processes."""

    def __init__(self, url: str) -> None:
        """Open it, and make its tables where they are not there.

        Raises:
            BadRequest: the address is none.
            Unreachable: it does not open.
        """
        try:
            self._engine = sa.create_engine(url, pool_pre_ping=not url.startswith("sqlite"))
        except (exc.ArgumentError, exc.NoSuchModuleError, ModuleNotFoundError) as error:
            raise BadRequest(
                f"this is no database address: {error}",
                got=url.split("@")[-1],
                allowed="sqlite:///FILE or postgresql+psycopg://…",
            ) from error
        self._sqlite = self._engine.dialect.name == "sqlite"
        if self._sqlite:
            event.listen(self._engine, "connect", _prepare_sqlite)
        self._insert = sqlite.insert if self._sqlite else postgresql.insert
        self._held: dict[str, tuple[int, int]] = {}
        with self._writing() as connection:
            if not self._sqlite:
                # Several processes may start at once, and "if not exists" is not safe against that.
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
            _METADATA.create_all(connection)

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()

    # -- answers -------------------------------------------------------------------------------------------------

    def find(self, key: str, *, now_ns: int) -> list[KeptAnswer]:
        """The forms of an answer that are kept and have not expired."""
        with self._reading() as connection:
            return [_answer(row) for row in connection.execute(_FIND, {"k": key, "now": now_ns})]

    def keep(
        self, kept: KeptAnswer, *, bytes_max: int, question: Question | None = None, questions_max: int = 0
    ) -> int:
        """Keep an answer in place of an earlier one; says how many others had to go for it.

        ``questions_max``: of those that are compared with each other; beyond, the oldest goes.
        """
        size = len(kept.body)
        row = asdict(kept) | {"bytes": size, "used_ns": kept.made_ns, "hits": 0}
        statement = self._insert(_ANSWER).values(row)
        new = {name: statement.excluded[name] for name in row if name not in ("key", "form")}
        with self._writing() as connection:
            connection.execute(statement.on_conflict_do_update(index_elements=["key", "form"], set_=new))
            if question is not None:
                self._keep_question(connection, question, questions_max)
            return self._make_room(connection, kept.route, size, bytes_max)

    def used(self, uses: Mapping[tuple[str, str], tuple[int, int]]) -> None:
        """Note when answers were given again and how often: by key and form, the moment and the count."""
        rows = [{"k": key, "f": form, "at": at, "n": count} for (key, form), (at, count) in uses.items()]
        if rows:
            with self._writing() as connection:
                connection.execute(_USED, rows)

    def sweep(self, now_ns: int) -> int:
        """Delete what has expired; how many answers that were. At most so many that no writer waits long."""
        with self._writing() as connection:
            old = sa.select(_ANSWER.c.key, _ANSWER.c.form).where(_ANSWER.c.expires_ns <= now_ns).limit(_SWEEP_ROWS)
            gone = [{"k": row.key, "f": row.form} for row in connection.execute(old)]
            if gone:
                drop = _ANSWER.delete().where(
                    _ANSWER.c.key == sa.bindparam("k"),
                    _ANSWER.c.form == sa.bindparam("f"),
                    # Kept anew meanwhile.
                    _ANSWER.c.expires_ns <= now_ns,
                )
                connection.execute(drop, gone)
                self._held.clear()
            connection.execute(_QUESTION.delete().where(_QUESTION.c.expires_ns <= now_ns))
            connection.execute(_TALLY.delete().where(_TALLY.c.day < now_ns // _DAY_NS - _TALLY_KEPT_DAYS))
        return len(gone)

    def clear(self, project_id: str, *, route: str = "") -> int:
        """Delete a project's kept answers, of one route or of all; how many."""
        mine = _ANSWER.c.project_id == project_id
        if route:
            mine &= _ANSWER.c.route == route
        with self._writing() as connection:
            keys = sa.select(_ANSWER.c.key).where(mine)
            connection.execute(_QUESTION.delete().where(_QUESTION.c.key.in_(keys)))
            gone = connection.execute(_ANSWER.delete().where(mine).returning(_ANSWER.c.key)).all()
            self._held.clear()
            return len(gone)

    # -- questions -----------------------------------------------------------------------------------------------

    def questions(self, together: str, *, now_ns: int, limit: int) -> list[Question]:
        """Questions that may be compared with each other, the newest first."""
        wanted = (_QUESTION.c.together == together) & (_QUESTION.c.expires_ns > now_ns)
        statement = sa.select(_QUESTION).where(wanted).order_by(_QUESTION.c.made_ns.desc()).limit(limit)
        with self._reading() as connection:
            return [Question(**row) for row in connection.execute(statement).mappings()]

    def compare(self, comparison: Comparison) -> None:
        """Keep the outcome of asking again."""
        with self._writing() as connection:
            connection.execute(_COMPARISON.insert().values(asdict(comparison)))
            newest = sa.select(_COMPARISON.c.made_ns).order_by(_COMPARISON.c.made_ns.desc())
            oldest = newest.offset(_COMPARISONS_MAX).limit(1).scalar_subquery()
            connection.execute(_COMPARISON.delete().where(_COMPARISON.c.made_ns <= oldest))

    def comparisons(self, project_id: str, *, since_ns: int, limit: int) -> list[Comparison]:
        """Outcomes of asking again: those that differ first, the newest first."""
        wanted = (_COMPARISON.c.project_id == project_id) & (_COMPARISON.c.made_ns >= since_ns)
        statement = sa.select(_COMPARISON).where(wanted).order_by(_COMPARISON.c.same, _COMPARISON.c.made_ns.desc())
        with self._reading() as connection:
            return [Comparison(**row) for row in connection.execute(statement.limit(limit)).mappings()]

    def compared(self, project_id: str, *, since_ns: int) -> tuple[int, int]:
        """How many hits by meaning were asked again, and how many of them gave another answer."""
        wanted = (_COMPARISON.c.project_id == project_id) & (_COMPARISON.c.made_ns >= since_ns)
        differ = sa.func.sum(sa.case((_COMPARISON.c.same, 0), else_=1))
        with self._reading() as connection:
            row = connection.execute(sa.select(sa.func.count(), differ).where(wanted)).one()
        return int(row[0]), int(row[1] or 0)

    # -- figures -------------------------------------------------------------------------------------------------

    def count(self, project_id: str, tallies: Sequence[Tally]) -> None:
        """Add to the figures of a project."""
        with self._writing() as connection:
            for one in tallies:
                statement = self._insert(_TALLY).values(asdict(one) | {"project_id": project_id})
                more = {name: _TALLY.c[name] + statement.excluded[name] for name in ("calls", "tokens", "nano")}
                names = ["project_id", "route", "day", "outcome"]
                connection.execute(statement.on_conflict_do_update(index_elements=names, set_=more))

    def tallies(self, project_id: str, *, since_day: int) -> list[Tally]:
        """The figures of a project by route, day and outcome."""
        wanted = (_TALLY.c.project_id == project_id) & (_TALLY.c.day >= since_day)
        columns = [column for column in _TALLY.c if column.name != "project_id"]
        statement = sa.select(*columns).where(wanted).order_by(_TALLY.c.route, _TALLY.c.day, _TALLY.c.outcome)
        with self._reading() as connection:
            return [Tally(**row) for row in connection.execute(statement).mappings()]

    def spaces(self, project_id: str, *, now_ns: int) -> list[Space]:
        """What is kept of a project, by route."""
        statement = (
            sa.select(
                _ANSWER.c.route,
                sa.func.count().label("answers"),
                sa.func.sum(_ANSWER.c.bytes).label("bytes"),
                sa.func.sum(_ANSWER.c.hits).label("hits"),
                sa.func.min(_ANSWER.c.made_ns).label("oldest_ns"),
            )
            .where(_ANSWER.c.project_id == project_id, _ANSWER.c.expires_ns > now_ns)
            .group_by(_ANSWER.c.route)
            .order_by(_ANSWER.c.route)
        )
        with self._reading() as connection:
            return [
                Space(
                    route=row.route,
                    answers=int(row.answers),
                    bytes=int(row.bytes),
                    hits=int(row.hits),
                    oldest_ns=row.oldest_ns,
                )
                for row in connection.execute(statement)
            ]

    # -- within a transaction ------------------------------------------------------------------------------------

    def _keep_question(self, connection: sa.Connection, question: Question, most: int) -> None:
        statement = self._insert(_QUESTION).values(asdict(question))
        new = {name: statement.excluded[name] for name in ("together", "question", "vector", "expires_ns", "made_ns")}
        connection.execute(statement.on_conflict_do_update(index_elements=["key"], set_=new))
        here = _QUESTION.c.together == question.together
        newest = sa.select(_QUESTION.c.made_ns).where(here).order_by(_QUESTION.c.made_ns.desc())
        oldest = newest.offset(most).limit(1).scalar_subquery()
        connection.execute(_QUESTION.delete().where(here, _QUESTION.c.made_ns <= oldest))

    def _make_room(self, connection: sa.Connection, route: str, added: int, most: int) -> int:
        held, since = self._held.get(route, (0, _MEASURED_EVERY))
        held, since = held + added, since + 1
        if held > most or since >= _MEASURED_EVERY:
            total = sa.select(sa.func.coalesce(sa.func.sum(_ANSWER.c.bytes), 0)).where(_ANSWER.c.route == route)
            held, since = int(connection.scalar(total) or 0), 0
        gone = 0
        if held > most:
            by_use = sa.select(_ANSWER.c.key, _ANSWER.c.form, _ANSWER.c.bytes).where(_ANSWER.c.route == route)
            drops: list[dict[str, str]] = []
            for row in connection.execute(by_use.order_by(_ANSWER.c.used_ns)):
                if held <= most * _FULL_TO:
                    break
                held -= row.bytes
                drops.append({"k": row.key, "f": row.form})
            drop = _ANSWER.delete().where(_ANSWER.c.key == sa.bindparam("k"), _ANSWER.c.form == sa.bindparam("f"))
            connection.execute(drop, drops)
            gone = len(drops)
        self._held[route] = (held, since)
        return gone

    @contextlib.contextmanager
    def _writing(self) -> Generator[sa.Connection]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except (exc.OperationalError, exc.DatabaseError) as error:
            raise Unreachable(f"the database of kept answers does not answer: {error.orig}") from error

    _reading = _writing


def _answer(row: Any) -> KeptAnswer:
    return KeptAnswer(
        key=row.key,
        form=row.form,
        project_id=row.project_id,
        route=row.route,
        model=row.model,
        content_type=row.content_type,
        body=bytes(row.body),
        input_tokens=row.input_tokens,
        output_tokens=row.output_tokens,
        worth_nano=row.worth_nano,
        made_ns=row.made_ns,
        expires_ns=row.expires_ns,
    )


def cache_of(url: str, folder: Path) -> CacheStore:
    """The answers kept beside the small records that ``--control`` names; empty: ``cache.db`` in the folder."""
    if not url:
        folder.mkdir(parents=True, exist_ok=True)
        # Whole answers stand in it: only its owner reads it. What SQLite puts beside it has the same rights.
        (folder / "cache.db").touch(mode=0o600)
        return CacheStore(f"sqlite:///{folder / 'cache.db'}")
    if url.startswith("postgresql://"):
        url = "postgresql+psycopg://" + url.removeprefix("postgresql://")
    return CacheStore(url)


def _prepare_sqlite(connection: Any, _: Any) -> None:
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "busy_timeout=20000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
