"""When a judge that does not answer is asked again, and when a trace is given up: decisions without I/O.

Two things back off. The judge as a whole: while it is down, one question goes out now and then, and what arrives waits without
being asked. And each trace, since its own question may be what the judge fails at.
"""

from __future__ import annotations

from typing import Final

_S: Final = 1_000_000_000
TRIES_MAX: Final = 12
"""How often one trace is asked about."""
WAIT_NS_MAX: Final = 24 * 3_600 * _S
"""How long one trace waits, asked or not."""
WAITING_MAX: Final = 10_000
"""How many traces of one scorer and project wait; what comes then is not looked at before some of these are done."""
SOON_NS: Final = 60 * _S
"""Once the judge answers again: how much later for each time that it was asked about the same trace before."""
_TRACE_FIRST_S: Final = 15
_TRACE_MOST_S: Final = 1_800
_JUDGE_FIRST_S: Final = 10
_JUDGE_MOST_S: Final = 600


def trace_pause_ns(tries: int) -> int:
    """How long a trace waits after it was asked about so often: 15 s, 45 s, and so on, half an hour at most."""
    return min(_TRACE_MOST_S, _TRACE_FIRST_S * 3 ** min(10, max(0, tries - 1))) * _S


def judge_pause_ns(tries: int) -> int:
    """How long a judge is let alone after so many questions without an answer: 10 s, 20 s, ten minutes at most."""
    return min(_JUDGE_MOST_S, _JUDGE_FIRST_S * 2 ** min(10, max(0, tries - 1))) * _S


def given_up(tries: int, since_ns: int, now_ns: int) -> str:
    """Why a trace is not asked about any more; empty where it is."""
    if tries >= TRIES_MAX:
        return f"asked {tries} times within {_span(now_ns - since_ns)}, and not answered: "
    if now_ns - since_ns > WAIT_NS_MAX:
        return f"waited {_span(now_ns - since_ns)} for the judge, asked {tries} times: "
    return ""


def _span(ns: int) -> str:
    minutes = max(1, round(ns / _S / 60))
    return f"{minutes} minutes" if minutes < 120 else f"{round(minutes / 60)} hours"
