"""A case made small: what does not change the outcome is left out, until a person can read the rest.

What counts is what today's agent does with it: the same checks fail for the same reason and the same calls are made; of
a case that passes, the same calls. Without an agent to run only the form of a case can be looked at (:mod:`.trim`).
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final, Literal

from pilothouse.records import BadRequest, canonical_json

from .case import Case
from .case_text import read_case
from .checks import CodeScorer
from .ddmin import ddmin
from .fragments import DEPTH_MAX, Level, fragments, without
from .plain import list_of, mapping_of
from .runner import Options, attempt
from .runs import Result
from .targets.attempt import Target
from .trim import trim

Same = Literal["reason", "check", "decision"]
"""In what two outcomes agree: the failing checks with their reasons and the calls; the failing checks and the names of the
calls; the calls, where nothing fails."""
_LEVEL_RUNS_MIN: Final = 12
_ERROR: Final = "error"
_EARLIER_MAX: Final = 50
_SAID = re.compile(r";? it said .*", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of one run of a case."""

    outcome: str
    failed: tuple[tuple[str, str], ...] = ()
    """The checks that fail, each with its reason, without the words of the answer."""
    calls: tuple[str, ...] = ()
    """As ``name(arguments)``."""
    cost_usd: float = 0.0


Oracle = Callable[[Case], Awaitable[Outcome]]
"""Runs a case."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What minimising may take."""

    runs: int = 200
    seconds: float = 3_600.0
    usd: float = 0.0
    """0: no bound. What is not known to cost anything costs nothing."""
    times: int = 1
    """How often a smaller case must show the same, one after the other, to be taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How large a case is."""

    bytes: int
    messages: int
    calls: int


@dataclass(slots=True, kw_only=True)
class Progress:
    """How far it is; changed while it goes on."""

    runs: int = 0
    runs_max: int = 0
    bytes: int = 0
    level: str = ""
    cost_usd: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Minimised:
    """The smaller case, and what it took."""

    data: Mapping[str, Any]
    before: Size
    after: Size
    same: Same
    shows: str
    """What it shows: the reason of the first check that fails, or the calls that are made."""
    runs: int
    seconds: float
    cost_usd: float
    left_out: Mapping[str, int] = field(default_factory=dict[str, int])
    """How many of each kind of piece."""
    stopped: str = ""
    """Why it ended early; empty where nothing further can be left out."""

    @property
    def sentence(self) -> str:
        """Sizes, runs and seconds, for a reader."""
        end = f"; stopped: {self.stopped}" if self.stopped else ""
        return (
            f"{self.before.bytes:,} bytes in {self.before.messages} messages to {self.after.bytes:,} bytes in "
            f"{self.after.messages}, {self.runs} runs, {self.seconds:.1f} s{end}"
        )

    def as_data(self) -> dict[str, Any]:
        """All but the case, as plain data."""
        about = {name: value for name, value in asdict(self).items() if name != "data"}
        return {**about, "seconds": round(self.seconds, 2), "sentence": self.sentence}


def target_oracle(
    target: Target, *, options: Options | None = None, scorers: Callable[[str], CodeScorer] | None = None
) -> Oracle:
    """Runs cases on a target as a suite would, without judges."""

    async def run(case: Case) -> Outcome:
        return outcome_of(await attempt(case, 1, target, options or Options(), scorers=scorers))

    return run


def outcome_of(result: Result) -> Outcome:
    """What counts of a result."""
    failed = [(one.name, _SAID.sub("", one.why)) for one in result.said if one.outcome == "fail"]
    if result.error:
        failed.append((_ERROR, result.error.partition("\n")[0][:300]))
    if result.outcome == "unscored":
        raise BadRequest("the case could not be run", got=result.why[:300])
    return Outcome(
        outcome=result.outcome, failed=tuple(failed), calls=tuple(result.tools), cost_usd=result.cost_usd or 0.0
    )


async def minimise(
    data: Mapping[str, Any],
    oracle: Oracle,
    *,
    bounds: Bounds | None = None,
    watch: Callable[[Progress], None] | None = None,
) -> Minimised:
    """The smallest case that was found that still shows what this one shows. Its provenance tells what was left out.

    Raises:
        BadRequest: it cannot be run, or two runs of it do not even fail the same checks.
    """
    work = _Work(oracle, bounds or Bounds(), watch)
    await work.learn(data)
    try:
        await _reduce(work)
    except _Spent as spent:
        work.stopped = str(spent)
    final = await work.confirmed()
    found = Minimised(
        data=final,
        before=size_of(data),
        after=size_of(final),
        same=work.same,
        shows=work.shown,
        runs=work.progress.runs,
        seconds=time.monotonic() - work.begun,
        cost_usd=work.progress.cost_usd,
        left_out=work.left_out,
        stopped=work.stopped,
    )
    return _told(found)


def size_of(data: Mapping[str, Any]) -> Size:
    """How large a case's data is: what is given and what tools answered."""
    given = mapping_of(data.get("input")) or {}
    body = canonical_json({"input": data.get("input"), "stubs": data.get("stubs")})
    return Size(
        bytes=len(body.encode("utf-8", "surrogatepass")),
        messages=len(list_of(given.get("messages", given.get("turns"))) or [1]),
        calls=len(_calls(data)),
    )


# -- the work --------------------------------------------------------------------------------------------------------


class _Spent(Exception):
    """A bound is reached."""


class _Work:
    def __init__(self, oracle: Oracle, bounds: Bounds, watch: Callable[[Progress], None] | None) -> None:
        self._oracle, self._bounds, self._watch = oracle, bounds, watch
        self._known: dict[str, bool] = {}
        self._earlier: list[Mapping[str, Any]] = []
        self._wanted: Outcome = Outcome(outcome="")
        self.best: Mapping[str, Any] = {}
        self.same: Same = "reason"
        self.shown = ""
        self.stopped = ""
        self.left_out: dict[str, int] = {}
        self.progress = Progress(runs_max=bounds.runs)
        self.begun = time.monotonic()

    @property
    def runs_left(self) -> int:
        """How many runs the bounds leave."""
        # Some are kept to look at the result once more.
        return self._bounds.runs - self.progress.runs - self._bounds.times

    @property
    def calls(self) -> tuple[str, ...]:
        """The calls that are made."""
        return self._wanted.calls

    async def learn(self, data: Mapping[str, Any]) -> None:
        """Run the whole case, to know what it shows and how steadily."""
        crash_counts = any("no_error" in (mapping_of(one) or {}) for one in list_of(data.get("checks")) or [])
        seen = [await self._run(data, bounded=False) for _ in range(max(2, self._bounds.times))]
        self._wanted = seen[0]
        broken = next((why for one in seen for name, why in one.failed if name == _ERROR), "")
        if broken and not crash_counts:
            raise BadRequest(
                "the agent itself fails before it has decided",
                got=broken,
                fix="start what it needs; where the failure is what the case is about, add the check no_error: true",
            )
        passing = all(one.outcome == "pass" for one in seen)
        kinds: tuple[Same, ...] = ("decision",) if passing else ("reason", "check")
        fitting: list[Same] = [kind for kind in kinds if all(_agree(kind, seen[0], one) for one in seen)]
        if not fitting:
            raise BadRequest(
                "the case does not show the same twice: there is nothing to hold on to",
                got="; ".join(_shown(one) for one in seen)[:600],
                fix="set the model's temperature to 0, or check less",
            )
        self.same, self.shown, self.best = fitting[0], _shown(seen[0]), data
        self._earlier = [data]

    async def shows(self, data: Mapping[str, Any]) -> bool:
        """Whether a smaller case still shows it; where it does, it is the best so far."""
        key = _key(data)
        if key not in self._known:
            self._known[key] = await self._again(data)
        if self._known[key]:
            self.best = data
            self._earlier = [*self._earlier[-_EARLIER_MAX:], data]
        return self._known[key]

    async def confirmed(self) -> Mapping[str, Any]:
        """The smallest case that shows it once more now, newest first; the whole one where none does."""
        for data in reversed(self._earlier):
            seen = [await self._run(data, bounded=False) for _ in range(self._bounds.times)]
            if all(_agree(self.same, self._wanted, one) for one in seen):
                return data
            self.stopped = self.stopped or "the smallest one did not show it again; a larger one does"
        return self._earlier[0]

    async def _again(self, data: Mapping[str, Any]) -> bool:
        for _ in range(self._bounds.times):
            try:
                seen = await self._run(data)
            except BadRequest:
                # It is no case any more, or cannot be run.
                return False
            if not _agree(self.same, self._wanted, seen):
                return False
        return True

    async def _run(self, data: Mapping[str, Any], *, bounded: bool = True) -> Outcome:
        if bounded:
            self._look_at_bounds()
        case = read_case(data)
        self.progress.runs += 1
        found = await self._oracle(case)
        self.progress.cost_usd += found.cost_usd
        if self._watch is not None:
            self.progress.bytes = size_of(self.best or data).bytes
            self._watch(self.progress)
        return found

    def _look_at_bounds(self) -> None:
        if self.runs_left <= 0:
            raise _Spent(f"{self._bounds.runs:,} runs were made")
        if time.monotonic() - self.begun > self._bounds.seconds:
            raise _Spent(f"{self._bounds.seconds:g} s are over")
        if self._bounds.usd and self.progress.cost_usd >= self._bounds.usd:
            raise _Spent(f"{self._bounds.usd:g} USD are spent")


async def _reduce(work: _Work) -> None:
    trimmed, counts = trim(work.best)
    if counts and await work.shows(trimmed):
        for what, count in counts.items():
            if what != "chars":
                work.left_out[what] = count
    await _unused_calls(work)
    await _level(work, "messages")
    for depth in range(1, DEPTH_MAX + 1):
        await _level(work, "members", depth)
    for level in ("paragraphs", "lines", "sentences"):
        await _level(work, level)
    # A message whose text is gone may go itself.
    await _level(work, "messages")


async def _unused_calls(work: _Work) -> None:
    """Recorded calls that nobody makes are left out in one go."""
    calls = _calls(work.best)
    made = {one.partition("(")[0] for one in work.calls}
    exactly = set(work.calls)
    keep = [
        one
        for one in calls
        if one.get("arguments") is None or f"{one['name']}({canonical_json(one['arguments'])[:300]})" in exactly
    ]
    # One stays in any case: of a case that records no call at all, tools may run themselves.
    for kept in (keep or calls[:1], [one for one in calls if one.get("name") in made] or calls[:1]):
        if len(kept) < len(calls) and await work.shows(_with_calls(work.best, kept)):
            work.left_out["recorded calls"] = len(calls) - len(kept)
            return


async def _level(work: _Work, level: Level, depth: int = 1) -> None:
    every = fragments(work.best, level, depth)
    if not every:
        return
    work.progress.level = level
    # Half of what is left: a level of which everything is needed must not take the runs of those below.
    ends = work.progress.runs + max(_LEVEL_RUNS_MIN, work.runs_left // 2)
    data = work.best
    search = ddmin(every)
    left = 0
    try:
        tried = next(search)
        while work.progress.runs < ends:
            kept = set(tried)
            shows = await work.shows(without(data, [one for one in every if one not in kept]))
            if shows:
                left = len(every) - len(tried)
            tried = search.send(shows)
    except StopIteration:
        return
    finally:
        if left:
            work.left_out[level] = work.left_out.get(level, 0) + left


# -- parts -----------------------------------------------------------------------------------------------------------


def _agree(same: Same, one: Outcome, other: Outcome) -> bool:
    if one.outcome != other.outcome:
        return False
    if same == "check":
        names = [{name for name, _ in seen.failed} for seen in (one, other)]
        tools = [[call.partition("(")[0] for call in seen.calls] for seen in (one, other)]
        return names[0] == names[1] and tools[0] == tools[1]
    return one.failed == other.failed and one.calls == other.calls


def _shown(seen: Outcome) -> str:
    if seen.failed:
        return f"{seen.failed[0][0]}: {seen.failed[0][1]}"[:300]
    return (", ".join(seen.calls) or "an answer without calls")[:300]


def _key(data: Mapping[str, Any]) -> str:
    return hashlib.sha256(canonical_json(data).encode("utf-8", "surrogatepass")).hexdigest()


def _calls(data: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    calls = list_of((mapping_of(data.get("stubs")) or {}).get("calls")) or []
    return [row for row in map(mapping_of, calls) if row is not None]


def _with_calls(data: Mapping[str, Any], calls: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    stubs = {**(mapping_of(data.get("stubs")) or {}), "calls": list(calls)}
    return {**data, "stubs": stubs}


def _told(found: Minimised) -> Minimised:
    """The case with what was left out in its provenance."""
    metadata = mapping_of(found.data.get("metadata")) or {}
    about = found.as_data()
    told = {name: about[name] for name in ("before", "after", "same", "shows", "runs", "seconds", "left_out")}
    if found.stopped:
        told["stopped"] = found.stopped
    provenance = {**(mapping_of(metadata.get("provenance")) or {}), "minimised": told}
    return replace(found, data={**found.data, "metadata": {**metadata, "provenance": provenance}})
