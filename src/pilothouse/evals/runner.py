"""Running a suite: in parallel, within bounds of time and money, gone on with where it was broken off."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from pilothouse.records import BadRequest, PilothouseError, canonical_json, iso

from .case import Case
from .checks import Check, CodeScorer, run_check
from .grouping import groups_of
from .observed import Observed, ToolUse
from .playback import Playback
from .runs import TEXT_CHARS_MAX, About, Result, Run, Said, Writer, begin, known
from .suite import Suite
from .targets.attempt import Attempt, Target

TIMEOUT_S: Final = 300.0
PARALLEL: Final = 8
PARALLEL_MAX: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What the judges say of one attempt, and what that cost."""

    said: tuple[Said, ...] = ()
    cost_usd: float = 0.0


Judges = Callable[[Case, Observed], Awaitable[Judged]]
"""Asks the judges of a suite about the criteria of a case."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a suite is run."""

    parallel: int = PARALLEL
    """Attempts under way at once."""
    repeats: int = 0
    """How often each case is run; 0: as the case says, else once."""
    timeout_s: float = TIMEOUT_S
    """Of one attempt; one that takes longer fails."""
    per_minute: float = 0.0
    """Attempts begun in a minute, at most; 0: no bound."""
    usd_max: float = 0.0
    """What attempts and judges may cost together; 0: no bound. What is not known to cost anything costs nothing."""
    fresh: bool = False
    """Run every case, also where an earlier run of the same version has its result."""
    decision_only: bool = False
    writing: frozenset[str] = frozenset()
    """Tools that change the world: they run only where a case names them in ``stubs.safe``."""
    live: frozenset[str] = frozenset()
    """Tools that run themselves where nothing is recorded; ``effect:read``: whichever declare that they only read."""
    scorers: tuple[Check, ...] = ()
    """Functions of the suite's own, asked about every case."""


@dataclass(slots=True, kw_only=True)
class Progress:
    """How far a run is; changed while it goes on."""

    total: int = 0
    done: int = 0
    passed: int = 0
    failed: int = 0
    unscored: int = 0
    taken_over: int = 0
    cost_usd: float = 0.0
    stopped: str = ""
    """Why no further attempts are begun; empty where all are."""

    def add(self, result: Result, *, fresh: bool = True) -> None:
        """Count one attempt."""
        self.done += 1
        self.passed += result.outcome == "pass"
        self.failed += result.outcome == "fail"
        self.unscored += result.outcome == "unscored"
        self.taken_over += not fresh
        if fresh:
            self.cost_usd += (result.cost_usd or 0.0) + result.judge_usd


Watcher = Callable[[Progress, Result], None]
Enough = Callable[[Result], str]
"""Looks at each result, and says why no further ones are needed; empty: go on."""


@dataclass(slots=True, kw_only=True)
class _Work:
    """What the workers of a run share."""

    suite: Suite
    target: Target
    judges: Judges | None
    scorers: Callable[[str], CodeScorer] | None
    options: Options
    writer: Writer
    progress: Progress
    watch: Watcher | None
    enough: Enough | None
    waiting: list[tuple[str, int]] = field(default_factory=list[tuple[str, int]])
    next_s: float = 0.0


async def run_suite(
    suite: Suite,
    target: Target,
    about: About,
    *,
    cases: Collection[str] = (),
    options: Options | None = None,
    judges: Judges | None = None,
    scorers: Callable[[str], CodeScorer] | None = None,
    again: Run | None = None,
    watch: Watcher | None = None,
    enough: Enough | None = None,
    begun: Callable[[Run], None] | None = None,
    runs_of: Path | None = None,
) -> tuple[Run, Progress]:
    """Run cases of a suite; all of them where none are named.

    ``again``: go on with this run. ``watch``: told of each result. ``enough``: ends it early. ``begun``: given the
    run as soon as there is one. ``runs_of``: the suite whose runs know earlier results, where it is another.

    Raises:
        BadRequest: an option is out of bounds, the run is under way elsewhere, or all cases are wanted and a file is none.
        NotFound: there is no such case.
    """
    options = options or Options()
    if not 1 <= options.parallel <= PARALLEL_MAX:
        raise BadRequest(f"1 to {PARALLEL_MAX:,} attempts run at once", got=options.parallel)
    ids = [suite.place(id).id for id in cases] or list(suite.whole())
    run = again or begin(suite.folder, replace(about, started=about.started or iso(time.time_ns())))
    if begun is not None:
        begun(run)
    earlier = {} if options.fresh else known(runs_of or suite.folder, run.about, but=run.about.run)
    # What this run knows is only counted: of thousands of answers no text need be held.
    mine = {
        (one.case, one.sha256, one.repeat): replace(one, text="", tools=())
        for one in run.results()
        if one.outcome != "unscored"
    }
    progress = Progress()
    with run.writing() as writer:
        work = _Work(
            suite=suite, target=target, judges=judges, scorers=scorers, options=options, writer=writer,
            progress=progress, watch=watch, enough=enough,
        )  # fmt: skip
        _plan(work, ids, run, mine, earlier)
        async with asyncio.TaskGroup() as group:
            for _ in range(min(options.parallel, max(1, len(work.waiting)))):
                group.create_task(_worker(work))
    return run, progress


def _plan(
    work: _Work,
    ids: Sequence[str],
    run: Run,
    mine: Mapping[tuple[str, str, int], Result],
    earlier: Mapping[tuple[str, str, int], Result],
) -> None:
    """What is to be run; what is known already is counted, and what another run knows is taken over."""
    for id in ids:
        place = work.suite.places()[id]
        repeats = work.options.repeats or place.repeats or run.about.repeats
        for repeat in range(1, repeats + 1):
            work.progress.total += 1
            key = id, place.sha256, repeat
            if key in mine:
                _count(work, mine[key], fresh=False)
            elif key in earlier:
                taken = replace(earlier[key], taken_from=earlier[key].taken_from or "an earlier run")
                work.writer.add(taken)
                _count(work, taken, fresh=False)
            else:
                work.waiting.append((id, repeat))
    work.waiting.reverse()


def _count(work: _Work, result: Result, *, fresh: bool) -> None:
    work.progress.add(result, fresh=fresh)
    if work.watch is not None:
        work.watch(work.progress, result)
    if work.enough is not None and not work.progress.stopped:
        work.progress.stopped = work.enough(result)


async def _worker(work: _Work) -> None:
    while work.waiting and not work.progress.stopped:
        id, repeat = work.waiting.pop()
        await _pace(work)
        try:
            case = work.suite.case(id)
        except PilothouseError as error:
            told = f"{error.message} (got {error.got})"
            result = Result(case=id, sha256="", repeat=repeat, outcome="unscored", why=told[:1_000])
        else:
            result = await attempt(case, repeat, work.target, work.options, work.judges, work.scorers)
        work.writer.add(result)
        _count(work, result, fresh=True)
        bound = work.options.usd_max
        if bound and work.progress.cost_usd >= bound:
            work.progress.stopped = f"the money is spent: {work.progress.cost_usd:.4f} of {bound:.2f} USD"


async def _pace(work: _Work) -> None:
    if not work.options.per_minute:
        return
    now = time.monotonic()
    at = max(work.next_s, now)
    work.next_s = at + 60.0 / work.options.per_minute
    await asyncio.sleep(at - now)


# -- one attempt -----------------------------------------------------------------------------------------------------


async def attempt(
    case: Case,
    repeat: int,
    target: Target,
    options: Options,
    judges: Judges | None = None,
    scorers: Callable[[str], CodeScorer] | None = None,
) -> Result:
    """Run a case once and say what came of it. Never raises: what goes wrong is in the result."""
    decision_only = options.decision_only or bool(case.settings.get("decision_only"))
    # What was recorded in production is played back or not answered at all: a refund must not be paid a second time.
    live = not decision_only and "captured" not in case.metadata.provenance
    playback = Playback(case.stubs, writing=options.writing, also_live=options.live, live=live)
    tried = Attempt(case=case, playback=playback, number=repeat, decision_only=decision_only)
    begun = time.perf_counter()
    unscored = ""
    try:
        async with asyncio.timeout(options.timeout_s):
            seen = await target(tried)
    except TimeoutError:
        seen = Observed(tools=playback.uses, error=f"Timeout: it took more than {options.timeout_s:g} s")
    except PilothouseError as error:
        # It was never run as it should be: that says nothing about the agent.
        unscored = error.message if error.got is None else f"{error.message} (got {error.got})"
        seen = Observed(tools=playback.uses)
    except Exception as error:
        seen = Observed(tools=playback.uses, error=f"{type(error).__name__}: {error}"[:2_000])
    seen = replace(seen, duration_s=time.perf_counter() - begun, unconsumed=playback.unconsumed)
    said = [*_of_playback(case, seen), *(_of_check(one, seen, scorers) for one in case.checks)]
    said += _of_suite(options.scorers, seen, scorers)
    judged = Judged()
    if judges is not None and case.criteria and not unscored and not seen.error:
        judged = await judges(case, seen)
    return _result(case, repeat, seen, (*said, *judged.said), unscored, judged.cost_usd)


def _of_check(check: Check, seen: Observed, scorers: Callable[[str], CodeScorer] | None) -> Said:
    found = run_check(check, seen, scorers=scorers)
    calls = [asdict(one) for one in found.calls]
    return Said(name=found.name, outcome=found.outcome, why=found.why, score=found.score, calls=calls)


def _of_suite(checks: Sequence[Check], seen: Observed, scorers: Callable[[str], CodeScorer] | None) -> Iterable[Said]:
    """What the suite's own scorers say; one that is asked of calls says nothing of an attempt without one."""
    for one in checks:
        found = _of_check(one, seen, scorers)
        if found.outcome != "unscored" or found.calls or one.options.get("level") != "tool_call" or _calls(one, seen):
            yield found


def _calls(check: Check, seen: Observed) -> bool:
    wanted = check.options.get("of", ())
    return any(not wanted or use.name in wanted for use in seen.tools)


def _of_playback(case: Case, seen: Observed) -> Iterable[Said]:
    """What is wrong whatever the checks are: calls that nothing may answer for, recorded ones that were not made."""
    for use in seen.tools:
        if use.answered in ("gone", "unmatched", "refused"):
            yield Said(name=f"tool {use.name}", outcome="fail", why=use.error or f"{use.name}: {use.answered}")
            break
    stubs = case.stubs
    if seen.unconsumed and stubs.calls and (stubs.mode == "strict" or stubs.unconsumed == "fail") and not seen.error:
        more = len(seen.unconsumed) - 1
        told = f"recorded and not called again: {seen.unconsumed[0]}{f' and {more} more' if more else ''}"
        yield Said(name="recorded calls", outcome="fail", why=told)


def _result(case: Case, repeat: int, seen: Observed, said: tuple[Said, ...], unscored: str, judge_usd: float) -> Result:
    failed = next((one for one in said if one.outcome == "fail"), None)
    open_ = next((one for one in said if one.outcome == "unscored"), None)
    handled = any(check.kind == "no_error" for check in case.checks)
    if unscored:
        outcome, why = "unscored", unscored
    elif seen.error and not handled:
        outcome, why = "fail", f"the agent failed: {seen.error}"
    elif failed is not None:
        outcome, why = "fail", failed.why
    elif open_ is not None:
        outcome, why = "unscored", open_.why
    elif not said:
        outcome, why = "unscored", "the case has no check, and no judge was asked"
    else:
        outcome, why = "pass", ""
    return Result(
        case=case.id,
        sha256=case.sha256,
        repeat=repeat,
        outcome=outcome,
        why=why[:2_000],
        said=said,
        text=seen.text[:TEXT_CHARS_MAX],
        tools=[_call(use) for use in seen.tools[:200]],
        error=seen.error,
        model_calls=seen.model_calls,
        tokens=seen.tokens,
        cost_usd=seen.cost_usd,
        judge_usd=judge_usd,
        duration_s=round(seen.duration_s, 4),
        trace_id=seen.trace_id,
        capability=case.metadata.capability,
        cluster=case.metadata.cluster,
        severity=case.metadata.severity,
        customer=case.metadata.customer,
        week=case.metadata.week,
        release=case.metadata.release,
        groups=groups_of(case.metadata),
    )


def _call(use: ToolUse) -> str:
    arguments: Any = use.arguments if isinstance(use.arguments, str) else canonical_json(use.arguments)
    return f"{use.name}({arguments[:300]})"
