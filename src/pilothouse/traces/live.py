"""What runs now: which trace runs, waits, is held up, is stuck, or has died, and what it is doing."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

from pilothouse.records import BadRequest, iso
from pilothouse.signals import Rulebook
from pilothouse.store import TraceStore
from pilothouse.store import live_reads as reads
from pilothouse.store.conditions import Condition

from .filters import conditions_of
from .live_cursors import Place, write_place
from .live_states import Beat, Watched, beats_by_trace, live_row
from .model import LIVE_STATES, Live, LiveRow

ROWS_MAX = 500
TRACES_MAX = 2_000
"""Open traces that are looked at; the ones heard of last."""
HEARD_NS = 6 * 3_600_000_000_000
"""A trace that gave no sign of life for six hours is not watched any more."""
ENDED_NS = 60_000_000_000
"""How long a trace that ended stays in sight."""
_FRESH_NS = 2 * 3_600_000_000_000
"""Spans of traces that began within two hours are read in one go; older ones would make it reach back for all."""
_HORIZON_NS = 600_000_000_000
_USUAL_NS = 30_000_000_000


def live(
    store: TraceStore,
    project: str,
    *,
    text: str = "",
    states: Sequence[str] = (),
    limit: int = ROWS_MAX,
    rules: Rulebook | None = None,
    now_ns: int | None = None,
) -> Live:
    """Every trace that is open, or ended within the last minute; those that need somebody first, at most 500.

    ``text`` is the filter language of :func:`search`; ``states`` keeps only those.

    Raises:
        BadRequest: a state, a limit or a filter that there is not.
    """
    unknown = [state for state in states if state not in LIVE_STATES]
    if unknown:
        raise BadRequest("no such state", got=unknown[0], allowed=list(LIVE_STATES), fix="pilothouse live --state died")
    if not 1 <= limit <= ROWS_MAX:
        raise BadRequest(f"a picture has 1 to {ROWS_MAX} rows", got=limit, fix="pilothouse live --limit 100")
    now = now_ns or time.time_ns()
    # Before the rows: what is written in between is told again by the stream, not lost between the two.
    horizon_ms = reads.horizon(store, project, now - _HORIZON_NS)
    rows, total = watched(store, project, now, conditions=conditions_of(store, project, text), rules=rules)
    rows.sort(key=lambda row: (LIVE_STATES.index(row.state), not row.attention, row.since, row.trace_id))
    counts = Counter(row.state for row in rows)
    fitting = [row for row in rows if not states or row.state in states]
    return Live(
        now=iso(now),
        rows=tuple(fitting[:limit]),
        total=len(fitting) if states else total,
        counts={state: counts[state] for state in LIVE_STATES if counts[state]},
        attention=sum(row.attention for row in rows),
        cursor=write_place(Place(received_ms=horizon_ms)),
    )


def watched(
    store: TraceStore,
    project: str,
    now: int,
    *,
    conditions: Sequence[Condition] = (),
    rules: Rulebook | None = None,
) -> tuple[list[LiveRow], int]:
    """The traces that are open, or ended just now, in no order and at most 2,000; and how many there are."""
    beats = beats_by_trace(reads.pulses(store, project, (now - HEARD_NS) // 1_000_000))
    found = reads.open_traces(
        store,
        project,
        now,
        conditions,
        heard_since_ns=now - HEARD_NS,
        ended_since_ns=now - ENDED_NS,
        beating=sorted(beats),
        limit=TRACES_MAX,
    )
    return _rows(store, project, found, beats, now, rules or Rulebook()), found[0]["total"] if found else 0


def live_rows(
    store: TraceStore, project: str, trace_ids: Sequence[str], *, rules: Rulebook | None = None
) -> tuple[LiveRow, ...]:
    """Some traces as they are now, in order of their ids; those that are not known are left out."""
    now = time.time_ns()
    found = reads.traces_now(store, project, now, trace_ids)
    beats = beats_by_trace(reads.pulses(store, project, (now - HEARD_NS) // 1_000_000)) if found else {}
    return tuple(sorted(_rows(store, project, found, beats, now, rules or Rulebook()), key=lambda row: row.trace_id))


def _rows(
    store: TraceStore,
    project: str,
    found: Sequence[Mapping[str, Any]],
    beats: Mapping[str, Beat],
    now: int,
    rules: Rulebook,
) -> list[LiveRow]:
    if not found:
        return []
    fresh = [row for row in found if row["start_ns"] >= now - _FRESH_NS]
    old = [row for row in found if row["start_ns"] < now - _FRESH_NS]
    agents = tuple(sorted({row["agent"] for row in found}))
    with ThreadPoolExecutor(3) as pool:
        usual = pool.submit(_usual, store, project, agents, now // _USUAL_NS)
        parts = [pool.submit(_activity, store, project, some) for some in (fresh, old)]
        activity = {trace_id: entry for part in parts for trace_id, entry in part.result().items()}
    waiting = [span[0] for entry in activity.values() for span in entry["running"] if span[3] == "waiting"]
    waits = reads.waits(store, project, waiting, min(row["start_ns"] for row in found))
    return [
        live_row(
            Watched(
                row=row,
                activity=activity.get(row["trace_id"]),
                waits=waits,
                beat=beats.get(row["trace_id"]),
                usual=usual.result().get(row["agent"]),
            ),
            now,
            rules.of(row["agent"]),
        )
        for row in found
    ]


@lru_cache(maxsize=64)
def _usual(store: TraceStore, project: str, agents: tuple[str, ...], stretch: int) -> dict[str, reads.Usual]:
    """What is usual for these agents: looked up once in half a minute, since it changes by the day."""
    return reads.usual(store, project, stretch * _USUAL_NS, agents)


def _activity(store: TraceStore, project: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    since_ns = min((row["start_ns"] for row in rows), default=0)
    return reads.activity(store, project, [row["trace_id"] for row in rows], since_ns)
