"""Tools answered from a recording while a case runs, and an account of every call.

A call is answered by the first of: it is not run where no tool of that name exists today (a stub may not hide that); a
recorded call, matched as the case says; the tool itself, where the case or the suite lets it run. A tool that writes never
runs unless the case declares it safe: one that the suite names, or that says so of itself (``tool(effect="write")``).
An agent's own tools, its plan and what it looks into large values with, run themselves unless the case stubs them.
Whatever else is called is unmatched, and the case fails.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Generator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from pilothouse.records import canonical_json
from pilothouse.sdk.tool_playback import INNER, PLAYER, READ, WRITES, Answer

from .case import Call, Stubs
from .matching import match
from .observed import ToolUse
from .plain import data_of, mapping_of

ANY: Final = "*"
READING: Final = f"effect:{READ}"
"""Among tools that run themselves: whichever declare that they only read."""
_CANDIDATES_MAX: Final = 2_000


class ToolFailed(Exception):
    """A recorded failure of a tool, raised again."""


class NotRecorded(Exception):
    """A call that nothing answers for."""


class Decided(BaseException):
    """The agent has decided; nothing further runs. No ``Exception``: the agent's own handlers are not to go on with it."""


class Playback:
    """The tools of one attempt. Safe to use from several threads; calls are counted in the order they come."""

    def __init__(
        self,
        stubs: Stubs,
        *,
        exist: Collection[str] | None = None,
        writing: Collection[str] = (),
        also_live: Collection[str] = (),
        live: bool = True,
    ) -> None:
        """
        ``exist``: the tools there are today; None: not known. ``writing``: those that change the world, beside those that
        say so of themselves. ``also_live``: those that run themselves by what the suite says. ``live``: whether a tool of
        which the case says nothing runs itself, where the case records no calls at all; false where the calls were recorded
        in production, and not stubbed on purpose.
        """
        self._stubs, self._exist, self._writing = stubs, exist, frozenset(writing)
        self._live = frozenset((*stubs.live, *also_live))
        self._open = live and not stubs.calls and not stubs.live
        self._on_purpose = live
        self._lock = threading.Lock()
        self._used = [False] * len(stubs.calls)
        self._next = 0
        self._uses: list[ToolUse] = []

    @property
    def uses(self) -> tuple[ToolUse, ...]:
        """Every call so far, in order."""
        with self._lock:
            return tuple(self._uses)

    @property
    def unconsumed(self) -> tuple[str, ...]:
        """Recorded calls that were not made."""
        with self._lock:
            return tuple(
                f"{one.name}({_short(one.arguments)})"
                for one, used in zip(self._stubs.calls, self._used, strict=True)
                if not used
            )

    def knows(self, exist: Collection[str]) -> None:
        """Say which tools there are today, where only the target can tell."""
        self._exist = exist

    def exists(self, tool: str) -> bool:
        """Whether there is such a tool today; also where that is not known."""
        return self._exist is None or tool in self._exist

    def answer(self, tool: str, arguments: Mapping[str, Any], effect: str = "") -> Answer | None:
        """What the tool returned when it was recorded; None: the tool itself may run. ``effect``: what it says it does.

        Raises:
            ToolFailed: it failed when it was recorded.
            NotRecorded: nothing answers for this call.
        """
        with self._lock:
            use = self._decide(tool, dict(arguments), effect)
            if use is None:
                return None
            self._uses.append(use)
        return _answer(use)

    def until_decided(self, tool: str, arguments: Mapping[str, Any], effect: str, *, last: bool) -> Answer | None:
        """As :meth:`answer`, for an agent that can only be stopped by its calls: the first that nothing answers for ends it.

        ``last``: this call ends it, whatever is recorded.

        Raises:
            Decided: the call is noted, and not run.
        """
        with self._lock:
            use = None if last and self.exists(tool) else self._decide(tool, dict(arguments), effect)
            if use is None and not last:
                return None
            if use is None or use.answered in ("unmatched", "refused"):
                self._uses.append(ToolUse(name=tool, arguments=dict(arguments)))
                raise Decided
            self._uses.append(use)
        return _answer(use)

    def permit(self, tool: str, arguments: Mapping[str, Any], effect: str) -> None:
        """Look at a call that runs whatever is recorded: within another tool, or one that gives no single answer.

        Raises:
            NotRecorded: it writes, and is not declared safe.
        """
        if self._writes(tool, effect):
            use = _refused(tool, dict(arguments))
            with self._lock:
                self._uses.append(use)
            raise NotRecorded(use.error)

    @contextmanager
    def within(self) -> Generator[None]:
        """Around a tool that runs itself: what it calls is its own affair, but for what writes."""
        token = PLAYER.set(_Within(self))
        try:
            yield
        finally:
            PLAYER.reset(token)

    def ran(self, tool: str, arguments: Mapping[str, Any], value: Any, error: BaseException | None) -> None:
        """Note a call that a tool itself answered."""
        told = f"{type(error).__name__}: {error}"[:1_000] if error is not None else ""
        use = ToolUse(name=tool, arguments=dict(arguments), result=data_of(value), error=told, answered="live")
        with self._lock:
            self._uses.append(use)

    def called(self, tool: str, arguments: Any) -> None:
        """Note a call that is not run: the agent was stopped at its decision."""
        with self._lock:
            gone = not self.exists(tool)
            told = f"there is no tool {tool!r} any more" if gone else ""
            self._uses.append(ToolUse(name=tool, arguments=arguments, answered="gone" if gone else "", error=told))

    # -- within ------------------------------------------------------------------------------------------------------

    def _writes(self, tool: str, effect: str) -> bool:
        return (tool in self._writing or effect in WRITES) and tool not in self._stubs.safe

    def _runs(self, tool: str, effect: str) -> bool:
        named = self._open or tool in self._live or ANY in self._live
        return named or effect == INNER or (effect == READ and READING in self._live)

    def _decide(self, tool: str, arguments: dict[str, Any], effect: str) -> ToolUse | None:
        if not self.exists(tool):
            return ToolUse(name=tool, arguments=arguments, answered="gone", error=f"there is no tool {tool!r} any more")
        at = self._find(tool, arguments)
        if at is not None:
            self._used[at] = True
        if effect == INNER and not self._on_purpose:
            # Its recorded answer is of a plan that is not there: it makes its own.
            return None
        if at is not None:
            recorded = self._stubs.calls[at]
            return ToolUse(
                name=tool,
                arguments=arguments,
                result=recorded.result,
                error=recorded.error,
                answered="recorded" if recorded.arguments is not None else "stub",
            )
        if self._runs(tool, effect):
            return _refused(tool, arguments) if self._writes(tool, effect) else None
        told = f"the recording has no call {tool}({_short(arguments)}) that is not used yet"
        return ToolUse(name=tool, arguments=arguments, answered="unmatched", error=told)

    def _find(self, tool: str, arguments: Mapping[str, Any]) -> int | None:
        calls = self._stubs.calls
        if self._stubs.mode == "strict":
            if self._next >= len(calls) or not _same(calls[self._next], tool, arguments):
                return None
            self._next += 1
            return self._next - 1
        mine = [n for n, one in enumerate(calls) if one.name == tool]
        free = [n for n in mine if not self._used[n]][:_CANDIDATES_MAX]
        if self._stubs.mode == "in_order":
            return free[0] if free else None
        for n in free:
            if _same(calls[n], tool, arguments):
                return n
        if free:
            return max(free, key=lambda n: (_likeness(calls[n].arguments, arguments), -n))
        # A stub without arguments answers as often as it is asked.
        return next((n for n in mine if calls[n].arguments is None), None)


class _Within:
    """Asked while a tool of the attempt runs itself."""

    def __init__(self, playback: Playback) -> None:
        self._playback = playback

    def answer(self, tool: str, arguments: Mapping[str, Any], effect: str = "") -> Answer | None:
        """It runs itself, or may not."""
        self.permit(tool, arguments, effect)
        return None

    def permit(self, tool: str, arguments: Mapping[str, Any], effect: str) -> None:
        """As :meth:`Playback.permit`."""
        self._playback.permit(tool, arguments, effect)

    def ran(self, tool: str, arguments: Mapping[str, Any], value: Any, error: BaseException | None) -> None:
        """It is no call of the agent's."""


def _answer(use: ToolUse) -> Answer:
    if use.answered in ("gone", "unmatched", "refused"):
        raise NotRecorded(use.error)
    if use.error:
        raise ToolFailed(use.error)
    return Answer(use.result)


def _refused(tool: str, arguments: dict[str, Any]) -> ToolUse:
    told = f"{tool} writes: it runs only where the case names it in stubs.safe"
    return ToolUse(name=tool, arguments=arguments, answered="refused", error=told)


def _same(call: Call, tool: str, arguments: Mapping[str, Any]) -> bool:
    if call.name != tool:
        return False
    return call.arguments is None or not match(call.arguments, arguments, mode="tolerant")


def _likeness(recorded: Any, arguments: Mapping[str, Any]) -> float:
    """The share of names with the same value, by the canonical form of each."""
    known = mapping_of(recorded)
    if known is None:
        return 0.0
    names = set(known) | set(arguments)
    same = sum(1 for name in names if name in known and name in arguments and not match(known[name], arguments[name]))
    return same / len(names) if names else 1.0


def _short(arguments: Any) -> str:
    text = "…" if arguments is None else canonical_json(arguments)
    return text if len(text) <= 160 else f"{text[:160]}…"
