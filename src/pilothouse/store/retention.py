"""Retention: what is old, or over its share of the disk, is deleted, whole traces at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from .control_store import RetentionRule
from .trace_store import TraceStore

DAY_NS = 86_400_000_000_000
_CHUNK = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Deleted:
    """What a deletion took and what it left."""

    project_id: str
    environment: str
    traces: int = 0
    spans: int = 0
    logs: int = 0
    points: int = 0
    messages: int = 0
    freed_bytes: int = 0
    """Bytes of the rows deleted, by the average size of their table; the disk is given back as parts are rewritten."""
    dry_run: bool = False
    kept: tuple[str, ...] = field(default_factory=tuple[str, ...])
    """What was not deleted although it is related, and why."""


KEPT = (
    "messages that a kept trace of the same session refers to",
    "system prompts and tool definitions: stored once for the project, they may be in use",
    "scores on deleted traces: what was judged stays in statistics, without the content",
    "the receiver's journal: consumed segments go by limits.journal_keep_mb",
)


def apply_rules(store: TraceStore, rules: Sequence[RetentionRule], now_ns: int, *, dry_run: bool) -> list[Deleted]:
    """Delete what the rules of one or more projects say is over; each result says what was deleted and what was kept.

    A rule without an environment leaves those alone that have a rule of their own.
    """
    return [
        _apply(
            store,
            rule,
            [other.environment for other in rules if _is_own(other, rule)] if not rule.environment else [],
            now_ns,
            dry_run=dry_run,
        )
        for rule in rules
    ]


def _is_own(other: RetentionRule, rule: RetentionRule) -> bool:
    return other.project_id == rule.project_id and other.kind == rule.kind and other.environment != ""


def _apply(store: TraceStore, rule: RetentionRule, but: list[str], now_ns: int, *, dry_run: bool) -> Deleted:
    if rule.kind == "logs":
        return _retain_logs(store, rule, but, now_ns, dry_run=dry_run)
    cutoff = now_ns - rule.days * DAY_NS if rule.days is not None else 0
    if rule.budget_bytes is not None:
        cutoff = max(cutoff, _cutoff_for_budget(store, rule, but))
    if cutoff <= 0:
        return Deleted(project_id=rule.project_id, environment=rule.environment, dry_run=dry_run)
    return delete_traces(store, rule.project_id, rule.environment, cutoff, but=but, dry_run=dry_run)


def delete_traces(
    store: TraceStore, project: str, environment: str, before_ns: int, *, but: Sequence[str] = (), dry_run: bool
) -> Deleted:
    """Delete the traces that ended before a moment, with spans, events and the messages only they refer to.

    ``environment`` empty: all environments except those in ``but``.
    """
    params = {"project": project, "environment": environment, "but": list(but), "before": before_ns}
    where = (
        "project_id = {project:String} AND toUnixTimestamp64Nano(start_time) + duration_ns < {before:Int64}"
        + _environment(environment)
    )
    traces = spans = messages = 0
    width = row_bytes(store)
    seen: set[str] = set()
    while True:
        table = store.query(
            f"SELECT trace_id, spans, session_id, toUnixTimestamp64Nano(start_time), duration_ns FROM {{db}}.trace FINAL "
            f"WHERE {where} ORDER BY start_time LIMIT {_CHUNK} OFFSET {{skip:UInt64}}",
            {**params, "skip": len(seen) if dry_run else 0},
        )
        rows = [row for row in table.rows if row[0] not in seen]
        if not rows:
            break
        seen.update(row[0] for row in rows)
        ids = [row[0] for row in rows]
        traces += len(rows)
        spans += sum(int(row[1]) for row in rows)
        scopes = [*ids, *_sessions_without_others(store, project, [row[2] for row in rows if row[2]], ids)]
        found = store.query(
            "SELECT count() FROM {db}.message FINAL WHERE project_id = {project:String} AND scope IN {scopes:Array(String)}",
            {"project": project, "scopes": scopes},
        )
        messages += int(found.rows[0][0])
        if dry_run:
            continue
        _delete(store, project, ids, scopes)
    freed = int(traces * width["trace"] + spans * width["span"] + messages * width["message"])
    return Deleted(
        project_id=project,
        environment=environment,
        traces=traces,
        spans=spans,
        messages=messages,
        freed_bytes=freed,
        dry_run=dry_run,
        kept=KEPT,
    )


def _delete(store: TraceStore, project: str, ids: list[str], scopes: list[str]) -> None:
    # Spans before their trace: interrupted in between, the trace is found again and the rest deleted.
    for table in ("span", "event"):
        store.delete(
            table, "project_id = {project:String} AND trace_id IN {ids:Array(String)}", {"project": project, "ids": ids}
        )
    store.delete(
        "message",
        "project_id = {project:String} AND scope IN {scopes:Array(String)}",
        {"project": project, "scopes": scopes},
    )
    store.delete(
        "trace", "project_id = {project:String} AND trace_id IN {ids:Array(String)}", {"project": project, "ids": ids}
    )


def _sessions_without_others(store: TraceStore, project: str, sessions: list[str], ids: list[str]) -> list[str]:
    wanted = sorted(set(sessions))
    if not wanted:
        return []
    kept = store.query(
        "SELECT DISTINCT session_id FROM {db}.trace FINAL WHERE project_id = {project:String} "
        "AND session_id IN {sessions:Array(String)} AND trace_id NOT IN {ids:Array(String)}",
        {"project": project, "sessions": wanted, "ids": ids},
    )
    in_use = {row[0] for row in kept.rows}
    return [session for session in wanted if session not in in_use]


def _retain_logs(store: TraceStore, rule: RetentionRule, but: Sequence[str], now_ns: int, *, dry_run: bool) -> Deleted:
    counts = {"log": 0, "point": 0}
    if rule.days is not None:
        before = now_ns - rule.days * DAY_NS
        params = {"project": rule.project_id, "before": before, "environment": rule.environment, "but": list(but)}
        where = "project_id = {project:String} AND time < fromUnixTimestamp64Nano({before:Int64}, 'UTC')"
        where += _environment(rule.environment, "resource['deployment.environment.name']")
        for table in counts:
            found = store.query(f"SELECT count() FROM {{db}}.{table} FINAL WHERE {where}", params)
            counts[table] = int(found.rows[0][0])
            if counts[table] and not dry_run:
                store.delete(table, where, params)
    return Deleted(
        project_id=rule.project_id,
        environment=rule.environment,
        logs=counts["log"],
        points=counts["point"],
        dry_run=dry_run,
    )


def _cutoff_for_budget(store: TraceStore, rule: RetentionRule, but: Sequence[str]) -> int:
    """The moment before which traces must go, so that the rest fits its budget; 0 where all fits.

    A trace's share of the disk is estimated from its number of spans and the average bytes of a span with all that
    belongs to it, messages included.
    """
    assert rule.budget_bytes is not None
    width = row_bytes(store)
    counted = store.query("SELECT count() FROM {db}.span").rows[0][0]
    held = store.query("SELECT count() FROM {db}.message").rows[0][0]
    per_span = width["span"] + (width["message"] * held / counted if counted else 0)
    where = "project_id = {project:String}" + _environment(rule.environment)
    params = {"project": rule.project_id, "environment": rule.environment, "but": list(but)}
    table = store.query(
        "SELECT min(ends) FROM (SELECT toUnixTimestamp64Nano(start_time) + duration_ns AS ends, "
        "sum(spans) OVER (ORDER BY ends DESC ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS upto "
        f"FROM {{db}}.trace FINAL WHERE {where}) WHERE upto * {{width:Float64}} <= {{budget:Float64}}",
        {**params, "width": per_span, "budget": float(rule.budget_bytes)},
    )
    oldest_that_fits = int(table.rows[0][0] or 0)
    if oldest_that_fits == 0:
        newest = store.query(
            f"SELECT max(toUnixTimestamp64Nano(start_time) + duration_ns) FROM {{db}}.trace FINAL WHERE {where}",
            params,
        )
        return int(newest.rows[0][0] or 0)
    return oldest_that_fits


def _environment(name: str, column: str = "environment") -> str:
    if name:
        return f" AND {column} = {{environment:String}}"
    return f" AND {column} NOT IN {{but:Array(String)}}"


def row_bytes(store: TraceStore) -> dict[str, float]:
    """The average bytes of a row of each table, compressed, as it lies on the disk."""
    table = store.query(
        "SELECT table, sum(bytes_on_disk) / greatest(sum(rows), 1) FROM system.parts "
        "WHERE active AND database = {database:String} GROUP BY table",
        {"database": store.database},
    )
    return {"trace": 0.0, "span": 0.0, "message": 0.0} | {str(name): float(width) for name, width in table.rows}
