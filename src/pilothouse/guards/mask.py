"""Masking: replace what must not be stored by what it was, e.g. ``[masked: email]``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from pilothouse.records import BadRequest, Message, Part

from .matching import matcher
from .patterns import GROUPS, PATTERNS, Pattern

_SHORTEST = 8
"""No rule of ours matches a text shorter than this."""

Placeholder = Callable[[str, str], str]
"""What stands in the place of a hit, by the name of the rule and by what it found."""


def plain_placeholder(rule: str, found: str) -> str:
    """``[masked: email]``: what it was, and nothing that tells two of them apart."""
    return f"[masked: {rule}]"


class Masker:
    """Masks by a fixed set of rules; linear in the length of the text, safe to share between threads."""

    def __init__(self, patterns: Sequence[Pattern] = (), *, placeholder: Placeholder = plain_placeholder) -> None:
        self._placeholder = placeholder
        self._patterns = tuple(patterns)
        self._shortest = 1 if any(one.group == "own" for one in self._patterns) else _SHORTEST
        found = matcher([(pattern.name, pattern.expression) for pattern in self._patterns])
        self._scan, self._finders = found.scan, [expression.sub for expression in found.expressions]
        self.hits: dict[str, int] = {}
        """How often each rule masked something."""

    @property
    def active(self) -> bool:
        """Whether there is any rule at all."""
        return bool(self._patterns)

    def mask(self, text: str) -> str:
        """The text with every hit replaced."""
        if not self._patterns or len(text) < self._shortest:
            return text
        for index in self._scan(text) or ():
            text = self._replace(index, text)
        return text

    def touches(self, texts: Sequence[str]) -> bool:
        """True where some rule may match in one of the texts: one scan for many short texts."""
        return bool(self._patterns) and bool(self._scan("\n\n".join(texts)))

    def mask_data(self, value: Any) -> Any:
        """The same for plain data: every string in it is masked, keys included."""
        if isinstance(value, str):
            return self.mask(value)
        if isinstance(value, Mapping):
            items = cast("Mapping[Any, Any]", value).items()
            return {self.mask(key) if isinstance(key, str) else key: self.mask_data(item) for key, item in items}
        if isinstance(value, list | tuple):
            return [self.mask_data(item) for item in cast("Sequence[Any]", value)]
        return value

    def mask_message(self, item: Message) -> Message:
        """A message with every part masked. It keeps its hash: the identity of what was said."""
        if not self._patterns or not self.touches(_texts_of(item)):
            return item
        return replace(item, parts=tuple(self._mask_part(part) for part in item.parts))

    def _mask_part(self, part: Part) -> Part:
        return replace(
            part,
            text=self.mask(part.text),
            arguments=self.mask_data(part.arguments),
            uri=part.uri if part.uri.startswith("data:") else self.mask(part.uri),
            extra=self.mask_data(part.extra) if part.extra else part.extra,
        )

    def _replace(self, index: int, text: str) -> str:
        pattern = self._patterns[index]

        def put(match: Any) -> str:
            found: str = match.group(0)
            if pattern.check is not None and not pattern.check(found):
                return found
            self.hits[pattern.name] = self.hits.get(pattern.name, 0) + 1
            return self._placeholder(pattern.name, found)

        return self._finders[index](put, text)


def _texts_of(item: Message) -> list[str]:
    texts: list[str] = []
    for part in item.parts:
        texts.append(part.text)
        if part.uri:
            texts.append(part.uri)
        for data in (part.arguments, part.extra):
            if data:
                _gather(data, texts)
    return texts


def _gather(value: Any, texts: list[str]) -> None:
    if isinstance(value, str):
        texts.append(value)
    elif isinstance(value, Mapping):
        for key, item in cast("Mapping[Any, Any]", value).items():
            _gather(key, texts)
            _gather(item, texts)
    elif isinstance(value, list | tuple):
        for item in cast("Sequence[Any]", value):
            _gather(item, texts)


def masker(
    groups: Sequence[str], extra: Mapping[str, str] | None = None, *, placeholder: Placeholder = plain_placeholder
) -> Masker:
    """A masker for rule groups (``secrets``, ``personal``) and further expressions by name.

    Raises:
        BadRequest: an unknown group, or an expression that RE2 does not take.
    """
    for group in groups:
        if group not in GROUPS:
            raise BadRequest("no such group of masking rules", got=group, allowed=list(GROUPS))
    chosen = [pattern for pattern in PATTERNS if pattern.group in groups]
    chosen += [Pattern(name=name, group="own", expression=text) for name, text in (extra or {}).items()]
    return Masker(chosen, placeholder=placeholder)


class Numbered:
    """Placeholders that keep equal values equal: the first email is ``[masked: email 1]`` wherever it stands."""

    def __init__(self) -> None:
        self._numbers: dict[str, dict[str, int]] = {}

    def __call__(self, rule: str, found: str) -> str:
        """The placeholder of one value."""
        known = self._numbers.setdefault(rule, {})
        return f"[masked: {rule} {known.setdefault(found.casefold(), len(known) + 1)}]"
