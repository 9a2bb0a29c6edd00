"""Grounding: each claim of an answer is looked for in the sources it must rest on. By rules over words, without a model.

A claim is a sentence that says something. It is supported where one source has, close together, most of its meaning
words and all of its numbers, and does not say the opposite. What is only true is not supported: that is the point.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from .subject import Subject
from .verdict import Action, Finding

_SENTENCE = re.compile(r"[^.!?\n]+(?:[.!?](?=\S)[^.!?\n]+)*[.!?]*")
_WORD = re.compile(r"[^\W\d_][\w'’-]*|\d[\d.,:/-]*\d|\d")
_NUMBER = re.compile(r"\d[\d.,]*\d|\d")
_NAME = re.compile(r"(?<=[a-z,;] )[A-Z][\w-]+")
_NOT = re.compile(
    r"(?i)\b(?:not|no|never|none|neither|nor|without|cannot|can't|won't|isn't|aren't|doesn't|don't|didn't|wasn't|unable|nicht|kein\w*|nie)\b"
)
_STOP = frozenset(
    [
        "a",
        "an",
        "the",
        "and",
        "or",
        "but",
        "if",
        "then",
        "of",
        "in",
        "on",
        "at",
        "to",
        "for",
        "from",
        "by",
        "with",
        "as",
        "is",
        "are",
        "was",
        "were",
        "be",
        "been",
        "being",
        "it",
        "its",
        "this",
        "that",
        "these",
        "those",
        "there",
        "here",
        "i",
        "you",
        "he",
        "she",
        "we",
        "they",
        "them",
        "his",
        "her",
        "our",
        "your",
        "their",
        "my",
        "me",
        "us",
        "do",
        "does",
        "did",
        "have",
        "has",
        "had",
        "will",
        "would",
        "can",
        "could",
        "should",
        "may",
        "might",
        "must",
        "shall",
        "not",
        "no",
        "never",
        "so",
        "also",
        "very",
        "just",
        "only",
        "about",
        "into",
        "over",
        "under",
        "than",
        "too",
        "more",
        "most",
        "some",
        "any",
        "all",
        "each",
        "other",
        "which",
        "who",
        "whom",
        "whose",
        "what",
        "when",
        "where",
        "why",
        "how",
        "up",
        "down",
        "out",
        "off",
        "again",
        "once",
        "please",
        "yes",
    ]
)
_ASIDE = re.compile(
    r"(?i)^\W*(?:hi|hello|thanks?|thank you|sure|of course|certainly|great|sorry|i hope|let me know|please|happy to|feel free|here (?:is|are)|according to (?:the|our)|you're welcome|is there anything)\b"
)
_WINDOW = 3
"""Sentences of a source that are read together."""
_SOURCE_CHARS_MAX = 400_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One sentence of an answer."""

    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Window:
    words: frozenset[str]
    numbers: frozenset[str]
    names: frozenset[str]
    negated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class GroundingCheck:
    """Claims that no source supports."""

    name: str
    action: Action
    share_min: float = 0.6
    """Of a claim's meaning words, how many one place of a source must have."""
    slow: bool = False

    def run(self, subject: Subject) -> list[Finding]:
        """A finding for each claim without support; one for the whole where there is no source at all."""
        said = claims(subject.text)
        if not said:
            return []
        if not subject.about.sources:
            message = "there is no source that the answer could rest on"
            return [Finding(check=self.name, rule="no source", action=self.action, message=message)]
        windows = _windows(subject.about.sources)
        found: list[Finding] = []
        for claim in said:
            why = _unsupported(claim.text, windows, self.share_min)
            if why:
                found.append(
                    Finding(
                        check=self.name,
                        rule=why,
                        action=self.action,
                        start=claim.start,
                        end=claim.end,
                        message=f"a claim without a source: {why}",
                    )
                )
        return found


def claims(text: str) -> list[Claim]:
    """The sentences of a text that say something: no questions, no courtesies."""
    found: list[Claim] = []
    for match in _SENTENCE.finditer(text):
        sentence = match[0]
        body = sentence.strip(" \t\r-*•#>")
        if body.endswith("?") or _ASIDE.match(body) or len(_content(body)) < 2:
            continue
        start = match.start() + sentence.index(body)
        found.append(Claim(start=start, end=start + len(body), text=body))
    return found


def _stem(word: str) -> str:
    low = word.lower().replace("’", "'").removesuffix("'s")
    for ending in ("ies", "ing", "ed", "es", "s", "ly"):
        if low.endswith(ending) and len(low) - len(ending) >= 3:
            low = low[: -len(ending)]
            break
    return low.rstrip("e") if len(low) > 4 else low


def _content(text: str) -> set[str]:
    return {
        _stem(word) for word in _WORD.findall(text) if word.lower() not in _STOP and not word[0].isdigit()
    } | _numbers(text)


def _numbers(text: str) -> set[str]:
    found: set[str] = set()
    for number in _NUMBER.findall(text):
        plain = re.sub(r"[.,](?=\d{3}\b)", "", number).replace(",", ".")
        found.add(plain.rstrip("0").rstrip(".") if "." in plain else plain)
    return found


def _windows(sources: Sequence[str]) -> list[_Window]:
    windows: list[_Window] = []
    left = _SOURCE_CHARS_MAX
    for source in sources:
        sentences = [match[0] for match in _SENTENCE.finditer(source[:left])]
        left -= len(source)
        for at in range(len(sentences)):
            together = " ".join(sentences[at : at + _WINDOW])
            windows.append(
                _Window(
                    words=frozenset(_content(together)),
                    numbers=frozenset(_numbers(together)),
                    names=frozenset(word.lower() for word in _WORD.findall(together)),
                    negated=_NOT.search(sentences[at]) is not None,
                )
            )
        if left <= 0:
            break
    return windows


def _unsupported(claim: str, windows: Sequence[_Window], share_min: float) -> str:
    words, numbers = _content(claim), _numbers(claim)
    names = {name.lower() for name in _NAME.findall(claim)}
    negated = _NOT.search(claim) is not None
    best, reason = 0.0, "its words are in no source"
    for window in windows:
        share = len(words & window.words) / len(words)
        if share < share_min:
            continue
        if not numbers <= window.numbers:
            missing = sorted(numbers - window.numbers)[0]
            candidate = f"the number {missing} is not there"
        elif not names <= window.names:
            candidate = f"the name {sorted(names - window.names)[0]} is not there"
        elif negated != window.negated:
            candidate = "the source says the opposite, or the claim does"
        else:
            return ""
        if share > best:
            best, reason = share, candidate
    return reason
