"""A catalogue of tools behind a search: a model with a hundred tools is shown the few it works with.

Ranking is lexical (BM25 over the parts of names, descriptions and parameters): no model, no index to keep.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from typing import Any, Final

SEARCH_MAX: Final = 8
_NAME_WEIGHT: Final = 3
_SAID_CHARS: Final = 160
_SURE: Final = 0.78
"""From this likeness on a name is taken for a misspelt or renamed one …"""
_APART: Final = 0.12
"""… where the next best is so much less like it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolEntry:
    """One tool of the catalogue."""

    name: str
    description: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """JSON Schema of its arguments."""

    @property
    def line(self) -> str:
        """Name, arguments and the first sentence: what a search shows."""
        properties: Mapping[str, Any] = self.parameters.get("properties", {})
        required = set(self.parameters.get("required", ()))
        arguments = ", ".join(name if name in required else f"{name}?" for name in list(properties)[:8])
        said = re.split(r"(?<=[.!?])\s|\n", self.description.strip(), maxsplit=1)[0]
        return f"{self.name}({arguments}): {said[:_SAID_CHARS]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """What a name that was called may mean."""

    name: str = ""
    """The tool, where it is beyond doubt; else empty."""
    near: tuple[str, ...] = ()
    """The nearest names, the best first."""


class ToolCatalogue:
    """Tools by name, searchable."""

    def __init__(self, entries: Iterable[ToolEntry], *, renamed: Mapping[str, str] | None = None) -> None:
        """Index them. ``renamed`` maps names of earlier versions to those of today."""
        self.entries = {entry.name: entry for entry in entries}
        self._renamed = dict(renamed or {})
        self._counts: dict[str, Counter[str]] = {}
        for entry in self.entries.values():
            words = Counter(dict.fromkeys(_words(entry.name), _NAME_WEIGHT))
            words.update(_words(entry.description))
            words.update(word for name in entry.parameters.get("properties", {}) for word in _words(name))
            self._counts[entry.name] = words
        self._lengths = {name: sum(counts.values()) for name, counts in self._counts.items()}
        self._mean = sum(self._lengths.values()) / max(len(self._lengths), 1) or 1.0
        self._spread = Counter(word for counts in self._counts.values() for word in counts)

    def __len__(self) -> int:
        return len(self.entries)

    def search(self, query: str, limit: int = SEARCH_MAX) -> list[ToolEntry]:
        """The tools that a query speaks of, the best first; empty where none has a word of it."""
        if query.strip() in self.entries:
            return [self.entries[query.strip()]]
        scores = {name: self._score(_words(query), name) for name in self.entries}
        ranked = sorted((name for name, score in scores.items() if score > 0), key=lambda name: (-scores[name], name))
        return [self.entries[name] for name in ranked[:limit]]

    def resolve(self, name: str, others: Sequence[str] = ()) -> Resolved:
        """What a name means that was called: the tool, one of ``others`` (offered already), or the nearest there are.

        The same letters in another spelling, and a name on the list of renamed ones, are beyond doubt; likeness is
        where nothing else comes near.
        """
        known = [*self.entries, *(other for other in others if other not in self.entries)]
        wanted = name.strip().removeprefix("functions.").removeprefix("tools.")
        wanted = self._renamed.get(wanted, wanted)
        if wanted in known:
            return Resolved(name=wanted, near=(wanted,))
        same = [one for one in known if _plain(one) == _plain(wanted)]
        if len(same) == 1:
            return Resolved(name=same[0], near=(same[0],))
        likeness = sorted(((_alike(wanted, one), one) for one in known), key=lambda pair: (-pair[0], pair[1]))
        near = tuple(one for score, one in likeness[:5] if score >= 0.35)
        best = likeness[0][0] if likeness else 0.0
        second = likeness[1][0] if len(likeness) > 1 else 0.0
        sure = best >= _SURE and best - second >= _APART
        return Resolved(name=likeness[0][1] if sure else "", near=near)

    def _score(self, words: Sequence[str], name: str) -> float:
        counts, length = self._counts[name], self._lengths[name]
        total = len(self.entries)
        score = 0.0
        for word in set(words):
            count = counts[word]
            if count:
                rare = math.log(1 + (total - self._spread[word] + 0.5) / (self._spread[word] + 0.5))
                score += rare * count * 2.2 / (count + 1.2 * (0.25 + 0.75 * length / self._mean))
        return score


def _words(text: str) -> list[str]:
    parted = re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", text)
    return [_stem(word) for word in re.findall(r"[^\W_]+", parted.casefold()) if word not in _SMALL]


def _stem(word: str) -> str:
    for ending in ("ings", "ing", "ies", "ers", "ed", "es", "er", "s"):
        if len(word) - len(ending) >= 3 and word.endswith(ending):
            return word.removesuffix(ending)
    return word.removesuffix("e") if len(word) > 3 else word


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", name.casefold())


def _alike(a: str, b: str) -> float:
    """From 0 to 1: by letters, and by the words in them, whatever their order."""
    mine, other = set(_words(a)), set(_words(b))
    shared = len(mine & other) / max(len(mine | other), 1)
    letters = SequenceMatcher(None, _plain(a), _plain(b)).ratio()
    return max(letters, 0.4 * letters + 0.6 * shared)


_SMALL: Final = frozenset("a an and as at by for from in into is it of on or the this that to with you your".split())  # noqa: SIM905
