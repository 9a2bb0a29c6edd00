"""Folding of what repeats: a loop of forty equal calls is read once, with how often it came again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pilothouse.traces.model import TranscriptStep

from .format import json_line

PERIOD_MAX = 6
"""Steps of the longest pattern that is recognised: a model call and a few tools."""
TIMES_MIN = 3
"""A pattern is folded from its third time on; twice is no loop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """Some steps in a row: shown, or folded because they repeat what stands just above."""

    steps: tuple[TranscriptStep, ...]
    times: int = 1
    """How often the pattern above comes again; 1 where nothing is folded."""
    period: int = 0
    """Steps of the pattern."""


def folded(steps: Sequence[TranscriptStep]) -> tuple[Stretch, ...]:
    """Cut a transcript into shown and folded stretches. No step is left out, and the order stays."""
    marks = [_mark(step) for step in steps]
    heard = [any(message.role in ("user", "system", "developer") for message in step.said) for step in steps]
    stretches: list[Stretch] = []
    shown: list[TranscriptStep] = []
    at = 0
    while at < len(steps):
        period, times = _run(marks, heard, at)
        if times < TIMES_MIN:
            shown.append(steps[at])
            at += 1
            continue
        shown += steps[at : at + period]
        stretches.append(Stretch(steps=tuple(shown)))
        shown = []
        again = steps[at + period : at + period * times]
        stretches.append(Stretch(steps=tuple(again), times=times - 1, period=period))
        at += period * times
    if shown:
        stretches.append(Stretch(steps=tuple(shown)))
    return tuple(stretches)


def _run(marks: Sequence[Any], heard: Sequence[bool], at: int) -> tuple[int, int]:
    """The shortest pattern that starts here and comes again, and how often in all.

    Where somebody says something new, it is no repeat, though the same is done: what was said must be read.
    """
    for period in range(1, PERIOD_MAX + 1):
        times = 1
        start = at + period
        while marks[start : start + period] == marks[at : at + period] and not any(heard[start : start + period]):
            times += 1
            start += period
        if times >= TIMES_MIN:
            return period, times
    return 1, 1


def _mark(step: TranscriptStep) -> tuple[Any, ...]:
    """What makes two steps the same: who, and what was asked for. Answers may differ; a failure or a word may not."""
    calls: list[str] = []
    words: list[str] = []
    for message in step.output:
        for part in message.parts:
            if part.get("type") == "tool_call":
                calls.append(f"{part.get('name')} {json_line(part.get('arguments'))}")
            elif part.get("type") == "text":
                words.append(str(part.get("text", "")))
    span = step.span
    return (span.kind, span.label, span.agent, span.failed, tuple(calls), tuple(words), step.input_value)
