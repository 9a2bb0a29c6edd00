"""What a judge is shown of an attempt, fitted to its context by rule.

Kept whole, always: what the user said last, the final answer, which tools were called and in which order. When that alone
does not fit, nothing is judged. Else, until it fits: results and long messages are shortened to their two ends, ever
more; then steps are left out, from the second on. What was done is said, to the judge and in the result.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from pilothouse.evals.case import Case
from pilothouse.evals.case_text import as_data
from pilothouse.evals.conversation import Turn, turns
from pilothouse.evals.observed import Observed
from pilothouse.evals.plain import list_of, mapping_of
from pilothouse.evals.recording import Recording
from pilothouse.records import canonical_json, clean

BYTES_PER_TOKEN: Final = 3
"""Fewer than models need for most texts, so that an estimate errs on the safe side."""
SHORTENED: Final = (8_000, 3_000, 1_000, 400, 150)
"""Characters that long texts are shortened to, one step after the other."""
_KEPT_CHARS: Final = 400_000
_ARGUMENTS_CHARS: Final = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing that happened."""

    what: str
    """``user``, ``assistant``, ``system``, ``call refund``, ``result of refund``."""
    text: str
    keep: bool = False
    """Never shortened, never left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcript:
    """An attempt as a judge reads it."""

    case: str
    steps: tuple[Step, ...]
    answer: str
    expected: str = ""
    """What the case expects, as JSON."""

    @property
    def id(self) -> str:
        """16 hex digits over all of it: the same attempt to any judge."""
        return hashlib.sha256(canonical_json(self.as_data()).encode("utf-8", "surrogatepass")).hexdigest()[:16]

    def as_data(self) -> dict[str, Any]:
        """Plain data, for a file."""
        return asdict(self)

    @property
    def words(self) -> int:
        """Of the final answer."""
        return len(self.answer.split())


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """A transcript as text that fits."""

    text: str
    cut: str = ""
    """What was shortened and left out, in words; empty where it is whole."""
    too_long: str = ""
    """Why it cannot be fitted; then there is no text."""


def transcript_of(case: Case, seen: Observed) -> Transcript:
    """What happened in an attempt."""
    steps: list[Step] = []
    if seen.messages and len(seen.messages) > len(case.input.messages):
        steps += steps_of(seen.messages)
    else:
        steps += steps_of(case.input.messages)
        steps += [Step(what="user", text=clean(one)) for one in case.input.turns]
        if not case.input.messages and not case.input.turns:
            steps.append(Step(what="input", text=clean(_text(case.input.data)), keep=True))
        for use in seen.tools:
            steps.append(Step(what=f"call {clean(use.name)}", text=_short(_text(use.arguments)), keep=True))
            if use.answered or use.error or use.result is not None:
                told = f"error: {use.error}" if use.error else _text(use.result)
                steps.append(Step(what=f"result of {clean(use.name)}", text=clean(told)))
    answer = seen.text or ("" if seen.output is None else _text(seen.output))
    if steps and steps[-1].what == "assistant" and steps[-1].text.strip() == clean(answer).strip():
        steps.pop()
    last = max((n for n, one in enumerate(steps) if one.what == "user"), default=None)
    if last is not None:
        steps[last] = Step(what="user", text=steps[last].text, keep=True)
    whole = as_data(case)
    expected = {key: whole[key] for key in ("checks",) if key in whole}
    if case.stubs.calls:
        expected["recorded_calls"] = [
            {"name": one.name, "arguments": one.arguments} for one in case.stubs.calls if one.arguments is not None
        ]
    told = canonical_json(expected) if any(expected.values()) else ""
    found = Transcript(case=case.id, steps=tuple(steps), answer=clean(answer), expected=clean(_short(told, 20_000)))
    return bounded(found)


def recorded(found: Recording, *, case: str) -> Transcript:
    """What was recorded of an agent at work: a session, or a decision with what led to it."""
    steps = steps_of([*found.given, *found.later])
    if not found.given:
        steps.insert(0, Step(what="input", text=clean(_text(found.data)), keep=True))
    if not any(one.what.startswith("call ") for one in steps):
        for call in found.calls:
            steps.append(Step(what=f"call {clean(call.name)}", text=_short(_text(call.arguments)), keep=True))
            told = f"error: {call.error}" if call.error else _text(call.result)
            steps.append(Step(what=f"result of {clean(call.name)}", text=clean(told)))
    answer = found.answer
    if steps and steps[-1].what == "assistant":
        answer = steps.pop().text
    last = max((n for n, one in enumerate(steps) if one.what == "user"), default=None)
    if last is not None:
        steps[last] = Step(what="user", text=steps[last].text, keep=True)
    return bounded(Transcript(case=case, steps=tuple(steps), answer=clean(answer)))


def from_data(data: Mapping[str, Any]) -> Transcript:
    """A transcript from its plain data."""
    steps = tuple(Step(**row) for one in list_of(data.get("steps")) or [] if (row := mapping_of(one)) is not None)
    return Transcript(
        case=str(data["case"]), steps=steps, answer=str(data["answer"]), expected=str(data.get("expected", ""))
    )


def fit(found: Transcript, tokens_max: int) -> Fitted:
    """The transcript within so many tokens."""
    room = tokens_max * BYTES_PER_TOKEN
    text = _written(found.steps, found.answer)
    if _bytes(text) <= room:
        return Fitted(text=text)
    least = _written([one for one in found.steps if one.keep], found.answer)
    if _bytes(least) > room:
        told = (
            f"the last message, the calls and the answer alone are about {_bytes(least) // BYTES_PER_TOKEN:,} tokens, and"
            f" {tokens_max:,} fit"
        )
        return Fitted(text="", too_long=told)
    steps: list[Step] = list(found.steps)
    shortened = 0
    for chars in SHORTENED:
        steps = [one if one.keep else Step(what=one.what, text=_short(one.text, chars)) for one in found.steps]
        shortened = sum(a.text != b.text for a, b in zip(steps, found.steps, strict=True))
        text = _written(steps, found.answer)
        if _bytes(text) <= room:
            return Fitted(text=text, cut=f"{_many(shortened, 'text')} shortened to {chars:,} characters each")
    # The first step says what it is all about, the last ones what was decided.
    kept = [True] * len(steps)
    size = _bytes(text) + 200
    for number in [*range(1, len(steps)), 0]:
        if size <= room:
            break
        if not steps[number].keep:
            kept[number] = False
            size -= _bytes(_line(steps[number]))
    left = [one for one, keep in zip(steps, kept, strict=True) if keep]
    out = len(steps) - len(left)
    text = _written(left, found.answer, gap=f"[{_many(out, 'step')} left out between]")
    if _bytes(text) > room:
        return Fitted(text="", too_long=f"it does not fit {tokens_max:,} tokens, whatever is left out")
    cut = f"{_many(out, 'step')} left out, {_many(shortened, 'text')} shortened to {SHORTENED[-1]} characters each"
    return Fitted(text=text, cut=cut)


def steps_of(messages: Sequence[Mapping[str, Any]]) -> list[Step]:
    """What happened in a conversation, message by message."""
    return steps_in(turns(messages))


def steps_in(found: Sequence[Turn]) -> list[Step]:
    """The same, of messages that are read already."""
    steps: list[Step] = []
    for turn in found:
        if turn.text:
            steps.append(Step(what=clean(turn.role), text=clean(turn.text)))
        steps += [
            Step(what=f"call {clean(one.name)}", text=_short(_text(one.arguments)), keep=True) for one in turn.calls
        ]
        steps += [
            Step(what=f"result of {clean(one.name)}", text=clean(("error: " if one.error else "") + _text(one.content)))
            for one in turn.results
        ]
    return steps


def bounded(found: Transcript) -> Transcript:
    """What is kept on disk: a session of many megabytes is shortened as for a judge with a very large context."""
    if sum(len(one.text) for one in found.steps) <= _KEPT_CHARS:
        return found
    share = max(200, _KEPT_CHARS // max(1, len(found.steps)))
    steps = [one if one.keep else Step(what=one.what, text=_short(one.text, share)) for one in found.steps]
    return Transcript(case=found.case, steps=tuple(steps), answer=found.answer, expected=found.expected)


def _written(steps: Sequence[Step], answer: str, *, gap: str = "") -> str:
    lines = [_line(one) for one in steps]
    if gap:
        lines.insert(min(1, len(lines)), gap + "\n")
    return "".join(lines) + "[final answer]\n" + (answer or "(none: the agent gave no answer)")


def _line(step: Step) -> str:
    return f"[{step.what}]\n{step.text}\n"


def _short(text: str, chars: int = _ARGUMENTS_CHARS) -> str:
    text = clean(text)
    if len(text) <= chars:
        return text
    head = chars * 2 // 3
    tail = chars - head
    return f"{text[:head]} […{len(text) - chars:,} characters cut…] {text[-tail:]}"


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value, ensure_ascii=False, default=str)


def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "replace"))


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
