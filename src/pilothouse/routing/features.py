"""What is looked at of a request to tell how hard it is: cheap to compute, the same from a request and from a stored call."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from math import log1p, sqrt
from typing import Final
from zlib import crc32

from pilothouse.records import Message

NUMBERS: Final = (
    *("all_chars", "asked_chars", "system_chars", "turns", "tools", "results", "digits", "code", "questions"),
    *("lines", "capitals", "other_scripts", "media"),
)
"""Numbers of a request: lengths and counts as logarithms, shares of the characters of what is asked."""
WORDS: Final = 512
"""Places that words are hashed into."""
CLASSES: Final = 64
"""Places that task classes are hashed into."""
_WORDS_MAX: Final = 150
_ASKED_CHARS: Final = 2_000
# Bytes: letters of other scripts are words too.
_WORD: Final = re.compile(rb"[a-z0-9\x80-\xff]{2,40}")
_KINDS: Final = (b"0123456789", b"{}()[]<>=;_/\\#`|&*$%@^~+", bytes(range(65, 91)), bytes(range(0xE0, 0x100)))
"""Digits, code, capitals, and first bytes of characters beyond the scripts of Europe and the Near East."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request as far as its difficulty is concerned."""

    messages: Sequence[Message]
    """Instructions first."""
    tools: int = 0
    """How many it offers."""
    task: str = ""
    """Its class: the task that the caller names, else its feature, else its agent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """What a model weighs."""

    numbers: tuple[float, ...]
    """In the order of :data:`NUMBERS`."""
    places: Mapping[int, float]
    """Words and task class by their place: words first, then classes."""


def task_class(task: str, feature: str, agent: str) -> str:
    """The class of a call, by what is known of it."""
    return task or feature or agent


def features_of(request: Request) -> Features:
    """The features of a request."""
    everything = system = turns = results = media = 0
    asked = ""
    for message in request.messages:
        length = 0
        for part in message.parts:
            length += len(part.text)
            results += part.type == "tool_result"
            media += part.type == "media"
        everything += length
        if message.role in ("system", "developer"):
            system += length
            continue
        turns += 1
        if message.role == "user":
            words = "\n".join(part.text for part in message.parts if part.type == "text" and part.text)
            asked = words or asked
    shown = asked[:_ASKED_CHARS]
    total = max(len(shown), 1)
    raw = shown.encode("utf-8", "surrogatepass")
    # Counted by what is left when they are taken out: a loop over characters takes ten times as long.
    digits, code, capitals, other = (len(raw) - len(raw.translate(None, kind)) for kind in _KINDS)
    found = {crc32(word) % WORDS for word in islice(_WORD.findall(raw.lower()), _WORDS_MAX)}
    weight = 1 / sqrt(len(found)) if found else 0.0
    places = dict.fromkeys(found, weight)
    if request.task:
        places[WORDS + crc32(request.task.encode("utf-8", "surrogatepass")) % CLASSES] = 1.0
    numbers = (
        *(log1p(everything), log1p(len(asked)), log1p(system), log1p(turns), log1p(request.tools), log1p(results)),
        *(digits / total, code / total, log1p(shown.count("?")), log1p(shown.count("\n"))),
        *(capitals / total, other / total, log1p(media)),
    )
    return Features(numbers=numbers, places=places)
