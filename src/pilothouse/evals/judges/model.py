"""One question to a judge's model, over HTTP: any address that speaks OpenAI's chat completions or Anthropic's messages."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from pilothouse.costs import PriceBook
from pilothouse.evals.plain import list_of, mapping_of
from pilothouse.otlp.destination import find_destination
from pilothouse.records import NotAllowed, PilothouseError, Unreachable, Usage

from .settings import Judge

OUTPUT_TOKENS_MAX: Final = 2_000
RETRIES: Final = 2
THREADS: Final = 64
"""Questions under way at once, of all judges together."""
_BODY_BYTES_MAX: Final = 4 << 20
_WAIT_S_MAX: Final = 20.0
_book = PriceBook()


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a model answered."""

    text: str
    input_tokens: int
    output_tokens: int
    usd: float | None
    """None where its price is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    url: str
    headers: Mapping[str, str]


async def ask(
    judge: Judge, messages: Sequence[Mapping[str, str]], *, sample: int = 0, output_tokens_max: int = OUTPUT_TOKENS_MAX
) -> Said:
    """Ask once; again where the other side says that it is overloaded or broken.

    Raises:
        Unreachable: it does not answer, or not with an answer; ``Down`` where it may answer later.
        NotAllowed: the variable of its key is not set.
    """
    place = _place(judge)
    body = _body(judge, messages, sample, output_tokens_max)
    for attempt in range(RETRIES + 1):
        try:
            answer = await _in_time(judge.timeout_s, place, body)
            return _said(judge, answer)
        except TimeoutError as error:
            raise TooLate("the judge did not answer in time", got=f"{judge.timeout_s:g} s") from error
        except _Again as again:
            if attempt == RETRIES:
                raise Down(f"the judge failed: {again.why}", got=judge.model) from again
            await asyncio.sleep(min(_WAIT_S_MAX, again.after_s if again.after_s is not None else 0.5 * 2**attempt))
    raise AssertionError("unreachable")


def price_of(judge: Judge, input_tokens: int, output_tokens: int) -> float | None:
    """USD of so many tokens; None where the price is not known."""
    if judge.price is not None:
        return (input_tokens * judge.price[0] + output_tokens * judge.price[1]) / 1e6
    usage = Usage(input_uncached=input_tokens, output_text=output_tokens)
    cost = _book.price(usage, model=judge.model, provider=judge.api, at_ns=time.time_ns())
    return None if cost.usd is None else float(cost.usd)


async def _in_time(timeout_s: float, place: _Place, body: Mapping[str, Any]) -> Any:
    """Post, in a thread of the judges' own. The time runs from when a thread is free: waiting for one is no slow judge."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(None) as bound:

        def begin() -> None:
            # Too late where the question was given up meanwhile.
            with contextlib.suppress(RuntimeError):
                bound.reschedule(loop.time() + timeout_s)

        def post() -> Any:
            loop.call_soon_threadsafe(begin)
            return _post(place, body, timeout_s)

        return await loop.run_in_executor(_threads(), post)


@cache
def _threads() -> ThreadPoolExecutor:
    # Not those of the loop: there are six on two cores, and agents that are plain functions run in them.
    return ThreadPoolExecutor(THREADS, thread_name_prefix="judge")


class Down(Unreachable):
    """It cannot be reached, is overloaded or broken: the same question may be answered later."""


class TooLate(Down):
    """The question was sent, and no answer came in time: it may have been paid for."""


class _Again(Exception):
    """The other side may answer if it is asked again."""

    def __init__(self, why: str, after_s: float | None = None) -> None:
        super().__init__(why)
        self.why, self.after_s = why, after_s


def _place(judge: Judge) -> _Place:
    key = ""
    if judge.key:
        name = judge.key.removeprefix("env:")
        key = os.environ.get(name, "")
        if not key:
            raise NotAllowed(
                f"judge {judge.name}: the variable of its key is not set", got=name, fix=f"export {name}=…"
            )
    url = judge.url
    if not url:
        server = find_destination("", "", os.environ)
        url = server.endpoint.rstrip("/") + ("/gateway/anthropic" if judge.api == "anthropic" else "/gateway/openai/v1")
        key = key or server.key
    headers = {"content-type": "application/json", **({"x-pilothouse-agent": judge.agent} if judge.agent else {})}
    if judge.api == "anthropic":
        url = url if url.endswith("/v1") else f"{url}/v1"
        headers |= {"anthropic-version": "2023-06-01", **({"x-api-key": key} if key else {})}
        return _Place(url=f"{url}/messages", headers=headers)
    return _Place(url=f"{url}/chat/completions", headers=headers | ({"authorization": f"Bearer {key}"} if key else {}))


def _body(judge: Judge, messages: Sequence[Mapping[str, str]], sample: int, output_tokens_max: int) -> dict[str, Any]:
    body: dict[str, Any] = {"model": judge.model}
    if judge.temperature is not None:
        body["temperature"] = judge.temperature
    if judge.api == "anthropic":
        system = "\n\n".join(one["content"] for one in messages if one["role"] == "system")
        rest = [dict(one) for one in messages if one["role"] != "system"]
        return {**body, "max_tokens": output_tokens_max, "system": system, "messages": rest}
    if judge.seed is not None:
        # Samples with one seed would be one sample.
        body["seed"] = judge.seed + sample
    return {**body, "messages": [dict(one) for one in messages]}


def _post(place: _Place, body: Mapping[str, Any], timeout_s: float) -> Any:
    data = json.dumps(body).encode("utf-8", "replace")
    request = urllib.request.Request(place.url, data=data, headers=dict(place.headers))  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=timeout_s) as answer:  # noqa: S310
            said = answer.read(_BODY_BYTES_MAX + 1)
    except urllib.error.HTTPError as error:
        told = error.read(500).decode("utf-8", "replace")
        if error.code in (408, 409, 429) or error.code >= 500:
            raise _Again(f"it answered {error.code}", _after(error.headers.get("Retry-After"))) from error
        raise Unreachable(f"the judge's model answered {error.code}", got=told, fix="temperature: null leaves it out" if "temperature" in told else None) from error  # fmt: skip
    except TimeoutError as error:
        raise TooLate("the judge did not answer in time", got=f"{timeout_s:g} s") from error
    except OSError as error:
        raise _Again(f"it cannot be reached: {error}") from error
    if len(said) > _BODY_BYTES_MAX:
        raise Unreachable(f"the judge's answer is larger than {_BODY_BYTES_MAX >> 20} MB", got=place.url)
    try:
        return json.loads(said)
    except (ValueError, RecursionError) as error:
        raise Unreachable("the judge's address answers no JSON", got=said[:200].decode("utf-8", "replace")) from error


def _after(text: str | None) -> float | None:
    try:
        return max(0.0, float(text)) if text else None
    except ValueError:
        return None


def _said(judge: Judge, answer: Any) -> Said:
    row = mapping_of(answer) or {}
    usage = mapping_of(row.get("usage")) or {}
    if judge.api == "anthropic":
        parts = [mapping_of(one) or {} for one in list_of(row.get("content")) or []]
        text = "".join(str(one.get("text", "")) for one in parts if one.get("type") == "text")
    else:
        choices = list_of(row.get("choices")) or [None]
        message = mapping_of((mapping_of(choices[0]) or {}).get("message")) or {}
        text = message.get("content") or ""
        if not isinstance(text, str):
            text = ""
    given = _count(usage, "prompt_tokens", "input_tokens") + _count(usage, "cache_read_input_tokens") + _count(usage, "cache_creation_input_tokens")  # fmt: skip
    made = _count(usage, "completion_tokens", "output_tokens")
    return Said(text=text, input_tokens=given, output_tokens=made, usd=price_of(judge, given, made))


def _count(usage: Mapping[str, Any], *names: str) -> int:
    for name in names:
        value = usage.get(name)
        if isinstance(value, int) and not isinstance(value, bool):
            return max(0, value)
    return 0


def told(error: PilothouseError) -> str:
    """An error in one sentence."""
    return error.message if error.got is None else f"{error.message} (got {error.got})"[:600]
