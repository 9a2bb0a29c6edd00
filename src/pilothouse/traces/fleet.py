"""All agents at a glance: who runs, who is stuck, who fails, who spends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pilothouse.records import iso
from pilothouse.store import TraceStore
from pilothouse.store.chart_reads import fleet_rows

from .charts import share
from .model import Fleet, FleetRow
from .rows import milliseconds, money
from .windows import time_range

_AGENTS_MAX = 1_000
_FAILING_SHARE = 0.25
_FAILING_TRACES = 4
"""Fewer traces than this say nothing about a share."""
_IDLE_NS = 3_600_000_000_000
_STATES = ("stuck", "failing", "running", "ok", "idle")


def fleet(store: TraceStore, project: str, *, since_ns: int | None = None, until_ns: int | None = None) -> Fleet:
    """Every agent seen in a window by environment, those that need attention first, at most 1,000."""
    covered = time_range(since_ns, until_ns)
    rows = fleet_rows(store, project, covered.since_ns, covered.until_ns, rows_max=_AGENTS_MAX)
    agents = [_row(row, covered.until_ns) for row in rows]
    agents.sort(key=lambda row: (_STATES.index(row.state), -row.traces, row.agent, row.environment))
    return Fleet(window=covered.as_window(), agents=tuple(agents))


def _row(row: Mapping[str, Any], until_ns: int) -> FleetRow:
    versions: Mapping[str, int] = row["versions"]
    newest = sorted((name for name in versions if name), key=lambda name: -versions[name])
    p50, p95, _ = row["quantiles"] or (None, None, None)
    names, counts = row["signal_counts"]
    return FleetRow(
        agent=row["agent"],
        environment=row["environment"],
        versions=tuple(newest[:10]),
        traces=row["traces"],
        running=row["running"],
        errors=row["failed"],
        error_share=share(row["failed"], row["traces"]),
        stuck=row["stuck"],
        p50_ms=None if p50 is None else milliseconds(p50),
        p95_ms=None if p95 is None else milliseconds(p95),
        cost_usd=money(row["cost"]),
        total_tokens=row["tokens"],
        last_seen=iso(row["last_ns"]),
        state=_state(row, until_ns),
        signals={name: int(count) for name, count in zip(names, counts, strict=True)},
    )


def _state(row: Mapping[str, Any], until_ns: int) -> str:
    if row["stuck"]:
        return "stuck"
    if row["traces"] >= _FAILING_TRACES and row["failed"] / row["traces"] >= _FAILING_SHARE:
        return "failing"
    if row["running"]:
        return "running"
    return "idle" if until_ns - row["last_ns"] > _IDLE_NS else "ok"
