"""Which log lines belong to a trace: by trace id, by a shared id, by session or user, or only by place and time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pilothouse.records import BadRequest, iso
from pilothouse.store import TraceStore
from pilothouse.store.log_reads import (
    id_values,
    logs_at_sites,
    logs_of_trace,
    logs_with_values,
    logs_with_words,
    trace_sites,
)

from .load import head
from .logs_join import (
    CERTAIN_AFTER_NS,
    CERTAIN_BEFORE_NS,
    IDS_MAX,
    LIMIT_MAX,
    MEDIUM_NS,
    READ_MAX,
    SESSION_KEYS,
    SHARED_AFTER_NS,
    SHARED_BEFORE_NS,
    SHARED_KEYS,
    SKEW_NS,
    TOKENS_MAX,
    USER_KEYS,
    JoinedLine,
    Shared,
    group_of,
    ids_on_lines,
    is_telling,
    joined_row,
    key_of,
    longest_word,
    place_of,
    shared_by,
    shared_line,
    single,
)
from .logs_rows import severity_at_least
from .logs_steps import read_steps
from .model import REASONS, Reason, TraceLogs


def logs(
    store: TraceStore,
    project: str,
    trace_id: str,
    *,
    infra: bool = False,
    level: str = "",
    reason: str = "",
    limit: int = 100,
) -> TraceLogs:
    """The log lines that belong to a trace, grouped by reason, the surest first.

    Lines joined by place and time alone come with ``infra``; errors among them that no step tells of always do. A line
    is in one group only, that of its surest reason.

    Raises:
        NotFound: the project has no such trace.
    """
    if reason and reason not in REASONS:
        raise BadRequest("no such reason", got=reason, allowed=list(REASONS), fix="reason=request_id")
    if not 1 <= limit <= LIMIT_MAX:
        raise BadRequest(f"a group has 1 to {LIMIT_MAX} rows", got=limit)
    severity = severity_at_least(level)
    top = head(store, project, trace_id)
    start_ns, end_ns = top.start_ns, top.start_ns + round(top.row.duration_ms * 1e6)
    steps = read_steps(store, project, trace_id, top.stretch)
    reads = _Reads(store, project, severity)
    found: dict[str, JoinedLine] = {}

    def keep(rows: Sequence[dict[str, Any]], why: Reason, tell: Callable[[dict[str, Any]], str]) -> None:
        for row in rows:
            if (key := key_of(row)) not in found:
                found[key] = JoinedLine(row=row, reason=why, why=tell(row))

    # A propagator of 64 bits keeps the lower half.
    certain = reads.of_trace([trace_id, trace_id[16:].zfill(32)], start_ns, end_ns)
    whole, half = "trace id", "lower half of the trace id"
    keep(certain, "trace_id", lambda row: whole if row["trace_id"] == trace_id else half)
    shared = _shared_ids(store, project, trace_id, top.stretch, certain)
    for row in reads.sharing(shared, start_ns, end_ns):
        if key_of(row) not in found and (same := shared_by(row, shared)) is not None:
            found[key_of(row)] = shared_line(row, same, steps)
    if session := top.row.session_id:
        rows = reads.with_values([session], SESSION_KEYS, start_ns - MEDIUM_NS, end_ns + MEDIUM_NS)
        keep(rows, "session_id", lambda row: f"session {session[:60]}")
    if user := top.row.user_id:
        rows = reads.with_values([user], USER_KEYS, start_ns - MEDIUM_NS, end_ns + MEDIUM_NS)
        keep(rows, "user_id", lambda row: f"user {user[:60]}")
    sites = trace_sites(store, project, trace_id, top.stretch)
    notes: list[str] = []
    infra_count = 0
    if sites:
        moments = steps.moments or (start_ns, end_ns)
        rows, infra_count = logs_at_sites(
            store,
            project,
            sites,
            trace_id,
            start_ns - SKEW_NS,
            end_ns + SKEW_NS,
            moments[:50],
            limit=READ_MAX,
            severity=severity,
        )
        infra_count -= sum(key_of(row) in found for row in rows)
        keep(rows, "time", lambda row: place_of(row, sites.hosts))
        if not sites.hosts and not sites.instances:
            notes.append("the spans name no host: lines are joined by service alone (set host.name on the resource)")
    else:
        notes.append("the spans name neither service nor host: nothing can be joined by place")
    made = [joined_row(item, top.start_ns, steps) for item in found.values()]
    groups = tuple(
        group_of(kind, made, limit, infra_count)
        for kind in REASONS
        if (not reason or reason == kind) and (kind != "time" or infra or reason == "time")
        if any(row.reason == kind for row in made)
    )
    lost = sorted((row for row in made if row.never_a_span), key=lambda row: (row.time, row.log.id))
    shown_infra = infra or reason == "time"
    return TraceLogs(
        trace_id=trace_id,
        since=iso(start_ns),
        until=iso(end_ns),
        groups=groups,
        lost=tuple(lost[:limit]),
        infra_left_out=0 if shown_infra else max(0, infra_count),
        hosts=sites.hosts,
        services=sites.services,
        clock_allowance_ms=SKEW_NS // 1_000_000,
        notes=tuple(notes),
    )


class _Reads:
    """The reads of one trace's lines, bound to a store and a severity."""

    def __init__(self, store: TraceStore, project: str, severity: int) -> None:
        self._store = store
        self._project = project
        self._severity = severity

    def of_trace(self, ids: Sequence[str], start_ns: int, end_ns: int) -> list[dict[str, Any]]:
        """Lines with one of these trace ids."""
        since, until = max(0, start_ns - CERTAIN_BEFORE_NS), end_ns + CERTAIN_AFTER_NS
        return logs_of_trace(self._store, self._project, ids, since, until, limit=READ_MAX, severity=self._severity)

    def with_values(self, values: Sequence[str], keys: str, since_ns: int, until_ns: int) -> list[dict[str, Any]]:
        """Lines that hold one of these values under a key of this kind; a header's value is a list of one."""
        forms = [form for value in values for form in (value, f'["{value}"]')]
        return logs_with_values(
            self._store,
            self._project,
            forms,
            keys,
            max(0, since_ns),
            until_ns,
            limit=READ_MAX,
            severity=self._severity,
        )

    def sharing(self, shared: Sequence[Shared], start_ns: int, end_ns: int) -> list[dict[str, Any]]:
        """Lines that share an id, in a field or in their text."""
        if not shared:
            return []
        since, until = max(0, start_ns - SHARED_BEFORE_NS), end_ns + SHARED_AFTER_NS
        values = list(dict.fromkeys(one.value for one in shared))
        rows = self.with_values(values, SHARED_KEYS, since, until)
        for first in range(0, len(values), TOKENS_MAX):
            texts = values[first : first + TOKENS_MAX]
            rows += logs_with_words(
                self._store,
                self._project,
                texts,
                [longest_word(text) for text in texts],
                since,
                until,
                limit=READ_MAX,
                severity=self._severity,
            )
        return rows


def _shared_ids(
    store: TraceStore, project: str, trace_id: str, stretch: Any, certain: Sequence[dict[str, Any]]
) -> list[Shared]:
    """The ids that the steps of a trace hold, then those on its own lines."""
    found = [
        Shared(key=key, value=value, span_id=span)
        for key, text, span in id_values(store, project, trace_id, stretch, SHARED_KEYS, limit=IDS_MAX)
        if is_telling(value := single(text))
    ]
    found += ids_on_lines(certain, {one.value for one in found})
    return found[:IDS_MAX]
