"""Conditions of rules, in CEL: compiled once, without effects, and never the reason why nobody was asked."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import re
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from pilothouse.records import BadRequest, Unverified

_CHARS_MAX: Final = 2_000
_DEPTH_MAX: Final = 30
_BOUND = re.compile(r"\.\s*(?:all|exists|exists_one|map|filter)\s*\(\s*(\w+)\s*,")
_EXTENSION: Final = "cel.cel"
_LOADING = threading.Lock()


class Condition:
    """One expression. Safe to share between threads."""

    def __init__(self, text: str, place: str = "when", *, known: Sequence[str]) -> None:
        """Compile it. ``known``: the names that it may use.

        Raises:
            BadRequest: it cannot be read, or uses a name that is not known.
        """
        self.text = text
        if len(text) > _CHARS_MAX:
            raise BadRequest(f"{place} is longer than {_CHARS_MAX:,} characters", got=f"{len(text):,} characters")
        if _nesting(text) > _DEPTH_MAX:
            raise BadRequest(f"{place} is nested too deeply", got=text[:100], allowed=f"{_DEPTH_MAX} levels")
        try:
            self._program = _cel().compile(text)
            names = set(cast("list[str]", self._program.variables()))
        except _Interrupted:
            raise
        except BaseException as error:  # a defect within the package is an exception of its own kind
            raise BadRequest(
                f"{place} is no expression: {_first(error)}",
                got=text[:200],
                fix="e.g. rows > 1000 && environment == 'production'",
            ) from error
        self.names: frozenset[str] = frozenset(names)
        """Which names it uses, those that its macros bind among them."""
        # Names that a macro binds are listed too: what is known for the whole text is known well enough.
        unknown = sorted(names - set(known) - set(_BOUND.findall(text)))
        if unknown:
            raise BadRequest(f"{place} uses a name that is not known", got=unknown[0], allowed=list(known))

    def holds(self, facts: Mapping[str, Any]) -> bool:
        """Whether it is true of these facts.

        Raises:
            Unverified: it cannot be said: a value is missing or of another type, or the answer is neither yes nor no.
        """
        try:
            found = self._program.execute(dict(facts))
        except _Interrupted:
            raise
        except BaseException as error:
            raise Unverified(f"the condition failed: {_first(error)}", got=self.text[:200]) from error
        if found is True or found is False:
            return found
        raise Unverified(f"the condition says neither yes nor no: {found!r:.100}", got=self.text[:200])

    def __repr__(self) -> str:
        return f"Condition({self.text!r})"


_Interrupted = (KeyboardInterrupt, SystemExit, GeneratorExit)


def _first(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text.split(". ")[0][:200]


def _nesting(text: str) -> int:
    depth = most = 0
    for character in text:
        if character in "([{":
            depth += 1
            most = max(most, depth)
        elif character in ")]}":
            depth -= 1
    return most


# The module is an extension; its functions are typed in a stub that the package's front door hides.
def _cel() -> Any:
    """The package's expressions, without its command line: that one takes a second to import."""
    # An extension can be loaded only once a process.
    with _LOADING:
        return sys.modules.get(_EXTENSION) or _load()


def _load() -> Any:
    package = importlib.util.find_spec("cel")
    if package is None:
        raise BadRequest(
            "conditions need the package common-expression-language", fix="pip install 'pilothouse[runtime]'"
        )
    spec = importlib.machinery.PathFinder().find_spec(_EXTENSION, package.submodule_search_locations)
    if spec is None or spec.loader is None:
        return importlib.import_module("cel")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.modules[_EXTENSION] = module
    return module
