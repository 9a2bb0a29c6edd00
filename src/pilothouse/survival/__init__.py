"""Going on when models fail: retries, circuit breakers, fallback chains, hedged calls, rate limits.

Nothing here knows a framework or does I/O of its own: time, chance and the calls themselves are handed in.
"""

from __future__ import annotations

from .breaker import Breakers, BreakerSettings, BreakerState, Change, Permit
from .chain import Chains, Needs, Step, following, unfit
from .config import SurvivalConfig, read_limits, read_survival
from .course import Attempt, GaveUp, Happening, Move, Reply, Try, Wait, course
from .driving import Answer, Survivor
from .events import Alert, AlertSettings, Events
from .failure import (
    FAILURE_KINDS,
    TRIGGERS,
    Failed,
    Failure,
    FailureKind,
    Trigger,
    from_exception,
    from_response,
    retry_after_s,
)
from .hedge import hedged, hedged_async
from .hedging import Hedge, Hedges
from .rate_limit import Limit, Limited, Limits, Taken
from .replies import Replies, request_key
from .retries import Retries
from .timer import Dice, FakeTimer, SystemTimer, Timer, fixed, roll

__all__ = [
    "FAILURE_KINDS",
    "TRIGGERS",
    "Alert",
    "AlertSettings",
    "Answer",
    "Attempt",
    "BreakerSettings",
    "BreakerState",
    "Breakers",
    "Chains",
    "Change",
    "Dice",
    "Events",
    "Failed",
    "Failure",
    "FailureKind",
    "FakeTimer",
    "GaveUp",
    "Happening",
    "Hedge",
    "Hedges",
    "Limit",
    "Limited",
    "Limits",
    "Move",
    "Needs",
    "Permit",
    "Replies",
    "Reply",
    "Retries",
    "Step",
    "SurvivalConfig",
    "Survivor",
    "SystemTimer",
    "Taken",
    "Timer",
    "Trigger",
    "Try",
    "Wait",
    "course",
    "fixed",
    "following",
    "from_exception",
    "from_response",
    "hedged",
    "hedged_async",
    "read_limits",
    "read_survival",
    "request_key",
    "retry_after_s",
    "roll",
    "unfit",
]
