"""All agents at a glance: who runs, who waits, who is stuck or has died, who fails, who spends."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

from pilothouse.records import iso
from pilothouse.signals import Rulebook
from pilothouse.store import TraceStore
from pilothouse.store.chart_reads import fleet_rows
from pilothouse.store.live_reads import agent_courses

from .charts import bucket_seconds, share
from .live import watched
from .model import Fleet, FleetRow, LiveRow
from .rows import milliseconds, money
from .windows import Range, time_range

_AGENTS_MAX = 1_000
_FAILING_SHARE = 0.25
_FAILING_TRACES = 4
"""Fewer traces than this say nothing about a share."""
_HOUR_NS = 3_600_000_000_000
_NOW_NS = 60_000_000_000
"""A window that ended within the last minute ends now: whoever asked had a look at the clock first."""
_STRETCHES = 32
"""At most so many points has the little chart of an agent: a day by the hour."""
STATES = ("died", "stuck", "waiting", "rate_limited", "failing", "running", "ok", "idle")
"""What an agent is doing, what needs somebody first."""
_OF_LIVE = {"died": "died", "stuck": "stalled", "waiting": "waiting_human", "rate_limited": "rate_limited"}
_Key = tuple[str, str]
"""Agent and environment."""


def fleet(
    store: TraceStore,
    project: str,
    *,
    since_ns: int | None = None,
    until_ns: int | None = None,
    rules: Rulebook | None = None,
) -> Fleet:
    """Every agent seen in a window by environment, those that need attention first, at most 1,000."""
    covered = time_range(since_ns, until_ns)
    now_ns = time.time_ns()
    bucket_s = bucket_seconds(covered, _STRETCHES)
    with ThreadPoolExecutor(3) as pool:
        summed = pool.submit(fleet_rows, store, project, covered.since_ns, covered.until_ns, rows_max=_AGENTS_MAX)
        courses = pool.submit(
            agent_courses,
            store,
            project,
            covered.since_ns,
            covered.until_ns,
            bucket_s=bucket_s,
            spent_since_ns=max(covered.until_ns - _HOUR_NS, covered.since_ns),
            rows_max=_AGENTS_MAX,
        )
        # A window that ended in the past says how it was; what runs now is no part of it.
        current = covered.until_ns >= now_ns - _NOW_NS
        open_ = pool.submit(watched, store, project, now_ns, rules=rules).result()[0] if current else []
    by_agent: dict[_Key, list[LiveRow]] = {}
    for row in open_:
        by_agent.setdefault((row.agent, row.environment), []).append(row)
    course = {(row["agent"], row["environment"]): row for row in courses.result()}
    agents = [
        _row(row, by_agent.get(key, ()), course.get(key), covered, bucket_s)
        for row in summed.result()
        if (key := (row["agent"], row["environment"]))
    ]
    agents.sort(key=lambda row: (STATES.index(row.state), -row.traces, row.agent, row.environment))
    return Fleet(window=covered.as_window(), agents=tuple(agents), bucket_s=bucket_s)


def _row(
    row: Mapping[str, Any],
    open_: Sequence[LiveRow],
    course: Mapping[str, Any] | None,
    covered: Range,
    bucket_s: int,
) -> FleetRow:
    versions: Mapping[str, int] = row["versions"]
    newest = sorted((name for name in versions if name), key=lambda name: -versions[name])
    p50, p95, _ = row["quantiles"] or (None, None, None)
    names, counts = row["signal_counts"]
    now = Counter(str(trace.state) for trace in open_ if trace.state != "ended")
    cost = money(row["cost"])
    hours = max((covered.until_ns - covered.since_ns) / _HOUR_NS, 1)
    return FleetRow(
        agent=row["agent"],
        environment=row["environment"],
        versions=tuple(newest[:10]),
        traces=row["traces"],
        running=row["running"],
        errors=row["failed"],
        error_share=share(row["failed"], row["traces"]),
        stuck=now["stalled"] + now["died"],
        p50_ms=None if p50 is None else milliseconds(p50),
        p95_ms=None if p95 is None else milliseconds(p95),
        cost_usd=cost,
        total_tokens=row["tokens"],
        last_seen=iso(row["last_ns"]),
        state=_state(row, now, covered.until_ns),
        signals={name: int(count) for name, count in zip(names, counts, strict=True)},
        now=dict(now),
        spend_now_usd=money(course["spent"]) if course else None,
        spend_usual_usd=None if cost is None else round(cost / Decimal(str(hours)), 9).normalize(),
        runs=_stretches(course["runs"] if course else {}, covered, bucket_s),
        failures=_stretches(course["failed"] if course else {}, covered, bucket_s),
    )


def _stretches(counts: Mapping[str, int], covered: Range, bucket_s: int) -> tuple[int, ...]:
    """By stretch of the window, from counts by the number of the stretch (a string: a key of JSON)."""
    length = -(-(covered.until_ns - covered.since_ns) // (bucket_s * 1_000_000_000))
    return tuple(int(counts.get(str(place), 0)) for place in range(length))


def _state(row: Mapping[str, Any], now: Counter[str], until_ns: int) -> str:
    for state, live in _OF_LIVE.items():
        if now[live]:
            return state
    if row["traces"] >= _FAILING_TRACES and row["failed"] / row["traces"] >= _FAILING_SHARE:
        return "failing"
    if row["running"] or now:
        return "running"
    return "idle" if until_ns - row["last_ns"] > _HOUR_NS else "ok"
