"""Which log lines belong to a trace: by trace id, by a shared id, by session or user, or only by place and time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
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
from .logs_rows import log_row, severity_at_least
from .logs_steps import Steps, read_steps
from .model import REASONS, Confidence, LogGroup, Reason, TraceLogRow, TraceLogs
from .rows import milliseconds

_SECOND = 1_000_000_000
SKEW_NS = 2 * _SECOND
"""How far the clocks of two machines may differ; more than any that is kept by NTP, less than a careless one."""
_CERTAIN_BEFORE_NS, _CERTAIN_AFTER_NS = 3600 * _SECOND, 86_400 * _SECOND
"""Where lines with the trace's id are looked for: late workers write on for hours."""
_SHARED_BEFORE_NS, _SHARED_AFTER_NS = 60 * _SECOND, 600 * _SECOND
_MEDIUM_NS = 5 * _SECOND
READ_MAX = 1_000
"""Lines of one reason that are read."""
LIMIT_MAX = 1_000
_IDS_MAX = 300
_TOKENS_MAX = 60
_ID_CHARS_MIN = 6
"""A shorter value is shared by chance."""

SHARED_KEYS = (
    "(requestid|reqid|correlationid|invocationid|transactionid|operationid|messageid|responseid|toolcallid|jobid|"
    "taskid|idempotencykey|requestidentifier|httprequestid)$"
)
_SESSION_KEYS = "(sessionid|session|conversationid|threadid|chatid)$"
_USER_KEYS = "(userid|enduserid|customerid|accountid|user|username)$"

_CONFIDENCE: dict[Reason, Confidence] = {
    "trace_id": "certain",
    "request_id": "high",
    "session_id": "medium",
    "user_id": "medium",
    "time": "low",
}
_RULES: dict[Reason, str] = {
    "trace_id": "the line carries the trace's id",
    "request_id": "the line shares an id with a step",
    "session_id": "the same session, while the trace ran",
    "user_id": "the same user, while the trace ran",
    "time": "the same host, container or service, while the trace ran",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shared:
    """A value that a step or a line of the trace holds."""

    key: str
    value: str
    span_id: str = ""


@dataclass(slots=True, kw_only=True)
class _Found:
    """A record and why it belongs."""

    row: dict[str, Any]
    reason: Reason
    why: str
    span_id: str = ""
    """The span that holds what the line shares."""


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
    found: dict[str, _Found] = {}

    def keep(rows: Sequence[dict[str, Any]], why: Reason, tell: Callable[[dict[str, Any]], str]) -> None:
        for row in rows:
            if (key := _key(row)) not in found:
                found[key] = _Found(row=row, reason=why, why=tell(row))

    # A propagator of 64 bits keeps the lower half.
    certain = reads.of_trace([trace_id, trace_id[16:].zfill(32)], start_ns, end_ns)
    whole, half = "trace id", "lower half of the trace id"
    keep(certain, "trace_id", lambda row: whole if row["trace_id"] == trace_id else half)
    shared = _shared_ids(store, project, trace_id, top.stretch, certain)
    for row in reads.sharing(shared, start_ns, end_ns):
        if _key(row) not in found and (same := _shared_by(row, shared)) is not None:
            step = steps.number(same.span_id)
            where = f", also on step {step}" if step else ""
            why = f"{same.key} {same.value[:60]}{where}"
            if row["trace_id"]:
                why += f"; the line is of trace {row['trace_id'][:12]}"
            found[_key(row)] = _Found(row=row, reason="request_id", why=why, span_id=same.span_id)
    if session := top.row.session_id:
        rows = reads.with_values([session], _SESSION_KEYS, start_ns - _MEDIUM_NS, end_ns + _MEDIUM_NS)
        keep(rows, "session_id", lambda row: f"session {session[:60]}")
    if user := top.row.user_id:
        rows = reads.with_values([user], _USER_KEYS, start_ns - _MEDIUM_NS, end_ns + _MEDIUM_NS)
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
        infra_count -= sum(_key(row) in found for row in rows)
        keep(rows, "time", lambda row: _place(row, sites.hosts))
        if not sites.hosts and not sites.instances:
            notes.append("the spans name no host: lines are joined by service alone (set host.name on the resource)")
    else:
        notes.append("the spans name neither service nor host: nothing can be joined by place")
    made = [_row(item, top.start_ns, steps) for item in found.values()]
    groups = tuple(
        _group(kind, made, limit, infra_count)
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
        since, until = max(0, start_ns - _CERTAIN_BEFORE_NS), end_ns + _CERTAIN_AFTER_NS
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

    def sharing(self, shared: Sequence[_Shared], start_ns: int, end_ns: int) -> list[dict[str, Any]]:
        """Lines that share an id, in a field or in their text."""
        if not shared:
            return []
        since, until = max(0, start_ns - _SHARED_BEFORE_NS), end_ns + _SHARED_AFTER_NS
        values = list(dict.fromkeys(one.value for one in shared))
        rows = self.with_values(values, SHARED_KEYS, since, until)
        for first in range(0, len(values), _TOKENS_MAX):
            texts = values[first : first + _TOKENS_MAX]
            rows += logs_with_words(
                self._store,
                self._project,
                texts,
                [_longest_word(text) for text in texts],
                since,
                until,
                limit=READ_MAX,
                severity=self._severity,
            )
        return rows


def _shared_ids(
    store: TraceStore, project: str, trace_id: str, stretch: Any, certain: Sequence[dict[str, Any]]
) -> list[_Shared]:
    """The ids that the steps of a trace hold, then those on its own lines."""
    found = [
        _Shared(key=key, value=value, span_id=span)
        for key, text, span in id_values(store, project, trace_id, stretch, SHARED_KEYS, limit=_IDS_MAX)
        if _telling(value := _single(text))
    ]
    known = {one.value for one in found}
    for row in certain[:200]:
        for key, text in row["attributes"].items():
            value = _single(text)
            if value not in known and _telling(value) and is_shared_key(key):
                known.add(value)
                found.append(_Shared(key=key, value=value, span_id=row["span_id"]))
    return found[:_IDS_MAX]


def is_shared_key(key: str) -> bool:
    """True for the name of an id that several systems pass on."""
    plain = "".join(character for character in key.lower() if character.isalnum())
    return plain.endswith(tuple(SHARED_KEYS.strip("()$").split("|")))


def _telling(value: str) -> bool:
    return _ID_CHARS_MIN <= len(value) <= 200 and len(set(value)) > 2 and bool(_longest_word(value))


def _single(text: str) -> str:
    """The value of an attribute; of a header, which is a list of one, that one."""
    return text[2:-2] if text.startswith('["') and text.endswith('"]') and '","' not in text else text


def _longest_word(text: str) -> str:
    words = "".join(c if c.isalnum() or not c.isascii() else " " for c in text).lower().split()
    return max(words, key=len, default="")


def _shared_by(row: dict[str, Any], shared: Sequence[_Shared]) -> _Shared | None:
    """Which of the ids a line holds, under the name that the line gives it."""
    held = {_single(text): key for key, text in row["attributes"].items()}
    for one in shared:
        key = held.get(one.value)
        if key is not None or one.value in row["text"]:
            return _Shared(key=key or one.key, value=one.value, span_id=one.span_id)
    return None


def _place(row: dict[str, Any], hosts: Sequence[str]) -> str:
    seconds = row["distance_ns"] / _SECOND
    near = f"{seconds:.1f} s from a failed step or an end of the trace" if seconds >= 0.1 else "the same moment"
    host = row["host"].split(".")[0].lower()
    place = f"host {row['host']}" if host in hosts or row["host"] in hosts else f"service {row['service']}"
    if row["pod"] and not row["host"]:
        place = f"pod {row['pod']}"
    return f"{place}, {near}"


def _row(item: _Found, start_ns: int, steps: Steps) -> TraceLogRow:
    row = log_row(item.row)
    at_ns = item.row["time_ns"]
    # A clock that only knows seconds may lie outside of the trace: what is shared tells the step better than the time.
    step = steps.at(at_ns, service=row.service, span_id=row.span_id or item.span_id)
    return TraceLogRow(
        time=row.time,
        offset_ms=milliseconds(at_ns - start_ns),
        reason=item.reason,
        confidence=_CONFIDENCE[item.reason],
        why=item.why,
        step=step.step if step else 0,
        span_id=step.span_id if step else "",
        step_label=step.label if step else "",
        never_a_span=row.severity_number >= 17 and not steps.failed_near(at_ns, SKEW_NS, span_id=row.span_id),
        severity=row.severity,
        severity_number=row.severity_number,
        service=row.service,
        host=row.host,
        body=row.body,
        logger=row.logger,
        log=row,
    )


def _group(reason: Reason, rows: Sequence[TraceLogRow], limit: int, infra_count: int) -> LogGroup:
    mine = [row for row in rows if row.reason == reason]
    # Of what is joined by place alone, the first are the worst and the nearest: the store put them in that order.
    shown = sorted(mine[:limit], key=lambda row: (row.time, row.log.id))
    return LogGroup(
        reason=reason,
        confidence=_CONFIDENCE[reason],
        why=_RULES[reason],
        count=max(infra_count, len(mine)) if reason == "time" else len(mine),
        rows=tuple(shown),
    )


def _key(row: dict[str, Any]) -> str:
    return f"{row['time_ns']}:{row['hash']}"
