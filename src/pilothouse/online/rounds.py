"""Rounds over what changed: find what is in the sample, claim it, score it, write it down. Run by one process of a server.

Once: a unit is claimed in the ledger before anything else, kept when it is scored, and written among the annotations under a
name that follows from the version of the scorer. Killed in between, a claim is given back at the next start, a score that
was kept is written, and one that was written stays the same.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from pilothouse.annotations import Change, write
from pilothouse.records import Actor, NotFound, PilothouseError, Target, clean
from pilothouse.store.control_store import ControlStore
from pilothouse.store.online_reads import Quiet, last_changes, quiet_traces
from pilothouse.store.online_store import NANO, Claim, OnlineStore, ScoreRow, ScorerState
from pilothouse.traces import load, parse_filter

from .judging import AGENT, ASKED_AT_ONCE
from .model import Outcome
from .rules import Scorer
from .sampling import chosen
from .scoring import Means, Ready, day_of, make_ready, score
from .units import Unit, units_of

LOG = logging.getLogger("pilothouse.online")
BACK_NS: Final = 3_600_000_000_000
"""How far a new version of a scorer looks back: enough to see at once what it says, and to hold it against the last one."""
STARTED_NS: Final = 2 * 86_400_000_000_000
"""What started earlier is not scored: history that is imported would use up the money of the day."""
KEPT_NS: Final = 90 * 86_400_000_000_000
_OVERLAP_NS: Final = 30_000_000_000
"""Read again in each round: a batch is stored a little after the moment that its rows are stamped with."""
_PAGE: Final = 1_000
_PAGES_A_ROUND: Final = 20
_CHUNK: Final = 20
_READY_S: Final = 20.0
_SWEEP_NS: Final = 3_600_000_000_000
_CHANGES_A_WRITE: Final = 200


@dataclass(slots=True)
class _Rate:
    """Scores a minute: a bucket that holds one minute's worth."""

    per_minute: float
    left: float
    at: float

    def take(self, wanted: int, now: float) -> int:
        self.left = min(max(1.0, self.per_minute), self.left + (now - self.at) * self.per_minute / 60)
        self.at = now
        given = min(wanted, int(self.left))
        self.left -= given
        return given


@dataclass(slots=True)
class _Known:
    """A scorer that was made ready, or why it could not be."""

    scorer: Scorer
    ready: Ready | None
    problem: str
    at: float


@dataclass(slots=True, kw_only=True)
class Rounds:
    """Scores what the scorers of a policy ask for."""

    means: Means
    control: ControlStore
    owner: str
    """Names this server: what a killed process of it had claimed is taken up again."""
    clock_ns: Callable[[], int] = time.time_ns
    stopping: threading.Event = field(default_factory=threading.Event)
    _known: dict[str, _Known] = field(default_factory=dict[str, "_Known"], init=False)
    _rates: dict[str, _Rate] = field(default_factory=dict[str, _Rate], init=False)
    _swept_ns: int = field(default=0, init=False)

    @property
    def kept(self) -> OnlineStore:
        """The ledger."""
        return self.means.kept

    def begin(self) -> None:
        """Take up what a killed process left."""
        self.kept.take_over(self.owner)
        self.show()

    def close(self) -> None:
        """End what runs for the scorers."""
        for one in self._known.values():
            if one.ready is not None:
                one.ready.close()

    def round(self, scorers: Sequence[Scorer], projects: Iterable[str]) -> int:
        """Look once for every scorer and project; how many units were scored or found unscorable."""
        self._forget(scorers)
        stopped = self.kept.stopped()
        listed, done = list(projects), 0
        for scorer in scorers:
            known = self._ready(scorer)
            if known.ready is None:
                continue
            for project in listed:
                if self.stopping.is_set():
                    return done
                if (project, scorer.name) not in stopped:
                    done += self._one(known.ready, project)
        now_ns = self.clock_ns()
        if now_ns - self._swept_ns > _SWEEP_NS:
            self._swept_ns = now_ns
            self.kept.sweep(now_ns - KEPT_NS)
        return done

    # -- scorers ---------------------------------------------------------------------------------------------------

    def _forget(self, scorers: Sequence[Scorer]) -> None:
        for gone in [name for name, known in self._known.items() if known.scorer not in scorers]:
            if (ready := self._known.pop(gone).ready) is not None:
                ready.close()

    def _ready(self, scorer: Scorer) -> _Known:
        """The scorer with its judge or code; looked at again now and then, since rubrics and labels are files."""
        found = self._known.get(scorer.name)
        now = time.monotonic()
        if found is not None and now - found.at < _READY_S:
            return found
        problem = ""
        try:
            ready = make_ready(scorer, self.means)
        except PilothouseError as error:
            ready, problem = None, error.message if error.got is None else f"{error.message} (got {error.got})"
        if found is not None and found.ready is not None:
            found.ready.close()
        fresh = self._known[scorer.name] = _Known(scorer, ready, problem, now)
        self.kept.tell(
            ScorerState(
                scorer=scorer.name,
                version=ready.version if ready is not None else "",
                scored_by=ready.scored_by if ready is not None else "",
                problem=problem,
                calibrated=ready.calibrated if ready is not None else "",
                seen_ns=self.clock_ns(),
            )
        )
        return fresh

    # -- one scorer in one project ---------------------------------------------------------------------------------

    def _one(self, ready: Ready, project: str) -> int:
        scorer, now_ns, done = ready.scorer, self.clock_ns(), 0
        conditions = parse_filter(scorer.filter)
        until = now_ns - int(scorer.quiet_s * 1e9)
        at = self.kept.cursor(project, scorer.name, ready.version)
        if at is None:
            at = until - BACK_NS
        after = (at - _OVERLAP_NS, "")
        for _ in range(_PAGES_A_ROUND):
            rows = quiet_traces(
                self.means.store,
                project,
                now_ns - STARTED_NS,
                conditions,
                after=after,
                until=until,
                finished=scorer.finished,
                limit=_PAGE,
            )
            made, up_to = self._page(ready, project, rows, until)
            done += made
            whole = not rows or up_to == (rows[-1].version, rows[-1].trace_id)
            if up_to is not None:
                after = up_to
                self.kept.move(project, scorer.name, ready.version, max(at, up_to[0]))
            if not whole or self.stopping.is_set():
                return done
            if len(rows) < _PAGE:
                # Nothing else is quiet yet: time that has been looked at is no time that one is behind.
                self.kept.move(project, scorer.name, ready.version, until)
                return done
        return done

    def _page(
        self, ready: Ready, project: str, rows: Sequence[Quiet], until: int
    ) -> tuple[int, tuple[int, str] | None]:
        """Score what is in the sample, in chunks; how many, and up to which row it came."""
        scorer = ready.scorer
        some = [row for row in rows if row.agent != AGENT and chosen(row.session_id, row.trace_id, scorer.sample)]
        if scorer.level == "session":
            changed = last_changes(self.means.store, project, sorted({row.session_id for row in some} - {""}))
            some = [row for row in some if row.session_id and changed.get(row.session_id, until + 1) <= until]
        done, up_to = 0, None
        for first in range(0, len(some), _CHUNK):
            chunk = some[first : first + _CHUNK]
            claims = self._new_claims(ready, project, chunk)
            if claims and self._full(scorer):
                done += self._pass_over(scorer, claims)
            elif claims:
                room = self._rate(scorer).take(len(claims), time.monotonic())
                done += asyncio.run(self._score(ready, project, claims[:room]))
                if room < len(claims):
                    return done, up_to
            up_to = (chunk[-1].version, chunk[-1].trace_id)
            if self.stopping.is_set():
                return done, up_to
        return done, (rows[-1].version, rows[-1].trace_id) if rows else None

    def _new_claims(self, ready: Ready, project: str, rows: Sequence[Quiet]) -> list[tuple[Unit, Claim]]:
        scorer = ready.scorer
        units: dict[str, tuple[Unit, str]] = {}
        for row in rows:
            if scorer.level == "session":
                found = [Unit(session_id=row.session_id)]
            elif scorer.level == "trace":
                found = [Unit(trace_id=row.trace_id)]
            else:
                try:
                    found = units_of(load(self.means.store, project, row.trace_id), scorer.level)
                except NotFound:
                    continue  # deleted meanwhile
            units |= {one.id: (one, row.session_id or row.trace_id) for one in found}
        known = self.kept.known(project, scorer.name, ready.version, units)
        return [
            (unit, unit.claim(project, scorer.name, ready.version, cluster=cluster))
            for id, (unit, cluster) in units.items()
            if id not in known
        ]

    def _full(self, scorer: Scorer) -> bool:
        return scorer.kind == "judge" and is_full(self.kept, scorer, day_of(self.clock_ns()))

    def _pass_over(self, scorer: Scorer, claims: Sequence[tuple[Unit, Claim]]) -> int:
        now_ns = self.clock_ns()
        return self.kept.pass_over(
            [claim for _, claim in claims],
            reason="cap",
            why=f"the ${scorer.usd_per_day:g} of the day are spent",
            at_ns=now_ns,
            day=day_of(now_ns),
        )

    def _rate(self, scorer: Scorer) -> _Rate:
        found = self._rates.get(scorer.name)
        if found is None or found.per_minute != scorer.per_minute:
            found = _Rate(scorer.per_minute, max(1.0, scorer.per_minute), time.monotonic())
            self._rates[scorer.name] = found
        return found

    async def _score(self, ready: Ready, project: str, claims: Sequence[tuple[Unit, Claim]]) -> int:
        side_by_side = asyncio.Semaphore(ASKED_AT_ONCE if ready.seat is not None else 1)

        async def one(unit: Unit, claim: Claim) -> int:
            async with side_by_side:
                if self.stopping.is_set() or not self.kept.claim(claim, self.owner, self.clock_ns()):
                    return 0
                try:
                    found = await score(ready, unit, project, self.means, self.clock_ns())
                except PilothouseError:
                    # The store does not answer: it is taken up again when it does.
                    self.kept.let_go([claim])
                    raise
                except Exception as error:
                    LOG.exception("%s could not score %s", ready.scorer.name, unit.id)
                    found = Outcome.none("defect", f"{type(error).__name__}")
                self.kept.finish(_row(claim, found, self.clock_ns()))
                return 1

        try:
            return sum(await asyncio.gather(*(one(unit, claim) for unit, claim in claims)))
        finally:
            self.show(ready)

    # -- annotations -----------------------------------------------------------------------------------------------

    def show(self, ready: Ready | None = None) -> int:
        """Write what was scored and does not stand among the annotations yet; how many."""
        shown = 0
        while rows := self.kept.unshown(limit=_CHANGES_A_WRITE):
            groups: dict[tuple[str, str, str], list[ScoreRow]] = {}
            for row in rows:
                groups.setdefault((row.project_id, row.scorer, row.version), []).append(row)
            for (project, scorer, version), some in groups.items():
                by = ready if ready is not None and (ready.scorer.name, ready.version) == (scorer, version) else None
                write(
                    self.means.store,
                    self.control,
                    project,
                    [_change(row, by) for row in some],
                    actor=Actor(id=f"online:{scorer}", name=f"{scorer}@{version}", kind="evaluator"),
                    run=f"online:{scorer}@{version}",
                    now_ns=self.clock_ns(),
                )
                self.kept.mark_shown(some)
                shown += len(some)
        return shown


def is_full(kept: OnlineStore, scorer: Scorer, day: str) -> bool:
    """Whether the money of a day is spent: a question did not fit under the cap as it is now."""
    spend = kept.spends(scorer.name, day).get(day)
    return spend is not None and spend.full_at_nano >= round(scorer.usd_per_day * NANO)


def _row(claim: Claim, found: Outcome, at_ns: int) -> ScoreRow:
    return ScoreRow(
        **{name: getattr(claim, name) for name in Claim.__slots__},
        state="scored" if found.scored else "unscored",
        value=found.value,
        label=found.label,
        why=found.why[:4_000],
        reason=found.reason,
        usd_nano=round(found.usd * NANO),
        at_ns=at_ns,
        day=day_of(at_ns),
        shown=not found.scored,
    )


def _change(row: ScoreRow, by: Ready | None) -> Change:
    about = [by.scored_by] if by is not None else []
    if row.usd_nano:
        about.append(f"${row.usd_nano / NANO:.4f}")
    if by is not None and by.calibrated not in ("", "yes"):
        about.append(f"not calibrated: {by.calibrated}")
    told = f" [{'; '.join(about)}]" if about else ""
    return Change(
        kind="score",
        target=Target(trace_id=row.trace_id, span_id=row.span_id, session_id=row.session_id),
        name=row.scorer,
        value=row.value,
        label=row.label,
        text=clean(f"{row.why}{told}")[:5_000].strip(),
    )
