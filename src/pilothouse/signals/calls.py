"""Tool calls in a form in which they can be compared: who called what with what, and what came back."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from .facts import SpanFact
from .failure_text import said_failure

_LONG = 2_000
"""A text longer than this is compared as it is."""


@dataclass(slots=True, kw_only=True)
class Call:
    """One call of a tool: a span of its own, or seen in a model's answer only."""

    fact: SpanFact
    """The tool's span; the model's where the tool has none."""
    tool: str
    arguments: str
    result: str
    owner: str
    """The run of an agent that made it."""
    failure: str
    """Why it failed; empty where it did not."""
    pending: bool = False
    """What comes of it is not known yet."""
    repeats_by: tuple[str, str] = ("", "")
    """Hashes that stand for arguments and result where these are too long to be at hand."""

    @property
    def arguments_key(self) -> str:
        """Equal for equal arguments, however they are written."""
        return self.repeats_by[0] or canonical(self.arguments)

    @property
    def result_key(self) -> str:
        """Equal for equal results, times and random ids aside."""
        return self.failure or self.repeats_by[1] or steady(self.result)


def tool_call(fact: SpanFact, owner: str) -> Call:
    """The call that a tool's span is."""
    return Call(
        fact=fact,
        tool=fact.tool_name or fact.name,
        arguments=fact.input_text,
        result=fact.output_text,
        owner=owner,
        failure=failure_of(fact),
        pending=fact.status == "running",
        repeats_by=(fact.input_ref, fact.output_ref),
    )


def failure_of(fact: SpanFact) -> str:
    """Why a tool's span failed, by its status, its reading or its own words; empty where it did not."""
    if fact.status == "error":
        return fact.error_message or fact.tool_error or "failed"
    if fact.tool_error:
        return fact.tool_error
    if fact.output_ref or fact.status == "running":
        return ""
    return said_failure(fact.output_text, fact.tool_name or fact.name)


_CALL_HEAD = re.compile(r"^([A-Za-z_][\w.:/-]{0,120})\((?=\{|null\))", re.MULTILINE)


def call_heads(text: str) -> list[str]:
    """The names at the heads of lines that may be calls."""
    # Most answers are words alone, and are not read a second time.
    if "({" in text or "(null)" in text:
        return _CALL_HEAD.findall(text)
    return []


_CALL_LINE = re.compile(r"^([A-Za-z_][\w.:/-]{0,120})\((\{.*\}|null)\)$")


def calls_in_answer(fact: SpanFact, known: set[str]) -> list[tuple[str, str]]:
    """Tools and arguments of the calls in a model's answer, as :attr:`SpanFact.output_text` writes them.

    A line that looks like a call may be code that the model wrote. It counts where the answer ended in calls, where a
    tool has that name, or where there is nothing else in the answer.
    """
    text = fact.output_text
    if not call_heads(text):
        return []
    reason = fact.finish_reason.lower()
    asked = "tool" in reason or "function" in reason
    found: list[tuple[str, str]] = []
    others = False
    for line in text.split("\n"):
        match = _CALL_LINE.match(line) if line[-1:] == ")" else None
        if match is not None and (asked or match[1] in known or not reason.startswith(("stop", "end"))):
            found.append((match[1], match[2]))
        elif line.strip():
            others = True
    if others and not asked:
        found = [call for call in found if call[0] in known]
    return found


def ends_in_calls(fact: SpanFact, known: set[str]) -> bool:
    """True where a model's answer asks for tools, and so is no reply."""
    reason = fact.finish_reason.lower()
    return "tool" in reason or "function" in reason or bool(calls_in_answer(fact, known))


def calls_of_models(models: Sequence[SpanFact], known: set[str], owners: Sequence[str]) -> list[Call]:
    """The calls in the answers of models, in order; what came back is what the next call of the same run brings."""
    found: list[Call] = []
    waiting: dict[str, list[Call]] = {}
    for fact, owner in zip(models, owners, strict=True):
        for call in waiting.pop(owner, ()):
            call.result, call.pending = fact.input_text, False
            call.failure = said_failure(fact.input_text, call.tool)
        mine = [
            Call(fact=fact, tool=tool, arguments=arguments, result="", owner=owner, failure="", pending=True)
            for tool, arguments in calls_in_answer(fact, known)
        ]
        found += mine
        if len(mine) == 1:
            # Of several results only the last is at hand: which one it is cannot be told.
            waiting[owner] = mine
    return found


_memory: dict[str, str] = {}
_MEMORY_MAX = 4_096


def canonical(text: str) -> str:
    """JSON with its keys sorted, without blanks, numbers in one form; other text with its blanks joined."""
    if len(text) > _LONG:
        return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=16).hexdigest()
    known = _memory.get(text)
    if known is None:
        if len(_memory) >= _MEMORY_MAX:
            _memory.clear()
        known = _memory[text] = _canonical(text)
    return known


def _canonical(text: str) -> str:
    stripped = text.strip()
    if stripped[:1] in '{["' or stripped[:1].isdigit() or stripped[:1] == "-":
        try:
            return json.dumps(_plain(json.loads(stripped)), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        except (ValueError, RecursionError):
            pass
    return " ".join(stripped.split())


def _plain(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str):
        return " ".join(value.split())
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [_plain(item) for item in cast("list[Any]", value)]
    return value


_VOLATILE = re.compile(
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|[+-]\d\d:?\d\d)?"
    r"|\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"
    r"|\b\d{1,2}:\d\d:\d\d(?:\.\d+)?\b"
    r"|\"(?:timestamp|time|ts|at|checked_at|fetched_at|retrieved_at|now|date|request_?id|trace_?id|nonce|etag"
    r"|elapsed(?:_ms|_s)?|took(?:_ms)?|duration(?:_ms|_s)?|latency(?:_ms)?)\"\s*:\s*(?:\"[^\"]*\"|-?[\d.]+)",
    re.IGNORECASE,
)


def steady(text: str) -> str:
    """A result without what changes each time and means nothing: times, durations, random ids."""
    return canonical(_VOLATILE.sub("~", text)) if len(text) <= _LONG else text
