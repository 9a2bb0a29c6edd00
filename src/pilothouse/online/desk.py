"""The verbs of online evals, for the surfaces: how scorers stand, one tried on a trace, one stopped or started."""

from __future__ import annotations

import asyncio
import difflib
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from pilothouse.policy import Watch
from pilothouse.records import BadRequest, NotFound, iso
from pilothouse.store.deletion_log import DeletionRecord
from pilothouse.store.online_store import NANO, OnlineStore, ScorerState
from pilothouse.traces import load, resolve

from .figures import by_day, figures, unscored, worst
from .model import OnlineOverview, Outcome, Retried, ScorerReport, State, Switched, Tried, TriedUnit
from .rules import CHECKS, Scorer, read_online

if TYPE_CHECKING:
    from .scoring import Means, Ready
    from .units import Unit

DAYS_MAX: Final = 90
RETRIED: Final = ("judge_failed", "cap", "no_price", "code_failed", "code_late", "defect")
"""Reasons for which something is unscored that may be gone later."""
_ROWS_MAX: Final = 50_000
_TRIED_MAX: Final = 5
"""Units of one trace that a try scores."""


class Online:
    """Online evals as a server shows them."""

    def __init__(self, kept: OnlineStore, policy: Watch, means: Callable[[], Means]) -> None:
        self._kept, self._policy, self._means = kept, policy, means

    @property
    def scorers(self) -> tuple[Scorer, ...]:
        """What the policy in force says."""
        return read_online(self._policy.policy.section("online"))

    def close(self) -> None:
        """Let go of the database."""
        self._kept.close()

    def overview(self, project: str, *, days: int = 14, now_ns: int | None = None) -> OnlineOverview:
        """Every scorer over some days.

        Raises:
            BadRequest: there are too many days, or too few.
        """
        check_days(days)
        now = time.time_ns() if now_ns is None else now_ns
        told, stopped = self._kept.told(), self._kept.stopped()
        error = self._policy.error
        return OnlineOverview(
            scorers=tuple(
                self._report(project, one, told.get(one.name), (project, one.name) in stopped, days, now)
                for one in self.scorers
            ),
            days=days,
            policy=self._policy.policy.version,
            error="" if error is None else error.message,
        )

    def report(self, project: str, name: str, *, days: int = 14, now_ns: int | None = None) -> ScorerReport:
        """One scorer over some days.

        Raises:
            NotFound: there is no such scorer.
            BadRequest: there are too many days, or too few.
        """
        check_days(days)
        scorer = self._find(name)
        stopped = (project, name) in self._kept.stopped()
        now = time.time_ns() if now_ns is None else now_ns
        return self._report(project, scorer, self._kept.told().get(name), stopped, days, now)

    def stop(self, project: str, name: str, who: str) -> Switched:
        """Stop a scorer in a project, until it is started.

        Raises:
            NotFound: there is no such scorer.
        """
        changed = self._kept.stop(project, self._find(name).name, who, time.time_ns())
        return Switched(name=name, state="stopped", changed=changed)

    def start(self, project: str, name: str) -> Switched:
        """Let a scorer go on.

        Raises:
            NotFound: there is no such scorer.
        """
        changed = self._kept.start(project, self._find(name).name)
        return Switched(name=name, state="running", changed=changed)

    def retry(self, project: str, name: str, *, reason: str = "judge_failed", since_ns: int = 0) -> Retried:
        """Ask again about what the scorer's version of now left unscored, for a reason that may be gone.

        Raises:
            NotFound: there is no such scorer.
            BadRequest: the reason is none for which asking again would help.
        """
        scorer = self._find(name)
        if reason not in RETRIED:
            raise BadRequest(
                "asking again helps where the reason may be gone",
                got=reason[:40],
                allowed=list(RETRIED),
                fix=f"pilothouse eval online retry {name} --reason judge_failed",
            )
        told = self._kept.told().get(scorer.name)
        now_ns = time.time_ns()
        version = told.version if told is not None else ""
        count = self._kept.ask_again(project, scorer.name, version, reason, since_ns, now_ns) if version else 0
        return Retried(name=scorer.name, reason=reason, count=count, since=iso(since_ns) if since_ns else "")

    def forget(self, deleted: DeletionRecord) -> int:
        """Let go of what was said of traces that are deleted; how many scores it was of."""
        session = deleted.target_id if deleted.kind == "session" else ""
        return self._kept.forget(deleted.project_id, deleted.trace_ids, session)

    def try_on(self, project: str, name: str, id: str) -> Tried:
        """Run a scorer once on a trace, or a session, and write nothing. What its judge spends counts for the day.

        Raises:
            NotFound: there is no such scorer, trace or session.
            BadRequest: the scorer is wrong, or what is named has nothing of its level.
            NotAllowed: its code is not on the operator's list.
        """
        from .scoring import make_ready, score

        scorer, means = self._find(name), self._means()
        units = self._units(project, scorer, id, means)
        ready = make_ready(scorer, means)
        try:

            async def each() -> list[TriedUnit]:
                return [_tried(unit, await score(ready, unit, project, means, time.time_ns())) for unit in units]

            results = asyncio.run(each())
        finally:
            ready.close()
        return _answer(ready, results)

    def _units(self, project: str, scorer: Scorer, id: str, means: Means) -> list[Unit]:
        from .units import Unit, units_of

        found = resolve(means.store, project, id)
        if scorer.level == "session":
            session = (
                found.id
                if found.kind == "session"
                else load(means.store, project, found.trace_id or found.id).row.session_id
            )
            if not session:
                raise BadRequest(f"{scorer.name} scores sessions, and the trace is of none", got=id)
            return [Unit(session_id=session)]
        if found.kind == "session":
            raise BadRequest(f"{scorer.name} scores at the level {scorer.level}: name a trace", got=id)
        trace = load(means.store, project, found.trace_id or found.id)
        units = units_of(trace, scorer.level)[:_TRIED_MAX]
        if not units:
            raise BadRequest(f"the trace has no {scorer.level.replace('_', ' ')} to score", got=id)
        return units

    def _find(self, name: str) -> Scorer:
        known = {one.name: one for one in self.scorers}
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            fix = f"pilothouse eval online show {close[0]}" if close else "pilothouse docs online-evals"
            raise NotFound("the policy has no such scorer", got=name[:100], allowed=list(known) or "none yet", fix=fix)
        return known[name]

    def _report(
        self, project: str, scorer: Scorer, told: ScorerState | None, stopped: bool, days: int, now_ns: int
    ) -> ScorerReport:
        today = datetime.fromtimestamp(now_ns / 1e9, tz=UTC)
        first = (today - timedelta(days=days - 1)).replace(hour=0, minute=0, second=0, microsecond=0)
        version = told.version if told is not None else ""
        rows = self._kept.rows(project, scorer.name, int(first.timestamp()) * 1_000_000_000, limit=_ROWS_MAX)
        # The figures are of one instrument; what an earlier version said stands in its days.
        own = [row for row in rows if row.version == version]
        spends = self._kept.spends(scorer.name, f"{first:%Y-%m-%d}") if scorer.kind == "judge" else {}
        spend = spends.get(f"{today:%Y-%m-%d}")
        full = spend is not None and spend.full_at_nano >= round(scorer.usd_per_day * NANO)
        at = self._kept.cursor(project, scorer.name, version) if version else None
        problem = told.problem if told is not None else ""
        down = self._kept.down(scorer.name, version) if version else None
        return ScorerReport(
            name=scorer.name,
            kind=scorer.kind,
            what=_what(scorer),
            level=scorer.level,
            filter=scorer.filter,
            sample=scorer.sample,
            per_minute=scorer.per_minute,
            state=_state(told, stopped=stopped, full=full, down=down is not None),
            problem=problem,
            version=version,
            run=f"online:{scorer.name}@{version}" if version else "",
            scored_by=told.scored_by if told is not None else "",
            calibrated=told.calibrated if told is not None else "",
            usd_per_day=scorer.usd_per_day if scorer.kind == "judge" else None,
            spent_usd=spend.spent_nano / NANO if spend is not None else 0.0,
            held_usd=spend.held_nano / NANO if spend is not None else 0.0,
            to_retry=self._kept.waiting(project, scorer.name, version) if version else 0,
            down_since=iso(down.since_ns) if down is not None else "",
            down_why=down.why if down is not None else "",
            next_retry=iso(down.next_ns) if down is not None else "",
            behind_s=None if at is None else max(0.0, round((now_ns - at) / 1e9 - scorer.quiet_s, 1)),
            figures=figures(own),
            days=by_day(rows, spends),
            unscored=unscored(own),
            worst=worst(own, falling=scorer.falling),
            cut=len(rows) == _ROWS_MAX,
        )


def check_days(days: int) -> None:
    """Refuse a window that is none.

    Raises:
        BadRequest: it is not from 1 to 90.
    """
    if not 1 <= days <= DAYS_MAX:
        raise BadRequest(f"days is a number from 1 to {DAYS_MAX}", got=days, fix="pilothouse eval online --days 14")


def _state(told: ScorerState | None, *, stopped: bool, full: bool, down: bool) -> State:
    if stopped:
        return "stopped"
    if told is None:
        return "waiting"
    return "broken" if told.problem else "capped" if full else "down" if down else "running"


def _what(scorer: Scorer) -> str:
    if scorer.check:
        bound = "" if scorer.at_most is None else f" (at_most {scorer.at_most:g})"
        return f"{scorer.check}: {CHECKS[scorer.check]}{bound}"
    return scorer.criterion or scorer.code


def _tried(unit: Unit, found: Outcome) -> TriedUnit:
    return TriedUnit(
        trace_id=unit.trace_id,
        span_id=unit.span_id,
        session_id=unit.session_id,
        value=found.value,
        label=found.label,
        why=found.why,
        reason=found.reason,
        usd=found.usd,
    )


def _answer(ready: Ready, results: list[TriedUnit]) -> Tried:
    return Tried(
        scorer=ready.scorer.name,
        version=ready.version,
        scored_by=ready.scored_by,
        calibrated=ready.calibrated,
        results=tuple(results),
    )
