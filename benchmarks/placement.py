"""What the plan costs at the tail and right after the system prompt, under the cache rules of OpenAI and Anthropic.

Every call of a run is mapped by pydantic-ai's own models to the request that would be sent, and its tokens are billed by
the providers' published rules. OpenAI: the longest prefix seen before counts as cached, in steps of 128 tokens, from
1,024 on. Anthropic: what ends at a breakpoint is written at 1.25 times the price and found again by a later breakpoint
up to 20 blocks behind it, at a tenth; at most four breakpoints. Prices are those of genai-prices; a token is four
characters. The runs have the sizes of real ones (tau-bench's airline agent, where the fixtures are) and of one long
made run. A plan has as many tasks as a run has sixth calls, and moves on at every third call.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal, cast

import genai_prices
import httpx2
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    SystemPromptPart,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.settings import ModelSettings
from pydantic_ai.tools import ToolDefinition

from pilothouse.runtime.adapters.pydantic_ai import Placement, placed
from pilothouse.runtime.plan import Plan, plan_text, update, write
from pilothouse.testing.wire import anthropic_messages, openai_chat

from .export_sizes import fixtures_folder

SEED = 20261129
Provider = Literal["openai", "anthropic"]
MODELS: dict[Provider, str] = {"openai": "gpt-5-mini", "anthropic": "claude-sonnet-4-6"}
_TOKENS_MIN = 1_024
_STEP = 128
_LOOKBACK = 20
_TOOLS = [
    ToolDefinition(
        name=f"tool_{number}",
        description="Looks something up, or changes it, in the system of record. " * 3,
        parameters_json_schema={"type": "object", "properties": {"id": {"type": "string"}}, "required": ["id"]},
    )
    for number in range(12)
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Billed:
    """Input tokens of a run by how they are billed."""

    fresh: int = 0
    read: int = 0
    written: int = 0

    def __add__(self, other: Billed) -> Billed:
        return Billed(fresh=self.fresh + other.fresh, read=self.read + other.read, written=self.written + other.written)


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way to show the plan."""

    name: str
    placement: Placement | None
    breakpoint: bool = True
    caching: bool = True
    """Anthropic alone: whether the agent's ``cache`` setting is on."""


WAYS = (
    Way(name="no plan", placement=None),
    Way(name="tail", placement="tail"),
    Way(name="tail, no breakpoint before it", placement="tail", breakpoint=False),
    Way(name="after the system prompt", placement="after_system"),
    Way(name="no plan, cache not set", placement=None, caching=False),
    Way(name="tail, cache not set", placement="tail", caching=False),
    Way(name="after the system prompt, cache not set", placement="after_system", caching=False),
)


def report() -> Iterator[str]:
    """The lines of the table."""
    shapes = {"one long run of 60 calls": [long_run(60)]}
    real = tau_runs()
    if real:
        shapes = {f"{len(real)} real runs of 4 to 30 calls": real, **shapes}
    else:
        yield "no real runs: PILOTHOUSE_FIXTURES names no folder with tau_bench; that part is left out"
    for title, runs in shapes.items():
        yield f"\n{title}: input tokens in thousands, and US dollars for input at list price"
        for provider, model in MODELS.items():
            plain = cost(provider, billed(provider, WAYS[0], runs))
            for way in WAYS:
                if provider == "openai" and (not way.caching or not way.breakpoint):
                    continue
                found = billed(provider, way, runs)
                price = cost(provider, found)
                yield (
                    f"  {model:<18}{way.name:<36}{found.fresh / 1000:>9.1f} fresh{found.read / 1000:>9.1f} read"
                    f"{found.written / 1000:>9.1f} written  ${price:.4f}  {price / plain:.2f}x"
                )


def billed(provider: Provider, way: Way, runs: Sequence[Sequence[ModelMessage]]) -> Billed:
    """The tokens of these runs, by how they are billed."""
    return sum((_bill(provider, bodies) for bodies in asyncio.run(_bodies(provider, way, runs))), Billed())


def cost(provider: Provider, tokens: Billed) -> Decimal:
    """In US dollars, by genai-prices."""
    usage = genai_prices.Usage(
        input_tokens=tokens.fresh + tokens.read + tokens.written,
        cache_read_tokens=tokens.read,
        cache_write_tokens=tokens.written,
    )
    return genai_prices.calc_price(usage, MODELS[provider], provider_id=provider).total_price


# -- runs --------------------------------------------------------------------------------------------------------------


def tau_runs() -> list[list[ModelMessage]]:
    """One trial of each task of tau-bench's airline agent, as messages; none where there are no fixtures."""
    file = fixtures_folder() / "tau_bench/gpt-4o-airline_10tasks.json"
    if not file.is_file():
        return []
    trials: dict[int, list[ModelMessage]] = {}
    for run in cast("list[dict[str, Any]]", json.loads(file.read_text())):
        trials.setdefault(run["task_id"], _messages(run["traj"]))
    return list(trials.values())


def _messages(traj: Sequence[dict[str, Any]]) -> list[ModelMessage]:
    found: list[ModelMessage] = []
    parts: list[Any] = []
    for place, one in enumerate(traj):
        text = one.get("content") or ""
        if one["role"] == "assistant":
            found.append(ModelRequest(parts=parts))
            parts = []
            calls = [
                ToolCallPart(
                    tool_name=call["function"]["name"], args=call["function"]["arguments"], tool_call_id=f"c{place}"
                )
                for call in one.get("tool_calls") or ()
            ]
            found.append(ModelResponse(parts=[*([TextPart(content=text)] if text else []), *calls]))
        elif one["role"] == "tool":
            parts.append(ToolReturnPart(tool_name=one.get("name", "tool"), content=text, tool_call_id=f"c{place - 1}"))
        else:
            parts.append(
                SystemPromptPart(content=text) if one["role"] == "system" else UserPromptPart(content=text or "-")
            )
    return found


def long_run(calls: int, seed: int = SEED) -> list[ModelMessage]:
    """A made run: a system prompt of 2,000 tokens, and tool results of 100 to 2,000 tokens."""
    chance = random.Random(seed)
    request = ModelRequest(
        parts=[
            SystemPromptPart(content="You follow the policy of the desk, to the letter. " * 160),
            UserPromptPart(content="Go through the forty open cases and settle each by the policy. " * 4),
        ]
    )
    found: list[ModelMessage] = [request]
    for number in range(calls):
        call = ToolCallPart(
            tool_name=f"tool_{number % 12}", args={"id": str(number), "why": "next case"}, tool_call_id=f"c{number}"
        )
        found.append(ModelResponse(parts=[TextPart(content="The next case. " * chance.randint(1, 20)), call]))
        text = "".join(chance.choices("abcdefgh ijklmnop", k=chance.randint(400, 8_000)))
        found.append(
            ModelRequest(parts=[ToolReturnPart(tool_name=call.tool_name, content=text, tool_call_id=f"c{number}")])
        )
    return found


def _plans(calls: int) -> Iterator[str]:
    """The plan as it stands at each call."""
    tasks = max(3, calls // 6)
    plan = write(
        Plan(request="Settle what is open."), [f"settle case {number} by the policy" for number in range(tasks)]
    )
    for call in range(calls):
        at = call // 3
        if call % 3 == 0 and at < tasks * 2:
            number = str(at // 2 + 1)
            plan = update(plan, number, "completed" if at % 2 else "in_progress", "settled" if at % 2 else "")
        yield plan_text(plan)


# -- requests as they would be sent ------------------------------------------------------------------------------------


async def _bodies(provider: Provider, way: Way, runs: Sequence[Sequence[ModelMessage]]) -> list[list[dict[str, Any]]]:
    sent: list[dict[str, Any]] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        sent.append(json.loads(request.content))
        return httpx2.Response(200, json=_ANSWERS[provider])

    async with httpx2.AsyncClient(transport=httpx2.MockTransport(answer)) as client:
        model = _model(provider, client)
        found: list[list[dict[str, Any]]] = []
        for run in runs:
            ends = [place for place, one in enumerate(run) if isinstance(one, ModelRequest)]
            for end, text in zip(ends, _plans(len(ends)), strict=True):
                messages = list(run[: end + 1])
                if way.placement is not None:
                    messages = placed(messages, text, way.placement, cached=way.breakpoint)
                settings = ModelSettings(max_tokens=1_000)
                if way.caching:
                    settings["cache"] = True
                await model.request(messages, settings, ModelRequestParameters(function_tools=_TOOLS))
            found.append(sent.copy())
            sent.clear()
    return found


def _model(provider: Provider, client: httpx2.AsyncClient) -> Model:
    if provider == "openai":
        return OpenAIChatModel(MODELS[provider], provider=OpenAIProvider(api_key="none", http_client=client))
    return AnthropicModel(MODELS[provider], provider=AnthropicProvider(api_key="none", http_client=client))


_ANSWERS: dict[Provider, dict[str, Any]] = {
    "openai": {
        "id": "x", "object": "chat.completion", "created": 1, "model": MODELS["openai"],
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "ok"}}],
    },
    "anthropic": {
        "id": "x", "type": "message", "role": "assistant", "model": MODELS["anthropic"], "stop_reason": "end_turn",
        "content": [{"type": "text", "text": "ok"}], "usage": {"input_tokens": 1, "output_tokens": 1},
    },
}  # fmt: skip


# -- how they are billed -----------------------------------------------------------------------------------------------


def _bill(provider: Provider, bodies: Sequence[dict[str, Any]]) -> Billed:
    return _openai(bodies) if provider == "openai" else _anthropic(bodies)


def _openai(bodies: Sequence[dict[str, Any]]) -> Billed:
    total, before = Billed(), ""
    for body in bodies:
        prompt = openai_chat.WIRE.read(body).content
        shared = _shared(prompt, before) // 4
        read = shared // _STEP * _STEP if shared >= _TOKENS_MIN else 0
        total += Billed(fresh=len(prompt) // 4 - read, read=read)
        before = prompt
    return total


def _shared(left: str, right: str) -> int:
    low, high = 0, min(len(left), len(right))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if left[:middle] == right[:middle] else (low, middle - 1)
    return low


def _anthropic(bodies: Sequence[dict[str, Any]]) -> Billed:
    kept: set[int] = set()
    total = Billed()
    for body in bodies:
        segments = anthropic_messages.WIRE.read(body).segments
        # Where each block ends, and the hash of everything up to there.
        ends: list[tuple[int, int]] = []
        prompt = ""
        for segment in segments:
            prompt += segment.text
            ends.append((len(prompt) // 4, hash(prompt)))
        marks = [place for place, segment in enumerate(segments) if segment.mark]
        read = max((_found(ends, mark, kept) for mark in marks), default=0)
        written = max((ends[mark][0] for mark in marks), default=0)
        written = written - read if written >= _TOKENS_MIN else 0
        kept.update(ends[mark][1] for mark in marks if ends[mark][0] >= _TOKENS_MIN)
        total += Billed(fresh=len(prompt) // 4 - read - written, read=read, written=max(0, written))
    return total


def _found(ends: Sequence[tuple[int, int]], mark: int, kept: set[int]) -> int:
    """How many tokens a breakpoint finds again."""
    for place in range(mark, max(-1, mark - _LOOKBACK), -1):
        if ends[place][1] in kept:
            return ends[place][0]
    return 0


def breakpoints(body: dict[str, Any]) -> list[str]:
    """The texts of the blocks that carry a breakpoint, for a test to read."""
    segments = anthropic_messages.WIRE.read(body).segments
    return [segment.text for segment in segments if segment.mark]


def sent_bodies(provider: Provider, way: Way, run: Sequence[ModelMessage]) -> list[dict[str, Any]]:
    """The requests of one run as they would be sent."""
    return asyncio.run(_bodies(provider, way, [run]))[0]
