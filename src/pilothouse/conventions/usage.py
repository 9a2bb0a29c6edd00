"""Token counts as disjoint buckets, whatever the emitter's habits.

Two habits share one name: some emitters count cached tokens inside the input (OpenAI, the OTel convention), some
beside it (Anthropic's and Bedrock's own numbers). The emitter decides; the numbers can prove it wrong; where neither
decides, the input is read as inclusive and the usage is marked ambiguous.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pilothouse.records import Usage, UsageScope

from . import values
from .draft import Draft

Slot = Literal[
    "input",
    "output",
    "total",
    "cache_read",
    "cache_write",
    "cache_write_5m",
    "cache_write_1h",
    "reasoning",
    "audio_input",
    "audio_output",
]
Habit = Literal["inclusive", "exclusive", "unknown"]
"""Whether the input count holds the cached tokens."""

_MAIN_SLOTS = ("input", "output", "total", "cache_read", "cache_write", "cache_write_5m", "cache_write_1h")

_INCLUSIVE_PROVIDERS = frozenset(
    {"openai", "azure", "google", "deepseek", "x-ai", "groq", "mistral", "openrouter", "cohere", "together"}
)
"""Providers whose own input count includes cached tokens: copied or converted, the meaning is the same."""


@dataclass(slots=True)
class Counts:
    """What an emitter reported, by meaning, before any rule."""

    input: int | None = None
    output: int | None = None
    total: int | None = None
    cache_read: int | None = None
    cache_write: int | None = None
    cache_write_5m: int | None = None
    cache_write_1h: int | None = None
    reasoning: int | None = None
    audio_input: int | None = None
    audio_output: int | None = None
    reported: list[tuple[str, int]] = field(default_factory=list[tuple[str, int]])
    malformed: list[str] = field(default_factory=list[str])

    def take(self, slot: Slot, key: str, value: Any) -> None:
        """Take a value for a slot; the first good one wins, and one that is no count is noted."""
        if value is None:
            return
        found = values.count(value)
        if found is None:
            self.malformed.append(key)
            return
        if getattr(self, slot) is None:
            setattr(self, slot, found)
            self.reported.append((key, found))


class CountTable:
    """Which attribute holds which count; of several for one slot the first good one wins."""

    __slots__ = ("_places",)

    def __init__(self, keys: Iterable[tuple[str, Slot]]) -> None:
        self._places: dict[str, tuple[int, Slot]] = {key: (rank, slot) for rank, (key, slot) in enumerate(keys)}

    def take(self, attributes: Mapping[str, Any]) -> Counts:
        """The counts among the attributes. A span has few of the many keys, so they are looked up once."""
        counts = Counts()
        for key in sorted(attributes.keys() & self._places.keys(), key=self._places.__getitem__):
            counts.take(self._places[key][1], key, attributes[key])
        return counts


def settle_usage(
    draft: Draft,
    counts: Counts,
    *,
    rule: str,
    habit: Habit = "unknown",
    reasoning_apart: bool = False,
    scope: UsageScope = "leaf",
) -> None:
    """Put the counts into the draft as disjoint buckets, with notes where numbers contradict each other.

    ``reasoning_apart``: the emitter's output count does not hold the reasoning tokens (Gemini's own numbers). A span
    that reports nothing but zeros has no usage: nothing is known about its tokens.
    """
    for key in counts.malformed:
        draft.note(f"{key} is not a token count and was left out")
    if draft.usage is not None or not any(getattr(counts, slot) is not None for slot in _MAIN_SLOTS):
        # Details alone, such as reasoning tokens on a step that is no call, are no usage.
        return
    if not any(value for _, value in counts.reported):
        draft.note("the emitter reports zero tokens: usage is unknown")
        return
    if habit == "unknown" and draft.provider in _INCLUSIVE_PROVIDERS:
        habit = "inclusive"
    cache_read = counts.cache_read or 0
    write_5m, write_1h, write_other = _writes(draft, counts)
    cached = cache_read + write_5m + write_1h + write_other
    reasoning = counts.reasoning or 0
    output = _output(draft, counts, reasoning, reasoning_apart)
    total_input, reading, ambiguous = _input(draft, counts, cached, output, habit)
    audio_input = counts.audio_input or 0
    uncached = total_input - cached
    if audio_input > uncached:
        draft.note(
            f"{audio_input} audio input tokens do not fit into {uncached} uncached input tokens: "
            "the rest is taken to be cached"
        )
        audio_input = uncached
    audio_output = counts.audio_output or 0
    if audio_output > output - reasoning:
        draft.note(f"{audio_output} audio output tokens do not fit into {output - reasoning} output tokens")
        audio_output = output - reasoning
    usage = Usage(
        input_uncached=uncached - audio_input,
        cache_read=cache_read,
        cache_write_5m=write_5m,
        cache_write_1h=write_1h,
        cache_write_other=write_other,
        audio_input=audio_input,
        output_text=output - reasoning - audio_output,
        reasoning=reasoning,
        audio_output=audio_output,
        scope=scope,
        rule=f"{rule}: {reading}",
        ambiguous=ambiguous,
        reported=tuple(counts.reported),
    )
    if usage.total:
        draft.usage = usage


def _writes(draft: Draft, counts: Counts) -> tuple[int, int, int]:
    """Cache writes of five minutes, of an hour, and of unstated life."""
    write_5m = counts.cache_write_5m or 0
    write_1h = counts.cache_write_1h or 0
    if counts.cache_write is None:
        return write_5m, write_1h, 0
    rest = counts.cache_write - write_5m - write_1h
    if rest < 0:
        draft.note(
            f"cache writes by lifetime ({write_5m} + {write_1h}) exceed the cache writes reported "
            f"({counts.cache_write}): the parts are used"
        )
        rest = 0
    return write_5m, write_1h, rest


def _output(draft: Draft, counts: Counts, reasoning: int, reasoning_apart: bool) -> int:
    """All output tokens, reasoning included."""
    output = counts.output
    if output is None:
        if counts.total is not None and counts.input is not None and counts.total >= counts.input:
            return max(counts.total - counts.input, reasoning)
        return reasoning + (counts.audio_output or 0)
    if reasoning > output:
        if not reasoning_apart:
            draft.note(f"{reasoning} reasoning tokens exceed {output} output tokens: they are counted apart")
        return output + reasoning
    if not reasoning or not reasoning_apart:
        return output
    if counts.total is not None and counts.input is not None and counts.total == counts.input + output:
        return output
    return output + reasoning


def _input(draft: Draft, counts: Counts, cached: int, output: int, habit: Habit) -> tuple[int, str, bool]:
    """All input tokens, how the emitter's count was read, and whether another reading fits as well."""
    given = counts.input
    if given is None:
        if counts.total is not None and counts.total >= output + cached:
            return counts.total - output, "input is the total less the output", False
        return cached + (counts.audio_input or 0), "no input count", False
    if not cached:
        return given, "nothing cached", False
    if cached > given:
        if habit == "inclusive":
            draft.note(f"{cached} cached tokens exceed {given} input tokens: the input is read as without them")
        return given + cached, "input is without cache (more is cached than input)", False
    if habit == "exclusive":
        return given + cached, "input is without cache", False
    if habit == "inclusive":
        return given, "input includes cache", False
    if counts.total is not None and counts.total == given + output + cached:
        return given + cached, "input is without cache (the total adds it)", False
    return given, "input includes cache (assumed)", True


def as_aggregate(usage: Usage) -> Usage:
    """The same usage as a repeat of what descendants report."""
    if usage.scope == "aggregate":
        return usage
    return Usage(
        input_uncached=usage.input_uncached,
        cache_read=usage.cache_read,
        cache_write_5m=usage.cache_write_5m,
        cache_write_1h=usage.cache_write_1h,
        cache_write_other=usage.cache_write_other,
        audio_input=usage.audio_input,
        output_text=usage.output_text,
        reasoning=usage.reasoning,
        audio_output=usage.audio_output,
        scope="aggregate",
        rule=usage.rule,
        ambiguous=usage.ambiguous,
        reported=usage.reported,
    )
