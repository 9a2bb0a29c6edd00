"""One poller a project, however many listen; none while nobody does. What it finds goes to every listener."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Protocol

from starlette.concurrency import run_in_threadpool

from pilothouse import traces
from pilothouse.records import Overloaded, PilothouseError
from pilothouse.store import TraceStore
from pilothouse.traces import Rulebook
from pilothouse.traces.live_changes import SPANS_MAX, arrivals, matching, present
from pilothouse.traces.live_cursors import read_place
from pilothouse.traces.model import Changes, Live, LiveRow, SpanChange

LOG = logging.getLogger("pilothouse.live")

LISTENERS_MAX = 100
"""Of one server. A browser's page is one, while it is looked at."""
WAITING_MAX = 2_000
"""Events that wait for a listener; whoever lets more pile up is told where to go on and let go."""
POLL_S = 0.6
PICTURE_S = 2.5
"""How often the whole picture is taken though nothing arrived: silence changes states, too."""
CATCH_UP_PAGES = 10

Name = Literal["trace", "span", "signal", "counts", "lag"]


class Source(Protocol):
    """What a feed reads, looked up at every turn."""

    @property
    def store(self) -> TraceStore:
        """The trace store."""
        ...

    @property
    def rules(self) -> Rulebook:
        """When a silence is too long."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One message to listeners."""

    name: Name
    cursor: str
    """Where to go on after it."""
    data: Mapping[str, Any]
    trace_id: str = ""


@dataclass(slots=True)
class Listener:
    """Somebody who listens. ``None`` in the queue ends it."""

    text: str
    trace_id: str
    queue: asyncio.Queue[Event | None] = field(default_factory=lambda: asyncio.Queue(WAITING_MAX))

    def wants(self, event: Event, fitting: set[str] | None) -> bool:
        """Whether an event is for it: by its trace, and by its filter."""
        if not event.trace_id:
            return not self.trace_id
        if self.trace_id:
            return event.trace_id == self.trace_id
        return fitting is None or event.trace_id in fitting


class Feeds:
    """The feeds of a server, by project. Used from the event loop alone."""

    def __init__(self, source: Callable[[], Source]) -> None:
        self._source = source
        self._feeds: dict[str, _Feed] = {}
        self._closed = False

    @property
    def listeners(self) -> int:
        """How many listen now."""
        return sum(len(feed.listeners) for feed in self._feeds.values())

    @contextlib.asynccontextmanager
    async def listening(self, project: str, *, text: str = "", trace_id: str = "") -> AsyncGenerator[Subscription]:
        """Listen until the block ends.

        Raises:
            Overloaded: as many listen as may.
        """
        if self._closed or self.listeners >= LISTENERS_MAX:
            raise Overloaded(
                f"{LISTENERS_MAX} listeners are connected already", got=self.listeners, retry_after_s=10,
                fix="GET /api/v1/live/changes answers once and takes a cursor"
            )  # fmt: skip
        feed = self._feeds.get(project)
        if feed is None:
            feed = self._feeds[project] = _Feed(self._source, project)
        listener = Listener(text, trace_id)
        feed.listeners.append(listener)
        try:
            yield Subscription(feed, listener, await feed.joined())
        finally:
            with contextlib.suppress(ValueError):  # let go of already
                feed.listeners.remove(listener)
            if not feed.listeners and self._feeds.get(project) is feed:
                del self._feeds[project]
                feed.stop()

    def close(self) -> None:
        """End every stream: the server stops."""
        self._closed = True
        for feed in self._feeds.values():
            feed.stop()
            for listener in feed.listeners:
                _end(listener)


class Subscription:
    """What one listener hears."""

    def __init__(self, feed: _Feed, listener: Listener, joined: str) -> None:
        self._feed = feed
        self._listener = listener
        self.joined = joined
        """From this cursor on, everything comes by itself."""

    async def missed(self, cursor: str) -> AsyncIterator[Event]:
        """What arrived between a cursor and the moment of joining."""
        until = read_place(self.joined)
        for _ in range(CATCH_UP_PAGES):
            found = await run_in_threadpool(self._feed.changes, cursor, self._listener.text, self._listener.trace_id)
            if found.skipped:
                yield _lag(self.joined, cursor, found.skipped)
                return
            for change in found.spans:
                if read_place(change.cursor) <= until:
                    yield _span(change)
            for row in found.traces:
                yield _trace(row, min(found.cursor, self.joined, key=read_place))
            cursor = found.cursor
            if not found.more or read_place(cursor) >= until:
                return
        yield _lag(self.joined, cursor, 0)

    def picture(self) -> Event:
        """The counts as they are now."""
        return self._feed.counted()

    async def next(self, wait_s: float) -> Event | None:
        """The next event; None where none came in time. Raises StopAsyncIteration where the stream is over."""
        try:
            event = await asyncio.wait_for(self._listener.queue.get(), wait_s)
        except TimeoutError:
            return None
        if event is None:
            raise StopAsyncIteration
        return event


class _Feed:
    """The poller of one project."""

    def __init__(self, source: Callable[[], Source], project: str) -> None:
        self._source = source
        self._project = project
        self.listeners: list[Listener] = []
        self._cursor = ""
        self._behind = ""
        self._told: set[str] = set()
        self._rows: dict[str, LiveRow] = {}
        self._live: Live | None = None
        self._pictured = 0.0
        self._ready = asyncio.Event()
        self._failed: PilothouseError | None = None
        self._task = asyncio.create_task(self._run())

    async def joined(self) -> str:
        """Wait for the first picture; gives the cursor from which on everything is told."""
        await self._ready.wait()
        if self._failed is not None:
            raise self._failed
        return self._cursor

    def stop(self) -> None:
        """Stop polling."""
        self._task.cancel()

    def changes(self, cursor: str, text: str, trace_id: str) -> Changes:
        """What arrived after a cursor, a page of it. For worker threads."""
        return traces.changes(
            self._source().store, self._project, cursor=cursor, text=text, trace_id=trace_id, limit=SPANS_MAX
        )

    def counted(self) -> Event:
        """The counts of the last picture."""
        live = self._live
        data = {"counts": dict(live.counts), "attention": live.attention, "total": live.total} if live else {}
        return Event(name="counts", cursor=self._cursor, data=data)

    async def _run(self) -> None:
        try:
            self._cursor = self._behind = await run_in_threadpool(lambda: present(self._source().store, self._project))
            await self._picture()
        except PilothouseError as error:
            self._failed = error
            return
        finally:
            self._ready.set()
        while True:
            await asyncio.sleep(POLL_S)
            try:
                await self._turn()
            except PilothouseError as error:
                # The store is away: listeners hear nothing meanwhile, and miss nothing once it is back.
                LOG.warning("live: %s", error.message)
                await asyncio.sleep(5 * POLL_S)

    async def _turn(self) -> None:
        # Every batch is looked at twice: the rows of one that touches old traces come into sight one part at a time.
        found = await run_in_threadpool(lambda: arrivals(self._source().store, self._project, self._behind))
        events = [_span(change) for change in found.spans if change.cursor not in self._told]
        self._told = {change.cursor for change in found.spans}
        arrived = found.cursor != self._cursor
        self._behind = found.cursor if found.more else self._cursor
        self._cursor = max(self._cursor, found.cursor, key=read_place)
        if found.skipped:
            events = [_lag(found.cursor, "", found.skipped)]
        await self._tell(events)
        if arrived or time.monotonic() - self._pictured >= PICTURE_S:
            await self._tell(await self._picture())

    async def _picture(self) -> list[Event]:
        """Take the whole picture and say what is different in it."""
        live = await run_in_threadpool(
            lambda: traces.live(self._source().store, self._project, rules=self._source().rules)
        )
        before, first = self._rows, self._live is None
        events: list[Event] = []
        for row in live.rows:
            old = before.get(row.trace_id)
            if old is None or _seen(old) != _seen(row):
                events.append(_trace(row, self._cursor))
            fresh = [name for name in row.signals if old is None or name not in old.signals]
            events += [_signal(row, name, self._cursor) for name in fresh]
        rows = {row.trace_id: row for row in live.rows}
        for trace_id, old in before.items():
            if trace_id not in rows:
                gone = {"trace_id": trace_id, "agent": old.agent, "state": "gone"}
                events.append(Event(name="trace", cursor=self._cursor, data=gone, trace_id=trace_id))
        counts_before = None if self._live is None else (self._live.counts, self._live.attention)
        self._live, self._rows, self._pictured = live, rows, time.monotonic()
        if counts_before != (live.counts, live.attention):
            events.append(self.counted())
        return [] if first else events

    async def _tell(self, events: list[Event]) -> None:
        if not events:
            return
        # Who comes while the filters are asked for has joined behind these events.
        audience = list(self.listeners)
        about = sorted({event.trace_id for event in events if event.trace_id})
        fitting: dict[str, set[str] | None] = {"": None}
        for text in {listener.text for listener in audience} - {""}:
            fitting[text] = await run_in_threadpool(matching, self._source().store, self._project, about, text)
        for listener in audience:
            if listener in self.listeners:
                self._give(listener, [event for event in events if listener.wants(event, fitting[listener.text])])

    def _give(self, listener: Listener, events: Iterable[Event]) -> None:
        for event in events:
            try:
                listener.queue.put_nowait(event)
            except asyncio.QueueFull:
                self.listeners.remove(listener)
                waiting = _drained(listener)
                listener.queue.put_nowait(_lag(waiting[0].cursor if waiting else event.cursor, "", len(waiting) + 1))
                listener.queue.put_nowait(None)
                return


def _drained(listener: Listener) -> list[Event]:
    waiting: list[Event] = []
    while not listener.queue.empty():
        event = listener.queue.get_nowait()
        if event is not None:
            waiting.append(event)
    return waiting


def _end(listener: Listener) -> None:
    _drained(listener)
    listener.queue.put_nowait(None)


def _span(change: SpanChange) -> Event:
    return Event(name="span", cursor=change.cursor, data=asdict(change), trace_id=change.trace_id)


def _trace(row: LiveRow, cursor: str) -> Event:
    return Event(name="trace", cursor=cursor, data=asdict(row), trace_id=row.trace_id)


def _signal(row: LiveRow, name: str, cursor: str) -> Event:
    data = {"trace_id": row.trace_id, "agent": row.agent, "environment": row.environment, "signal": name}
    return Event(name="signal", cursor=cursor, data=data, trace_id=row.trace_id)


def _lag(cursor: str, since: str, skipped: int) -> Event:
    data = {"cursor": cursor, "since": since, "skipped": skipped, "get": "pilothouse ls"}
    return Event(name="lag", cursor=cursor, data=data)


def _seen(row: LiveRow) -> tuple[Any, ...]:
    """What of a row is worth telling again: not what a clock can tell."""
    doing = (row.doing.span_id, row.doing.kind, row.doing.name, row.doing.step) if row.doing else ()
    alive = row.heartbeat == "alive"
    return (
        *(row.state, row.since, row.status, row.attention, row.heartbeat, "" if alive else row.sign_of_life),
        *(doing, row.last.span_id if row.last else "", row.spans, row.errors, row.total_tokens, row.cost_usd),
        *(row.signals, row.last_error, row.agent, row.root_name),
    )
