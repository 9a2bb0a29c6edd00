"""From a request to an answer: check the key, read the body within its bounds, check the items, journal, answer.

Knows no web framework: ``http`` and ``grpc`` are thin around :meth:`Intake.receive` and :meth:`Intake.take`.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import AsyncIterable, Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace

from pilothouse.records import (
    BadRequest,
    Broken,
    Clock,
    NotFound,
    PilothouseError,
    Refused,
    SystemClock,
    TooLarge,
)

from . import credentials
from .answer import Answer, failure, success
from .backpressure import Hold, Load, Pressure
from .body import Format, encoding_name, media_type
from .check import SIGNALS, Checked, Signal
from .counters import Counters
from .decode import validate
from .journal import Journal
from .journal_reader import backlog_bytes
from .segment import Record
from .settings import Settings

_DEFAULTS = Settings()
_INLINE_GROWTH = 16
"""A small body may become this many times larger on the event loop; beyond, it goes to a thread."""

_log = logging.getLogger(__name__)

Authorise = Callable[[str | None], str | Awaitable[str]]
"""From the key, or None where there is none, to the project's id. Raises NotAllowed. It MUST be quick or awaitable."""

Body = bytes | AsyncIterable[bytes]


class TooSlow(BadRequest):
    """The body did not arrive in time."""

    kind = "too_slow"
    http_status = 408


class Disconnected(PilothouseError):
    """The sender left before its body was whole: nothing was stored."""

    kind = "disconnected"
    http_status = 499


class Intake:
    """Takes OTLP requests into a journal. Use between :meth:`start` and :meth:`stop`, on one event loop."""

    def __init__(
        self,
        journal: Journal,
        authorise: Authorise,
        settings: Settings = _DEFAULTS,
        counters: Counters | None = None,
        *,
        backlog: Callable[[], int] | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.settings = settings
        grown_bytes_max = min(settings.decoded_bytes_max, settings.inline_bytes_max * _INLINE_GROWTH)
        self._inline = replace(settings, decoded_bytes_max=grown_bytes_max)
        self.counters = counters or Counters(clock)
        self._journal = journal
        self._authorise = authorise
        self._clock = clock or SystemClock()
        self._pressure = Pressure(
            journal.directory, backlog or (lambda: backlog_bytes(journal.directory.parent)), settings
        )
        self._threads: ThreadPoolExecutor | None = None
        self._probe: asyncio.Task[None] | None = None

    @property
    def load(self) -> Load:
        """What the intake holds now."""
        return self._pressure.load

    async def start(self) -> None:
        """Measure backlog and disk, and from then on accept."""
        await asyncio.to_thread(self._pressure.measure)
        self._threads = ThreadPoolExecutor(self.settings.check_threads, thread_name_prefix="intake-check")
        self._probe = asyncio.create_task(self._keep_measuring())

    async def stop(self) -> None:
        """Accept nothing more, make durable what is being journaled, and close the journal."""
        if self._probe is not None:
            self._probe.cancel()
            with suppress(asyncio.CancelledError):
                await self._probe
        threads, self._threads = self._threads, None
        if threads is not None:
            await asyncio.to_thread(threads.shutdown)
        await asyncio.to_thread(self._journal.close)

    async def receive(self, signal: str, headers: Mapping[str, str], body: Body, remote: str = "") -> Answer:
        """Answer one OTLP/HTTP request. Header names are lower-case. Never raises."""
        reply_format: Format = "protobuf" if "protobuf" in headers.get("content-type", "").lower() else "json"
        try:
            checked = await self.take(signal, headers, body, remote)
        except PilothouseError as error:
            return failure(reply_format, error)
        return success(_known(signal), reply_format, checked)

    async def take(self, signal: str, headers: Mapping[str, str], body: Body, remote: str = "") -> Checked:
        """Store one request durably; what was refused of it is in the result.

        Raises PilothouseError where nothing was stored. Either way it is counted.
        """
        project_id = ""
        try:
            known = _known(signal)
            if self._threads is None:
                raise Refused("the receiver is not running", retry_after_s=self.settings.retry_after_s)
            project_id = await self._project(headers)
            with self._pressure.hold() as hold:
                checked, size = await self._store(known, project_id, headers, body, hold)
        except PilothouseError as error:
            self.counters.refuse(error, signal=signal[:20], project_id=project_id, remote=remote)
            raise
        except Exception as cause:
            _log.exception("a request could not be taken")
            error = Broken("the receiver failed; nothing was stored", fix="see the server's log")
            self.counters.refuse(error, signal=signal[:20], project_id=project_id, remote=remote)
            raise error from cause
        self.counters.accept(signal=known, project_id=project_id, checked=checked, size=size)
        return checked

    async def keep(self, project_id: str, body: bytes, items: int) -> None:
        """Make durable what the server itself has to tell of a project: so many spans as an OTLP request in protobuf.

        They are not checked: whoever wrote them is us, and the worker checks them again.
        Raises PilothouseError where it can not be taken now.
        """
        if self._threads is None:
            raise Refused("the receiver is not running", retry_after_s=self.settings.retry_after_s)
        content_type = "application/x-protobuf"
        with self._pressure.hold() as hold:
            self._pressure.check(len(body))
            hold.grow(len(body))
            await self._journal.append(
                Record(
                    project_id=project_id,
                    signal="traces",
                    content_type=content_type,
                    encoding="",
                    received_ns=self._clock.now_ns(),
                    body=body,
                )
            )
        checked = Checked(items=items, refused_count=0, refused=[])
        self.counters.accept(signal="traces", project_id=project_id, checked=checked, size=len(body))

    async def _project(self, headers: Mapping[str, str]) -> str:
        found = self._authorise(credentials.token(headers))
        return await found if inspect.isawaitable(found) else found

    async def _store(
        self, signal: Signal, project_id: str, headers: Mapping[str, str], body: Body, hold: Hold
    ) -> tuple[Checked, int]:
        """The outcome, and the size of the body as received."""
        content_type = headers.get("content-type", "")
        encoding = headers.get("content-encoding", "")
        media_type(content_type)
        encoding_name(encoding)
        self._pressure.check(self._declared(headers))
        whole = await self._read(body, hold)
        checked = await self._check(signal, content_type, encoding, whole)
        if checked.accepted:
            await self._journal.append(
                Record(
                    project_id=project_id,
                    signal=signal,
                    content_type=content_type,
                    encoding=encoding,
                    received_ns=self._clock.now_ns(),
                    body=whole,
                )
            )
        return checked, len(whole)

    def _declared(self, headers: Mapping[str, str]) -> int:
        text = headers.get("content-length", "")
        declared = int(text) if text.isascii() and text.isdigit() and len(text) < 20 else 0
        if declared > self.settings.body_bytes_max:
            raise self._too_large()
        return declared

    async def _read(self, body: Body, hold: Hold) -> bytes:
        if isinstance(body, bytes):
            if len(body) > self.settings.body_bytes_max:
                raise self._too_large()
            hold.grow(len(body))
            return body
        pieces: list[bytes] = []
        try:
            async with asyncio.timeout(self.settings.body_seconds_max):
                async for piece in body:
                    if hold.bytes + len(piece) > self.settings.body_bytes_max:
                        raise self._too_large()
                    hold.grow(len(piece))
                    pieces.append(piece)
        except TimeoutError:
            raise TooSlow(
                f"the body did not arrive within {self.settings.body_seconds_max:g} seconds: {hold.bytes} bytes came",
                fix="send smaller batches, or compress them",
            ) from None
        return b"".join(pieces) if len(pieces) != 1 else pieces[0]

    async def _check(self, signal: Signal, content_type: str, encoding: str, body: bytes) -> Checked:
        settings = self.settings
        if len(body) <= settings.inline_bytes_max:
            # The bound keeps a small bomb from holding up the loop: what grows past it starts again in a thread.
            try:
                return validate(signal, content_type, encoding, body, settings=self._inline)
            except TooLarge:
                pass
        threads = self._threads
        if threads is None:
            raise Refused("the receiver is stopping", retry_after_s=settings.retry_after_s)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(
            threads, lambda: validate(signal, content_type, encoding, body, settings=settings)
        )

    def _too_large(self) -> TooLarge:
        return TooLarge(
            f"the body is larger than {self.settings.body_bytes_max} bytes",
            allowed=self.settings.body_bytes_max,
            fix="send fewer items per request (the exporter's batch size), or compress them",
        )

    async def _keep_measuring(self) -> None:
        while True:
            await asyncio.sleep(self.settings.probe_seconds)
            try:
                await asyncio.to_thread(self._pressure.measure)
            except (OSError, PilothouseError):
                # The last measurement stands; the journal itself reports a disk that fails.
                _log.warning("backlog and free disk could not be measured", exc_info=True)


def _known(signal: str) -> Signal:
    for known in SIGNALS:
        if signal == known:
            return known
    raise NotFound(
        f"the signal {signal[:40]!r} is not taken",
        got=signal[:40],
        allowed=list(SIGNALS),
        fix="post to /v1/traces, /v1/logs or /v1/metrics",
    )
