"""What two calls' prompts have in common, and why they part: plain rules, without a store."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

_TIME: Final = re.compile(
    r"\d{4}-\d{2}-\d{2}|\d{1,2}:\d{2}(:\d{2})?|\b\d{10,13}\b|\b\d{1,2}[./]\d{1,2}[./]\d{2,4}\b"
    r"|\b(mon|tues|wednes|thurs|fri|satur|sun)day\b|\b(january|february|march|april|june|july|august|september|october"
    r"|november|december)\b",
    re.IGNORECASE,
)
_ID: Final = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|\b[0-9a-f]{12,64}\b", re.IGNORECASE
)
_WORD: Final = re.compile(r"[\w:./+-]*$")
_AROUND: Final = 40
_MINIMUM: Final = 1_024
_SHORT_S: Final = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """One message, as far as it matters here."""

    role: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Parting:
    """Where two prompts part."""

    message: int
    """The first that differs, from 0; the length of the shorter where it is all of it."""
    role: str = ""
    offset: int | None = None
    before: str = ""
    after: str = ""
    cause: str = ""
    """``time``, ``id`` or ``text``."""


def minimum_tokens(provider: str, model: str) -> int:
    """Tokens that a prefix needs to be cached, as the providers document it."""
    name = model.lower()
    if "claude" in name or provider == "anthropic":
        if re.search(r"(opus-4-[5-9]|haiku-4-[5-9])", name.replace(".", "-")):
            return 4_096
        return 2_048 if "haiku" in name or re.search(r"sonnet-4-[6-9]", name.replace(".", "-")) else _MINIMUM
    if "gemini" in name:
        return 4_096 if "pro" in name else _MINIMUM
    return _MINIMUM


def lifetime_s(provider: str, model: str, *, long: bool) -> float:
    """Seconds after its last use that a prefix is still there. ``long``: it was written to a cache of an hour."""
    if "claude" in model.lower() or provider == "anthropic":
        return 3_600.0 if long else _SHORT_S
    # Five to ten minutes without use, by OpenAI's account.
    return 600.0


def common(one: Sequence[str], other: Sequence[str]) -> int:
    """How many messages at the beginning are the same."""
    length = 0
    for mine, yours in zip(one, other, strict=False):
        if mine != yours:
            break
        length += 1
    return length


def part(refs: Sequence[str], before: Sequence[str], same: int, texts: Mapping[str, Text]) -> Parting | None:
    """Where a prompt leaves the one before it; None where it only goes on from it."""
    if same >= len(before):
        return None
    if same >= len(refs):
        return Parting(message=same, cause="text")
    then, now = texts.get(before[same]), texts.get(refs[same])
    if then is None or now is None:
        return Parting(message=same, role=now.role if now else "")
    offset = _shared(then.text, now.text)
    return Parting(
        message=same,
        role=now.role,
        offset=offset,
        before=_around(then.text, offset),
        after=_around(now.text, offset),
        cause=_cause(then.text, now.text, offset),
    )


def alike(one: str, other: str) -> bool:
    """Whether two system texts are two states of one: equal without their digits, or the same for a third of them."""
    if _TIME.sub("", _ID.sub("", one)) == _TIME.sub("", _ID.sub("", other)):
        return True
    shared = _shared(one, other) + _shared(one[::-1], other[::-1])
    return shared >= max(len(one), len(other)) / 3


def _shared(one: str, other: str) -> int:
    """How many characters at the beginning are the same: halved until it is found, since texts are long."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _cause(then: str, now: str, offset: int) -> str:
    """What changes: the token around the first character that differs, in both."""
    values = [_token(text, offset) for text in (then, now)]
    if all(_ID.search(value) for value in values):
        return "id"
    return "time" if all(_TIME.search(value) for value in values) else "text"


def _token(text: str, offset: int) -> str:
    begins = _WORD.search(text[max(0, offset - 64) : offset])
    start = offset - (len(begins[0]) if begins else 0)
    # A little before and after: "Friday, 3 July" differs in its first word.
    return text[max(0, start - 12) : offset + 40]


def _around(text: str, offset: int) -> str:
    return text[max(0, offset - _AROUND) : offset + _AROUND]
