"""The response cache around a call: looked up before an upstream is asked, kept after its answer has passed.

Calls that ask the very same thing at once wait for the first of them, for a bounded time; where that one fails or takes
too long they go on by themselves. What is kept is what the upstream sent, so that guards of later days read it anew.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import threading
import time
from array import array
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, Literal, ParamSpec, TypeVar, cast

import orjson

from pilothouse.cache import (
    WHOLE,
    Asked,
    Asker,
    CacheRule,
    Keyed,
    Near,
    asked_of,
    compare,
    embed_offline,
    key_of,
    loses_nothing,
    names_twice,
    nearest,
    not_kept,
    streamed,
    unit,
    whom,
)
from pilothouse.costs import PriceBook
from pilothouse.records import PilothouseError, new_id
from pilothouse.sdk.responses import read_answer
from pilothouse.store.cache_store import CacheStore, Comparison, KeptAnswer, Question, Tally

from .answer import events_of, told, unpacked
from .call import Call, FromCache
from .config import Target
from .connection import Header
from .headers import value_of
from .request_body import parsed
from .spending import counted, user_of
from .stream_usage import stripped

LOG: Final = logging.getLogger("pilothouse.gateway")

HEADER: Final = b"x-pilothouse-cache"
"""On a request: ``bypass``, ``refresh`` (ask anew, and keep that) or ``use``. On an answer: ``hit``, ``miss``, ``bypass``."""
_VERSIONS: Final = (b"anthropic-version", b"anthropic-beta", b"openai-beta")
_COMPARED_CHARS: Final = 4_000
_dice: Final = random.Random(os.urandom(32))  # noqa: S311
_DAY_NS: Final = 86_400_000_000_000
_SWEEP_S: Final = 30.0
_TALLIES_MAX: Final = 10_000
_USES_MAX: Final = 10_000
_EVENT_STREAM: Final = "text/event-stream"

P = ParamSpec("P")
R = TypeVar("R")
Embed = Callable[[str], Awaitable[Sequence[float] | None]]
"""A model's vector of a text; None where it gives none."""
Outcome = Literal["off", "bypass", "miss", "hit"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """A kept answer in the form that is asked for."""

    body: bytes
    content_type: str
    kept: KeptAnswer


@dataclass(slots=True, kw_only=True)
class Look:
    """How the look into the cache went."""

    outcome: Outcome
    found: Again | None = None
    keyed: Keyed | None = None
    rule: CacheRule | None = None
    route: str = ""
    asked: Asked | None = None
    """The request taken apart, where the route compares by meaning."""
    vector: array[float] | None = None
    """The question's."""
    near: Near | None = None
    """The question whose answer this is, where it was found by meaning."""
    flight: asyncio.Future[KeptAnswer | None] | None = None
    """Of the call that others wait for; it MUST be ended by :meth:`Answers.ended`."""


class Answers:
    """Kept answers, used from one event loop; its database is asked in threads of its own."""

    def __init__(self, store: CacheStore, *, prices: PriceBook | None = None) -> None:
        self._store = store
        self._prices = prices or PriceBook()
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="gateway-cache")
        self._flights: dict[str, asyncio.Future[KeptAnswer | None]] = {}
        self._keeping: set[asyncio.Task[None]] = set()
        self._lock = threading.Lock()
        self._tallies: dict[tuple[str, str, int, str], tuple[int, int, int]] = {}
        self._uses: dict[tuple[str, str], tuple[int, int]] = {}
        self._swept = 0.0
        self.failed = 0
        """Times that the database did not answer: calls went on without it."""

    @property
    def waited_for(self) -> int:
        """Calls under way that others may wait for."""
        return len(self._flights)

    async def look(self, call: Call, target: Target, headers: list[Header], embed: Embed | None = None) -> Look:
        """Look for a kept answer; never raises for the cache's own sake. ``embed``: asks the route's model for vectors."""
        rule = target.cache
        if rule is None or not call.endpoint.traced:
            return Look(outcome="off")
        asked = value_of(headers, HEADER).strip().lower()
        if asked == "bypass":
            self._count(call, target.route, "bypass")
            return Look(outcome="bypass")
        body = cast("dict[str, Any]", parsed(call.request))
        asker = _asker(call, target, headers, body)
        keyed = key_of(body, asker, rule, asked=asked in ("use", "refresh"))
        if keyed.refused:
            self._count(call, target.route, "bypass")
            return Look(outcome="bypass")
        missed = Look(outcome="miss", keyed=keyed, rule=rule, route=target.route)
        if asked != "refresh":
            flight = self._flights.get(keyed.key)
            if flight is not None:
                return await self._wait(call, flight, missed, body)
        missed.flight = flight = asyncio.get_running_loop().create_future()
        self._flights[keyed.key] = flight
        if asked == "refresh":
            self._count(call, target.route, "miss")
            return missed
        try:
            found = await self._run(self._find, call, keyed, keyed.key, body)
            if found is None and rule.meaning is not None:
                about = (*whom(asker, rule), asker.wire, asker.path, asker.model, *asker.versions)
                missed.asked = asked_of(body, about, same_words=rule.meaning.same_words)
                found = await self._alike(call, missed, body, embed)
        except BaseException:
            self._land(missed, None)
            raise
        if found is None:
            self._count(call, target.route, "miss")
            return missed
        self._land(missed, found.kept)
        return self._hit(call, missed, found)

    def ended(self, call: Call, look: Look) -> None:
        """The call is over: keep its answer where it may be kept, and let those who wait have it."""
        if look.keyed is None or look.rule is None or look.outcome != "miss":
            return
        if not _whole(call):
            self._land(look, None)
            return
        self.beside(self._keep(call, look, look.keyed, look.rule))

    def rechecks(self, look: Look) -> bool:
        """Whether this hit is one of those that are asked again."""
        meaning = look.rule.meaning if look.rule is not None else None
        return look.near is not None and meaning is not None and _dice.random() < meaning.recheck

    async def compare(self, call: Call, look: Look, fresh: Call) -> None:
        """Keep whether a hit by meaning and a fresh answer to its question say the same."""
        if look.near is None or look.asked is None or look.found is None or not _whole(fresh):
            return
        await self._run(self._compared, call, look, look.near, look.asked, fresh)

    def beside(self, work: Coroutine[Any, Any, None]) -> None:
        """Let something run that no caller waits for; :meth:`close` does."""
        task = asyncio.ensure_future(work)
        self._keeping.add(task)
        task.add_done_callback(self._keeping.discard)

    def flush(self) -> None:
        """Write figures and uses to the database, and let go of what has expired. Called in a thread, now and then.

        Raises:
            Unreachable: the database does not answer; the figures are kept for the next time.
        """
        with self._lock:
            tallies, self._tallies = self._tallies, {}
            uses, self._uses = self._uses, {}
        by_project: dict[str, list[Tally]] = {}
        for (project_id, route, day, outcome), (calls, tokens, nano) in tallies.items():
            row = Tally(route=route, day=day, outcome=outcome, calls=calls, tokens=tokens, nano=nano)
            by_project.setdefault(project_id, []).append(row)
        try:
            self._store.used(uses)
            for project_id, rows in by_project.items():
                self._store.count(project_id, rows)
            if time.monotonic() - self._swept >= _SWEEP_S:
                self._swept = time.monotonic()
                self._store.sweep(time.time_ns())
        except PilothouseError:
            with self._lock:
                if len(self._tallies) < _TALLIES_MAX:
                    self._tallies = {**tallies, **self._tallies}
            raise

    async def close(self) -> None:
        """Keep what is being kept, and the figures."""
        if self._keeping:
            await asyncio.wait(self._keeping, timeout=10.0)
        try:
            await self._run(self.flush)
        except PilothouseError as error:
            LOG.warning("the cache's figures could not be kept: %s", error.message)
        self._threads.shutdown(wait=False)

    # -- on the event loop ---------------------------------------------------------------------------------------

    async def _alike(self, call: Call, missed: Look, body: Mapping[str, Any], embed: Embed | None) -> Again | None:
        """A kept answer to the same question in other words."""
        asked, keyed, meaning = missed.asked, missed.keyed, missed.rule and missed.rule.meaning
        if asked is None or keyed is None or meaning is None:
            return None
        if meaning.upstream:
            vector = await embed(asked.question) if embed is not None else None
            missed.vector = unit(vector) if vector else None
        else:
            missed.vector = await self._run(embed_offline, asked.question)
        if missed.vector is None:
            return None
        near = await self._run(self._nearest, asked, missed.vector, meaning.threshold, meaning.questions)
        if near is None:
            return None
        missed.near = near
        return await self._run(self._find, call, keyed, near.question.key, body)

    async def _wait(
        self, call: Call, flight: asyncio.Future[KeptAnswer | None], missed: Look, body: Mapping[str, Any]
    ) -> Look:
        assert missed.rule is not None and missed.keyed is not None
        done, _ = await asyncio.wait({flight}, timeout=missed.rule.wait_s)
        kept = flight.result() if done and not flight.cancelled() else None
        found: Again | None = None
        if kept is not None and kept.form == missed.keyed.form:
            found = Again(body=kept.body, content_type=kept.content_type, kept=kept)
        elif kept is not None:
            found = await self._run(_turned, kept, call, missed.keyed.form, body)
        if found is None:
            self._count(call, missed.route, "miss")
            return missed
        return self._hit(call, missed, found)

    def _hit(self, call: Call, missed: Look, found: Again) -> Look:
        kept = found.kept
        call.from_cache = FromCache(
            age_s=max(0.0, (time.time_ns() - kept.made_ns) / 1e9),
            input_tokens=kept.input_tokens,
            output_tokens=kept.output_tokens,
            nano=kept.worth_nano,
            similarity=missed.near.similarity if missed.near is not None else 1.0,
        )
        self._count(call, missed.route, "hit" if missed.near is None else "meaning", kept)
        with self._lock:
            place = (kept.key, kept.form)
            if len(self._uses) < _USES_MAX or place in self._uses:
                self._uses[place] = (time.time_ns(), self._uses.get(place, (0, 0))[1] + 1)
        return Look(
            outcome="hit", found=found, rule=missed.rule, route=missed.route, asked=missed.asked, near=missed.near
        )

    def _land(self, look: Look, kept: KeptAnswer | None) -> None:
        """Let those who wait go on."""
        flight, keyed = look.flight, look.keyed
        if flight is None or keyed is None:
            return
        if self._flights.get(keyed.key) is flight:
            del self._flights[keyed.key]
        if not flight.done():
            flight.set_result(kept)

    async def _keep(self, call: Call, look: Look, keyed: Keyed, rule: CacheRule) -> None:
        kept: KeptAnswer | None = None
        try:
            kept = await self._run(self._prepared, call, keyed, rule, look.route)
            if kept is not None:
                # Who waits gets it at once; who comes now still finds the flight until the database has it.
                if look.flight is not None and not look.flight.done():
                    look.flight.set_result(kept)
                await self._run(self._stored, kept, rule, look)
        except Exception:
            LOG.exception("an answer could not be kept")
        finally:
            self._land(look, kept)

    def _count(self, call: Call, route: str, outcome: str, kept: KeptAnswer | None = None) -> None:
        call.cache = outcome
        place = (call.project_id, route, time.time_ns() // _DAY_NS, outcome)
        with self._lock:
            calls, tokens, nano = self._tallies.get(place, (0, 0, 0))
            if kept is not None:
                tokens, nano = tokens + kept.input_tokens + kept.output_tokens, nano + kept.worth_nano
            self._tallies[place] = (calls + 1, tokens, nano)

    async def _run(self, work: Callable[P, R], *given: P.args, **named: P.kwargs) -> R:
        return await asyncio.get_running_loop().run_in_executor(self._threads, partial(work, *given, **named))

    # -- in threads ----------------------------------------------------------------------------------------------

    def _find(self, call: Call, keyed: Keyed, key: str, body: Mapping[str, Any]) -> Again | None:
        try:
            rows = self._store.find(key, now_ns=time.time_ns())
        except PilothouseError as error:
            self.failed += 1
            LOG.warning("the cache did not answer, the call goes on without it: %s", error.message)
            return None
        for row in rows:
            if row.form == keyed.form:
                return Again(body=row.body, content_type=row.content_type, kept=row)
        for row in rows:
            found = _turned(row, call, keyed.form, body)
            if found is not None:
                return found
        return None

    def _prepared(self, call: Call, keyed: Keyed, rule: CacheRule, route: str) -> KeptAnswer | None:
        body = b"".join(piece for _, piece in unpacked(call))
        if call.strips and _EVENT_STREAM in call.content_type:
            body = stripped(body)
        if len(body) > rule.answer_kb * 1_000:
            return None
        answer = told(call)
        operation = call.endpoint.operation
        if answer.error_type or answer.notes:
            return None
        if not_kept(answer.data, rule, operation=operation, bounded=call.bounded) or names_twice(call.request):
            return None
        said = read_answer(answer.data)
        found = said.usage
        if operation == "embeddings":
            given = cast("dict[str, Any]", answer.data).get("usage")
            count = cast("dict[str, Any]", given).get("prompt_tokens") if isinstance(given, dict) else None
            found = {"gen_ai.usage.input_tokens": count} if type(count) is int else {}
        usage = counted(found)
        made_ns = time.time_ns()
        cost = self._prices.price(
            usage, model=said.model or call.sent_model or call.model, provider=call.provider, at_ns=made_ns
        )
        return KeptAnswer(
            key=keyed.key,
            form=keyed.form,
            project_id=call.project_id,
            route=route,
            model=call.model,
            content_type=call.content_type,
            body=body,
            input_tokens=usage.input_total if usage is not None else 0,
            output_tokens=usage.output_total if usage is not None else 0,
            worth_nano=int((cost.usd or 0) * 1_000_000_000),
            made_ns=made_ns,
            expires_ns=made_ns + int(rule.ttl_s * 1e9),
        )

    def _compared(self, call: Call, look: Look, near: Near, asked: Asked, fresh: Call) -> None:
        kept, new = _said(call), _said(fresh)
        outcome = compare(kept, new)
        row = Comparison(
            comparison_id=new_id("cmp"),
            project_id=call.project_id,
            route=look.route,
            made_ns=time.time_ns(),
            same=outcome.same,
            why=outcome.why,
            similarity=near.similarity,
            trace_id=call.labels.trace_id,
            asked=asked.question,
            kept_for=near.question.question,
            kept_answer=kept[:_COMPARED_CHARS],
            fresh_answer=new[:_COMPARED_CHARS],
        )
        try:
            self._store.compare(row)
        except PilothouseError as error:
            LOG.warning("a comparison could not be kept: %s", error.message)

    def _nearest(self, asked: Asked, vector: array[float], at_least: float, most: int) -> Near | None:
        try:
            rows = self._store.questions(asked.together, now_ns=time.time_ns(), limit=most)
        except PilothouseError as error:
            self.failed += 1
            LOG.warning("the cache did not answer, the call goes on without it: %s", error.message)
            return None
        return nearest(vector, rows, at_least=at_least)

    def _stored(self, kept: KeptAnswer, rule: CacheRule, look: Look) -> None:
        question: Question | None = None
        if look.asked is not None and look.vector is not None:
            question = Question(
                key=kept.key,
                together=look.asked.together,
                question=look.asked.question,
                vector=look.vector.tobytes(),
                expires_ns=kept.expires_ns,
                made_ns=kept.made_ns,
            )
        most = rule.meaning.questions if rule.meaning is not None else 0
        try:
            self._store.keep(kept, bytes_max=int(rule.mb * 1_000_000), question=question, questions_max=most)
        except PilothouseError as error:
            self.failed += 1
            LOG.warning("an answer could not be kept: %s", error.message)


def _said(call: Call) -> str:
    """The text of a call's answer."""
    return "\n".join(message.text for message in read_answer(told(call).data).messages)


def _whole(call: Call) -> bool:
    """Whether a call ended with a whole answer of the model that was asked for."""
    return (
        call.status == 200
        and call.error is None
        and not (call.cut or call.closed_early or call.failed or call.stood_in or call.fell_back)
        and bool(call.pieces)
    )


def _asker(call: Call, target: Target, headers: Sequence[Header], body: Mapping[str, Any]) -> Asker:
    return Asker(
        project_id=call.project_id,
        tenant=call.tenant,
        user=call.labels.attributes.get("user.id", "") or user_of(body),
        wire=call.endpoint.wire,
        path=call.endpoint.path,
        versions=tuple(f"{name.decode()}={value_of(headers, name)}" for name in _VERSIONS),
        model=f"{target.upstream.name}/{target.send_as or call.model}",
    )


def _turned(row: KeptAnswer, call: Call, form: str, request: Mapping[str, Any]) -> Again | None:
    """A kept answer in another form; None where something would be lost on the way."""
    if _EVENT_STREAM in row.content_type:
        kept = replace(
            call, pieces=[(0, row.body)], content_type=row.content_type, encoding="", status=200, cut=False, after=[]
        )
        pieces: Iterator[tuple[int, bytes]] = iter([(0, row.body)])
        events = (parsed(event) for _, event in events_of(pieces))
        answer = told(kept)
        data: Any = answer.data
        if answer.error_type or not isinstance(data, dict) or not loses_nothing(events):
            return None
        whole = cast("dict[str, Any]", data)
    else:
        whole = cast("dict[str, Any]", parsed(row.body))
    if form == WHOLE:
        return Again(body=orjson.dumps(whole), content_type="application/json", kept=row)
    options = request.get("stream_options")
    given = cast("dict[str, Any]", options) if isinstance(options, dict) else {}
    body = streamed(whole, wire=call.endpoint.wire, operation=call.endpoint.operation, options=given)
    return None if body is None else Again(body=body, content_type=_EVENT_STREAM, kept=row)
