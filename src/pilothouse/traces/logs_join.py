"""What joins a log line to a trace: the reasons, the rules, and how a joined line is told."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from .logs_rows import log_row
from .logs_steps import Steps
from .model import Confidence, LogGroup, Reason, TraceLogRow
from .rows import milliseconds

SECOND_NS = 1_000_000_000
SKEW_NS = 2 * SECOND_NS
"""How far the clocks of two machines may differ; more than any that is kept by NTP, less than a careless one."""
CERTAIN_BEFORE_NS, CERTAIN_AFTER_NS = 3600 * SECOND_NS, 86_400 * SECOND_NS
"""Where lines with the trace's id are looked for: late workers write on for hours."""
SHARED_BEFORE_NS, SHARED_AFTER_NS = 60 * SECOND_NS, 600 * SECOND_NS
MEDIUM_NS = 5 * SECOND_NS
READ_MAX = 1_000
"""Lines of one reason that are read."""
LIMIT_MAX = 1_000
IDS_MAX = 300
TOKENS_MAX = 60
_BETWEEN_WORDS = re.compile(r"[\x00-/:-@\[-`{-\x7f]+")
_ID_CHARS_MIN = 6
"""A shorter value is shared by chance."""

SHARED_KEYS = (
    "(requestid|reqid|correlationid|invocationid|transactionid|operationid|messageid|responseid|toolcallid|jobid|"
    "taskid|idempotencykey|requestidentifier|httprequestid)$"
)
SESSION_KEYS = "(sessionid|session|conversationid|threadid|chatid)$"
USER_KEYS = "(userid|enduserid|customerid|accountid|user|username)$"

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
class Shared:
    """A value that a step or a line of the trace holds."""

    key: str
    value: str
    span_id: str = ""


@dataclass(slots=True, kw_only=True)
class JoinedLine:
    """A record and why it belongs."""

    row: dict[str, Any]
    reason: Reason
    why: str
    span_id: str = ""
    """The span that holds what the line shares."""


def is_shared_key(key: str) -> bool:
    """True for the name of an id that several systems pass on."""
    return _fits(key, SHARED_KEYS)


def has_key(attributes: Mapping[str, str], value: str, keys: str) -> bool:
    """True where a line holds a value under a key that ends like ``keys`` says."""
    return any(single(text) == value and _fits(key, keys) for key, text in attributes.items())


@lru_cache(8_192)
def _fits(key: str, keys: str) -> bool:
    return re.search(keys, re.sub(r"[^a-z0-9]", "", key.lower())) is not None


def ids_on_lines(lines: Sequence[Mapping[str, Any]], known: set[str]) -> list[Shared]:
    """The ids on a trace's own lines, of which at most 200 are looked at, beyond those already known."""
    found: list[Shared] = []
    for row in lines[:200]:
        for key, text in row["attributes"].items():
            value = single(text)
            if value not in known and is_telling(value) and is_shared_key(key):
                known.add(value)
                found.append(Shared(key=key, value=value, span_id=row["span_id"]))
    return found


def shared_line(row: dict[str, Any], same: Shared, steps: Steps) -> JoinedLine:
    """A line that shares an id with a trace."""
    step = steps.number(same.span_id)
    where = f", also on step {step}" if step else ""
    why = f"{same.key} {same.value[:60]}{where}"
    if row["trace_id"]:
        why += f"; the line is of trace {row['trace_id'][:12]}"
    return JoinedLine(row=row, reason="request_id", why=why, span_id=same.span_id)


def is_telling(value: str) -> bool:
    """True for a value that is hardly shared by chance."""
    return _ID_CHARS_MIN <= len(value) <= 200 and len(set(value)) > 2 and bool(longest_word(value))


def single(text: str) -> str:
    """The value of an attribute; of a header, which is a list of one, that one."""
    return text[2:-2] if text.startswith('["') and text.endswith('"]') and '","' not in text else text


def words_of(text: str) -> list[str]:
    """The words of a text as the index knows them."""
    return _BETWEEN_WORDS.sub(" ", text).lower().split()


def longest_word(text: str) -> str:
    """The word by which an index finds a text."""
    return max(words_of(text), key=len, default="")


def shared_by(row: dict[str, Any], shared: Sequence[Shared]) -> Shared | None:
    """Which of the ids a line holds, under the name that the line gives it."""
    held = {single(text): key for key, text in row["attributes"].items()}
    for one in shared:
        key = held.get(one.value)
        if key is not None or one.value in row["text"]:
            return Shared(key=key or one.key, value=one.value, span_id=one.span_id)
    return None


def place_of(row: dict[str, Any], hosts: Sequence[str]) -> str:
    """Why a line is joined by place and time, in words."""
    seconds = row["distance_ns"] / SECOND_NS
    near = f"{seconds:.1f} s from a failed step or an end of the trace" if seconds >= 0.1 else "the same moment"
    host = row["host"].split(".")[0].lower()
    place = f"host {row['host']}" if host in hosts or row["host"] in hosts else f"service {row['service']}"
    if row["pod"] and not row["host"]:
        place = f"pod {row['pod']}"
    return f"{place}, {near}"


def joined_row(item: JoinedLine, start_ns: int, steps: Steps) -> TraceLogRow:
    """A joined line as the answers show it, with the step that was at work."""
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


def group_of(reason: Reason, rows: Sequence[TraceLogRow], limit: int, infra_count: int) -> LogGroup:
    """The lines of one reason, at most ``limit`` of them."""
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


def key_of(row: dict[str, Any]) -> str:
    """What tells a line from all others."""
    return f"{row['time_ns']}:{row['hash']}"
