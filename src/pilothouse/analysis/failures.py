"""What failed in a trace, by status and by body: a result that says of itself that it is an error counts as one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pilothouse.records import failure_in
from pilothouse.signals.failure_text import RATE_LIMIT, said_failure, says_tool_missing

from .export import lines_of, text_of
from .fence import harmless

How = Literal["status", "body", "finish"]
_CUT_SHORT = {"length": "the answer was cut off by the limit on output tokens", "content_filter": "the provider withheld the answer"}  # fmt: skip
QUOTE_CHARS = 200
_SPANS_MAX = 50_000
_EVALUATOR_KINDS = {"evaluator", "eval", "judge"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One line of ``spans.jsonl``, as far as reading it needs."""

    line: int
    file: str
    """Relative to the export."""
    step: str
    span: str
    parent: str
    kind: str
    label: str
    status: str
    tool: str
    model: str
    agent: str
    error: str
    error_type: str
    finish_reason: str
    input: str
    output: str
    calls: tuple[str, ...] = ()
    """Ids of messages that came out."""

    @property
    def component(self) -> str:
        """Who this is, as reports name it."""
        if self.kind == "tool":
            return f"tool:{self.tool or self.label}"
        if self.kind == "model":
            return f"model:{self.model or self.label}"
        return f"{self.kind or 'step'}:{self.agent or self.label}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A step that failed."""

    step: Step
    how: How
    text: str
    """What it says, on one line, at most 400 characters."""
    quote: str
    """The beginning of it, as it stands in the file."""
    recovered: bool = False
    """True where the same component succeeded later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceFacts:
    """One trace of an export, read from its folder."""

    folder: str
    row: Mapping[str, Any]
    """Its row in the index."""
    steps: tuple[Step, ...]
    failures: tuple[Failure, ...]
    said: Mapping[str, str] = field(default_factory=dict[str, str])
    """Messages by id: role, a line break, text."""
    cut: bool = False
    """True where it has more steps than are read."""


def read_trace(export: Path, folder: str, row: Mapping[str, Any]) -> TraceFacts:
    """Read the steps of a trace and find what failed. Steps of evaluators are none of the agent's."""
    place = export / folder
    steps: list[Step] = []
    cut = False
    for line, span in lines_of(place / "spans.jsonl"):
        if len(steps) >= _SPANS_MAX:
            cut = True
            break
        if str(span.get("kind")) not in _EVALUATOR_KINDS and not span.get("duplicate_of"):
            steps.append(_step(line, f"{folder}/spans.jsonl", span, place))
    said = {
        str(message.get("id")): f"{message.get('role', '')}\n{text_of(message.get('text'), place, 4_000)}"
        for _, message in lines_of(place / "messages.jsonl")
    }
    return TraceFacts(folder=folder, row=row, steps=tuple(steps), failures=failures_of(steps), said=said, cut=cut)


def _step(line: int, file: str, span: Mapping[str, Any], place: Path) -> Step:
    def text(name: str) -> str:
        return str(span.get(name) or "")

    return Step(
        line=line,
        file=file,
        step=text("step"),
        span=text("span_id"),
        parent=text("parent"),
        kind=text("kind"),
        label=text("label"),
        status=text("status"),
        tool=text("tool"),
        model=text("model"),
        agent=text("agent"),
        error=text("error"),
        error_type=text("error_type"),
        finish_reason=text("finish_reason"),
        input=text_of(span.get("input"), place, 2_000),
        output=text_of(span.get("output"), place, 20_000),
        calls=tuple(map(str, span.get("output_messages") or ())),
    )


def failures_of(steps: Sequence[Step]) -> tuple[Failure, ...]:
    """The steps that failed, in order; where a failure was handed up to callers, only the step it came from."""
    parents = {step.span: step.parent for step in steps}
    found: list[tuple[Step, How, str]] = []
    for step in steps:
        how, words = _failed(step)
        if how:
            found.append((step, how, words))
    handed_up: set[str] = set()
    for step, _, _ in found:
        at = step.parent
        for _ in range(100):
            if not at or at in handed_up:
                break
            handed_up.add(at)
            at = parents.get(at, "")
    last_good = {step.component: number for number, step in enumerate(steps) if not _failed(step)[0]}
    places = {step.span: number for number, step in enumerate(steps)}
    return tuple(
        Failure(
            step=step,
            how=how,
            text=" ".join(harmless(words).split())[:400],
            quote=_quote(words),
            recovered=last_good.get(step.component, -1) > places[step.span],
        )
        for step, how, words in found
        if not (step.span in handed_up and how == "status")
    )


def _failed(step: Step) -> tuple[How | Literal[""], str]:
    if step.status in ("error", "soft_error"):
        words = step.error or _said(step) or step.output[:400] or step.error_type or "failed without a word"
        return "status" if step.status == "error" else "body", words
    if step.kind == "tool" and (words := _said(step)):
        return "body", words
    if step.finish_reason in _CUT_SHORT:
        return "finish", _CUT_SHORT[step.finish_reason]
    return "", ""


def _said(step: Step) -> str:
    return said_by_itself(step.output, step.tool)


def said_by_itself(output: str, tool: str) -> str:
    """Why a tool's result is a failure by its own words; empty where it is not plainly one."""
    if not output:
        return ""
    if output[:1] in "{[":
        try:
            words = failure_in(json.loads(output))
        except (ValueError, RecursionError):
            words = ""
        if words:
            return words
    if says_tool_missing(output):
        return output
    return said_failure(output, tool)


def _quote(words: str) -> str:
    return words.split("\n", 1)[0].strip()[:QUOTE_CHARS] or words.strip()[:QUOTE_CHARS]


def cause_of(failure: Failure) -> tuple[str, str]:
    """The kind of a failure by its words, and a guess at why, marked as one."""
    if failure.how == "finish":
        return "cut_off", f"{failure.step.component} ran into its limit: {failure.text}"
    return cause_of_words(f"{failure.text} {failure.step.error_type}".strip(), failure.step.component)


def cause_of_words(text: str, who: str) -> tuple[str, str]:
    """The same, from words alone."""
    words = text.lower()
    if RATE_LIMIT.search(words):
        return "rate_limit", f"{who} was asked more often than its provider allows"
    for kind, signs, guess in _CAUSES:
        if any(sign in words for sign in signs):
            return kind, guess.format(who=who)
    return "failed", f"{who} failed: {text[:200]}"


_CAUSES: tuple[tuple[str, tuple[str, ...], str], ...] = (
    (
        "tool_missing",
        ("unknown tool", "no such tool", "tool not found", "nosuchtool", "unknown function"),
        "the model called {who}, which it was not offered",
    ),
    (
        "timeout",
        ("timeout", "timed out", "deadline exceeded"),
        "{who} or what is behind it took longer than it was given",
    ),
    (
        "unreachable",
        ("connection refused", "connection reset", "unreachable", "econnrefused", "bad gateway", "service unavailable", "name or service not known", "503", "502"),
        "{who} could not reach what is behind it",
    ),
    (
        "denied",
        ("permission denied", "forbidden", "unauthorized", "unauthorised", "access denied", "401", "403"),
        "{who} was called without the right to do this",
    ),
    (
        "arguments",
        ("invalid", "validation", "must be", "missing", "required", "does not add up", "not allowed", "cannot be used", "malformed", "expected", "unexpected keyword", "typeerror", "valueerror", "keyerror"),
        "the model called {who} with arguments that it refuses",
    ),
    (
        "not_found",
        ("not found", "does not exist", "no such", "unknown", "404"),
        "the model named something to {who} that does not exist",
    ),
    (
        "not_possible",
        ("not available", "not enough", "insufficient", "unavailable", "exceeds", "out of stock", "limit"),
        "the model asked {who} for something the state of the world does not allow, without checking it first",
    ),
)  # fmt: skip
