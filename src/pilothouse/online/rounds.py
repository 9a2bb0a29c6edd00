"""Rounds over what changed: find what is in the sample, claim it, score it, write it down. Run by one process of a server.

Once: a unit is claimed in the ledger before anything else, kept when it is scored, and written among the annotations under a
name that follows from the version of the scorer. Killed in between, a claim is given back at the next start, a score that
was kept is written, and one that was written stays the same.

Where a judge does not answer, its units wait in the ledger and are asked about again, until they are given up.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from pilothouse.annotations import Change, write
from pilothouse.records import Actor, NotFound, PilothouseError, Target, clean
from pilothouse.store.control_store import ControlStore
from pilothouse.store.online_reads import Quiet, last_changes, quiet_traces
from pilothouse.store.online_store import NANO, Claim, Down, OnlineStore, ScoreRow, ScorerState, Waiting
from pilothouse.traces import load, parse_filter

from .judging import AGENT, ASKED_AT_ONCE
from .model import Outcome
from .retrying import SOON_NS, WAIT_NS_MAX, WAITING_MAX, given_up, judge_pause_ns, trace_pause_ns
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
_RELEASE_NS: Final = 60_000_000_000
_LEASE_NS: Final = 3 * 3_600_000_000_000
"""Of what is held on another machine: a question takes an hour at most, and waits for a thread before that."""


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
    _released_ns: int = field(default=0, init=False)

    @property
    def kept(self) -> OnlineStore:
        """The ledger."""
        return self.means.kept

    def begin(self) -> None:
        """Take up what a killed process left."""
        self.kept.take_over(self.owner)
        self._release()
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
        if self.clock_ns() - self._released_ns > _RELEASE_NS:
            self._release()
        for scorer in scorers:
            known = self._ready(scorer)
            if known.ready is None:
                continue
            for project in listed:
                if self.stopping.is_set():
                    return done
                if (project, scorer.name) not in stopped:
                    done += self._again(known.ready, project)
                    done += self._one(known.ready, project)
        now_ns = self.clock_ns()
        if now_ns - self._swept_ns > _SWEEP_NS:
            self._swept_ns = now_ns
            self.kept.sweep(now_ns - KEPT_NS)
            # Also of scorers that are not in the policy any more, or not as they were.
            late = now_ns - WAIT_NS_MAX
            self.kept.give_up(late, why="waited a day for the judge: ", at_ns=now_ns, day=day_of(now_ns))
        return done

    def _release(self) -> None:
        self._released_ns = self.clock_ns()
        self.kept.release_ended(time.time_ns(), lease_ns=_LEASE_NS)

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
            elif claims and self._down(ready) is not None:
                if self.kept.waiting(project, scorer.name, ready.version) >= WAITING_MAX:
                    return done, up_to
                self._wait_unasked(ready, [claim for _, claim in claims])
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

    async def _score(
        self, ready: Ready, project: str, claims: Sequence[tuple[Unit, Claim]], *, probing: bool = False
    ) -> int:
        side_by_side = asyncio.Semaphore(ASKED_AT_ONCE if ready.seat is not None else 1)

        async def one(unit: Unit, claim: Claim) -> int:
            async with side_by_side:
                waited = claim if isinstance(claim, Waiting) else None
                if self.stopping.is_set():
                    return 0
                if self._down(ready) is not None and not probing:
                    # It went down with one of those before. What waited already still does.
                    if waited is None:
                        self._wait_unasked(ready, [claim])
                    return 0
                now_ns = self.clock_ns()
                taken = self.kept.claim if waited is None else self.kept.claim_again
                if not taken(claim, self.owner, now_ns):
                    return 0
                answered = waited.answered if waited is not None else ""
                try:
                    found = await score(ready, unit, project, self.means, now_ns, answered=answered)
                except PilothouseError:
                    # The store does not answer: it is taken up again when it does.
                    self.kept.let_go([claim])
                    raise
                except Exception as error:
                    LOG.exception("%s could not score %s", ready.scorer.name, unit.id)
                    found = Outcome.none("defect", f"{type(error).__name__}")
                self._note(ready, found)
                return self._keep(claim, found)

        try:
            return sum(await asyncio.gather(*(one(unit, claim) for unit, claim in claims)))
        finally:
            self.show(ready)

    def _keep(self, claim: Claim, found: Outcome) -> int:
        """Write down what came of a claim; how many are done with it."""
        now_ns = self.clock_ns()
        waited = claim if isinstance(claim, Waiting) else None
        tries = 1 if waited is None else waited.tries + 1
        since_ns = now_ns if waited is None else waited.since_ns
        if waited is not None:
            found = replace(found, usd=found.usd + waited.usd_nano / NANO)
        if found.down:
            if not (over := given_up(tries, since_ns, now_ns)):
                self.kept.wait(
                    Waiting(
                        **_ids(claim),
                        tries=tries,
                        since_ns=since_ns,
                        next_ns=now_ns + trace_pause_ns(tries),
                        why=found.why[:1_000],
                        answered=found.answered,
                        usd_nano=round(found.usd * NANO),
                    )
                )
                return 0
            found = replace(found, why=over + found.why)
        self.kept.finish(_row(claim, found, now_ns))
        return 1

    # -- judges that do not answer ---------------------------------------------------------------------------------

    def _down(self, ready: Ready) -> Down | None:
        return self.kept.down(ready.scorer.name, ready.version) if ready.seat is not None else None

    def _note(self, ready: Ready, found: Outcome) -> None:
        """Keep whether the judge answers, as far as an outcome tells."""
        if ready.seat is None or (not found.down and found.reason not in ("", *_ANSWERED)):
            return
        name, version, now_ns = ready.scorer.name, ready.version, self.clock_ns()
        before = self._down(ready)
        if found.down and before is not None and now_ns < before.next_ns:
            return  # one of those that were under way as it went down
        if found.down:
            tries = 1 if before is None else before.tries + 1
            self.kept.set_down(
                Down(
                    scorer=name,
                    version=version,
                    since_ns=now_ns if before is None else before.since_ns,
                    next_ns=now_ns + judge_pause_ns(tries),
                    tries=tries,
                    why=found.why[:1_000],
                )
            )
        elif before is not None:
            self.kept.set_up(name, version)
            self.kept.hurry(name, version, now_ns, each_try_ns=SOON_NS)

    def _wait_unasked(self, ready: Ready, claims: Sequence[Claim]) -> None:
        now_ns, down = self.clock_ns(), self._down(ready)
        why = down.why if down is not None else ""
        self.kept.wait_unasked(
            Waiting(**_ids(one), tries=0, since_ns=now_ns, next_ns=now_ns, why=why) for one in claims
        )

    def _again(self, ready: Ready, project: str) -> int:
        """Ask again about what waits: one of them while the judge is down, all that are due once it answers."""
        scorer, done = ready.scorer, 0
        for _ in range(_PAGES_A_ROUND):
            now_ns, down = self.clock_ns(), self._down(ready)
            if self.stopping.is_set() or (down is not None and now_ns < down.next_ns):
                return done
            some = self.kept.due(project, scorer.name, ready.version, now_ns, limit=1 if down else _CHUNK)
            late = [one for one in some if now_ns - one.since_ns > WAIT_NS_MAX]
            for one in late:
                if self.kept.claim_again(one, self.owner, now_ns):
                    why = given_up(one.tries, one.since_ns, now_ns) + one.why
                    found = Outcome.none("judge_failed", why, usd=one.usd_nano / NANO)
                    self.kept.finish(_row(one, found, now_ns))
                    done += 1
            rest = [(_unit(one), one) for one in some if one not in late]
            room = self._rate(scorer).take(len(rest), time.monotonic()) if rest else 0
            done += asyncio.run(self._score(ready, project, rest[:room], probing=down is not None)) if room else 0
            if not some or room < len(rest):
                return done
        return done

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


_ANSWERED: Final = ("unreadable", "unclear", "judge_failed")
"""Why something is unscored though its judge's model answered."""


def _ids(claim: Claim) -> dict[str, Any]:
    return {name: getattr(claim, name) for name in Claim.__slots__}


def _unit(claim: Claim) -> Unit:
    return Unit(trace_id=claim.trace_id, span_id=claim.span_id, session_id=claim.session_id)


def _row(claim: Claim, found: Outcome, at_ns: int) -> ScoreRow:
    return ScoreRow(
        **_ids(claim),
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
