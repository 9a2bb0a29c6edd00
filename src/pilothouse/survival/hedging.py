"""When a second call starts beside a slow first one: the setting by task, and what its latencies and shares say now.

``p95`` needs to know how long calls of a task take, so nothing is hedged before enough were seen. However slow a provider
gets, no more than a share of the calls is made twice: hedging must not double the load of one that is drowning.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from .chain import Step

SEEN_MIN: Final = 50
"""Calls of a task that must have answered before a percentile of them is believed."""
_SEEN_MAX: Final = 500
_READ_EVERY: Final = 10
_SHARE_WINDOW: Final = 200
_SHARE_FREE: Final = 1.0
"""So many hedges may be made before the share counts, or the first hundred calls could have none."""
_TASKS_MAX: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Hedge:
    """When the calls of a task are made a second time. An entry of ``survival.hedge`` in the policy file."""

    after_s: float = 0.0
    """Seconds without an answer after which the second call starts; 0 where a percentile says so."""
    percentile: float = 0.0
    """Such as 0.95 for ``p95``: slower than so many of the task's last 500 calls; 0 where it is a time."""
    model: str = ""
    """Who is asked the second time; empty: the same model again."""
    upstream: str = ""
    """The gateway's upstream it is asked through; empty: the one of the first call, or the one that serves the model."""
    share_max: float = 0.1
    """At most this share of the last 200 calls of the task is made twice."""

    def second(self, step: Step) -> Step:
        """The step of the second call beside this first one."""
        if not self.model and not self.upstream:
            return step
        return Step(model=self.model or step.model, provider=self.upstream or step.provider, upstream=self.upstream)


@dataclass(slots=True)
class _Memory:
    """What is known of a task's calls. Mutable; under the lock of its :class:`Hedges`."""

    seen: deque[float] = field(default_factory=lambda: deque(maxlen=_SEEN_MAX))
    unread: int = 0
    after_s: float | None = None
    hedged: deque[bool] = field(default_factory=lambda: deque(maxlen=_SHARE_WINDOW))


class Hedges:
    """All hedges of a process. Safe to use from several threads."""

    def __init__(self, by_task: Mapping[str, Hedge] | None = None) -> None:
        self.by_task: Mapping[str, Hedge] = by_task or {}
        self._memories: OrderedDict[str, _Memory] = OrderedDict()
        # Two calls must not both take the last place in the share.
        self._lock = threading.Lock()

    def of(self, task: str) -> Hedge | None:
        """The setting of a task, else that of ``default``; None: its calls are made once."""
        return self.by_task.get(task) or self.by_task.get("default")

    def after_s(self, task: str) -> float | None:
        """Seconds after which a call of the task is made a second time; None: not now."""
        hedge = self.of(task)
        if hedge is None:
            return None
        if hedge.after_s:
            return hedge.after_s
        with self._lock:
            memory = self._memory(task)
            if len(memory.seen) < SEEN_MIN:
                return None
            if memory.after_s is None or memory.unread >= _READ_EVERY:
                ranked = sorted(memory.seen)
                memory.after_s = ranked[min(int(hedge.percentile * len(ranked)), len(ranked) - 1)]
                memory.unread = 0
            return memory.after_s

    def take(self, task: str) -> bool:
        """Whether a second call may start now: it then counts as made."""
        hedge = self.of(task)
        if hedge is None:
            return False
        with self._lock:
            memory = self._memory(task)
            made = sum(memory.hedged)
            if made + 1 > max(hedge.share_max * len(memory.hedged), _SHARE_FREE):
                return False
            if memory.hedged:
                memory.hedged.pop()
            memory.hedged.append(True)
            return True

    def began(self, task: str) -> None:
        """A call of the task begins."""
        if self.of(task) is not None:
            with self._lock:
                self._memory(task).hedged.append(False)

    def took(self, task: str, seconds: float) -> None:
        """How long a call of the task took until its answer began, or at least, where it was overtaken."""
        if self.of(task) is not None:
            with self._lock:
                memory = self._memory(task)
                memory.seen.append(seconds)
                memory.unread += 1

    def _memory(self, task: str) -> _Memory:
        name = task if task in self.by_task else "default"
        found = self._memories.get(name)
        if found is None:
            found = self._memories[name] = _Memory()
            if len(self._memories) > _TASKS_MAX:
                self._memories.popitem(last=False)
        return found
