"""Which traces to look at again though no span of them arrived: open ones, for time alone can make them stalled."""

from __future__ import annotations

import heapq
from dataclasses import dataclass

from pilothouse.signals import stall_limit_s

from .judge import Judge
from .trace_state import Key, TraceState

SECOND_NS = 1_000_000_000
WATCHED_MAX = 20_000
"""Open traces watched at most; of more, those that have been silent longest are let go."""
FORGET_NS = 86_400 * SECOND_NS
"""An open trace from which nothing came for a day is not looked at any more."""
AGAIN_NS = 30 * SECOND_NS
"""Pause between two looks at one trace at least; it grows with the silence."""
CATCH_UP_NS = 2 * SECOND_NS
"""A large trace that was not judged with its last batch is judged after so long."""


@dataclass(slots=True)
class _Watched:
    agent: str
    received_ns: int
    due_ns: int


class Watchdog:
    """Keeps, for every open trace, when to look at it next. One entry of work per trace and look."""

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self._watched: dict[Key, _Watched] = {}
        self._heap: list[tuple[int, Key]] = []

    def __len__(self) -> int:
        return len(self._watched)

    def note(self, state: TraceState, agent: str, now_ns: int) -> None:
        """Take notice of a trace that was just judged."""
        key = (state.project_id, state.trace_id)
        if state.fresh:
            due_ns = now_ns + CATCH_UP_NS
        elif state.judged_open:
            due_ns = self._next(key, agent, state.received_ns, now_ns)
        else:
            self._watched.pop(key, None)
            return
        self._put(key, agent, state.received_ns, due_ns)

    def expect(self, key: Key, agent: str, received_ns: int, now_ns: int) -> None:
        """Watch a stored trace that was open when this process began."""
        if key not in self._watched:
            self._put(key, agent, received_ns, now_ns)

    def look_at(self, keys: list[Key], now_ns: int) -> None:
        """Look at these at once, where they are watched: a heartbeat said something new of them."""
        for key in keys:
            watched = self._watched.get(key)
            if watched is not None:
                self._put(key, watched.agent, watched.received_ns, now_ns)

    def take_due(self, now_ns: int, most: int) -> list[Key]:
        """The traces to look at now, longest due first. Each must be given to :meth:`note` again, or is let go."""
        found: list[Key] = []
        while self._heap and self._heap[0][0] <= now_ns and len(found) < most:
            due_ns, key = heapq.heappop(self._heap)
            watched = self._watched.get(key)
            if watched is not None and watched.due_ns == due_ns:
                del self._watched[key]
                if now_ns - watched.received_ns < FORGET_NS:
                    found.append(key)
        return found

    def forget_all(self) -> None:
        """Watch nothing; the store says again what is open."""
        self._watched.clear()
        self._heap.clear()

    def _put(self, key: Key, agent: str, received_ns: int, due_ns: int) -> None:
        watched = self._watched.get(key)
        if watched is not None and watched.due_ns == due_ns:
            watched.received_ns = received_ns
            return
        self._watched[key] = _Watched(agent, received_ns, due_ns)
        heapq.heappush(self._heap, (due_ns, key))
        if len(self._heap) > 4 * WATCHED_MAX or len(self._watched) > WATCHED_MAX:
            self._shrink()

    def _shrink(self) -> None:
        newest = sorted(self._watched.items(), key=lambda entry: -entry[1].received_ns)[: WATCHED_MAX // 2]
        self._watched = dict(newest)
        self._heap = [(watched.due_ns, key) for key, watched in newest]
        heapq.heapify(self._heap)

    def _next(self, key: Key, agent: str, received_ns: int, now_ns: int) -> int:
        """The first moment at which time alone can change what is said of an open trace."""
        project, trace_id = key
        limits = self._judge.rulebook.of(agent)
        moments = [received_ns + int(stall_limit_s(limits, self._judge.baselines.of(project, agent)) * SECOND_NS)]
        pulse = self._judge.pulses.of(project, trace_id)
        if pulse is not None and not pulse.said_goodbye:
            deadline_s = max(limits.died_min_s, limits.died_intervals * pulse.interval_s)
            moments.append(max(pulse.last_ns, received_ns) + int(deadline_s * SECOND_NS))
        ahead = [moment for moment in moments if moment > now_ns]
        # Both have passed: look again when it has been silent for twice as long.
        return min(ahead) + SECOND_NS // 10 if ahead else now_ns + max(AGAIN_NS, now_ns - received_ns)
