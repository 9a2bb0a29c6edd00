"""The filter line of the pages: its terms as data, so that a facet can add one and a chip can take one away.

The language itself is read by :mod:`pilothouse.traces`; here it is only cut into terms.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from pilothouse.traces.model import Facet

_TERM = re.compile(r'(?:[^\s"]|"(?:[^"\\]|\\.)*"?)+')
_PLAIN = re.compile(r"[\w.@/+:~-]+")

HELP: tuple[tuple[str, str], ...] = (
    ("status:error", "ok, error or running"),
    ("agent:support", "any agent of the trace; also version, model, tool, provider"),
    ("session:chat-7 user:u-3", "whose; also env, service, feature, tag"),
    ("signal:loop", "what is odd: loop, soft_error, no_answer, orphans, …"),
    ("duration_ms:>5000", "numbers take > >= < <= != : duration_ms, cost, tokens, spans, errors"),
    ("cost>0.1", "US dollars"),
    ("model:gpt-*,claude-*", "any of several; * stands for anything"),
    ("-tag:test", "not"),
    ("attr.http.route:/chat", "any raw attribute"),
    ('refund "card declined"', "words, or a phrase, anywhere in the messages"),
)
"""Examples and what they mean, as shown below the filter line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """One term of the filter line."""

    text: str
    """As written."""
    without: str
    """The whole line without it."""


def terms(line: str) -> tuple[Term, ...]:
    """The terms of a filter line in order."""
    words: list[str] = _TERM.findall(line)
    return tuple(Term(text=word, without=" ".join(words[:i] + words[i + 1 :])) for i, word in enumerate(words))


def without_empty(facet: Facet) -> Facet:
    """A facet without the traces that have no value: there is nothing to click."""
    return replace(facet, values=tuple(value for value in facet.values if value.value))


def term(field: str, value: str) -> str:
    """A term that asks for one value, quoted where it must be."""
    if _PLAIN.fullmatch(value):
        return f"{field}:{value}"
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'{field}:"{escaped}"'


def toggled(line: str, field: str, value: str) -> str:
    """The line with the term added, or without it where it is there."""
    wanted = term(field, value)
    words: list[str] = _TERM.findall(line)
    if wanted in words:
        return " ".join(word for word in words if word != wanted)
    return " ".join([*words, wanted])


def chosen(line: str, field: str, value: str) -> bool:
    """True where the line asks for exactly this value."""
    return term(field, value) in _TERM.findall(line)
