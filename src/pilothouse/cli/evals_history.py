"""History asked of the server, page by page: which sessions fit, whose they are, and what was recorded of each."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from pilothouse.records import BadRequest, NotFound, TooLarge

from .client import Client, segment
from .evals_fetch import fetch_known

if TYPE_CHECKING:
    from pilothouse.evals.backtests.selection import Selected
    from pilothouse.evals.backtests.taking import Taking
    from pilothouse.evals.recording import Recording

TRACES_MAX: Final = 100_000
"""Traces that one question of history may go through."""
_PAGE: Final = 1_000
_THREADS: Final = 4
_AHEAD: Final = 2 * _THREADS
"""Recordings that are held at once while they wait to be written."""
_COLUMNS: Final = {
    "user": "user_id",
    "agent": "agent",
    "service": "service",
    "env": "environment",
    "feature": "feature",
}
CUSTOMER_FIELDS: Final = (*_COLUMNS, "tag:PREFIX", "attr.KEY", "resource.KEY")
_KEY = re.compile(r"(attr|resource)\.\S+|tag:\S+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What fits a question."""

    rows: list[Selected]
    traces: int
    running: int
    """Traces that are not over, and left out."""
    window: Mapping[str, Any]
    """The time range as the server read it."""


def check_customer(field: str) -> None:
    """Refuse what does not say whose a trace is."""
    if field not in _COLUMNS and not _KEY.fullmatch(field):
        raise BadRequest(
            "this does not say whose a trace is", got=field, allowed=list(CUSTOMER_FIELDS), fix="--customer user"
        )


def pages(client: Client, terms: str, since: str, until: str) -> Iterator[dict[str, Any]]:
    """The envelopes of all traces that fit, the newest first.

    Raises:
        BadRequest: there are too many to go through.
    """
    cursor, seen = "", 0
    while True:
        query = {"filter": terms, "since": since, "until": until, "limit": _PAGE, "cursor": cursor}
        answer = client.get("/traces", query)
        yield answer
        seen += len(answer["data"])
        page: Mapping[str, Any] = answer.get("page") or {}
        cursor = str(page.get("next") or "") if page.get("more") else ""
        if not cursor:
            return
        if seen >= TRACES_MAX:
            raise BadRequest(
                f"one question goes through at most {TRACES_MAX:,} traces",
                got=f"{page.get('total', seen):,} traces since {since}",
                fix="--since 24h",
            )


def select(client: Client, terms: str, since: str, until: str, *, unit: str, customer: str) -> Found:
    """The sessions that fit; with another unit, or where a trace belongs to none, the traces."""
    from pilothouse.evals.backtests.selection import Selected

    found: dict[tuple[str, str], Selected] = {}
    traces = running = 0
    window: Mapping[str, Any] = {}
    for answer in pages(client, terms, since, until):
        page: Mapping[str, Any] = answer.get("page") or {}
        window = window or {name: page[name] for name in ("since", "until") if name in page}
        for row in answer["data"]:
            traces += 1
            if row["status"] == "running":
                running += 1
                continue
            session = row["session_id"] if unit == "session" else ""
            key = ("session", session) if session else ("trace", row["trace_id"])
            if key in found:
                if row["status"] == "error":
                    found[key] = replace(found[key], status="error")
                continue
            found[key] = Selected(
                id=key[1],
                kind="session" if session else "trace",
                trace=row["trace_id"],
                start=row["start_time"],
                status=row["status"],
                customer=_customer(row, customer),
                release=row["agent_version"],
            )
    return Found(rows=list(found.values()), traces=traces, running=running, window=window)


def take(
    client: Client,
    taking: Taking,
    made: Callable[[Selected, Recording], list[dict[str, Any]]],
    *,
    customer: str = "user",
    parallel: int = _THREADS,
) -> int:
    """Fetch what was chosen and is not there yet, and keep the cases that ``made`` makes of each; how many were fetched.

    What cannot be made a case is noted with its reason. At most a few recordings are held at once.

    Raises:
        Unreachable: the server does not answer; what was kept stays, and the next call goes on.
    """
    from pilothouse.evals.backtests.taking import checked, reason

    # Before there are threads: the client looks for its server once.
    _ = client.url
    shown = _Fetching()
    with taking.open() as keeping, ThreadPoolExecutor(max(1, min(parallel, 16)), thread_name_prefix="history") as pool:
        shown.total = sum(1 for _ in taking.rows())
        rows = (one for one in taking.rows() if one.id not in keeping.taken)
        shown.done = len(keeping.taken)
        fetched = 0
        for selected, result in _ahead(pool, rows, lambda one: _recording(client, one, customer)):
            try:
                one, recording = result()
                keeping.keep(selected, checked(made(one, recording)))
            except (BadRequest, NotFound, TooLarge) as error:
                keeping.leave_out(selected, reason(error))
            fetched += 1
            shown.step()
        shown.end()
        return fetched


def _ahead(
    pool: ThreadPoolExecutor, rows: Iterator[Selected], ask: Callable[[Selected], Any]
) -> Iterator[tuple[Selected, Callable[[], Any]]]:
    """What ``ask`` says of each, as it comes, with no more under way than may be held."""
    waiting: dict[Future[Any], Selected] = {}
    try:
        while True:
            while len(waiting) < _AHEAD and (one := next(rows, None)) is not None:
                waiting[pool.submit(ask, one)] = one
            if not waiting:
                return
            done, _ = wait(waiting, return_when=FIRST_COMPLETED)
            for future in done:
                yield waiting.pop(future), future.result
    finally:
        for future in waiting:
            future.cancel()


def _recording(client: Client, selected: Selected, customer: str) -> tuple[Selected, Recording]:
    found = fetch_known(client, selected.id, session=selected.kind == "session")
    if customer.startswith(("attr.", "resource.")):
        selected = replace(selected, customer=_attribute(client, selected.trace, customer))
    return selected, found


def _customer(row: Mapping[str, Any], field: str) -> str:
    """Whose a trace is, by its row; what only its spans say is asked when it is fetched."""
    if field in _COLUMNS:
        return str(row[_COLUMNS[field]] or "")
    if field.startswith("tag:"):
        prefix = field.removeprefix("tag:")
        return next((tag.removeprefix(prefix).lstrip(":=") for tag in row["tags"] if tag.startswith(prefix)), "")
    return ""


def _attribute(client: Client, trace_id: str, field: str) -> str:
    trace: Mapping[str, Any] = client.get(f"/traces/{segment(trace_id)}")["data"]
    root = trace["row"]["root_span_id"] or (trace["spans"][0]["span_id"] if trace["spans"] else "")
    if not root:
        return ""
    detail: Mapping[str, Any] = client.get(f"/traces/{segment(trace_id)}/spans/{root}")["data"]
    where, _, key = field.partition(".")
    return str(detail["resource" if where == "resource" else "attributes"].get(key) or "")


class _Fetching:
    """One line on a terminal's standard error."""

    def __init__(self) -> None:
        self.total = self.done = 0
        self._on = sys.stderr.isatty()
        self._next = 0.0

    def step(self) -> None:
        """One more is there."""
        self.done += 1
        now = time.monotonic()
        if self._on and (now >= self._next or self.done == self.total):
            self._next = now + 0.2
            sys.stderr.write(f"\rfetched {self.done:,} of {self.total:,} sessions".ljust(60))
            sys.stderr.flush()

    def end(self) -> None:
        """Leave the line."""
        if self._on and self.done:
            sys.stderr.write("\n")


def terms_of(words: Iterable[str]) -> str:
    """The words of a filter as one text."""
    return " ".join(words)
