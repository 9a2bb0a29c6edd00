"""The gates of a server: the policy of now, one guard for each version of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from pilothouse.records import BadRequest

from .containment import Counts, MemoryCounts
from .guard import Guard
from .rewriting import rewrite
from .settings import read_guards
from .subject import About
from .verdict import Gate, Verdict

PolicyNow = Callable[[], tuple[str, Mapping[str, Any]]]
"""Gives the version of the policy and its section ``guards``."""

_BETWEEN = "\n\n"
_LEAVES_MAX = 10_000
_DEPTH_MAX = 60


class Guards:
    """The gates under whatever the policy says now. Safe to share between threads."""

    def __init__(self, policy: PolicyNow, *, counts: Counts | None = None) -> None:
        """Raises :class:`BadRequest` where the policy of the start is wrong."""
        self._policy = policy
        # Counts outlive a policy: a changed comment must not give everybody a fresh allowance.
        self._counts = counts or MemoryCounts()
        self._lock = threading.Lock()
        self._guard = self._made(*policy())
        self._next: Guard | None = None

    def now(self) -> Guard:
        """The guard of the policy of now."""
        version, section = self._policy()
        guard = self._guard
        if guard.version.partition("+")[0] == version:
            return guard
        with self._lock:
            if self._guard.version.partition("+")[0] != version:
                ready, self._next = self._next, None
                known = ready is not None and ready.version.partition("+")[0] == version
                self._guard = ready if ready is not None and known else self._made(version, section)
            return self._guard

    def prepare(self, version: str, section: Mapping[str, Any]) -> None:
        """Make the guard of a policy that is about to come into force, so that no caller waits for its patterns.

        Raises:
            BadRequest: the section is wrong.
        """
        if self._guard.version.partition("+")[0] != version:
            self._next = self._made(version, section)

    def check(self, gate: Gate, text: str, about: About | None = None) -> Verdict:
        """Decide about a text."""
        return self.now().check(gate, text, about)

    def check_data(self, gate: Gate, data: Any, about: About | None = None) -> tuple[Verdict, Any]:
        """Decide about plain data; also gives the data to go on with."""
        return check_data(self.now(), gate, data, about)

    def _made(self, version: str, section: Mapping[str, Any]) -> Guard:
        return Guard(read_guards(section), version=version, counts=self._counts)


def check_data(guard: Guard, gate: Gate, data: Any, about: About | None = None) -> tuple[Verdict, Any]:
    """Decide about plain data by all of its texts together; also gives the data to go on with.

    Keys are read like values. Offsets of findings are those in the texts joined by an empty line.

    Raises:
        BadRequest: more than can be read: nested too deeply, or of too many texts.
    """
    if isinstance(data, str):
        verdict = guard.check(gate, data, about)
        return verdict, verdict.text if verdict.allowed else None
    leaves: list[str] = []
    _gather(data, leaves, 0)
    verdict = guard.check(gate, _BETWEEN.join(leaves), about)
    if not verdict.allowed:
        return verdict, None
    if verdict.action != "rewrite":
        return verdict, data
    parts: list[str] = []
    at = 0
    for leaf in leaves:
        end = at + len(leaf)
        inside = [
            replace(found, start=max(found.start, at) - at, end=min(found.end, end) - at)
            for found in verdict.findings
            if found.start < end and found.end > at
        ]
        parts.append(rewrite(leaf, inside, guard.kinds))
        at = end + len(_BETWEEN)
    return verdict, _rebuilt(data, iter(parts))


def data_text(data: Any) -> str:
    """The texts of plain data joined by an empty line: what the offsets of findings are counted in.

    Raises:
        BadRequest: as :func:`check_data`.
    """
    leaves: list[str] = []
    _gather(data, leaves, 0)
    return _BETWEEN.join(leaves)


def _gather(value: Any, leaves: list[str], depth: int) -> None:
    if depth > _DEPTH_MAX:
        raise BadRequest("the data is nested too deeply to be read", allowed=f"{_DEPTH_MAX} levels")
    if isinstance(value, str):
        leaves.append(value)
    elif isinstance(value, Mapping):
        for key, item in cast("Mapping[Any, Any]", value).items():
            leaves.append(str(key))
            _gather(item, leaves, depth + 1)
    elif isinstance(value, list | tuple):
        for item in cast("Sequence[Any]", value):
            _gather(item, leaves, depth + 1)
    if len(leaves) > _LEAVES_MAX:
        raise BadRequest("the data has too many texts to be read at once", allowed=f"{_LEAVES_MAX:,}")


def _rebuilt(value: Any, parts: Any) -> Any:
    if isinstance(value, str):
        return next(parts)
    if isinstance(value, Mapping):
        made: dict[Any, Any] = {}
        for key, item in cast("Mapping[Any, Any]", value).items():
            name = next(parts)
            made[name if isinstance(key, str) else key] = _rebuilt(item, parts)
        return made
    if isinstance(value, list | tuple):
        return [_rebuilt(item, parts) for item in cast("Sequence[Any]", value)]
    return value
