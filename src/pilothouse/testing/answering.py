"""From a request to what the model does: picks the rule, counts tokens, and makes identifiers. No input or output."""

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar, cast

from pilothouse.testing.exchange import CHARACTERS_PER_TOKEN, Answer, ModelRequest, ToolCall, Usage, tokens_of
from pilothouse.testing.improvise import improvise
from pilothouse.testing.jsons import compact
from pilothouse.testing.prompt_cache import CachedTokens, PromptCache
from pilothouse.testing.script import Fault, Latency, Reply, Rule, Script
from pilothouse.testing.seeded import fingerprint, identifier, seeded

COUNTERS_MAX = 20_000
Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What the server does with one request."""

    answer: Answer | None
    """None when the call fails before the first byte."""
    fault: Fault | None = None
    delay_s: float = 0.0
    """Time to the first byte."""
    piece_s: float = 0.0
    """Pause between the pieces of a stream."""


class ScriptedModel:
    """Plays one script. Safe to call from several threads; equal requests in equal order get equal answers."""

    def __init__(self, script: Script, *, seed: int, now_s: Callable[[], float] = time.time) -> None:
        self._script = script
        self._seed = seed
        self._now_s = now_s
        self._lock = threading.Lock()
        self._cache = PromptCache(tokens_min=script.cache_tokens_min)
        self._matches: OrderedDict[tuple[int, str], int] = OrderedDict()
        self._asked: OrderedDict[str, int] = OrderedDict()

    def outcome(self, request: ModelRequest) -> Outcome:
        """Decide what happens to one request."""
        content = fingerprint(f"{request.wire}\x1f{request.model}\x1f{request.content}")
        with self._lock:
            repetition = _bump(self._asked, content)
            reply = self._scripted(request)
            rng = seeded(self._seed, content, repetition)
            reply = reply or improvise(request, rng)
            refused = reply.fault is not None and (reply.fault.after_pieces is None or not request.stream)
            # A refused call reads nothing, so it must not warm the cache either.
            cached = CachedTokens() if refused else self._cache.look(request)
        latency = reply.latency or self._script.latency_of(request.model)
        timing = {"delay_s": _delay_s(latency, seeded(self._seed, content, repetition, "latency").gauss(0, 1))}
        if refused:
            return Outcome(answer=None, fault=reply.fault, **timing)
        answer = self._answer(request, reply, cached, key=identifier(rng))
        return Outcome(answer=answer, fault=reply.fault, piece_s=latency.piece_s, **timing)

    def _scripted(self, request: ModelRequest) -> Reply | None:
        for index, rule in enumerate(self._script.rules):
            if not rule.matches(request):
                continue
            seen = _bump(self._matches, (index, request.conversation))
            if seen < rule.skip or (rule.times is not None and seen >= rule.skip + rule.times):
                continue
            return _filled(rule, request)
        return None

    def _answer(self, request: ModelRequest, reply: Reply, cached: CachedTokens, *, key: str) -> Answer:
        rng = seeded(self._seed, key)
        prefix = request.call_id_prefix
        calls = tuple(replace(call, call_id=call.call_id or prefix + identifier(rng)) for call in reply.calls)
        text, stop = _cut(reply.text, request.output_tokens_max)
        if calls and stop == "stop":
            stop = "tools"
        return Answer(
            key=key,
            model=self._script.models.get(request.model, request.model),
            text=text,
            calls=calls,
            reasoning=reply.reasoning,
            usage=reply.usage or _usage(request, reply, text, calls, cached),
            stop=stop,
            created_s=int(self._now_s()),
        )


def _bump(counters: "OrderedDict[Key, int]", key: Key) -> int:
    """Return how often the key was counted before, and count it; the key unused for longest is forgotten."""
    seen = counters.pop(key, 0)
    counters[key] = seen + 1
    if len(counters) > COUNTERS_MAX:
        counters.popitem(last=False)
    return seen


def _filled(rule: Rule, request: ModelRequest) -> Reply:
    reply = rule.reply
    found = rule.found(request) if rule.seen is not None else None
    if found is not None:
        calls = tuple(replace(call, arguments=_put(call.arguments, found)) for call in reply.calls)
        reply = replace(reply, text=_put(reply.text, found), calls=calls)
    if "{" not in reply.text:
        return reply
    result = request.new_results[-1].text if request.new_results else ""
    return replace(reply, text=reply.text.replace("{user}", request.last_user).replace("{result}", result))


def _put(value: Any, found: tuple[str, ...]) -> Any:
    """A text, or the texts in a call's arguments, with what was found."""
    if isinstance(value, str):
        for place, text in enumerate(found, 1):
            value = value.replace("{match}" if place == 1 else f"{{match{place}}}", text)
        return value
    if isinstance(value, dict):
        return {key: _put(item, found) for key, item in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [_put(item, found) for item in cast("list[Any]", value)]
    return value


def _cut(text: str, tokens_max: int | None) -> tuple[str, Literal["stop", "length"]]:
    if tokens_max is None or tokens_of(len(text)) <= tokens_max:
        return text, "stop"
    return text[: tokens_max * CHARACTERS_PER_TOKEN], "length"


def _usage(request: ModelRequest, reply: Reply, text: str, calls: tuple[ToolCall, ...], cached: CachedTokens) -> Usage:
    reasoning = tokens_of(len(reply.reasoning)) if reply.reasoning_tokens is None else reply.reasoning_tokens
    said = tokens_of(len(text)) + sum(tokens_of(len(call.name) + len(compact(call.arguments))) + 6 for call in calls)
    return Usage(
        input_tokens=max(tokens_of(len(request.content)), 1),
        cache_read_tokens=cached.read,
        cache_write_5m_tokens=cached.write_5m,
        cache_write_1h_tokens=cached.write_1h,
        output_tokens=max(said, 1) + reasoning,
        reasoning_tokens=reasoning,
    )


def _delay_s(latency: Latency, normal: float) -> float:
    return latency.median_s * math.exp(latency.spread * normal)
