"""What is put into a queue: named by hand, found by a query, drawn at random, or where judges are in doubt."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from pilothouse.records import BadRequest, Target
from pilothouse.store import TraceStore
from pilothouse.store.queue_log import How
from pilothouse.store.score_reads import Doubt, doubted
from pilothouse.store.trace_reads import find_traces
from pilothouse.traces import TraceQuery, sessions, time_range
from pilothouse.traces.filters import conditions_of

from .check import ADDED_MAX

POOL_MAX: Final = 100_000
"""Traces that a sample is drawn from: the newest so many."""
_SESSIONS_A_PAGE: Final = 1_000
_SESSION_PAGES: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which things to put into a queue."""

    query: str = ""
    since_ns: int | None = None
    until_ns: int | None = None
    level: Literal["trace", "session"] = "trace"
    sample: int | None = None
    """So many, drawn at random of all that fit; None: the newest."""
    seed: int = 7
    doubt: Doubt | None = None
    """Instead of a query: where scores of ``names`` are in doubt."""
    names: tuple[str, ...] = ()
    limit: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundTargets:
    """What fits, in the order in which it is to be labelled."""

    targets: tuple[Target, ...]
    how: How
    reason: str
    pool: int
    """How many fit in all, as far as was looked."""


def find_targets(store: TraceStore, project: str, wanted: Wanted) -> FoundTargets:
    """The things that fit.

    Raises:
        BadRequest: the query cannot be read, or asks for too many.
    """
    asked = wanted.limit if wanted.sample is None else wanted.sample
    if not 1 <= asked <= ADDED_MAX:
        raise BadRequest("that many are not added at once", got=asked, allowed=f"1 to {ADDED_MAX:,}")
    if wanted.doubt is not None:
        return _doubted(store, project, wanted, wanted.doubt)
    pool = _sessions(store, project, wanted) if wanted.level == "session" else _traces(store, project, wanted)
    if wanted.sample is None:
        return FoundTargets(targets=tuple(pool[:asked]), how="chosen", reason=wanted.query[:300], pool=len(pool))
    told = f"{asked} of {len(pool)} by seed {wanted.seed}" + (f": {wanted.query[:200]}" if wanted.query else "")
    return FoundTargets(targets=drawn(pool, asked, wanted.seed), how="random", reason=told, pool=len(pool))


def drawn(pool: Sequence[Target], count: int, seed: int) -> tuple[Target, ...]:
    """So many of them at random; the same seed draws the same, and a greater count those and more."""

    def place(target: Target) -> bytes:
        named = f"{seed}:{target.session_id or target.trace_id}"
        return hashlib.sha256(named.encode("utf-8", "surrogatepass")).digest()

    return tuple(sorted(pool, key=place)[:count])


def _traces(store: TraceStore, project: str, wanted: Wanted) -> list[Target]:
    covered = time_range(wanted.since_ns, wanted.until_ns)
    conditions = conditions_of(store, project, wanted.query)
    limit = wanted.limit if wanted.sample is None else POOL_MAX
    found = find_traces(store, project, covered.since_ns, covered.until_ns, conditions, order="newest", limit=limit)
    return [Target(trace_id=one.trace_id) for one in found.traces]


def _sessions(store: TraceStore, project: str, wanted: Wanted) -> list[Target]:
    found: list[Target] = []
    cursor = ""
    for _ in range(_SESSION_PAGES):
        page = sessions(
            store,
            project,
            TraceQuery(
                text=wanted.query,
                since_ns=wanted.since_ns,
                until_ns=wanted.until_ns,
                limit=_SESSIONS_A_PAGE,
                cursor=cursor,
            ),
        )
        found += [Target(session_id=row.session_id) for row in page.items]
        cursor = page.next
        if not page.more or (wanted.sample is None and len(found) >= wanted.limit):
            break
    return found


def _doubted(store: TraceStore, project: str, wanted: Wanted, doubt: Doubt) -> FoundTargets:
    if not wanted.names:
        raise BadRequest("name the scores of the judges", got=[], fix="pilothouse queues add NAME --disagree careful")
    covered = time_range(wanted.since_ns, wanted.until_ns)
    found = doubted(
        store,
        project,
        wanted.names,
        doubt,
        since_ns=covered.since_ns,
        until_ns=covered.until_ns,
        limit=wanted.limit if wanted.sample is None else wanted.sample,
    )
    # Whoever labels is not told which way the judges lean.
    told = "judges say different things" if doubt == "disagree" else "a judge is not sure"
    return FoundTargets(
        targets=tuple(one.target for one in found),
        how="informative",
        reason=f"{told} of {', '.join(wanted.names)[:200]}",
        pool=len(found),
    )
