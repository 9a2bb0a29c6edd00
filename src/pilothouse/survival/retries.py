"""How long to wait between tries, and when to stop: 1, 2, 4, 8 s and up to half a second more, five tries, a minute.

Nothing here waits; it is asked after each failure and answers with a wait or the reason to stop.
"""

from __future__ import annotations

from dataclasses import dataclass

from pilothouse.records import BadRequest

from .failure import Failure
from .timer import Dice


@dataclass(frozen=True, slots=True, kw_only=True)
class Retries:
    """How often and how long a call is tried. ``survival.retries`` in the policy file."""

    tries: int = 5
    """Calls in all, fallbacks included; each fallback's first call is made beyond it, where time is left."""
    tries_before_fallback: int = 2
    """Calls of one model, where the chain has another to go on with."""
    base_s: float = 1.0
    """The first wait, in seconds."""
    factor: float = 2.0
    """Each further wait is so many times the one before."""
    wait_max_s: float = 8.0
    """No wait of ours is longer, in seconds; a provider's Retry-After may be."""
    jitter_ms: int = 500
    """Up to so much is added to each wait, by chance, so that many agents do not come back together."""
    total_s: float = 60.0
    """From the first call to the answer or the error, in seconds, waits and calls together."""

    def __post_init__(self) -> None:
        for name, low, high in (
            ("tries", 1, 20),
            ("tries_before_fallback", 1, 20),
            ("base_s", 0, 60),
            ("factor", 1, 10),
            ("wait_max_s", 0, 600),
            ("jitter_ms", 0, 60_000),
            ("total_s", 0.001, 86_400),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise BadRequest(f"survival.retries.{name} is out of range", got=value, allowed=f"{low} to {high}")

    def wait_s(self, failed: int, failure: Failure, dice: Dice) -> float:
        """How long to wait after so many failures of one model, the provider's Retry-After included."""
        own = min(self.base_s * self.factor ** max(failed - 1, 0), self.wait_max_s)
        # Chance comes on top of Retry-After too: a provider tells everybody the same number.
        return max(own, failure.retry_after_s or 0.0) + dice() * self.jitter_ms / 1_000


def time_left(retries: Retries, started_s: float, now_s: float, deadline_s: float | None) -> float:
    """Seconds until the call must have ended, by its own bound and by the caller's deadline."""
    end = started_s + retries.total_s
    return (end if deadline_s is None else min(end, deadline_s)) - now_s
