"""The words that tell some texts from others, by counting: how often a phrase stands in these, and in how few others."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_WORD = re.compile(r"\w+(?:['’]\w+)*")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_LENGTHS = (5, 4, 3, 2, 1)
_CHARS_MAX = 20_000
"""Of each text; what offends stands near the beginning of longer ones, or is named by several."""
_SHARE_MAX = 0.02
"""A phrase that stands in more of the other texts than that tells nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Phrase:
    """Words in a row that tell texts from others."""

    words: tuple[str, ...]
    """As they are compared: in small letters, numbers as ``#``."""
    among: int
    """In how many of the texts it stands."""
    others: int
    """In how many other texts."""

    @property
    def expression(self) -> str:
        """As RE2: any case, any signs and blanks between the words, any number for a number."""
        parts = [r"\d+(?:[.,]\d+)*" if word == "#" else re.escape(word) for word in self.words]
        return r"(?i)\b" + r"\W+".join(parts) + r"\b"

    @property
    def shown(self) -> str:
        """For people."""
        return " ".join(self.words)


def distinctive(texts: Sequence[str], others: Iterable[str], *, most: int = 3) -> tuple[Phrase, ...]:
    """The phrases that tell ``texts`` from ``others`` best, together standing in as many of the texts as can be.

    Empty where every phrase is as common elsewhere.
    """
    grams = [_grams(text) for text in texts]
    among: Counter[tuple[str, ...]] = Counter()
    for found in grams:
        among.update(found)
    elsewhere: Counter[tuple[str, ...]] = Counter()
    total = 0
    for other in others:
        total += 1
        elsewhere.update(_grams(other) & among.keys())
    kept = [
        Phrase(words=words, among=count, others=elsewhere[words])
        for words, count in among.items()
        if elsewhere[words] <= _SHARE_MAX * total and _tells(words, elsewhere, total)
    ]
    kept.sort(key=lambda one: (-_worth(one, len(texts), total), one.words))
    return _covering(kept, grams, most)


def _covering(ranked: Sequence[Phrase], grams: Sequence[frozenset[tuple[str, ...]]], most: int) -> tuple[Phrase, ...]:
    """The best phrase, then the best one for what it does not reach, and so on."""
    chosen: list[Phrase] = []
    left = set(range(len(grams)))
    for one in ranked:
        reached = {number for number in left if one.words in grams[number]}
        if reached:
            chosen.append(one)
            left -= reached
        if not left or len(chosen) == most:
            break
    return tuple(chosen)


def _worth(phrase: Phrase, texts: int, others: int) -> float:
    """How much of the texts it reaches, and how rare it is elsewhere; of equals the one of three words or so."""
    rare = math.log((others + 1) / (phrase.others + 0.5)) if others else 1.0
    length = {1: 0.55, 2: 0.9, 3: 1.0, 4: 0.98, 5: 0.95}[len(phrase.words)]
    return phrase.among / texts * rare * length


def _tells(words: tuple[str, ...], elsewhere: Counter[tuple[str, ...]], total: int) -> bool:
    """Whether it is more than common words: a number, or one short word, tells nothing by itself."""
    if all(word == "#" or len(word) < 3 for word in words):
        return False
    if len(words) > 1:
        return True
    return total > 0 and all(len(word) >= 4 for word in words)


def _grams(text: str) -> frozenset[tuple[str, ...]]:
    words = [
        "#" if _NUMBER.fullmatch(word) else word
        for word in _WORD.findall(text[:_CHARS_MAX].casefold().replace("’", "'"))
    ]
    return frozenset(
        tuple(words[first : first + length]) for length in _LENGTHS for first in range(len(words) - length + 1)
    )
