"""An answer on its way to the caller: as it comes, checked as it comes, or held until its gates have decided."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from pilothouse.guards import Guard

from . import guarded_stream, guarding, stream_usage
from .answering import Answering
from .call import Call
from .config import Upstream
from .connection import Connection, Header
from .failures import AnswerBroken, CallerLeft, UpstreamFailed
from .headers import to_caller, value_of
from .pool import Pool
from .replies import StandIn
from .upstreams import Answered, paused

_READABLE: Final = ("", "identity")


async def pass_on(pool: Pool, call: Call, upstream: Upstream, answered: Answered, answering: Answering) -> None:
    """Pass an answer or an error on, whose head is there."""
    connection = answered.connection
    head = answered.headers
    call.status = answered.status
    call.content_type = value_of(head, b"content-type").lower()
    call.encoding = value_of(head, b"content-encoding").lower()
    call.request_id = value_of(head, b"x-request-id") or value_of(head, b"request-id")
    if answered.error is not None:
        await _pass_error_on(call, upstream, answered, answered.error, answering)
        return
    if answering.guard is not None and call.endpoint.operation != "embeddings":
        if call.encoding in _READABLE and guarded_stream.streams(answering.guard, call):
            await _pass_guarded(pool, call, upstream, answered, answering, answering.guard)
        else:
            await _pass_checked(pool, call, upstream, answered, answering, answering.guard)
        return
    try:
        answering.stream = "text/event-stream" in call.content_type
        await answering.start(answered.status, to_caller(head, call.labels.trace_id))
        await _stream(pool, call, upstream, connection, answering)
    finally:
        pool.give_back(connection, answered.address)


async def _pass_guarded(
    pool: Pool, call: Call, upstream: Upstream, answered: Answered, answering: Answering, guard: Guard
) -> None:
    """Pass a stream on as its words are checked."""
    stream = guarded_stream.GuardedStream(guard, call)
    stripper = stream_usage.Stripper() if call.strips else None
    connection = answered.connection
    answering.stream = True
    headers = [pair for pair in to_caller(answered.headers, call.labels.trace_id) if pair[0] != b"content-length"]
    try:
        ended = False
        while not ended:
            try:
                with pool.patience.within(upstream.idle_s):
                    piece = await connection.piece()
            except TimeoutError:
                raise paused(upstream) from None
            ended = not piece
            if piece:
                call.keep(time.time_ns(), piece)
            if stripper is not None:
                piece = stripper.feed(piece) if piece else stripper.finish()
            checked = await asyncio.to_thread(_checked, stream, piece, ended)
            if checked or ended:
                if not answering.started:
                    await answering.start(answered.status, headers)
                if checked:
                    await answering.piece(checked)
    finally:
        pool.give_back(connection, answered.address)
    await answering.end()


async def _pass_checked(
    pool: Pool, call: Call, upstream: Upstream, answered: Answered, answering: Answering, guard: Guard
) -> None:
    """Hold an answer back until it is whole and its gates have decided."""
    connection = answered.connection
    if call.encoding not in _READABLE:
        connection.close()
        raise AnswerBroken(f"{upstream.name} sent {call.encoding}, which was not asked for and no gate can read")
    pieces: list[bytes] = []
    try:
        with pool.patience.within(upstream.idle_s) as limit:
            while piece := await connection.piece():
                limit.again(upstream.idle_s)
                call.keep(time.time_ns(), piece)
                if not call.cut:
                    pieces.append(piece)
    except TimeoutError:
        raise paused(upstream) from None
    finally:
        pool.give_back(connection, answered.address)
    whole = b"".join(pieces)
    if call.strips and "text/event-stream" in call.content_type:
        whole = stream_usage.stripped(whole)
    sent = await asyncio.to_thread(guarding.check_answer, guard, call, whole)
    headers = [pair for pair in to_caller(answered.headers, call.labels.trace_id) if pair[0] != b"content-length"]
    headers.append((b"content-length", str(len(sent.body)).encode()))
    await answering.start(answered.status, headers)
    await answering.piece(sent.body)
    await answering.end()


async def _stream(pool: Pool, call: Call, upstream: Upstream, connection: Connection, answering: Answering) -> None:
    """Pass the answer on, each piece when it comes: neither side is waited for without end."""
    reading = True
    stripper = stream_usage.Stripper() if call.strips and answering.stream else None
    try:
        with pool.patience.within(upstream.idle_s) as limit:
            while piece := await connection.piece():
                call.keep(time.time_ns(), piece)
                reading = False
                if stripper is not None:
                    piece = stripper.feed(piece)
                elif connection.ended:
                    await answering.last(piece)
                    return
                if piece:
                    await answering.piece(piece)
                limit.again(upstream.idle_s)
                reading = True
            if stripper is not None and (rest := stripper.finish()):
                await answering.piece(rest)
    except TimeoutError:
        if reading:
            raise paused(upstream) from None
        call.closed_early = True
        raise CallerLeft("the caller does not read its answer") from None
    await answering.end()


async def _pass_error_on(call: Call, upstream: Upstream, answered: Answered, body: bytes, answering: Answering) -> None:
    if call.status == 401:
        raise UpstreamFailed(
            f"{upstream.name} refused the gateway's own key, not yours",
            got=f"HTTP {call.status} from {upstream.name}",
            fix="whoever runs the gateway: check the upstream's keys in pilothouse.yaml",
        )
    secrets = [key.reveal().encode() for key in upstream.keys]
    headers = [
        (name, value)
        for name, value in to_caller(answered.headers, call.labels.trace_id)
        if name != b"content-length" and not any(secret in value for secret in secrets)
    ]
    headers.append((b"content-length", str(len(body)).encode()))
    call.keep(time.time_ns(), body)
    await answering.start(call.status, headers)
    await answering.piece(body)
    await answering.end()


async def give(call: Call, reply: StandIn, answering: Answering, *, checked: bool) -> None:
    """Answer with what is at hand. ``checked``: once its gates have read it."""
    call.status = 200
    call.pieces, call.kept_bytes = [], 0
    call.content_type = reply.content_type
    call.encoding = reply.encoding
    call.keep(time.time_ns(), reply.body)
    if answering.guard is not None and checked and call.endpoint.operation != "embeddings":
        reply = await asyncio.to_thread(guarding.check_answer, answering.guard, call, reply.body)
    headers: list[Header] = [
        (b"content-type", reply.content_type.encode()),
        (b"content-length", str(len(reply.body)).encode()),
    ]
    if reply.encoding:
        headers.append((b"content-encoding", reply.encoding.encode()))
    await answering.start(200, to_caller(headers, call.labels.trace_id))
    await answering.piece(reply.body)
    await answering.end()


def _checked(stream: guarded_stream.GuardedStream, piece: bytes, ended: bool) -> bytes:
    """What may go on of a stream."""
    found = stream.feed(piece) if piece else b""
    return found + stream.finish() if ended else found
