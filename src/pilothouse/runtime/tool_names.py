"""Which tool a model means that calls it by another name: by its words, or by how it put itself right before.

Nothing is guessed. ``refundOrder`` and ``order_refund`` are the words of ``refund_order`` and of no other tool. Of
``refund_orders`` the framework tells the model that there is no such tool; where it then calls ``refund_order`` with the
same arguments, that is what it means by the name from then on. A name of other words is never taken for a tool: who
looked for ``show_order`` and then cancels the order does not mean cancelling by showing.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Final

_WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_REMEMBERED_MAX: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedCall:
    """A tool call as the model wrote it."""

    tool: str
    arguments: str
    """As JSON, or whatever the model wrote."""


@dataclass(slots=True)
class ToolNames:
    """What one run's model means by names that no tool has."""

    meant: dict[str, str] = field(default_factory=lambda: dict[str, str]())
    _unknown: dict[str, str] = field(default_factory=lambda: dict[str, str]())
    """Arguments of the last reply's calls that the model was told are of no tool, with the name it used."""

    def tools_of(self, calls: Sequence[NamedCall], known: Collection[str]) -> list[str]:
        """The tool that each call of one reply means; the name it came with, where that is not certain."""
        told, self._unknown = self._unknown, {}
        found: list[str] = []
        for call in calls:
            if call.tool in known:
                before = told.get(call.arguments)
                if before is not None and _stems(before) == _stems(call.tool) and len(self.meant) < _REMEMBERED_MAX:
                    self.meant[before] = call.tool
                found.append(call.tool)
                continue
            tool = self.meant.get(call.tool) or same_words(call.tool, known)
            if tool is None or tool not in known:
                self._unknown[call.arguments] = tool = call.tool
            found.append(tool)
        return found


def same_words(name: str, known: Collection[str]) -> str | None:
    """The one tool whose name is made of the same words, in whatever order and writing; None where none or several are."""
    wanted = _words(name)
    found = [tool for tool in known if _words(tool) == wanted]
    return found[0] if wanted and len(found) == 1 else None


def _words(name: str) -> list[str]:
    return sorted(word.lower() for word in _WORD.findall(name))


def _stems(name: str) -> list[str]:
    return [word.removesuffix("s") for word in _words(name)]
