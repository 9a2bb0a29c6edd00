"""Many expressions in one pass: RE2 sets, and plain ``re`` where RE2 has no wheel."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

from pilothouse.records import BadRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Matcher:
    """Expressions that are searched for together."""

    scan: Callable[[str], Sequence[int] | None]
    """The numbers of the expressions that occur, in one pass; None or empty where there is none."""
    expressions: Sequence[Any]
    """Each one compiled alone, with ``finditer`` and ``sub``."""
    engine: str
    """``re2``, or ``re``."""

    def find(self, number: int, text: str) -> Iterator[Any]:
        """Each place of one expression, as match objects."""
        return self.expressions[number].finditer(text)


def matcher(named: Sequence[tuple[str, str]], *, plain: bool = False) -> Matcher:
    """Compile named expressions.

    ``plain`` takes Python's own engine, which is what happens anyway where RE2 is not installed.

    Raises:
        BadRequest: one is no expression; the message names it.
    """
    if plain:
        return _plain(named)
    try:
        import re2  # pyright: ignore[reportMissingImports]  # absent where there is no wheel
    except ImportError:
        return _plain(named)
    # The package has no type stubs.
    engine = cast("Any", re2)
    options = engine.Options()
    options.log_errors = False
    options.max_mem = 64 << 20
    together = engine.Set.SearchSet(options)
    alone: list[Any] = []
    for name, expression in named:
        try:
            together.Add(expression)
            alone.append(engine.compile(expression, options))
        except engine.error as error:
            raise BadRequest(f"the rule {name!r} is no RE2 expression: {error}", got=expression) from error
    if not named:
        return Matcher(scan=_nothing, expressions=(), engine="re2")
    together.Compile()
    return Matcher(scan=together.Match, expressions=tuple(alone), engine="re2")


def _plain(named: Sequence[tuple[str, str]]) -> Matcher:
    compiled: list[re.Pattern[str]] = []
    for name, expression in named:
        try:
            compiled.append(re.compile(expression))
        except re.error as error:
            raise BadRequest(f"the rule {name!r} is no expression: {error}", got=expression) from error

    def scan(text: str) -> list[int]:
        return [number for number, expression in enumerate(compiled) if expression.search(text)]

    return Matcher(scan=scan, expressions=tuple(compiled), engine="re")


def _nothing(text: str) -> Sequence[int]:
    return ()
