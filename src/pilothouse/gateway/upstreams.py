"""Asking an upstream: its addresses and keys in turn, with the money for it held back first where there are budgets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import lru_cache, partial
from types import TracebackType
from typing import Any, Final, cast
from urllib.parse import quote

from pilothouse.budgets import Budgets, Purpose
from pilothouse.records import Overloaded

from . import request_body, spending, stream_usage
from .call import Call
from .config import Target, Upstream
from .connection import Connection, Header
from .failures import AnswerBroken, AnswerSlow, Unanswered
from .headers import to_upstream, value_of
from .pool import Address, Pool, address_of
from .rules import Rules
from .spending import Hold
from .turns import Turn, Turns

_ERROR_BYTES_MAX: Final = 1024 * 1024
_REST_S: Final = 10.0
_REFUSED_REST_S: Final = 60.0


@dataclass(slots=True, kw_only=True)
class Answered:
    """An answer whose head is there."""

    connection: Connection
    address: Address
    turn: Turn
    status: int
    headers: list[Header]
    error: bytes | None = None
    """The body of an error, read whole; None where the answer is none, and its body still to come."""


class Upstreams:
    """Those who answer calls: connections to them, whose turn it is, and how many calls each has under way."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.turns = Turns()
        self._under_way: dict[str, int] = {}

    @property
    def under_way(self) -> Mapping[str, int]:
        """Calls that are being answered, by upstream."""
        return {name: count for name, count in self._under_way.items() if count}

    def slot(self, upstream: Upstream) -> AbstractContextManager[None]:
        """One of the calls that an upstream may have under way.

        Raises:
            Overloaded: it has as many as it may.
        """
        return _Slot(self._under_way, upstream)

    async def paid(self, call: Call, target: Target, headers: list[Header], rules: Rules, purpose: Purpose) -> Answered:
        """Ask, with the money for it held back first where there are budgets."""
        budgets = rules.budgets
        if budgets is None or not call.endpoint.traced:
            return await self._ask(call, target, headers, call.request)
        held = await _held(budgets, call, target, purpose)
        call.bounded = held.request is not call.request
        try:
            answered = await self._ask(call, target, headers, held.request)
        except Unanswered:
            await asyncio.to_thread(spending.release, budgets, call, held.reservation_id)
            raise
        except BaseException:
            # The upstream may have worked: what was held back counts as spent.
            _beside(spending.settle, budgets, call, held.reservation_id, None)
            raise
        if answered.error is not None:
            await asyncio.to_thread(spending.release, budgets, call, held.reservation_id)
        else:
            call.after.append(partial(spending.settle, budgets, call, held.reservation_id))
        return answered

    async def _ask(self, call: Call, target: Target, headers: list[Header], request: bytes) -> Answered:
        """Try the upstream's addresses and keys in turn, until one answers with something else than a refusal."""
        upstream = target.upstream
        call.upstream = upstream.name
        call.provider = upstream.provider or upstream.wire
        body, call.sent_model = request, ""
        if target.send_as and target.send_as != call.model:
            call.sent_model = target.send_as
            body = request_body.with_model(body, target.send_as)
        call.strips = _asks_usage(call, upstream)
        if call.strips:
            body = stream_usage.asked(body)
            # What is taken out has to be read first.
            headers = [pair for pair in headers if pair[0] != b"accept-encoding"]
        turns = self.turns.order(upstream)
        path = _quoted(call.endpoint.path)
        length = len(body) if call.endpoint.method == "POST" else None
        for number, turn in enumerate(turns):
            last = number == len(turns) - 1
            address = address_of(turn.url)
            call.attempts += 1
            try:
                connection = await self.pool.send(
                    call.endpoint.method,
                    address,
                    path,
                    to_upstream(headers, upstream, turn.key, length),
                    body,
                    connect_s=upstream.connect_s,
                    answer_s=upstream.answer_s,
                )
            except Unanswered:
                self.turns.rest(upstream, turn.url, _REST_S)
                if last:
                    raise
                continue
            answered = Answered(
                connection=connection,
                address=address,
                turn=turn,
                status=connection.status,
                headers=connection.headers,
            )
            if connection.status in (401, 403, 429) and turn.key is not None and len(upstream.keys) > 1:
                self.turns.rest(upstream, turn.key.source, _rest_s(connection))
                if not last:
                    connection.close()
                    continue
            if connection.status >= 400:
                try:
                    answered.error = await self._error_of(upstream, connection)
                finally:
                    self.pool.give_back(connection, address)
            return answered
        raise Unanswered("no address of the upstream answered")

    async def _error_of(self, upstream: Upstream, connection: Connection) -> bytes:
        """An error is read whole: where the provider repeats our key in it, that does not go further."""
        pieces: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(upstream.idle_s):
                while piece := await connection.piece():
                    size += len(piece)
                    if size > _ERROR_BYTES_MAX:
                        raise AnswerBroken(f"{upstream.name} answered {connection.status} with more than a megabyte")
                    pieces.append(piece)
        except TimeoutError:
            raise paused(upstream) from None
        body = b"".join(pieces)
        for key in upstream.keys:
            body = body.replace(key.reveal().encode(), b"[upstream key]")
        return body


class _Slot:
    """A place among the calls of an upstream, from entering it until leaving it."""

    __slots__ = ("_under_way", "_upstream")

    def __init__(self, under_way: dict[str, int], upstream: Upstream) -> None:
        self._under_way = under_way
        self._upstream = upstream

    def __enter__(self) -> None:
        name, most = self._upstream.name, self._upstream.calls_max
        count = self._under_way.get(name, 0)
        if count >= most:
            raise Overloaded(
                f"{most} calls of {name} are under way",
                allowed=most,
                fix="wait and call again, or raise calls_max of the upstream",
                retry_after_s=1,
            )
        self._under_way[name] = count + 1

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._under_way[self._upstream.name] -= 1


async def _held(budgets: Budgets, call: Call, target: Target, purpose: Purpose) -> Hold:
    """Hold money back, in a thread; where the caller leaves meanwhile, it is given back."""
    reserving = asyncio.ensure_future(asyncio.to_thread(spending.hold, budgets, call, target, purpose))

    def give_back(done: asyncio.Future[Hold]) -> None:
        if not done.cancelled() and done.exception() is None:
            _beside(spending.release, budgets, call, done.result().reservation_id)

    try:
        return await asyncio.shield(reserving)
    except asyncio.CancelledError:
        reserving.add_done_callback(give_back)
        raise


def _beside(work: Callable[..., None], *given: Any) -> None:
    """Let a thread do something that nobody waits for and that raises nothing."""
    asyncio.get_running_loop().run_in_executor(None, work, *given)


def _asks_usage(call: Call, upstream: Upstream) -> bool:
    """Whether the gateway asks for the usage of a stream that its caller did not ask for."""
    if not (call.stream and upstream.stream_usage and upstream.wire == "openai" and call.endpoint.operation == "chat"):
        return False
    return not stream_usage.asks(cast("dict[str, Any]", request_body.parsed(call.request)))


def _rest_s(connection: Connection) -> float:
    if connection.status != 429:
        return _REFUSED_REST_S
    asked = value_of(connection.headers, b"retry-after")
    return min(float(asked), 300.0) if asked.isdigit() else _REST_S


def paused(upstream: Upstream) -> AnswerSlow:
    """What a pause within an answer is to a call."""
    return AnswerSlow(f"{upstream.name} paused within its answer for more than {upstream.idle_s:g} s")


@lru_cache(maxsize=1_024)
def _quoted(path: str) -> str:
    return quote(path, safe="/:@")
