"""One pass over a text for every rule of every check: what was found, where it stands, and how it was hidden."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from .disguise import SIGNS, View, folded, plain
from .matching import Matcher, matcher
from .patterns import Pattern

_HITS_MAX = 200
"""Places of one rule in one text; more tell nothing new, and each is an object."""
_DEPTH_MAX = 2
"""Disguises within disguises that are looked through."""
_VIEWS_MAX = 12
TAIL_CHARS = 400
"""How much of what was said before is joined to a text, so that a phrase cannot be split between two messages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """One place of one rule."""

    rule: Pattern
    start: int
    end: int
    disguise: str = ""


class Scanner:
    """Searches for rules; safe to share between threads."""

    def __init__(self, rules: Sequence[Pattern], *, plain_engine: bool = False) -> None:
        self.rules = tuple(rules)
        self._plain_engine = plain_engine
        signs = [(f"sign of {name}", expression) for name, expression, _ in SIGNS]
        named = [(rule.name, rule.expression) for rule in self.rules]
        self._matcher = matcher(named + signs, plain=plain_engine)
        self._count = len(self.rules)

    @property
    def engine(self) -> str:
        """``re2``, or ``re`` where it is not installed."""
        return self._matcher.engine

    def hits(self, text: str, before: str = "") -> list[Hit]:
        """Every place of every rule; ``before`` is what the same side said last."""
        if not self.rules or not text:
            return []
        if text.isascii():
            numbers = self._matcher.scan(text)
            if not numbers and not before:
                return []
        else:
            text = _whole(text)
        before = _whole(before)
        found = self._look(plain(text), 0, [])
        if before:
            found += self._split(text, before, found)
        return found

    def _split(self, text: str, before: str, known: Sequence[Hit]) -> list[Hit]:
        tail = before[-TAIL_CHARS:]
        edge = len(tail) + 1
        seen = {hit.rule.name for hit in known}
        return [
            Hit(rule=hit.rule, start=0, end=hit.end - edge, disguise="split between messages")
            for hit in self._look(plain(f"{tail} {text[:TAIL_CHARS]}"), 0, [])
            if hit.start < edge < hit.end and hit.rule.name not in seen
        ]

    def _look(self, view: View, depth: int, views: list[str]) -> list[Hit]:
        if view.text in views or len(views) >= _VIEWS_MAX:
            return []
        views.append(view.text)
        hits: list[Hit] = []
        if not view.text.isascii():
            smooth, both = folded(view)
            if smooth is not None:
                hits = self._look(smooth, depth, views)
                if not both:
                    # What folding leaves is all that rules are about: a second pass would find the same again.
                    return hits
        more: list[Callable[[View], View | None]] = []
        for number in self._matcher.scan(view.text) or ():
            if number < self._count:
                hits += self._places(number, view, self._matcher)
            elif depth < _DEPTH_MAX:
                more.append(SIGNS[number - self._count][2])
        for read in more:
            other = read(view)
            if other is None:
                continue
            hits += self._look(other, depth + 1, views)
            if other.squeezed:
                hits += self._look_squeezed(other)
        return _once(hits) if more or depth else hits

    def _places(self, number: int, view: View, matcher: Matcher) -> list[Hit]:
        rule = self.rules[number]
        found: list[Hit] = []
        for match in matcher.find(number, view.text):
            if rule.check is None or rule.check(match.group(0)):
                start, end = view.place(match.start(), match.end())
                hidden = view.base is not None and view.origin[start:end] != match.group(0)
                found.append(Hit(rule=rule, start=start, end=end, disguise=view.disguises if hidden else ""))
                if len(found) >= _HITS_MAX:
                    break
        return found

    @cached_property
    def _squeezed(self) -> Matcher:
        """Rules for texts whose words have run together: ``ignoreallpreviousinstructions``."""
        loose = [
            (rule.name, rule.expression if rule.group != "injection" or not rule.alone else _loose(rule.expression))
            for rule in self.rules
        ]
        return matcher(loose, plain=self._plain_engine)

    def _look_squeezed(self, view: View) -> list[Hit]:
        return [
            hit for number in self._squeezed.scan(view.text) or () for hit in self._places(number, view, self._squeezed)
        ]


def _whole(text: str) -> str:
    """The text with half characters, which no engine takes, replaced one by one."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return "".join("\ufffd" if "\ud800" <= char <= "\udfff" else char for char in text)
    return text


def _loose(expression: str) -> str:
    return expression.replace(r"\s+", r"\s*").replace(r"\b", "")


def _once(hits: Sequence[Hit]) -> list[Hit]:
    """Each place of a rule once, the plainest way of finding it first."""
    kept: dict[tuple[str, int, int], Hit] = {}
    for hit in sorted(hits, key=lambda hit: len(hit.disguise)):
        kept.setdefault((hit.rule.name, hit.start, hit.end), hit)
    return list(kept.values())
