"""The recorder's way out of the process: what ends is queued, and a thread of its own does everything else.

    on_end ─▶ Queue ─▶ shipping thread: mask, encode, early copies, heartbeats ─▶ Delivery ─▶ server
                                                                                     └─▶ disk ─▶ server

The program pays for an append. Nothing here raises into it, waits for the network or the disk, or grows without bound.
"""

from __future__ import annotations

import importlib
import logging
import threading
import time
import uuid
from typing import cast

from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.trace import SpanContext

from pilothouse.records import names

from . import exit
from .delivery import Delivery
from .encode import Signal
from .log_entry import LogEntry
from .masking import mask_of
from .open_spans import OpenSpans
from .packing import Packer
from .queue import Item, Queue, log_bytes, span_bytes
from .settings import Settings
from .stats import Counters, Stats

LOG = logging.getLogger("pilothouse")

_INFO = 9
"""OTLP's severity number of INFO."""
_POLL_S = 0.003
"""Waits of flush and close look at plain values in turn: a lock could be held by the frame a signal interrupted."""
_PASS_BYTES = 8 * 1024 * 1024
"""Of the queue, so much is encoded at a time: what is in memory twice meanwhile, as spans and as their encoding."""
_SAVE_AFTER_S = 0.5
"""At the end, what the server has not taken by then is put on disk while it goes on trying."""
_FAILING_GRACE_S = 0.3
"""At the end, a server that was failing gets so long for one more try."""


class Pipeline:
    """Ships what one process records. After ``os.fork`` the child's copy starts anew, empty, as an instance of its own."""

    def __init__(self, settings: Settings, resource: Resource) -> None:
        self.settings = settings
        self.resource = resource
        self._mask = mask_of(settings.mask)
        self._closed = False
        self._begin(str(resource.attributes.get(names.INSTANCE) or uuid.uuid4()))
        self.processor: SpanProcessor = _Processor(self)
        exit.watch(self)
        if self._delivery.spill.any_waiting():
            # An earlier process left records: delivered by this one even if it never records anything.
            self._start()

    def __repr__(self) -> str:
        return f"Pipeline({self.settings!r}, {self.resource!r})"

    def _begin(self, instance: str) -> None:
        """Everything that belongs to one process and not to its forks."""
        self.instance = instance
        self._wake = threading.Event()
        self.counters = Counters()
        self.queue = Queue(self.counters, self.settings.queue_bytes_max, self._wake.set)
        self.open = OpenSpans(self._mask)
        self._delivery = Delivery(self.settings, self.queue, self.counters, instance)
        self._packer = Packer(self.resource, instance, self._mask, self.counters)
        self._starting = threading.RLock()
        self._threads: tuple[threading.Thread, ...] = ()
        self.started = False
        self._shipped = 0
        """Of all that was taken, how much has been handed to the delivery."""
        self._beat_at = 0.0
        self._beat_now = False
        self._close_by = 0.0
        self._finished = False

    # For the program: nothing below this line waits unless it says so.

    def emit_log(self, entry: LogEntry) -> None:
        """Queue a log record."""
        try:
            self.queue.put(entry, log_bytes(entry))
            if not self.started:
                self._start()
        except Exception:
            self.counters.drop("not_encodable", 1)

    def heartbeat(self) -> None:
        """Tell the server now which spans are open."""
        self._beat_now = True
        self._wake.set()

    def flush(self, timeout_s: float = 10.0) -> bool:
        """Wait until the server has all that was recorded before; False where it is only on disk, or time is over."""
        target = self.counters.taken
        if not self.started:
            self._start()
        delivery = self._delivery
        tries = delivery.attempts
        deadline = time.monotonic() + timeout_s
        delivery.hurry()
        self._wake.set()
        while not (self._shipped >= target and delivery.settled()):
            failed = delivery.failing and delivery.attempts > tries and self._shipped >= target and delivery.safe()
            if failed or self._finished or time.monotonic() >= deadline:
                return self._shipped >= target and delivery.settled()
            time.sleep(_POLL_S)
        return True

    def close(self, timeout_s: float | None = None) -> None:
        """Deliver what is recorded or put it on disk, say goodbye, and stop; waits at most so long."""
        if not self._closed:
            limit = self.settings.exit_timeout_s if timeout_s is None else timeout_s
            self._close_by = time.monotonic() + limit
            self._closed = True
            self._wake.set()
            if not self.started and len(self.queue) == 0:
                self.queue.closed = self._finished = True
            elif not any(thread.is_alive() for thread in self._threads):
                # No thread could be started any more, as at the end of the interpreter: all goes to disk.
                self._finish()
        # Also where a signal came while it was being closed: whoever calls may end the process next.
        while not self._finished and time.monotonic() < self._close_by:
            time.sleep(_POLL_S)
        exit.forget(self)

    def stats(self) -> Stats:
        """What became of everything so far."""
        counters, spill = self.counters, self._delivery.spill
        return Stats(
            queued=max(counters.taken - counters.settled, 0),
            sent=counters.sent,
            spilled=counters.spilled,
            delivered_from_spill=counters.delivered_from_spill,
            dropped=sum(counters.dropped.values()),
            dropped_by_reason=dict(counters.dropped),
            spill_files=len(spill.files()),
            spill_bytes=spill.total_bytes(),
            state=self._delivery.trouble or "ok",
        )

    def forked(self) -> None:
        """Called in a forked child: the parent's records, thread and connection stay the parent's."""
        self._delivery.release()
        foreign = self.open
        foreign.forked()
        self._begin(str(uuid.uuid4()))
        self.open = foreign
        if self._closed:
            self.queue.closed = self._finished = True

    # The shipping thread.

    def _start(self) -> None:
        with self._starting:
            if self.started or self._closed:
                return
            self.started = True
            # The first connection needs it. A thread that is importing while another one forks leaves
            # the child a module that is half there, for good.
            importlib.import_module("encodings.idna")
            exit.watch_child(self)
            threads = (
                threading.Thread(target=self._run, name="pilothouse-recorder", daemon=True),
                threading.Thread(target=self._delivery.run, name="pilothouse-delivery", daemon=True),
            )
            try:
                for thread in threads:
                    thread.start()
                self._threads = threads
            except RuntimeError:
                # The interpreter is ending; close() writes to disk what comes now.
                LOG.debug("no thread can be started any more")

    def _run(self) -> None:
        own = self._delivery
        while own is self._delivery:
            self._wake.wait(self.settings.flush_interval_s)
            self._wake.clear()
            if self._closed:
                self._finish()
                return
            try:
                self._tick()
            except Exception:
                # A defect of ours must not end the recording.
                LOG.exception("the recorder failed to ship, and goes on")

    def _tick(self, *, last: bool = False) -> None:
        """Ship what waits, show what is open, and save what the server keeps waiting."""
        now = time.monotonic()
        # Before the queue is emptied: what ends after this is in the queue then, or comes with the next tick.
        copies = self.open.early_copies(now, everything=last)
        taken, left = self.counters.taken, len(self.queue)
        while left > 0 or copies:
            items, size = self.queue.drain(_PASS_BYTES)
            try:
                self._ship(items, copies)
            finally:
                self.queue.release(size)
            left -= max(len(items), 1)
            copies = []
        self._shipped = taken
        delivery = self._delivery
        if last:
            self._say(names.GOODBYE_EVENT, keep=True)
        elif self._beat_now or (now >= self._beat_at and self.open.any_older(now)):
            self._beat_now = False
            self._beat_at = now + self.settings.heartbeat_interval_s
            self._say(names.HEARTBEAT_EVENT, keep=False)
        delivery.guard(self.settings.flush_interval_s * 0.9)
        self.counters.tell(delivery.trouble, delivery.remedy)

    def _ship(self, items: list[Item], copies: list[ReadableSpan]) -> None:
        """Encode items, and early copies of spans that are not among them, and hand them to the delivery."""
        logs: list[tuple[Item, bool]] = [(item, True) for item in items if isinstance(item, LogEntry)]
        spans = [item for item in items if not isinstance(item, LogEntry)]
        ended = {_span_id(span) for span in spans} if copies else set[int]()
        both: list[tuple[Item, bool]] = [(copy, False) for copy in copies if _span_id(copy) not in ended]
        both += [(span, True) for span in spans]
        delivery = self._delivery
        work: tuple[tuple[Signal, list[tuple[Item, bool]]], ...] = (("traces", both), ("logs", logs))
        for signal, chosen in work:
            for batch in self._packer.pack(signal, chosen, delivery.body_bytes, compress=delivery.compresses):
                delivery.offer(batch)

    def _say(self, event: str, *, keep: bool) -> None:
        entry = LogEntry(
            time_ns=time.time_ns(),
            severity_number=_INFO,
            body=self.open.describe(self.settings.heartbeat_interval_s, self.instance),
            event_name=event,
        )
        delivery = self._delivery
        for batch in self._packer.pack("logs", [(entry, False)], delivery.body_bytes, compress=delivery.compresses):
            batch.keep = keep
            delivery.offer(batch)

    def _finish(self) -> None:
        """The last tick, then a little while for the server, then the disk."""
        delivery = self._delivery
        begun = time.monotonic()
        left = max(self._close_by - begun, 0.0)
        try:
            self.queue.closed = True
            failing, tries = delivery.failing, delivery.attempts
            self._tick(last=True)
            alive = any(thread.is_alive() for thread in self._threads)
            save_after = 0.0 if failing or not alive else min(_SAVE_AFTER_S, left / 3)
            give_up = begun + (min(_FAILING_GRACE_S, left / 2) if failing else left * 0.9)
            delivery.hurry()
            # What earlier processes left goes too while there is time: a fleet of short programs has no other.
            while alive and not (delivery.settled() and not delivery.draining()) and time.monotonic() < give_up:
                if time.monotonic() - begun >= save_after:
                    delivery.guard(0.0)
                if delivery.failing and delivery.attempts > tries and delivery.safe():
                    break
                time.sleep(_POLL_S)
            delivery.stop()
            delivery.guard(0.0)
            delivery.abandon()
            self.counters.tell(delivery.trouble, delivery.remedy, last=True)
        except Exception:
            LOG.exception("the recorder failed to finish; records may be lost")
        finally:
            self._finished = True


class _Processor(SpanProcessor):
    """What OpenTelemetry calls in the program's threads."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        pipeline = self._pipeline
        try:
            pipeline.open.add(span)
            if not pipeline.started:
                pipeline._start()  # pyright: ignore[reportPrivateUsage]  # one part in two classes
        except Exception:
            pipeline.counters.drop("not_encodable", 1)

    def on_end(self, span: ReadableSpan) -> None:
        pipeline = self._pipeline
        try:
            context = cast("SpanContext", span.context)
            span_id, opened = context.span_id, pipeline.open
            if not context.trace_flags & 1 or span_id in opened.foreign:
                return
            pipeline.queue.put(span, span_bytes(span))
            # After it is queued: a tick in between then sees it ended, and sends no early copy later.
            opened.ended(span_id)
        except Exception:
            pipeline.counters.drop("not_encodable", 1)

    def shutdown(self) -> None:
        self._pipeline.close()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._pipeline.flush(timeout_millis / 1000)


def _span_id(span: ReadableSpan) -> int:
    context = span.context
    return context.span_id if context is not None else 0
