"""What online evals have scored, spent and been told: one row a score, money by scorer and day. SQLite, PostgreSQL by URL.

A score is claimed before any work and any money goes into it, by one INSERT that only one process wins; so a trace is scored
once by each version of a scorer. What its judge could not be asked waits in its row, with what was answered. Money is whole
billionths of a dollar, compared and raised by one UPDATE; each hold names the process it is of, so that what a killed one held
is booked at its estimate and the rest is free again.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from pilothouse.records import new_id
from pilothouse.records.process_identity import is_gone, machine, process_start

from .database import READING, add_columns, address_of, answering, open_database

_METADATA = sa.MetaData()
NANO: Final = 1_000_000_000
_ROWS_MAX: Final = 50_000
_ASKED_AT_ONCE: Final = 500

_SCORE = sa.Table(
    "online_score",
    _METADATA,
    sa.Column("project_id", sa.String(60), primary_key=True),
    sa.Column("scorer", sa.String(60), primary_key=True),
    sa.Column("version", sa.String(40), primary_key=True),
    # A trace, a trace and a span, or a session.
    sa.Column("unit_id", sa.String(120), primary_key=True),
    sa.Column("trace_id", sa.String(60), nullable=False),
    sa.Column("span_id", sa.String(60), nullable=False),
    sa.Column("session_id", sa.Text, nullable=False),
    # What it hangs together with: its session, else its trace.
    sa.Column("cluster", sa.String(200), nullable=False),
    # claimed, waiting, scored, unscored
    sa.Column("state", sa.String(20), nullable=False),
    sa.Column("value", sa.Float),
    sa.Column("label", sa.String(100), nullable=False),
    sa.Column("why", sa.Text, nullable=False),
    sa.Column("reason", sa.String(40), nullable=False),
    sa.Column("usd_nano", sa.BigInteger, nullable=False),
    sa.Column("at_ns", sa.BigInteger, nullable=False),
    sa.Column("day", sa.String(10), nullable=False),
    sa.Column("owner", sa.String(60), nullable=False),
    # Whether it stands among the annotations; true where it shall not.
    sa.Column("shown", sa.Boolean, nullable=False),
    # Of what waits until its judge answers: how often it was asked, since when it waits and until when, and what was answered.
    sa.Column("tries", sa.Integer, nullable=False, server_default="0"),
    sa.Column("since_ns", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("next_ns", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("answered", sa.Text, nullable=False, server_default=""),
    sa.Index("online_score_by_time", "project_id", "scorer", "at_ns"),
    sa.Index("online_score_by_trace", "project_id", "trace_id"),
    sa.Index("online_score_unshown", "shown"),
)

# Written out, not bound: an index of some rows serves a query only where the query says which.
_WAITS: Final = _SCORE.c.state == sa.literal_column("'waiting'")
_WAITING_INDEX: Final = sa.Index(
    "online_score_waiting",
    _SCORE.c.scorer, _SCORE.c.version, _SCORE.c.project_id, _SCORE.c.next_ns,
    sqlite_where=_WAITS, postgresql_where=_WAITS,
)  # fmt: skip

_SPEND = sa.Table(
    "online_spend",
    _METADATA,
    sa.Column("scorer", sa.String(60), primary_key=True),
    sa.Column("day", sa.String(10), primary_key=True),
    sa.Column("spent_nano", sa.BigInteger, nullable=False),
    sa.Column("held_nano", sa.BigInteger, nullable=False),
    sa.Column("calls", sa.BigInteger, nullable=False),
    # The cap at which a call was last refused; 0: none was. A cap that is raised lets the scorer go on.
    sa.Column("full_at_nano", sa.BigInteger, nullable=False),
)

_HOLD = sa.Table(
    "online_hold",
    _METADATA,
    sa.Column("hold_id", sa.String(40), primary_key=True),
    sa.Column("scorer", sa.String(60), nullable=False),
    sa.Column("day", sa.String(10), nullable=False),
    sa.Column("nano", sa.BigInteger, nullable=False),
    # What is booked should nobody say what it came to.
    sa.Column("estimate_nano", sa.BigInteger, nullable=False),
    sa.Column("machine", sa.String(40), nullable=False),
    sa.Column("process_id", sa.BigInteger, nullable=False),
    sa.Column("process_start", sa.String(40), nullable=False),
    sa.Column("at_ns", sa.BigInteger, nullable=False),
    # Its process has ended, and its estimate is booked.
    sa.Column("ended", sa.Boolean, nullable=False),
)

_DOWN = sa.Table(
    "online_down",
    _METADATA,
    sa.Column("scorer", sa.String(60), primary_key=True),
    sa.Column("version", sa.String(40), primary_key=True),
    sa.Column("since_ns", sa.BigInteger, nullable=False),
    sa.Column("next_ns", sa.BigInteger, nullable=False),
    sa.Column("tries", sa.Integer, nullable=False),
    sa.Column("why", sa.Text, nullable=False),
)

_STATE = sa.Table(
    "online_scorer",
    _METADATA,
    sa.Column("scorer", sa.String(60), primary_key=True),
    sa.Column("version", sa.String(40), nullable=False),
    sa.Column("scored_by", sa.String(300), nullable=False),
    sa.Column("problem", sa.Text, nullable=False),
    # Empty: it is no judge; ``yes``; else why its judge is below its bar.
    sa.Column("calibrated", sa.Text, nullable=False),
    sa.Column("seen_ns", sa.BigInteger, nullable=False),
)

_CURSOR = sa.Table(
    "online_cursor",
    _METADATA,
    sa.Column("project_id", sa.String(60), primary_key=True),
    sa.Column("scorer", sa.String(60), primary_key=True),
    sa.Column("version", sa.String(40), primary_key=True),
    sa.Column("at", sa.BigInteger, nullable=False),
)

_STOP = sa.Table(
    "online_stop",
    _METADATA,
    sa.Column("project_id", sa.String(60), primary_key=True),
    sa.Column("scorer", sa.String(60), primary_key=True),
    sa.Column("who", sa.String(200), nullable=False),
    sa.Column("at_ns", sa.BigInteger, nullable=False),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One thing that is to be scored by one version of a scorer."""

    project_id: str
    scorer: str
    version: str
    unit_id: str
    trace_id: str = ""
    span_id: str = ""
    session_id: str = ""
    cluster: str = ""
    """What it hangs together with: its session, else its trace."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreRow(Claim):
    """What came of it."""

    state: str
    value: float | None = None
    label: str = ""
    why: str = ""
    reason: str = ""
    """Why it has no score, in a word; empty where it has one."""
    usd_nano: int = 0
    at_ns: int = 0
    day: str = ""
    shown: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting(Claim):
    """What is asked about again, since its judge did not answer."""

    tries: int
    """How often it was asked."""
    since_ns: int
    next_ns: int
    """Not asked before."""
    why: str = ""
    answered: str = ""
    """What was answered and is not asked again, in the form of whoever asks."""
    usd_nano: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Down:
    """A scorer's judge that does not answer."""

    scorer: str
    version: str
    since_ns: int
    next_ns: int
    """When it is asked next."""
    tries: int
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Spend:
    """What a scorer spent in a day."""

    day: str
    spent_nano: int
    held_nano: int
    calls: int
    full_at_nano: int
    """The cap at which a call was last refused; 0: none was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScorerState:
    """A scorer as the process that runs it sees it."""

    scorer: str
    version: str
    scored_by: str
    problem: str
    calibrated: str
    seen_ns: int


_ROW_FIELDS: Final = tuple(one.name for one in fields(ScoreRow))
_WAITING_FIELDS: Final = tuple(one.name for one in fields(Waiting))


class OnlineStore:
    """What one database keeps for online evals. Safe for several threads and processes."""

    def __init__(self, url: str) -> None:
        """Open it, and make its tables where they are not there.

        Raises:
            BadRequest: the address is none.
            Unreachable: it does not open.
        """
        self._engine = open_database(url, immediate=True)
        with answering("online evals", opens=True):
            _METADATA.create_all(self._engine)
            with self._engine.begin() as connection:
                add_columns(connection, _SCORE)
                _WAITING_INDEX.create(connection, checkfirst=True)
        self._process = (machine(), os.getpid(), process_start(os.getpid()))

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()

    # -- scores ----------------------------------------------------------------------------------------------------

    def known(self, project: str, scorer: str, version: str, unit_ids: Collection[str]) -> set[str]:
        """Those of these that are claimed or done."""
        wanted, found = list(unit_ids), set[str]()
        own = (_SCORE.c.project_id == project) & (_SCORE.c.scorer == scorer) & (_SCORE.c.version == version)
        with answering("online evals"), self._reading() as connection:
            for first in range(0, len(wanted), _ASKED_AT_ONCE):
                some = _SCORE.c.unit_id.in_(wanted[first : first + _ASKED_AT_ONCE])
                found |= set(connection.scalars(sa.select(_SCORE.c.unit_id).where(own, some)))
        return found

    def claim(self, claim: Claim, owner: str, now_ns: int) -> bool:
        """Take one thing to score; True for exactly one of all who ask."""
        values = _values(claim, state="claimed", owner=owner, at_ns=now_ns, shown=True)
        with answering("online evals"), self._engine.begin() as connection:
            return self._is_new(connection, _SCORE, values)

    def let_go(self, claims: Iterable[Claim]) -> None:
        """Give claims back: nothing came of them, and they are taken again later."""
        with answering("online evals"), self._engine.begin() as connection:
            for one in claims:
                self._give_back(connection, _is(one), tries=_SCORE.c.tries - 1)

    def take_over(self, owner: str) -> int:
        """Give back what a killed process of this owner had claimed; how many."""
        with answering("online evals"), self._engine.begin() as connection:
            # What it was asking again has been asked: else what kills us would do so for ever.
            return self._give_back(connection, _SCORE.c.owner == owner, tries=_SCORE.c.tries)

    @staticmethod
    def _give_back(connection: sa.Connection, which: sa.ColumnElement[bool], *, tries: Any) -> int:
        open_ = which & (_SCORE.c.state == "claimed")
        # Nobody comes upon it again by itself: it is long behind where the scorer looks.
        again = _SCORE.update().where(open_, _SCORE.c.since_ns > 0).values(state="waiting", owner="", tries=tries)
        given = connection.execute(again).rowcount
        return given + connection.execute(_SCORE.delete().where(open_)).rowcount

    def finish(self, row: ScoreRow) -> None:
        """Keep what came of a claim."""
        new = {name: getattr(row, name) for name in _ROW_FIELDS if name not in Claim.__slots__} | {"answered": ""}
        with answering("online evals"), self._engine.begin() as connection:
            connection.execute(_SCORE.update().where(_is(row)).values(new))

    def pass_over(self, claims: Sequence[Claim], *, reason: str, why: str, at_ns: int, day: str) -> int:
        """Note things as unscored without looking at them; how many are new."""
        new = 0
        with answering("online evals"), self._engine.begin() as connection:
            for one in claims:
                values = _values(one, state="unscored", reason=reason, why=why, at_ns=at_ns, day=day, shown=True)
                new += self._is_new(connection, _SCORE, values)
        return new

    def unshown(self, *, limit: int = 500) -> list[ScoreRow]:
        """Scores that do not stand among the annotations yet."""
        with answering("online evals"), self._reading() as connection:
            rows = connection.execute(sa.select(_SCORE).where(~_SCORE.c.shown).limit(limit)).all()
        return [_row(row) for row in rows]

    def mark_shown(self, claims: Iterable[Claim]) -> None:
        """They stand among the annotations."""
        with answering("online evals"), self._engine.begin() as connection:
            for one in claims:
                connection.execute(_SCORE.update().where(_is(one)).values(shown=True))

    def rows(
        self, project: str, scorer: str, since_ns: int, *, version: str = "", limit: int = _ROWS_MAX
    ) -> list[ScoreRow]:
        """What a scorer did since a moment, the newest first."""
        own = (_SCORE.c.project_id == project) & (_SCORE.c.scorer == scorer) & (_SCORE.c.at_ns >= since_ns)
        wanted = (
            sa.select(_SCORE).where(own, _SCORE.c.state.in_(("scored", "unscored"))).order_by(_SCORE.c.at_ns.desc())
        )
        if version:
            wanted = wanted.where(_SCORE.c.version == version)
        with answering("online evals"), self._reading() as connection:
            return [_row(row) for row in connection.execute(wanted.limit(limit)).all()]

    def forget(self, project: str, trace_ids: Sequence[str], session_id: str = "") -> int:
        """Take away what was said of these traces, and of a session; how many rows it was."""
        gone = 0
        with answering("online evals"), self._engine.begin() as connection:
            for first in range(0, len(trace_ids), _ASKED_AT_ONCE):
                some = _SCORE.c.trace_id.in_(trace_ids[first : first + _ASKED_AT_ONCE])
                gone += connection.execute(_SCORE.delete().where(_SCORE.c.project_id == project, some)).rowcount
            if session_id:
                own = (_SCORE.c.project_id == project) & (_SCORE.c.session_id == session_id)
                gone += connection.execute(_SCORE.delete().where(own)).rowcount
        return gone

    def sweep(self, before_ns: int) -> int:
        """Forget what is older; the scores themselves stay among the annotations."""
        with answering("online evals"), self._engine.begin() as connection:
            connection.execute(_HOLD.delete().where(_HOLD.c.at_ns < before_ns, _HOLD.c.ended))
            connection.execute(_DOWN.delete().where(_DOWN.c.next_ns < before_ns))
            return connection.execute(_SCORE.delete().where(_SCORE.c.at_ns < before_ns)).rowcount

    # -- judges that do not answer ---------------------------------------------------------------------------------

    def wait(self, row: Waiting) -> None:
        """Let something wait that was claimed; of what is deleted meanwhile nothing is kept."""
        new = _waiting_values(row)
        with answering("online evals"), self._engine.begin() as connection:
            connection.execute(_SCORE.update().where(_is(row), _SCORE.c.state == "claimed").values(new))

    def wait_unasked(self, rows: Iterable[Waiting]) -> int:
        """Let new things wait, without asking about them first; how many are new."""
        with answering("online evals"), self._engine.begin() as connection:
            return sum(
                self._is_new(connection, _SCORE, {**_values(one, shown=True), **_waiting_values(one)}) for one in rows
            )

    def due(self, project: str, scorer: str, version: str, now_ns: int, *, limit: int) -> list[Waiting]:
        """What may be asked again by now, that which waits longest first."""
        wanted = sa.select(_SCORE).where(_waits_for(scorer, version, project), _SCORE.c.next_ns <= now_ns)
        with answering("online evals"), self._reading() as connection:
            rows = connection.execute(wanted.order_by(_SCORE.c.next_ns).limit(limit)).all()
        return [Waiting(**{name: getattr(row, name) for name in _WAITING_FIELDS}) for row in rows]

    def claim_again(self, claim: Claim, owner: str, now_ns: int) -> bool:
        """Take one that waits, which counts as asked; True for exactly one of all who ask."""
        new = {"state": "claimed", "owner": owner, "at_ns": now_ns, "tries": _SCORE.c.tries + 1}
        with answering("online evals"), self._engine.begin() as connection:
            return connection.execute(_SCORE.update().where(_is(claim), _WAITS).values(new)).rowcount > 0

    def waiting(self, project: str, scorer: str, version: str) -> int:
        """How many wait."""
        counted = sa.select(sa.func.count()).select_from(_SCORE).where(_waits_for(scorer, version, project))
        with answering("online evals"), self._reading() as connection:
            return connection.scalar(counted) or 0

    def hurry(self, scorer: str, version: str, now_ns: int, *, each_try_ns: int) -> int:
        """The judge answers again: what waits is due at once, what was asked already a little later for each time."""
        soon = now_ns + _SCORE.c.tries * each_try_ns
        which = _waits_for(scorer, version) & (_SCORE.c.next_ns > soon)
        with answering("online evals"), self._engine.begin() as connection:
            return connection.execute(_SCORE.update().where(which).values(next_ns=soon)).rowcount

    def give_up(self, since_before_ns: int, *, why: str, at_ns: int, day: str) -> int:
        """Leave unscored what has waited since before a moment, of whatever scorer; how many."""
        new = {"state": "unscored", "reason": "judge_failed", "why": sa.literal(why) + _SCORE.c.why, "at_ns": at_ns}
        late = _WAITS & (_SCORE.c.since_ns < since_before_ns)
        with answering("online evals"), self._engine.begin() as connection:
            return connection.execute(_SCORE.update().where(late).values(**new, day=day, answered="")).rowcount

    def ask_again(self, project: str, scorer: str, version: str, reason: str, since_ns: int, now_ns: int) -> int:
        """Let wait what was left unscored for a reason since a moment; how many."""
        own = (_SCORE.c.project_id == project) & (_SCORE.c.scorer == scorer) & (_SCORE.c.version == version)
        which = own & (_SCORE.c.state == "unscored") & (_SCORE.c.reason == reason) & (_SCORE.c.at_ns >= since_ns)
        new = {"state": "waiting", "reason": "", "tries": 0, "since_ns": now_ns, "next_ns": now_ns, "at_ns": now_ns}
        with answering("online evals"), self._engine.begin() as connection:
            return connection.execute(_SCORE.update().where(which).values(new)).rowcount

    def down(self, scorer: str, version: str) -> Down | None:
        """Since when a scorer's judge does not answer; None: it does."""
        wanted = sa.select(_DOWN).where(_DOWN.c.scorer == scorer, _DOWN.c.version == version)
        with answering("online evals"), self._reading() as connection:
            row = connection.execute(wanted).first()
        return None if row is None else Down(**{name: getattr(row, name) for name in Down.__slots__})

    def set_down(self, down: Down) -> None:
        """Keep that it does not answer."""
        values = {name: getattr(down, name) for name in Down.__slots__}
        row = self._insert(_DOWN).values(values)
        with answering("online evals"), self._engine.begin() as connection:
            connection.execute(row.on_conflict_do_update(index_elements=["scorer", "version"], set_=values))

    def set_up(self, scorer: str, version: str) -> None:
        """It answers again."""
        with answering("online evals"), self._engine.begin() as connection:
            connection.execute(_DOWN.delete().where(_DOWN.c.scorer == scorer, _DOWN.c.version == version))

    # -- money -----------------------------------------------------------------------------------------------------

    def hold(self, scorer: str, day: str, nano: int, cap_nano: int, *, estimate_nano: int, now_ns: int) -> str:
        """Put so much aside for a call; the id of the hold, or none, and noted, where the cap leaves no room."""
        mine = (_SPEND.c.scorer == scorer) & (_SPEND.c.day == day)
        empty = {"scorer": scorer, "day": day, "spent_nano": 0, "held_nano": 0, "calls": 0, "full_at_nano": 0}
        room = _SPEND.c.spent_nano + _SPEND.c.held_nano + nano <= cap_nano
        with answering("online evals"), self._engine.begin() as connection:
            connection.execute(self._insert(_SPEND).values(empty).on_conflict_do_nothing())
            held = {"held_nano": _SPEND.c.held_nano + nano, "calls": _SPEND.c.calls + 1}
            if not connection.execute(_SPEND.update().where(mine, room).values(held)).rowcount:
                connection.execute(_SPEND.update().where(mine).values(full_at_nano=cap_nano))
                return ""
            hold_id = new_id("hold")
            where, process_id, began = self._process
            connection.execute(
                _HOLD.insert().values(
                    hold_id=hold_id, scorer=scorer, day=day, nano=nano, estimate_nano=estimate_nano,
                    machine=where, process_id=process_id, process_start=began, at_ns=now_ns, ended=False,
                )
            )  # fmt: skip
            return hold_id

    def settle(self, hold_id: str, spent_nano: int) -> None:
        """Book what a call cost, and give back what was held for it. Once: a second time changes nothing."""
        with answering("online evals"), self._engine.begin() as connection:
            row = self._drop_hold(connection, _HOLD.c.hold_id == hold_id)
            if row is not None:
                # Of one that was taken for ended its estimate is booked already, and nothing is held any more.
                freed, more = (0, spent_nano - row.estimate_nano) if row.ended else (row.nano, spent_nano)
                self._book(connection, row, freed, more)

    def release_ended(self, now_ns: int, *, lease_ns: int, gone: Callable[[int, str], bool] = is_gone) -> int:
        """Book the estimates of calls whose process has ended, and let the rest of what was held for them go; how many.

        Of another machine it cannot be told who lives: what was held there is let go after a lease that no call outlives.
        """
        where, _, _ = self._process
        with answering("online evals"), self._reading() as connection:
            held = connection.execute(sa.select(_HOLD).where(~_HOLD.c.ended)).all()
        done = 0
        for one in held:
            if one.machine == where:
                if not gone(one.process_id, one.process_start):
                    continue
            elif one.at_ns > now_ns - lease_ns:
                continue
            with answering("online evals"), self._engine.begin() as connection:
                mine = (_HOLD.c.hold_id == one.hold_id) & ~_HOLD.c.ended
                if connection.execute(_HOLD.update().where(mine).values(ended=True)).rowcount:
                    self._book(connection, one, one.nano, one.estimate_nano, full_at_nano=0)
                    done += 1
        return done

    @staticmethod
    def _drop_hold(connection: sa.Connection, which: sa.ColumnElement[bool]) -> Any:
        return connection.execute(_HOLD.delete().where(which).returning(*_HOLD.c)).first()

    @staticmethod
    def _book(connection: sa.Connection, hold: Any, freed_nano: int, spent_nano: int, **more: int) -> None:
        mine = (_SPEND.c.scorer == hold.scorer) & (_SPEND.c.day == hold.day)
        new = {"held_nano": _SPEND.c.held_nano - freed_nano, "spent_nano": _SPEND.c.spent_nano + spent_nano}
        connection.execute(_SPEND.update().where(mine).values(**new, **more))

    def spends(self, scorer: str, since_day: str) -> dict[str, Spend]:
        """What a scorer spent by day, from a day on."""
        wanted = sa.select(_SPEND).where(_SPEND.c.scorer == scorer, _SPEND.c.day >= since_day)
        with answering("online evals"), self._reading() as connection:
            rows = connection.execute(wanted).all()
        return {
            row.day: Spend(
                day=row.day,
                spent_nano=row.spent_nano,
                held_nano=row.held_nano,
                calls=row.calls,
                full_at_nano=row.full_at_nano,
            )
            for row in rows
        }

    # -- scorers ---------------------------------------------------------------------------------------------------

    def tell(self, state: ScorerState) -> None:
        """Keep how a scorer stands."""
        values = {name: getattr(state, name) for name in ScorerState.__slots__}
        new = {name: value for name, value in values.items() if name != "scorer"}
        with answering("online evals"), self._engine.begin() as connection:
            row = self._insert(_STATE).values(values)
            connection.execute(row.on_conflict_do_update(index_elements=["scorer"], set_=new))

    def told(self) -> dict[str, ScorerState]:
        """How each scorer stood when it was last run."""
        with answering("online evals"), self._reading() as connection:
            rows = connection.execute(sa.select(_STATE)).all()
        return {row.scorer: ScorerState(**{name: getattr(row, name) for name in ScorerState.__slots__}) for row in rows}

    def cursor(self, project: str, scorer: str, version: str) -> int | None:
        """Up to which change of traces a scorer has looked; None: it has not looked yet."""
        own = (_CURSOR.c.project_id == project) & (_CURSOR.c.scorer == scorer) & (_CURSOR.c.version == version)
        with answering("online evals"), self._reading() as connection:
            return connection.scalar(sa.select(_CURSOR.c.at).where(own))

    def move(self, project: str, scorer: str, version: str, at: int) -> None:
        """Keep up to where it has looked."""
        row = self._insert(_CURSOR).values(project_id=project, scorer=scorer, version=version, at=at)
        with answering("online evals"), self._engine.begin() as connection:
            connection.execute(
                row.on_conflict_do_update(index_elements=["project_id", "scorer", "version"], set_={"at": at})
            )

    # -- the switch ------------------------------------------------------------------------------------------------

    def stop(self, project: str, scorer: str, who: str, at_ns: int) -> bool:
        """Stop a scorer for a project until it is started; False where it was stopped already."""
        values = {"project_id": project, "scorer": scorer, "who": who[:200], "at_ns": at_ns}
        with answering("online evals"), self._engine.begin() as connection:
            return self._is_new(connection, _STOP, values)

    def start(self, project: str, scorer: str) -> bool:
        """Start it again; False where it was not stopped."""
        own = (_STOP.c.project_id == project) & (_STOP.c.scorer == scorer)
        with answering("online evals"), self._engine.begin() as connection:
            return connection.execute(_STOP.delete().where(own)).rowcount > 0

    def stopped(self) -> dict[tuple[str, str], str]:
        """Who stopped what, by project and scorer."""
        with answering("online evals"), self._reading() as connection:
            rows = connection.execute(sa.select(_STOP)).all()
        return {(row.project_id, row.scorer): row.who for row in rows}

    def _is_new(self, connection: sa.Connection, table: sa.Table, values: dict[str, Any]) -> bool:
        # What it returns, not the count of rows: PostgreSQL's driver gives none for an insert.
        made = self._insert(table).values(values).on_conflict_do_nothing().returning(table.c.scorer)
        return connection.execute(made).first() is not None

    def _reading(self) -> Any:
        return self._engine.connect().execution_options(**READING)

    def _insert(self, table: sa.Table) -> Any:
        return (postgresql.insert if self._engine.dialect.name == "postgresql" else sqlite.insert)(table)


def _values(claim: Claim, **more: Any) -> dict[str, Any]:
    empty = {"value": None, "label": "", "why": "", "reason": "", "usd_nano": 0, "day": "", "owner": ""}
    return {**empty, **{one.name: getattr(claim, one.name) for one in fields(Claim)}, **more}


def _waiting_values(row: Waiting) -> dict[str, Any]:
    own = {name: getattr(row, name) for name in _WAITING_FIELDS if name not in Claim.__slots__}
    return {**own, "state": "waiting", "owner": "", "at_ns": row.since_ns}


def _waits_for(scorer: str, version: str, project: str = "") -> sa.ColumnElement[bool]:
    own = _WAITS & (_SCORE.c.scorer == scorer) & (_SCORE.c.version == version)
    return own & (_SCORE.c.project_id == project) if project else own


def _is(claim: Claim) -> sa.ColumnElement[bool]:
    return sa.and_(
        _SCORE.c.project_id == claim.project_id,
        _SCORE.c.scorer == claim.scorer,
        _SCORE.c.version == claim.version,
        _SCORE.c.unit_id == claim.unit_id,
    )


def _row(row: Any) -> ScoreRow:
    return ScoreRow(**{name: getattr(row, name) for name in _ROW_FIELDS})


def online_of(url: str, folder: Path) -> OnlineStore:
    """Kept beside the small records that ``--control`` names; empty: ``online.db`` in the folder."""
    return OnlineStore(address_of(url, folder, "online.db"))
