"""Questions in other words: what has to be equal, an embedder that needs no model, and the nearest of a bounded number.

The offline embedder hashes words and runs of letters. It knows no synonyms: it finds the same words in another order,
form or politeness, and nothing more. With a model's embeddings, the facts that must be equal are what keeps it honest.
"""

from __future__ import annotations

import hashlib
import math
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import mul
from typing import Any, Final, cast
from zlib import crc32

import orjson

from pilothouse.store.cache_store import Question

from .facts import content_of, facts_of

DIMENSIONS: Final = 512
QUESTION_CHARS_MAX: Final = 4_000
"""A longer question is not compared: what it asks is not one thing."""
_NOT_COMPARED: Final = frozenset(("stream", "stream_options", "user", "metadata", "safety_identifier", "model"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request, taken apart for comparing it by meaning."""

    together: str
    """Hash of all that has to be equal."""
    question: str
    """The last thing the user said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Near:
    """The question that is nearest."""

    question: Question
    similarity: float


def asked_of(body: Mapping[str, Any], about: Sequence[str], *, same_words: bool) -> Asked | None:
    """Take a request apart; None where it does not end with a plain text of its user.

    ``about``: who shares answers, and the endpoint. System text, tools, parameters and all earlier turns are equal by their
    hash, and so are the facts of the question; with ``same_words``, the words that carry what it is about too.
    """
    field = "messages" if "messages" in body else "input"
    given: Any = body.get(field)
    if isinstance(given, str):
        question, earlier = given, cast("list[Any]", [])
    elif isinstance(given, list) and given and isinstance(given[-1], dict):
        last, earlier = cast("dict[str, Any]", given[-1]), cast("list[Any]", given[:-1])
        text = _text(last.get("content"))
        if last.get("role") != "user" or text is None:
            return None
        question = text
    else:
        return None
    if not question.strip() or len(question) > QUESTION_CHARS_MAX:
        return None
    rest = {name: value for name, value in body.items() if name not in _NOT_COMPARED and name != field}
    digest = hashlib.sha256()
    try:
        for part in (*about, *facts_of(question), *(sorted(content_of(question)) if same_words else ())):
            digest.update(part.encode() + b"\0")
        digest.update(orjson.dumps([rest, earlier], option=orjson.OPT_SORT_KEYS))
    except (UnicodeEncodeError, TypeError):
        return None
    return Asked(together=digest.hexdigest(), question=question)


def embed_offline(text: str) -> array[float]:
    """Words, pairs of words and runs of three to five letters, hashed into a vector of length 1."""
    vector = [0.0] * DIMENSIONS
    content = content_of(text)
    words = [word for word in "".join(c.lower() if c.isalnum() else " " for c in text).split() if word]
    for number, word in enumerate(words):
        _put(vector, f"w {word}", 1.0)
        if number:
            _put(vector, f"b {words[number - 1]} {word}", 0.5)
        padded = f"<{word}>"
        for size in (3, 4, 5):
            for start in range(len(padded) - size + 1):
                _put(vector, padded[start : start + size], 0.25)
    for word in content:
        _put(vector, f"c {word}", 2.0)
    return unit(vector)


def unit(values: Sequence[float]) -> array[float]:
    """A vector of length 1 in the same direction."""
    length = math.sqrt(sum(value * value for value in values))
    return array("f", [value / length for value in values] if length else values)


def nearest(vector: array[float], questions: Sequence[Question], *, at_least: float) -> Near | None:
    """The nearest of these, by cosine; None where none is near enough. Vectors of another length are of another embedder."""
    best: Near | None = None
    for question in questions:
        other = array("f")
        other.frombytes(question.vector)
        if len(other) != len(vector):
            continue
        similarity = sum(map(mul, vector, other))
        if similarity >= at_least and (best is None or similarity > best.similarity):
            best = Near(question=question, similarity=min(similarity, 1.0))
    return best


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """Whether two answers say the same, by rules: numbers and negations, then how alike their words are."""

    same: bool
    why: str


def compare(one: str, other: str) -> Compared:
    """Compare two answers. Errs towards "differs": the false-hit rate that is told is rather too high."""
    if " ".join(one.split()).lower() == " ".join(other.split()).lower():
        return Compared(same=True, why="the same text")
    for kind in ("number:", "negation"):
        mine, yours = ({fact for fact in facts_of(text) if fact.startswith(kind)} for text in (one, other))
        if mine != yours:
            return Compared(same=False, why="other numbers" if kind == "number:" else "one of them negates")
    similarity = sum(map(mul, embed_offline(one), embed_offline(other)))
    if similarity < 0.5:
        return Compared(same=False, why=f"other words: {similarity:.2f} alike")
    return Compared(same=True, why=f"{similarity:.2f} alike, the same numbers")


def _put(vector: list[float], feature: str, weight: float) -> None:
    code = crc32(feature.encode("utf-8", "surrogatepass"))
    vector[code % DIMENSIONS] += weight if code & 0x10000 else -weight


def _text(content: Any) -> str | None:
    """A message's text; None where it holds anything else."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return None
    texts: list[str] = []
    for part in cast("list[Any]", content):
        piece = cast("dict[str, Any]", part) if isinstance(part, dict) else {}
        if piece.get("type") not in ("text", "input_text") or not isinstance(piece.get("text"), str):
            return None
        texts.append(piece["text"])
    return "\n".join(texts)
