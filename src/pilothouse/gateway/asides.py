"""Calls that the gateway makes for no caller: a question's vector, an answer asked for again, a stored call replayed."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Sequence
from typing import Final

from pilothouse.cache import MeaningRule
from pilothouse.records import PilothouseError

from . import labels, request_body
from .answer import unpacked
from .caching import Answers, Look
from .call import Call
from .config import Target
from .connection import Header
from .endpoints import ENDPOINTS, PREFIX, Endpoint
from .headers import value_of
from .rules import Rules
from .upstreams import Upstreams, paused

LOG: Final = logging.getLogger("pilothouse.gateway")


class Asides:
    """Makes them. Each is traced below the call that it is made for, and paid like any."""

    def __init__(self, upstreams: Upstreams, record: Callable[[Call], None]) -> None:
        self._upstreams = upstreams
        self._record = record

    async def embed(self, call: Call, rules: Rules, meaning: MeaningRule, text: str) -> Sequence[float] | None:
        """A model's vector of a question: a call of its own, traced below the caller's and paid like any."""
        upstream = rules.gateway.upstreams[meaning.upstream]
        request = json.dumps({"model": meaning.model, "input": text, "encoding_format": "float"}).encode()
        aside = _aside(call, ENDPOINTS["POST", f"{PREFIX}/openai/v1/embeddings"], meaning.model, request)
        headers: list[Header] = [(b"content-type", b"application/json")]
        await self._make(aside, Target(upstream=upstream), rules, headers, "question")
        try:
            found = request_body.parsed(b"".join(piece for _, piece in unpacked(aside)))
            return [float(value) for value in found["data"][0]["embedding"]]
        except (ValueError, TypeError, KeyError, IndexError):
            LOG.warning("%s gave no vector of a question: status %s", upstream.name, aside.status)
            return None

    async def recheck(
        self, answers: Answers, call: Call, target: Target, rules: Rules, headers: list[Header], look: Look
    ) -> None:
        """Ask what was answered by meaning, and keep whether the answers say the same."""
        try:
            fresh = _aside(call, call.endpoint, call.model, call.request)
            await self._make(fresh, target, rules, headers, "recheck")
            await answers.compare(call, look, fresh)
        except Exception:
            LOG.exception("a hit by meaning could not be asked again")

    async def replay(self, call: Call, target: Target, rules: Rules, headers: list[Header]) -> None:
        """Make a stored call again, for nobody but whoever compares its answers."""
        await self._make(call, target, rules, headers, "replay")

    async def _make(self, aside: Call, target: Target, rules: Rules, headers: list[Header], why: str) -> None:
        """Make a call that no caller waits for, read its answer whole, and trace it; its errors stay on its trace."""
        aside.aside = why
        try:
            with self._upstreams.slot(target.upstream):
                answered = await self._upstreams.paid(
                    aside, target, headers, rules, "judge" if why == "recheck" else "call"
                )
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
                    self._upstreams.pool.give_back(answered.connection, answered.address)
        except TimeoutError:
            aside.error = paused(target.upstream)
        except PilothouseError as error:
            aside.error = error
        finally:
            aside.ended_ns = time.time_ns()
            self._record(aside)


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
