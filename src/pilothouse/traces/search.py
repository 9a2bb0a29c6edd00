"""Lists of traces."""

from __future__ import annotations

from typing import NamedTuple

from pilothouse.records import BadRequest
from pilothouse.store import TraceStore
from pilothouse.store.conditions import LATEST_NS, Condition, is_dear
from pilothouse.store.trace_reads import Found, any_trace, extent, find_traces, trace_rows

from .cursors import Cursor, digest, read_cursor, write_cursor
from .filters import conditions_of
from .model import SORTS, Page, TraceQuery, TraceRow
from .rows import trace_row
from .windows import Range, slices, time_range

LIMIT_MAX = 1_000


def search(store: TraceStore, project: str, query: TraceQuery) -> Page[TraceRow]:
    """The traces that fit a query, one page, in a stable order (ties by id).

    Where nothing fits, ``emptied_by`` names the filters without which something would.
    """
    conditions = conditions_of(store, project, query.text)
    check_page(query)
    marked = digest("traces", query.text, query.sort)
    cursor = read_cursor(query.cursor, marked) if query.cursor else None
    if cursor is None:
        covered = time_range(query.since_ns, query.until_ns)
        after = None
    else:
        covered = Range(since_ns=cursor.since_ns, until_ns=cursor.until_ns, assumed=cursor.assumed)
        after = (cursor.key, cursor.id)
    found = _find(store, project, query, covered, conditions, after)
    shown = found.traces[: query.limit]
    rows = trace_rows(store, project, shown)
    total = cursor.total if cursor is not None else found.total
    exact = cursor.exact if cursor is not None else found.exact
    more = len(found.traces) > query.limit
    following = ""
    if more:
        last = shown[-1]
        following = write_cursor(
            Cursor(
                key=last.key,
                id=last.trace_id,
                since_ns=covered.since_ns,
                until_ns=covered.until_ns,
                total=total,
                assumed=covered.assumed,
                exact=exact,
            ),
            marked,
        )
    return Page(
        items=tuple(trace_row(rows[item.trace_id]) for item in shown if item.trace_id in rows),
        next=following,
        more=more,
        total=total,
        total_is="exact" if exact else "estimate",
        window=covered.as_window(),
        emptied_by=() if shown or cursor is not None else emptied_by(store, project, covered, conditions),
    )


class _Found(NamedTuple):
    traces: tuple[Found, ...]
    total: int
    exact: bool


def _find(
    store: TraceStore,
    project: str,
    query: TraceQuery,
    covered: Range,
    conditions: tuple[Condition, ...],
    after: tuple[int, str] | None,
) -> _Found:
    since_ns, until_ns, limit = covered.since_ns, covered.until_ns, query.limit + 1
    if query.sort != "newest" or not any(is_dear(condition) for condition in conditions):
        page = find_traces(store, project, since_ns, until_ns, conditions, order=query.sort, limit=limit, after=after)
        return _Found(page.traces, page.total, True)
    if after is not None:
        until_ns = min(until_ns, after[0] + 1)
    traces: list[Found] = []
    total, seen = 0, 0
    for lower, upper in slices(since_ns, until_ns):
        here = extent(store, project, lower, upper)
        page = find_traces(
            store,
            project,
            lower,
            upper,
            conditions,
            order="newest",
            limit=limit - len(traces),
            after=after,
            spans_until_ns=upper + here.longest_ns + 1,
        )
        traces += page.traces
        total += page.total
        seen += here.traces
        if len(traces) >= limit and lower > since_ns:
            everything = extent(store, project, since_ns, until_ns).traces
            return _Found(tuple(traces), round(total * everything / max(seen, 1)), False)
    return _Found(tuple(traces), total, True)


def check_page(query: TraceQuery) -> None:
    """Refuse an order or a page size there is not."""
    if query.sort not in SORTS:
        raise BadRequest("no such order", got=query.sort, allowed=list(SORTS), fix="pilothouse ls --sort newest")
    if not 1 <= query.limit <= LIMIT_MAX:
        raise BadRequest(f"a page has 1 to {LIMIT_MAX} rows", got=query.limit, fix="pilothouse ls --limit 50")


def emptied_by(store: TraceStore, project: str, covered: Range, conditions: tuple[Condition, ...]) -> tuple[str, ...]:
    """Which single filters keep an answer empty; the time range where nothing lies in it at all."""
    since_ns, until_ns = covered.since_ns, covered.until_ns
    if not any_trace(store, project, since_ns, until_ns, ()):
        if any_trace(store, project, 0, LATEST_NS, ()):
            window = covered.as_window()
            return (f"since {window.since} until {window.until}",)
        return ()
    culprits = [
        condition.term
        for place, condition in enumerate(conditions)
        if any_trace(store, project, since_ns, until_ns, conditions[:place] + conditions[place + 1 :])
    ]
    return tuple(culprits) or tuple(condition.term for condition in conditions)
