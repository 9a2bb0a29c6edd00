"""The ASGI application below ``/gateway``: one call in, one call out, the answer passed on as it comes."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, Protocol, cast

from starlette.types import Receive, Scope, Send

from pilothouse.records import Broken, Forbidden, NotFound, PilothouseError, Refused

from . import choosing, difficulty, guarding, labels, request_body
from .answering import Answering, Leaving
from .asides import Asides
from .caching import Again, Answers, Embed
from .call import Call
from .config import GatewayConfig, Target
from .connection import Header
from .course import Courses
from .endpoints import ENDPOINTS, Endpoint, Wire, find
from .failures import CallerLeft
from .incoming import Incoming, Room
from .passing import give
from .pool import Pool
from .recorder import CallRecorder, Sink
from .replies import StandIn
from .rules import Rules, take
from .turns import Turns
from .upstreams import Upstreams

LOG: Final = logging.getLogger("pilothouse.gateway")

_INLINE_BYTES_MAX: Final = 256 * 1024
"""Larger bodies are parsed in a thread, so that other calls do not wait for them."""


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
        self._patience = self._pool.patience
        self._upstreams = Upstreams(self._pool)
        self._courses = Courses(self._upstreams, self._record)
        self._asides = Asides(self._upstreams, self._record)
        self.answers = answers
        """The response cache."""
        self._room = Room()
        self.loop: asyncio.AbstractEventLoop | None = None
        """Where its calls are made, once it has started."""
        self.active = 0
        """Requests that are being answered or handed over to be recorded."""

    def start(self) -> None:
        """Begin to record."""
        self.loop = asyncio.get_running_loop()
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
    def turns(self) -> Turns:
        """Whose turn it is among addresses and keys."""
        return self._upstreams.turns

    @property
    def under_way(self) -> Mapping[str, int]:
        """Calls that are being answered, by upstream."""
        return self._upstreams.under_way

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        path: str = scope["path"]
        wire: Wire = "anthropic" if path.startswith("/gateway/anthropic/") else "openai"
        headers: list[Header] = scope["headers"]
        # Of a header that came twice, the first counts.
        given = dict(reversed(headers))
        incoming = Incoming(scope["method"], given, receive)
        answering = Answering(wire, send)
        body_bytes = 0
        call: Call | None = None
        self.active += 1
        try:
            endpoint = find(scope["method"], path)
            if endpoint is None:
                raise NotFound("the gateway does not serve this", got=path[:200], allowed=_served(wire))
            rules = self._rules()
            caller = self._caller(rules.gateway, given)
            body = b""
            if endpoint.method == "POST":
                body = await incoming.read(self._room, self._patience)
            body_bytes = len(body)
            self._room.held_bytes += body_bytes
            call = await self._begin(endpoint, caller, given, body)
            await self._serve(call, rules, headers, receive, answering)
        except PilothouseError as error:
            if call is not None and call.error is None:
                call.error = error
            if call is None:
                await incoming.rest(self._patience)
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
            self._room.held_bytes -= body_bytes
            if call is not None and call.endpoint.traced:
                call.ended_ns = time.time_ns()
                self.recorder.put(call)
            self.active -= 1

    def _record(self, call: Call) -> None:
        self.recorder.put(call)

    def _caller(self, config: GatewayConfig, given: Mapping[bytes, bytes]) -> Caller:
        scheme, _, token = given.get(b"authorization", b"").decode("latin-1").partition(" ")
        key = token.strip() if scheme.lower() == "bearer" else ""
        caller = self._authorise(key or given.get(b"x-api-key", b"").decode("latin-1") or None)
        if config.projects and caller.project_id not in config.projects:
            raise Forbidden(
                "this project may not call models", got=caller.project_id, fix="gateway.projects in pilothouse.yaml"
            )
        return caller

    async def _begin(self, endpoint: Endpoint, caller: Caller, given: Mapping[bytes, bytes], body: bytes) -> Call:
        model, stream = "", False
        if endpoint.method == "POST":
            reading = request_body.read
            small = len(body) <= _INLINE_BYTES_MAX
            asked = reading(body) if small else await asyncio.to_thread(reading, body)
            model, stream = asked.model, asked.stream
        said = {
            name.decode("latin-1"): value.decode("utf-8", "replace")
            for name, value in given.items()
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
        leaving = Leaving(receive, self._patience)
        try:
            if self.answers is None or target.cache is None:
                await self._courses.run(call, target, rules, headers, answering)
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
            embed = partial(self._asides.embed, call, rules, meaning)
        look = await answers.look(call, target, headers, embed)
        answering.cache = look.outcome
        if look.found is not None:
            await self._again(call, target, look.found, answering)
            if answers.rechecks(look):
                answers.beside(self._asides.recheck(answers, call, target, rules, headers, look))
            return
        try:
            await self._courses.run(call, target, rules, headers, answering)
        except BaseException:
            call.failed = True
            raise
        finally:
            answers.ended(call, look)

    def aim(self, call: Call, facts: Mapping[str, Any] | None = None) -> Target:
        """Where a call would go now; ``facts``: what rules ask, where its body does not say it."""
        rules = self._rules()
        asked = partial(_facts, call, rules) if facts is None else lambda: facts
        return rules.gateway.target(call.endpoint.wire, call.model, asked)

    async def replay(self, call: Call, headers: list[Header]) -> None:
        """Make a stored call again, for nobody but whoever compares its answers."""
        target = self.aim(call)
        call.chosen_by, call.route = target.chosen_by, target.route
        await self._asides.replay(call, target, self._rules(), headers)

    async def _again(self, call: Call, target: Target, found: Again, answering: Answering) -> None:
        """Answer with what is kept: the gates read it as they read a fresh answer."""
        call.upstream = target.upstream.name
        call.provider = target.upstream.provider or target.upstream.wire
        call.sent_model = target.send_as if target.send_as != call.model else ""
        await give(call, StandIn(body=found.body, content_type=found.content_type), answering, checked=True)


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


def _served(wire: Wire) -> list[str]:
    return [f"{method} {path}" for (method, path), one in ENDPOINTS.items() if one.wire == wire]
