"""What survival did: counted, logged, and told aloud when fallbacks pile up.

Every fallback is one line in the log. When fallbacks become many, against what was answered in the same minutes,
there is one alert, and no second one until they have become few again or a quarter of an hour has passed.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from pilothouse.records import BadRequest

from .breaker import Change
from .course import Happening

LOG = logging.getLogger("pilothouse.survival")
_NAMES_MAX: Final = 1_000
_RECENT_MAX: Final = 50_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """Fallbacks have piled up."""

    task: str
    """The task most of them belong to."""
    fallbacks: int
    """Within the window."""
    answers: int
    """Within the window, fallbacks' answers included."""
    window_s: float

    def __str__(self) -> str:
        return f"{self.fallbacks} fallbacks beside {self.answers} answers within {self.window_s:.0f} s, most in {self.task}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertSettings:
    """When fallbacks are too many. ``survival.alerts`` in the policy file."""

    window_s: float = 300.0
    """Fallbacks of the last so many seconds count."""
    fallbacks_min: int = 10
    """Fewer than this never alert."""
    share: float = 0.2
    """From this many fallbacks for each answer on."""
    quiet_s: float = 900.0
    """No second alert for so long, in seconds, while they stay many."""

    def __post_init__(self) -> None:
        for name, low, high in (
            ("window_s", 1, 86_400),
            ("fallbacks_min", 1, 1_000_000),
            ("share", 0.0001, 100),
            ("quiet_s", 0, 86_400),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise BadRequest(f"survival.alerts.{name} is out of range", got=value, allowed=f"{low} to {high}")


class Events:
    """Counts and tells. Safe to use from several threads; a listener that raises is logged and heard again."""

    def __init__(
        self,
        settings: AlertSettings | None = None,
        *,
        listeners: tuple[Callable[[Happening | Change | Alert], None], ...] = (),
    ) -> None:
        self.settings = settings or AlertSettings()
        self._listeners = listeners
        self._counts: Counter[tuple[str, str, str]] = Counter()
        self._recent: deque[tuple[float, str, str]] = deque(maxlen=_RECENT_MAX)
        self._quiet_until_s: float | None = None
        self._lock = threading.Lock()

    def happened(self, happening: Happening, now_s: float) -> None:
        """Take note of a retry, a fallback, an answer or an end."""
        failure = happening.failure
        with self._lock:
            self._count(happening.kind, happening.task, failure.kind if failure else "")
            alert = self._alert(happening, now_s)
        if happening.kind == "fallback":
            LOG.warning("fallback of %s: %s instead of %s, %s", happening.task, happening.step, happening.was, failure)
        elif happening.kind == "hedge":
            LOG.info("hedge of %s: %s beside %s, which is slow", happening.task, happening.step, happening.was)
        elif happening.kind == "gave_up":
            LOG.warning("gave up %s at %s: %s", happening.task, happening.was, failure)
        self._tell(happening)
        if alert is not None:
            LOG.error("alert: %s", alert)
            self._tell(alert)

    def changed(self, change: Change) -> None:
        """Take note of a breaker that opened or closed."""
        with self._lock:
            self._count(f"breaker_{change.state}", f"{change.provider}/{change.model}", change.kind)
        LOG.warning("breaker of %s/%s for %s is %s", change.provider, change.model, change.kind, change.state)
        self._tell(change)

    def counts(self) -> dict[tuple[str, str, str], int]:
        """How often: by what happened, in which task (or to which model), for which kind of failure."""
        with self._lock:
            return dict(self._counts)

    def _count(self, kind: str, name: str, failure: str) -> None:
        key = (kind, name, failure)
        if key not in self._counts and len(self._counts) >= _NAMES_MAX:
            key = (kind, "(other)", failure)
        self._counts[key] += 1

    def _alert(self, happening: Happening, now_s: float) -> Alert | None:
        if happening.kind not in ("fallback", "answer"):
            return None
        self._recent.append((now_s, happening.kind, happening.task))
        while self._recent and self._recent[0][0] <= now_s - self.settings.window_s:
            self._recent.popleft()
        if happening.kind != "fallback":
            return None
        tasks = Counter(task for _, kind, task in self._recent if kind == "fallback")
        fallbacks = tasks.total()
        answers = len(self._recent) - fallbacks
        if fallbacks < self.settings.fallbacks_min or fallbacks < self.settings.share * answers:
            self._quiet_until_s = None
            return None
        if self._quiet_until_s is not None and now_s < self._quiet_until_s:
            return None
        self._quiet_until_s = now_s + self.settings.quiet_s
        task = tasks.most_common(1)[0][0]
        return Alert(task=task, fallbacks=fallbacks, answers=answers, window_s=self.settings.window_s)

    def _tell(self, event: Happening | Change | Alert) -> None:
        for listener in self._listeners:
            try:
                listener(event)
            except Exception:
                LOG.exception("a listener of survival raised")
