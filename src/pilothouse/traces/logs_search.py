"""Log records by time, service, level and words; and errors in logs that no span tells of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from pilothouse.records import BadRequest
from pilothouse.store import TraceStore
from pilothouse.store.log_reads import LogFilter, any_log, count_logs, find_logs, lost_logs, traces_named

from .cursors import Cursor, digest, read_cursor, write_cursor
from .filters import check_text
from .logs_rows import log_row, severity_at_least
from .model import LogCount, LogFacet, LogQuery, LogRow, LostError, Page
from .windows import Range, slices, time_range

LIMIT_MAX = 1_000
_WORDS_MAX = 500
_DEFAULT_NS = 86_400_000_000_000
"""A day: logs are many, and those of last week are seldom asked for."""


def search_logs(store: TraceStore, project: str, query: LogQuery) -> Page[LogRow]:
    """Log records that fit a query, newest first. The total of all pages is not counted: it is what has been seen.

    Records that only carry an agent's messages, and heartbeats, are left out: the trace says what they say.
    """
    chosen = _chosen(query)
    if not 1 <= query.limit <= LIMIT_MAX:
        raise BadRequest(f"a page has 1 to {LIMIT_MAX} rows", got=query.limit)
    marked = digest("logs", query.text, query.service, query.host, query.level, query.trace_id)
    before = read_cursor(query.cursor, marked) if query.cursor else None
    covered = _covered(query, before)
    after = (before.key, before.id) if before is not None else None

    def read(since_ns: int, until_ns: int, limit: int) -> list[dict[str, Any]]:
        return find_logs(store, project, since_ns, until_ns, chosen, limit=limit, after=after)

    found, all_of_them = _newest(read, covered, query.limit + 1, after)
    return _page(found, query.limit, covered, before, marked, log_row, all_of_them)


_FACETS: tuple[Literal["severity", "service", "host"], ...] = ("severity", "service", "host")


def log_facets(store: TraceStore, project: str, query: LogQuery) -> tuple[LogFacet, ...]:
    """How many records fit a query, by level, by service and by host: the commonest fifty of each."""
    chosen = _chosen(query)
    covered = _covered(query, None)
    return tuple(
        LogFacet(
            field=name,
            values=tuple(
                LogCount(value=value, count=count, errors=errors)
                for value, count, errors in count_logs(store, project, covered.since_ns, covered.until_ns, chosen, name)
            ),
        )
        for name in _FACETS
    )


def logs_exist(store: TraceStore, project: str) -> bool:
    """True where any log record was ever stored."""
    return any_log(store, project)


def lost_errors(
    store: TraceStore,
    project: str,
    *,
    since_ns: int | None = None,
    until_ns: int | None = None,
    limit: int = 50,
    cursor: str = "",
) -> Page[LostError]:
    """Errors in logs whose trace has no failed span, or no span at all; newest first."""
    if not 1 <= limit <= LIMIT_MAX:
        raise BadRequest(f"a page has 1 to {LIMIT_MAX} rows", got=limit)
    marked = digest("lost")
    before = read_cursor(cursor, marked) if cursor else None
    covered = _covered(LogQuery(since_ns=since_ns, until_ns=until_ns), before)
    after = (before.key, before.id) if before is not None else None

    def read(since_ns: int, until_ns: int, most: int) -> list[dict[str, Any]]:
        return lost_logs(store, project, since_ns, until_ns, limit=most, after=after)

    found, all_of_them = _newest(read, covered, limit + 1, after)
    known = traces_named(store, project, [row["trace_id"] for row in found])

    def made(row: dict[str, Any]) -> LostError:
        trace = known.get(row["trace_id"])
        return LostError(
            kind="no_span" if trace is None else "no_failed_span",
            agent=trace["agent"] if trace else "",
            trace_status=trace["status"] if trace else "",
            row=log_row(row),
        )

    return _page(found, limit, covered, before, marked, made, all_of_them)


def _chosen(query: LogQuery) -> LogFilter:
    for text, what in ((query.text, "the text"), (query.service, "a service"), (query.host, "a host")):
        check_text(text, what, _WORDS_MAX)
    words = query.text.strip().strip('"').strip()
    if query.text.strip() and not any(character.isalnum() for character in words):
        raise BadRequest("there is no word to search for", got=query.text, fix="pilothouse logs search refused")
    trace_id = query.trace_id.strip().lower()
    if trace_id and (len(trace_id) != 32 or trace_id.strip("0123456789abcdef")):
        raise BadRequest("a trace id has 32 hex digits", got=query.trace_id[:80], fix="pilothouse logs ID")
    return LogFilter(
        severity_min=severity_at_least(query.level),
        service=query.service,
        host=query.host,
        trace_id=trace_id,
        text=words,
    )


def _covered(query: LogQuery, before: Cursor | None) -> Range:
    if before is not None:
        return Range(since_ns=before.since_ns, until_ns=before.until_ns, assumed=before.assumed)
    if query.since_ns is not None:
        return time_range(query.since_ns, query.until_ns)
    until_ns = time_range(None, query.until_ns).until_ns
    return Range(since_ns=max(0, until_ns - _DEFAULT_NS), until_ns=until_ns, assumed=True)


def _newest(
    read: Callable[[int, int, int], list[dict[str, Any]]], covered: Range, limit: int, after: tuple[int, str] | None
) -> tuple[list[dict[str, Any]], bool]:
    """The newest records, and whether these are all."""
    upper = covered.until_ns if after is None else min(covered.until_ns, after[0] + 1)
    found: list[dict[str, Any]] = []
    for since_ns, until_ns in slices(covered.since_ns, upper):
        # Twice as many, since versions of a row that are not merged yet come twice.
        rows = read(since_ns, until_ns, limit * 2)
        found = _unique([*found, *rows])
        if len(found) >= limit or len(rows) >= limit * 2:
            return found[:limit], False
    return found, True


def _unique(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return list({(row["time_ns"], row["hash"]): row for row in rows}.values())


def _page(
    found: list[dict[str, Any]],
    limit: int,
    covered: Range,
    before: Cursor | None,
    marked: str,
    made: Any,
    all_of_them: bool,
) -> Page[Any]:
    shown, more = found[:limit], len(found) > limit or not all_of_them
    total = (before.total if before is not None else 0) + len(shown)
    following = ""
    if more and shown:
        last = Cursor(
            key=shown[-1]["time_ns"],
            id=shown[-1]["hash"],
            since_ns=covered.since_ns,
            until_ns=covered.until_ns,
            total=total,
            assumed=covered.assumed,
            exact=False,
        )
        following = write_cursor(last, marked)
    return Page(
        items=tuple(made(row) for row in shown),
        next=following,
        more=bool(following),
        total=total + (1 if following else 0),
        total_is="estimate" if following else "exact",
        window=covered.as_window(),
    )
