"""A cost in words: every number and where it comes from."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from pilothouse.records import Usage

from .cost import Cost

_NAMES: Final = {
    "input_uncached": "input, uncached",
    "cache_read": "input, read from cache",
    "cache_write_5m": "input, written to a 5-minute cache",
    "cache_write_1h": "input, written to a 1-hour cache",
    "cache_write_other": "input, written to a cache",
    "audio_input": "audio input",
    "output_text": "output",
    "reasoning": "reasoning",
    "audio_output": "audio output",
    "requests": "the call itself",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplanationLine:
    """One line of an explanation."""

    kind: str
    """``total``, ``line``, ``usage``, ``reported``, ``given``, ``other`` or ``note``."""
    text: str


def explain(cost: Cost, usage: Usage | None = None) -> tuple[ExplanationLine, ...]:
    """Why a cost is what it is: the total, a line for each bucket, the numbers as reported, and what is uncertain."""
    lines: list[ExplanationLine] = []

    def say(kind: str, text: str) -> None:
        lines.append(ExplanationLine(kind=kind, text=text))

    if cost.usd is None:
        say("total", f"no cost ({cost.source}): {cost.reason}")
    elif cost.source == "emitter":
        say("total", f"{_usd(cost.usd)} as the emitter states; {cost.reason}")
    else:
        say("total", f"{_usd(cost.usd)} by {cost.book}, {cost.model} of {cost.provider}")
        if cost.reason:
            say("note", cost.reason)
    for line in cost.lines:
        name = _NAMES.get(line.bucket, line.bucket)
        if line.bucket == "requests":
            say("line", f"{name}: {_usd(line.usd)}")
        else:
            text = f"{name}: {line.tokens:,} tokens x {_usd(line.usd_per_million)} a million = {_usd(line.usd)}"
            say("line", f"{text} ({line.rule})" if line.rule else text)
    if usage is not None:
        say("usage", f"{usage.total:,} tokens; rule: {usage.rule or 'none'}")
        for key, value in usage.reported:
            say("reported", f"{key} = {value:,}")
        if usage.scope == "aggregate":
            say("note", "an aggregate: the calls below report the same tokens again, so it enters no sum")
    if cost.source == "price book" and cost.given_usd is not None and cost.usd is not None:
        gap = cost.given_usd - cost.usd
        say("given", f"the emitter states {_usd(cost.given_usd)} ({_usd(gap, signed=True)})")
    if cost.other_usd is not None and cost.gap_usd is not None:
        say(
            "other",
            f"if the reported input does not include the cached tokens it is {_usd(cost.other_usd)} "
            f"({_usd(cost.gap_usd, signed=True)}): the emitter is not one whose habit is known",
        )
    return tuple(lines)


def _usd(amount: Decimal, *, signed: bool = False) -> str:
    """An amount without trailing zeros, never in powers of ten."""
    digits = f"{amount:f}"
    if "." in digits:
        digits = digits.rstrip("0").rstrip(".")
    sign = ""
    if digits.startswith("-"):
        sign, digits = "-", digits[1:]
    elif signed:
        sign = "+"
    return f"{sign}${digits}"
