"""Circuit breakers: a provider that fails is left alone, and asked again by a probe.

One breaker for each provider, model and kind of failure. Closed, it counts; open, nothing goes through; half open, a
probe goes through and decides. A provider whose timeouts have opened a breaker is not believed because it answers
fast with errors: each kind closes by itself.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal

from pilothouse.records import BadRequest

from .failure import COUNTED, Failure, FailureKind
from .timer import SystemTimer, Timer

State = Literal["closed", "open", "half_open"]

_SLICES: Final = 10
_TARGETS_MAX: Final = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerSettings:
    """When a breaker opens and for how long. ``survival.breakers`` in the policy file."""

    window_s: float = 60.0
    """Calls of the last so many seconds count."""
    calls_min: int = 10
    """Fewer calls than this decide nothing."""
    failure_share: float = 0.5
    """From this share of failures of one kind on it opens."""
    open_s: float = 30.0
    """Left alone for so long, in seconds; twice as long after each probe that failed."""
    open_max_s: float = 300.0
    """Never left alone for longer than this, in seconds, but for a longer Retry-After."""
    probes: int = 1
    """So many calls may try at once whether it works again."""

    def __post_init__(self) -> None:
        for name, low, high in (
            ("window_s", 1, 3_600),
            ("calls_min", 1, 10_000),
            ("failure_share", 0.01, 1),
            ("open_s", 0.1, 3_600),
            ("open_max_s", 0.1, 86_400),
            ("probes", 1, 100),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise BadRequest(f"survival.breakers.{name} is out of range", got=value, allowed=f"{low} to {high}")


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerState:
    """One breaker, as it stands."""

    provider: str
    model: str
    kind: FailureKind
    """The kind of failure it counts."""
    state: State
    failures: int
    """Within the window."""
    calls: int
    """Of this provider and model within the window."""
    opens_in_s: float
    """Until a probe goes through, where it is open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A breaker that changed its state."""

    provider: str
    model: str
    kind: FailureKind
    state: State


@dataclass(slots=True)
class _Breaker:
    """Of one kind of failure. Mutable; under the lock of its :class:`Breakers`."""

    state: State = "closed"
    until_s: float = 0.0
    openings: int = 0
    probes: dict[int, float] = field(default_factory=dict[int, float])
    """Tickets of probes under way, and when each counts as lost."""


@dataclass(slots=True)
class _Target:
    """One provider and model: its calls by slices of the window, and its breakers."""

    slices: list[tuple[int, dict[str, int]]] = field(default_factory=list[tuple[int, dict[str, int]]])
    breakers: dict[FailureKind, _Breaker] = field(default_factory=dict["FailureKind", _Breaker])


@dataclass(frozen=True, slots=True, kw_only=True)
class Permit:
    """Leave to make one call. Give it back with :meth:`Breakers.ended`, whatever came of it."""

    provider: str
    model: str
    ticket: int
    probe: bool
    """True where this call decides whether a breaker closes."""


class Breakers:
    """All breakers of a process. Safe to use from several threads."""

    def __init__(
        self,
        settings: BreakerSettings | None = None,
        *,
        timer: Timer | None = None,
        changed: Callable[[Change], None] | None = None,
    ) -> None:
        """``changed`` is told of each change of state; it must be quick and must not raise."""
        self.settings = settings or BreakerSettings()
        self._timer = timer or SystemTimer()
        self._changed = changed or _unheard
        self._targets: OrderedDict[tuple[str, str], _Target] = OrderedDict()
        self._tickets = 0
        # Two threads must not both take the only probe.
        self._lock = threading.Lock()

    def enter(self, provider: str, model: str) -> Permit | float:
        """Leave to call, or for how many seconds there will be none."""
        changes: list[Change] = []
        with self._lock:
            now = self._timer.now_s()
            target = self._target(provider, model)
            self._tickets += 1
            shut = [breaker for breaker in target.breakers.values() if breaker.state != "closed"]
            for breaker in shut:
                if breaker.state == "open" and now < breaker.until_s:
                    return breaker.until_s - now
            for breaker in shut:
                breaker.probes = {ticket: lost for ticket, lost in breaker.probes.items() if lost > now}
                if len(breaker.probes) >= self.settings.probes:
                    return max(min(breaker.probes.values()) - now, 0.05)
            for kind, breaker in target.breakers.items():
                if breaker.state == "open":
                    breaker.state = "half_open"
                    changes.append(Change(provider=provider, model=model, kind=kind, state="half_open"))
                if breaker.state == "half_open":
                    # A probe whose process was stopped in the middle must not keep the door shut for good.
                    breaker.probes[self._tickets] = now + self.settings.open_s + self.settings.window_s
            permit = Permit(provider=provider, model=model, ticket=self._tickets, probe=bool(shut))
        self._tell(changes)
        return permit

    def ended(self, permit: Permit, failure: Failure | None) -> None:
        """What came of a call; None: an answer. A failure that tells nothing of the provider only ends the call."""
        changes: list[Change] = []
        with self._lock:
            now = self._timer.now_s()
            target = self._target(permit.provider, permit.model)
            counted = failure is not None and failure.kind in COUNTED and not failure.ours
            kind = failure.kind if failure is not None and counted else None
            told = failure is None or counted
            if told:
                counts = self._slice(target, now)
                counts["calls"] = counts.get("calls", 0) + 1
                if kind is not None:
                    counts[kind] = counts.get(kind, 0) + 1
                    target.breakers.setdefault(kind, _Breaker())
            for name, breaker in target.breakers.items():
                was_probe = breaker.probes.pop(permit.ticket, None) is not None
                before = breaker.state
                if was_probe and failure is None:
                    breaker.state, breaker.openings = "closed", 0
                    self._forget(target, name)
                elif (was_probe and name == kind) or (
                    before == "closed" and name == kind and self._too_many(target, name, now)
                ):
                    self._open(breaker, now, failure)
                if breaker.state != before:
                    change = Change(provider=permit.provider, model=permit.model, kind=name, state=breaker.state)
                    changes.append(change)
        self._tell(changes)

    def states(self) -> list[BreakerState]:
        """Every breaker that has counted anything, by provider and model."""
        found: list[BreakerState] = []
        with self._lock:
            now = self._timer.now_s()
            for (provider, model), target in sorted(self._targets.items()):
                self._slice(target, now)
                for kind, breaker in sorted(target.breakers.items()):
                    found.append(
                        BreakerState(
                            provider=provider,
                            model=model,
                            kind=kind,
                            state=breaker.state,
                            failures=self._sum(target, kind),
                            calls=self._sum(target, "calls"),
                            opens_in_s=max(breaker.until_s - now, 0.0) if breaker.state == "open" else 0.0,
                        )
                    )
        return found

    def _target(self, provider: str, model: str) -> _Target:
        key = (provider, model)
        target = self._targets.get(key)
        if target is None:
            target = self._targets[key] = _Target()
            if len(self._targets) > _TARGETS_MAX:
                # The one that was not called for longest: whoever names models at random cannot fill the memory.
                self._targets.popitem(last=False)
        else:
            self._targets.move_to_end(key)
        return target

    def _slice(self, target: _Target, now: float) -> dict[str, int]:
        number = int(now / self.settings.window_s * _SLICES)
        target.slices = [one for one in target.slices if one[0] > number - _SLICES]
        if not target.slices or target.slices[-1][0] != number:
            target.slices.append((number, {}))
        return target.slices[-1][1]

    def _sum(self, target: _Target, name: str) -> int:
        return sum(counts.get(name, 0) for _, counts in target.slices)

    def _forget(self, target: _Target, kind: FailureKind) -> None:
        for _, counts in target.slices:
            counts.pop(kind, None)

    def _too_many(self, target: _Target, kind: FailureKind, now: float) -> bool:
        calls = self._sum(target, "calls")
        return calls >= self.settings.calls_min and self._sum(target, kind) >= self.settings.failure_share * calls

    def _open(self, breaker: _Breaker, now: float, failure: Failure | None) -> None:
        settings = self.settings
        for_s = min(settings.open_s * 2**breaker.openings, max(settings.open_max_s, settings.open_s))
        asked_s = (failure.retry_after_s if failure else None) or 0.0
        breaker.state, breaker.until_s = "open", now + max(for_s, asked_s)
        breaker.openings = min(breaker.openings + 1, 20)

    def _tell(self, changes: list[Change]) -> None:
        for change in changes:
            self._changed(change)


def _unheard(_: Change) -> None:
    """Nobody listens."""
