"""How many tokens of a prompt a provider's cache would have known.

Two behaviours. Implicit (OpenAI, Gemini): the longest prefix shared with an earlier call of the same conversation,
in steps of 128 tokens. Explicit (Anthropic): only prefixes that end at a marked piece are written, and any piece
boundary of a later prompt may find them.
"""

import itertools
from collections import OrderedDict
from dataclasses import dataclass
from typing import TypeVar

from pilothouse.testing.exchange import ModelRequest, tokens_of
from pilothouse.testing.seeded import fingerprint

CONVERSATIONS_MAX = 2_000
STEP_TOKENS = 128
Kept = TypeVar("Kept", list[str], set[str])


@dataclass(frozen=True, kw_only=True)
class CachedTokens:
    """The parts of one prompt that a cache served or kept."""

    read: int = 0
    write_5m: int = 0
    write_1h: int = 0


class PromptCache:
    """Remembers the prompts of each conversation, the oldest conversation forgotten first. Not thread-safe."""

    def __init__(self, *, tokens_min: int) -> None:
        self._tokens_min = tokens_min
        self._prompts: OrderedDict[str, list[str]] = OrderedDict()
        self._prefixes: OrderedDict[str, set[str]] = OrderedDict()

    def look(self, request: ModelRequest) -> CachedTokens:
        """Count what the cache knows of this prompt, and remember the prompt."""
        return self._explicit(request) if request.explicit_cache else self._implicit(request)

    def _implicit(self, request: ModelRequest) -> CachedTokens:
        earlier = _entry(self._prompts, request.conversation, list[str])
        prompt = request.content
        shared = max((_shared_length(prompt, other) for other in earlier), default=0) // 4
        if prompt not in earlier:
            earlier.append(prompt)
            del earlier[:-8]
        # The whole prompt is never a hit: a provider always reads at least the last step anew.
        known = min(shared, tokens_of(len(prompt)) - 1) // STEP_TOKENS * STEP_TOKENS
        return CachedTokens(read=known) if known >= self._tokens_min else CachedTokens()

    def _explicit(self, request: ModelRequest) -> CachedTokens:
        kept = _entry(self._prefixes, request.conversation, set[str])
        lengths = list(itertools.accumulate(len(segment.text) for segment in request.segments))
        prompt = request.content
        marked = [index for index, segment in enumerate(request.segments) if segment.mark]
        if not marked:
            return CachedTokens()
        boundaries = range(marked[-1], -1, -1)
        hit = next((index for index in boundaries if fingerprint(prompt[: lengths[index]]) in kept), None)
        read = tokens_of(lengths[hit]) if hit is not None else 0
        position = read
        writes = {"5m": 0, "1h": 0}
        for index in marked:
            end = tokens_of(lengths[index])
            if end < self._tokens_min:
                continue
            kept.add(fingerprint(prompt[: lengths[index]]))
            writes[request.segments[index].mark] += max(end - position, 0)
            position = max(position, end)
        return CachedTokens(read=read, write_5m=writes["5m"], write_1h=writes["1h"])


def _entry(store: "OrderedDict[str, Kept]", key: str, make: type[Kept]) -> Kept:
    value = store.setdefault(key, make())
    store.move_to_end(key)
    while len(store) > CONVERSATIONS_MAX:
        store.popitem(last=False)
    return value


def _shared_length(left: str, right: str) -> int:
    limit = min(len(left), len(right))
    if left[:limit] == right[:limit]:
        return limit
    return next(index for index in range(limit) if left[index] != right[index])
