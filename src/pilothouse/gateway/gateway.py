"""The ASGI application below ``/gateway``: one call in, one call out, the answer passed on as it comes."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Protocol, cast
from urllib.parse import quote

from starlette.types import Receive, Scope, Send

from pilothouse.budgets import Budgets, Purpose
from pilothouse.cache import MeaningRule
from pilothouse.guards import Guard
from pilothouse.records import BadRequest, Broken, Forbidden, NotFound, Overloaded, PilothouseError, Refused, TooLarge
from pilothouse.survival import Failed, Failure, GaveUp, Reply, Step, Survivor, Wait

from . import choosing, difficulty, guarded_stream, guarding, labels, request_body, spending, stream_usage
from .answer import unpacked
from .answering import Answering, Leaving
from .caching import Again, Answers, Embed, Look
from .call import Call
from .config import GatewayConfig, Target, Upstream
from .connection import Connection, Header
from .endpoints import ENDPOINTS, PREFIX, Endpoint, Wire, find
from .failures import AnswerBroken, AnswerSlow, CallerLeft, Unanswered, UpstreamFailed
from .guarding import GuardBlocked
from .headers import to_caller, to_upstream, value_of
from .hedging import Hedging
from .pool import Address, Pool, address_of
from .recorder import CallRecorder, Sink
from .replies import StandIn
from .rules import Rules, take
from .spending import Hold
from .surviving import aimed, chain_of, failure_from, failure_of
from .turns import Turn, Turns

LOG: Final = logging.getLogger("pilothouse.gateway")

BODY_BYTES_MAX: Final = 32 * 1024 * 1024
"""Largest request: what Anthropic takes at most."""
IN_FLIGHT_BYTES_MAX: Final = 256 * 1024 * 1024
"""Bytes of requests that are held at once; beyond, callers are told to come back."""
BODY_S_MAX: Final = 60.0
_ERROR_BYTES_MAX: Final = 1024 * 1024
_INLINE_BYTES_MAX: Final = 256 * 1024
"""Larger bodies are parsed in a thread, so that other calls do not wait for them."""
_REST_S: Final = 10.0
_REFUSED_REST_S: Final = 60.0


class Caller(Protocol):
    """Who calls."""

    @property
    def project_id(self) -> str:
        """The project that the call belongs to."""
        ...

    @property
    def key_id(self) -> str:
        """The key it came with."""
        ...


Authorise = Callable[[str | None], Caller]
"""From a key to who calls with it. Raises NotAllowed. It MUST be quick."""


@dataclass(slots=True, kw_only=True)
class _Answered:
    """An answer whose head is there."""

    connection: Connection
    address: Address
    turn: Turn
    status: int
    headers: list[Header]
    error: bytes | None = None
    """The body of an error, read whole; None where the answer is none, and its body still to come."""


class Gateway:
    """Passes calls of models on. Use between :meth:`start` and :meth:`close`, on one event loop."""

    def __init__(
        self,
        authorise: Authorise,
        sink: Sink,
        rules: Callable[[], Rules],
        *,
        pool: Pool | None = None,
        answers: Answers | None = None,
    ) -> None:
        """``rules`` gives the rules as they stand at a call; it MUST be quick. ``answers``: kept ones; None: none are."""
        self.recorder = CallRecorder(sink)
        self._authorise = authorise
        self._rules = rules
        self._pool = pool or Pool()
        self.turns = Turns()
        self.answers = answers
        """The response cache."""
        self._held_bytes = 0
        self._under_way: dict[str, int] = {}
        self.active = 0
        """Requests that are being answered or handed over to be recorded."""

    def start(self) -> None:
        """Begin to record."""
        self.recorder.start()

    async def close(self) -> None:
        """Record what waits, and close connections that are kept."""
        if self.answers is not None:
            await self.answers.close()
        await self.recorder.stop()
        self._pool.close()

    @property
    def rules(self) -> Rules:
        """The rules as they stand now."""
        return self._rules()

    @property
    def under_way(self) -> Mapping[str, int]:
        """Calls that are being answered, by upstream."""
        return {name: count for name, count in self._under_way.items() if count}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        path: str = scope["path"]
        wire: Wire = "anthropic" if path.startswith("/gateway/anthropic/") else "openai"
        headers = [(name.lower(), value) for name, value in cast("list[Header]", scope["headers"])]
        answering = Answering(wire, send)
        body_bytes = 0
        call: Call | None = None
        self.active += 1
        try:
            endpoint = find(str(scope["method"]), path)
            if endpoint is None:
                raise NotFound("the gateway does not serve this", got=path[:200], allowed=_served(wire))
            rules = self._rules()
            caller = self._caller(rules.gateway, headers)
            _refuse_encoded(headers)
            body = await self._read(headers, receive) if endpoint.method == "POST" else b""
            body_bytes = len(body)
            self._held_bytes += body_bytes
            call = await self._begin(endpoint, caller, headers, body)
            await self._serve(call, rules, headers, receive, answering)
        except PilothouseError as error:
            if call is not None and call.error is None:
                call.error = error
            await answering.fail(error, call)
        except asyncio.CancelledError:
            if call is not None:
                call.error = Refused("the server stopped before the answer was whole")
            raise
        except Exception as cause:
            LOG.exception("a call could not be passed on")
            error = Broken("the gateway failed", fix="see the server's log")
            error.__cause__ = cause
            if call is not None:
                call.error = error
            await answering.fail(error, call)
        finally:
            self._held_bytes -= body_bytes
            if call is not None and call.endpoint.traced:
                call.ended_ns = time.time_ns()
                self.recorder.put(call)
            self.active -= 1

    def _caller(self, config: GatewayConfig, headers: list[Header]) -> Caller:
        scheme, _, token = value_of(headers, b"authorization").partition(" ")
        key = token.strip() if scheme.lower() == "bearer" else ""
        caller = self._authorise(key or value_of(headers, b"x-api-key") or None)
        if config.projects and caller.project_id not in config.projects:
            raise Forbidden(
                "this project may not call models", got=caller.project_id, fix="gateway.projects in pilothouse.yaml"
            )
        return caller

    async def _read(self, headers: list[Header], receive: Receive) -> bytes:
        declared = value_of(headers, b"content-length")
        if declared.isdigit() and len(declared) < 20:
            self._room(int(declared))
        pieces: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(BODY_S_MAX):
                more = True
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise CallerLeft("the caller left before its body was whole")
                    piece: bytes = message.get("body", b"")
                    size += len(piece)
                    self._room(size)
                    pieces.append(piece)
                    more = bool(message.get("more_body", False))
        except TimeoutError:
            raise BadRequest(f"the body did not arrive within {BODY_S_MAX:g} s", got=f"{size} bytes") from None
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _room(self, size: int) -> None:
        if size > BODY_BYTES_MAX:
            raise TooLarge(f"the body is larger than {BODY_BYTES_MAX} bytes", allowed=BODY_BYTES_MAX)
        if self._held_bytes + size > IN_FLIGHT_BYTES_MAX:
            raise Overloaded("the gateway holds as many calls as it can", fix="wait and call again", retry_after_s=1)

    async def _begin(self, endpoint: Endpoint, caller: Caller, headers: list[Header], body: bytes) -> Call:
        model, stream = "", False
        if endpoint.method == "POST":
            reading = request_body.read
            small = len(body) <= _INLINE_BYTES_MAX
            asked = reading(body) if small else await asyncio.to_thread(reading, body)
            model, stream = asked.model, asked.stream
        said = {
            name.decode("latin-1"): value.decode("utf-8", "replace")
            for name, value in reversed(headers)
            if name.startswith(b"x-pilothouse-") or name == b"traceparent"
        }
        return Call(
            project_id=caller.project_id,
            key_id=caller.key_id,
            endpoint=endpoint,
            labels=labels.read(said),
            model=model,
            stream=stream,
            request=body,
            task=said.get("x-pilothouse-task", "")[:200],
            run=said.get("x-pilothouse-run", "")[:200],
            tenant=said.get("x-pilothouse-tenant", "")[:200],
            started_ns=time.time_ns(),
        )

    async def _serve(
        self, call: Call, rules: Rules, headers: list[Header], receive: Receive, answering: Answering
    ) -> None:
        """Ask for an answer and pass it on, for as long as the caller waits."""
        target = rules.gateway.target(call.endpoint.wire, call.model, partial(_facts, call, rules))
        call.chosen_by, call.route = target.chosen_by, target.route
        guard = rules.guards.now() if rules.guards is not None and call.endpoint.traced else None
        if guard is not None:
            call.request = await asyncio.to_thread(guarding.check_request, guard, call)
            if guarding.guarded(guard):
                answering.guard = guard
                # Without this header the answer comes as it is, and can be read.
                headers = [pair for pair in headers if pair[0] != b"accept-encoding"]
        if call.endpoint.traced:
            take(call, rules)
        leaving = Leaving(receive)
        try:
            if self.answers is None or target.cache is None:
                await self._asked(call, target, rules, headers, answering)
            else:
                await self._remembered(self.answers, call, target, rules, headers, answering)
        except asyncio.CancelledError:
            if not leaving.left():
                raise
            call.closed_early = True
            raise CallerLeft("the caller left before the answer was whole") from None
        finally:
            leaving.stop()

    async def _remembered(
        self, answers: Answers, call: Call, target: Target, rules: Rules, headers: list[Header], answering: Answering
    ) -> None:
        """A kept answer where there is one; else the call is made, and its answer kept."""
        meaning = target.cache.meaning if target.cache is not None else None
        embed: Embed | None = None
        if meaning is not None and meaning.upstream:
            embed = partial(self._embed, call, rules, meaning)
        look = await answers.look(call, target, headers, embed)
        answering.cache = look.outcome
        if look.found is not None:
            await self._again(call, target, look.found, answering)
            if answers.rechecks(look):
                answers.beside(self._recheck(answers, call, target, rules, headers, look))
            return
        try:
            await self._asked(call, target, rules, headers, answering)
        except BaseException:
            call.failed = True
            raise
        finally:
            answers.ended(call, look)

    async def _embed(self, call: Call, rules: Rules, meaning: MeaningRule, text: str) -> Sequence[float] | None:
        """A model's vector of a question: a call of its own, traced below the caller's and paid like any."""
        upstream = rules.gateway.upstreams[meaning.upstream]
        request = json.dumps({"model": meaning.model, "input": text, "encoding_format": "float"}).encode()
        aside = _aside(call, ENDPOINTS["POST", f"{PREFIX}/openai/v1/embeddings"], meaning.model, request)
        headers: list[Header] = [(b"content-type", b"application/json")]
        await self._beside(aside, Target(upstream=upstream), rules, headers, "question")
        try:
            found = request_body.parsed(b"".join(piece for _, piece in unpacked(aside)))
            return [float(value) for value in found["data"][0]["embedding"]]
        except (ValueError, TypeError, KeyError, IndexError):
            LOG.warning("%s gave no vector of a question: status %s", upstream.name, aside.status)
            return None

    async def _recheck(
        self, answers: Answers, call: Call, target: Target, rules: Rules, headers: list[Header], look: Look
    ) -> None:
        """Ask what was answered by meaning, and keep whether the answers say the same."""
        try:
            fresh = _aside(call, call.endpoint, call.model, call.request)
            await self._beside(fresh, target, rules, headers, "recheck")
            await answers.compare(call, look, fresh)
        except Exception:
            LOG.exception("a hit by meaning could not be asked again")

    async def _beside(self, aside: Call, target: Target, rules: Rules, headers: list[Header], why: str) -> None:
        """Make a call that no caller waits for, read its answer whole, and trace it; its errors stay on its trace."""
        aside.aside = why
        try:
            with self._slot(target.upstream):
                answered = await self._paid(aside, target, headers, rules, "judge" if why == "recheck" else "call")
                aside.status = answered.status
                aside.content_type = value_of(answered.headers, b"content-type").lower()
                aside.encoding = value_of(answered.headers, b"content-encoding").lower()
                if answered.error is not None:
                    aside.keep(time.time_ns(), answered.error)
                    return
                try:
                    async with asyncio.timeout(target.upstream.idle_s):
                        while piece := await answered.connection.piece():
                            aside.keep(time.time_ns(), piece)
                finally:
                    self._pool.give_back(answered.connection, answered.address)
        except TimeoutError:
            aside.error = _paused(target.upstream)
        except PilothouseError as error:
            aside.error = error
        finally:
            aside.ended_ns = time.time_ns()
            self.recorder.put(aside)

    async def _asked(
        self, call: Call, target: Target, rules: Rules, headers: list[Header], answering: Answering
    ) -> None:
        if rules.survivor is None or not call.endpoint.traced:
            await self._once(call, target, rules, headers, answering)
        else:
            await self._surviving(call, target, rules, rules.survivor, headers, answering)

    async def _once(
        self, call: Call, target: Target, rules: Rules, headers: list[Header], answering: Answering
    ) -> None:
        """One call, whose answer or error is passed on as it is."""
        with self._slot(target.upstream):
            answered = await self._paid(call, target, headers, rules, "call")
            await self._pass_on(call, target.upstream, answered, answering)

    async def _surviving(
        self,
        call: Call,
        target: Target,
        rules: Rules,
        survivor: Survivor,
        headers: list[Header],
        answering: Answering,
    ) -> None:
        """The same along the course that survival lays: tries, waits, and others that stand in.

        Only what comes before the first byte of an answer can be tried again; the caller has the rest already.
        """
        moves = survivor.moves(chain_of(call, target, survivor), task=call.task or "default")
        failure: Failure | None = None
        last: tuple[_Answered, Upstream] | None = None
        begun = False
        try:
            while True:
                try:
                    move = moves.send(failure) if begun else next(moves)
                except StopIteration:
                    return
                except GaveUp:
                    if last is None:
                        raise
                    # The provider's own error says more than ours, and its libraries know its kinds.
                    answered, upstream = last
                    answering.tried = call.attempts > 1
                    await self._pass_on(call, upstream, answered, answering)
                    return
                begun = True
                failure = None
                if isinstance(move, Wait):
                    await survivor.timer.sleep_async(move.seconds)
                    continue
                if isinstance(move, Reply):
                    reply = rules.stand_in(call, move.step)
                    if reply is None:
                        failure = move.because or Failure(kind="unknown", message="no reply at hand", ours=True)
                        continue
                    await self._reply(call, move.step, reply, answering)
                    continue
                try:
                    answering.stood_in = move.step.model if move.step.model != call.model else ""
                    aim = aimed(call, move.step, target, rules.gateway)
                    call.fell_back = aim is not target
                    with self._slot(aim.upstream):
                        purpose = "call" if move.number == 1 else "retry" if move.on_step > 1 else "fallback"
                        hedging = self._hedging(headers, rules)
                        async with hedging.asked(call, move.step, aim, target, survivor, purpose) as (answered, aim):
                            if answered.error is None:
                                await self._pass_on(call, aim.upstream, answered, answering)
                                if rules.keeps_replies(call):
                                    rules.keep(call)
                                continue
                    last = (answered, aim.upstream)
                    failure = failure_of(answered.status, answered.headers, answered.error)
                except Failed as unfit:
                    last, failure = None, unfit.failure
                except PilothouseError as error:
                    if isinstance(error, CallerLeft | GuardBlocked):
                        # Nobody waits, or a gate has decided: nothing is tried again.
                        raise
                    last, failure = None, failure_from(error, begun=answering.started)
                    if answering.started:
                        # Only the breakers still want to know.
                        with suppress(GaveUp, StopIteration):
                            moves.send(failure)
                        raise
                finally:
                    if failure is not None:
                        call.tried.append(f"{move.step.name}: {failure}")
        finally:
            moves.close()

    def _hedging(self, headers: list[Header], rules: Rules) -> Hedging[_Answered]:
        def ask(call: Call, target: Target, purpose: Purpose) -> Awaitable[_Answered]:
            return self._paid(call, target, headers, rules, purpose)

        return Hedging(ask=ask, slot=self._slot, record=self.recorder.put, rules=rules)

    async def _again(self, call: Call, target: Target, found: Again, answering: Answering) -> None:
        """Answer with what is kept: the gates read it as they read a fresh answer."""
        call.upstream = target.upstream.name
        call.provider = target.upstream.provider or target.upstream.wire
        call.sent_model = target.send_as if target.send_as != call.model else ""
        await self._give(call, StandIn(body=found.body, content_type=found.content_type), answering, checked=True)

    async def _reply(self, call: Call, step: Step, reply: StandIn, answering: Answering) -> None:
        """Answer with what was at hand."""
        call.stood_in = answering.stood_in = step.kind
        await self._give(call, reply, answering, checked=step.kind == "cached")

    async def _give(self, call: Call, reply: StandIn, answering: Answering, *, checked: bool) -> None:
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

    @contextmanager
    def _slot(self, upstream: Upstream) -> Generator[None]:
        """One of the calls that an upstream may have under way."""
        count = self._under_way.get(upstream.name, 0)
        if count >= upstream.calls_max:
            raise Overloaded(
                f"{upstream.calls_max} calls of {upstream.name} are under way",
                allowed=upstream.calls_max,
                fix="wait and call again, or raise calls_max of the upstream",
                retry_after_s=1,
            )
        self._under_way[upstream.name] = count + 1
        try:
            yield
        finally:
            self._under_way[upstream.name] -= 1

    async def _paid(
        self, call: Call, target: Target, headers: list[Header], rules: Rules, purpose: Purpose
    ) -> _Answered:
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

    async def _ask(self, call: Call, target: Target, headers: list[Header], request: bytes) -> _Answered:
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
        path = quote(call.endpoint.path, safe="/:@")
        length = len(body) if call.endpoint.method == "POST" else None
        for number, turn in enumerate(turns):
            last = number == len(turns) - 1
            address = address_of(turn.url)
            call.attempts += 1
            try:
                connection = await self._pool.send(
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
            answered = _Answered(
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
                    self._pool.give_back(connection, address)
            return answered
        raise Unanswered("no address of the upstream answered")

    async def _pass_on(self, call: Call, upstream: Upstream, answered: _Answered, answering: Answering) -> None:
        connection = answered.connection
        head = answered.headers
        call.status = answered.status
        call.content_type = value_of(head, b"content-type").lower()
        call.encoding = value_of(head, b"content-encoding").lower()
        call.request_id = value_of(head, b"x-request-id") or value_of(head, b"request-id")
        if answered.error is not None:
            await self._pass_error_on(call, upstream, answered, answered.error, answering)
            return
        if answering.guard is not None and call.endpoint.operation != "embeddings":
            if call.encoding in ("", "identity") and guarded_stream.streams(answering.guard, call):
                await self._pass_guarded(call, upstream, answered, answering, answering.guard)
            else:
                await self._pass_checked(call, upstream, answered, answering, answering.guard)
            return
        try:
            answering.stream = "text/event-stream" in call.content_type
            await answering.start(answered.status, to_caller(head, call.labels.trace_id))
            await self._stream(call, upstream, connection, answering)
        finally:
            self._pool.give_back(connection, answered.address)

    async def _pass_guarded(
        self, call: Call, upstream: Upstream, answered: _Answered, answering: Answering, guard: Guard
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
                    async with asyncio.timeout(upstream.idle_s):
                        piece = await connection.piece()
                except TimeoutError:
                    raise _paused(upstream) from None
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
            self._pool.give_back(connection, answered.address)
        await answering.end()

    async def _pass_checked(
        self, call: Call, upstream: Upstream, answered: _Answered, answering: Answering, guard: Guard
    ) -> None:
        """Hold an answer back until it is whole and its gates have decided."""
        connection = answered.connection
        if call.encoding not in ("", "identity"):
            connection.close()
            raise AnswerBroken(f"{upstream.name} sent {call.encoding}, which was not asked for and no gate can read")
        pieces: list[bytes] = []
        try:
            async with asyncio.timeout(None) as limit:
                while True:
                    limit.reschedule(asyncio.get_running_loop().time() + upstream.idle_s)
                    piece = await connection.piece()
                    if not piece:
                        break
                    call.keep(time.time_ns(), piece)
                    if not call.cut:
                        pieces.append(piece)
        except TimeoutError:
            raise _paused(upstream) from None
        finally:
            self._pool.give_back(connection, answered.address)
        whole = b"".join(pieces)
        if call.strips and "text/event-stream" in call.content_type:
            whole = stream_usage.stripped(whole)
        sent = await asyncio.to_thread(guarding.check_answer, guard, call, whole)
        headers = [pair for pair in to_caller(answered.headers, call.labels.trace_id) if pair[0] != b"content-length"]
        headers.append((b"content-length", str(len(sent.body)).encode()))
        await answering.start(answered.status, headers)
        await answering.piece(sent.body)
        await answering.end()

    async def _stream(self, call: Call, upstream: Upstream, connection: Connection, answering: Answering) -> None:
        """Pass the answer on, each piece when it comes: neither side is waited for without end."""
        now = asyncio.get_running_loop().time
        reading = True
        stripper = stream_usage.Stripper() if call.strips and answering.stream else None
        try:
            async with asyncio.timeout(None) as limit:
                while True:
                    limit.reschedule(now() + upstream.idle_s)
                    reading = True
                    piece = await connection.piece()
                    if not piece:
                        break
                    call.keep(time.time_ns(), piece)
                    reading = False
                    if stripper is not None:
                        piece = stripper.feed(piece)
                    if piece:
                        await answering.piece(piece)
                if stripper is not None and (rest := stripper.finish()):
                    await answering.piece(rest)
        except TimeoutError:
            if reading:
                raise _paused(upstream) from None
            call.closed_early = True
            raise CallerLeft("the caller does not read its answer") from None
        await answering.end()

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
            raise _paused(upstream) from None
        body = b"".join(pieces)
        for key in upstream.keys:
            body = body.replace(key.reveal().encode(), b"[upstream key]")
        return body

    async def _pass_error_on(
        self, call: Call, upstream: Upstream, answered: _Answered, body: bytes, answering: Answering
    ) -> None:
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


def _checked(stream: guarded_stream.GuardedStream, piece: bytes, ended: bool) -> bytes:
    """What may go on of a stream."""
    found = stream.feed(piece) if piece else b""
    return found + stream.finish() if ended else found


def _asks_usage(call: Call, upstream: Upstream) -> bool:
    """Whether the gateway asks for the usage of a stream that its caller did not ask for."""
    if not (call.stream and upstream.stream_usage and upstream.wire == "openai" and call.endpoint.operation == "chat"):
        return False
    return not stream_usage.asks(cast("dict[str, Any]", request_body.parsed(call.request)))


def _facts(call: Call, rules: Rules) -> Mapping[str, Any]:
    """What the rules of a route may ask of a call."""
    attributes = call.labels.attributes
    said = {
        "task": call.task,
        "tenant": call.tenant,
        "feature": attributes.get("pilothouse.feature", ""),
        "agent": attributes.get("gen_ai.agent.name", ""),
        "environment": attributes.get("deployment.environment.name", ""),
        "user": attributes.get("user.id", ""),
    }
    body = cast("dict[str, Any]", request_body.parsed(call.request)) if call.request else {}
    found = choosing.facts_of(call.request, body, said)
    if rules.routing is not None and (hard := difficulty.rate(call, body, said, rules.routing)) is not None:
        found["difficulty"] = hard
    return found


def _aside(call: Call, endpoint: Endpoint, model: str, request: bytes) -> Call:
    """A call that is made for the sake of another: on its trace, below it."""
    return Call(
        project_id=call.project_id,
        key_id=call.key_id,
        endpoint=endpoint,
        labels=labels.below(call.labels),
        model=model,
        stream=False,
        request=request,
        started_ns=time.time_ns(),
        run=call.run,
        tenant=call.tenant,
    )


def _paused(upstream: Upstream) -> AnswerSlow:
    return AnswerSlow(f"{upstream.name} paused within its answer for more than {upstream.idle_s:g} s")


def _served(wire: Wire) -> list[str]:
    return [f"{method} {path}" for (method, path), one in ENDPOINTS.items() if one.wire == wire]


def _refuse_encoded(headers: list[Header]) -> None:
    encoding = value_of(headers, b"content-encoding").lower()
    if encoding not in ("", "identity"):
        raise BadRequest("the body is compressed", got=encoding[:40], fix="send it as it is")


def _rest_s(connection: Connection) -> float:
    if connection.status != 429:
        return _REFUSED_REST_S
    asked = value_of(connection.headers, b"retry-after")
    return min(float(asked), 300.0) if asked.isdigit() else _REST_S
