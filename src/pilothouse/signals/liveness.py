"""What an open trace is doing: from its last span, its heartbeats and what is usual for its agent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pilothouse.records import Signal

from .facts import NO_BASELINE, Baseline, Pulse
from .thresholds import Thresholds
from .view import View
from .wording import evidence, listed, named, seconds

LiveState = Literal["running", "waiting_human", "rate_limited", "queued", "retrying", "stalled", "died", "quiet"]

_WAITS: dict[str, LiveState] = {
    "human": "waiting_human",
    "rate_limit": "rate_limited",
    "queue": "queued",
    "retry": "retrying",
}
_QUIET_S = 60.0
"""An open trace is quiet when nothing came for so long, or for half of what makes it stalled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Liveness:
    """What an open trace is doing now."""

    state: LiveState
    silent_s: float
    """Seconds since anything of it arrived: a span, or for the state died a heartbeat."""
    limit_s: float
    """Seconds after which it counts as stalled, or its process as dead."""
    reason: str
    """Why, in a few words."""


def liveness(
    *,
    now_ns: int,
    last_span_ns: int,
    thresholds: Thresholds,
    baseline: Baseline = NO_BASELINE,
    pulse: Pulse | None = None,
    waiting_for: str = "",
    longest_span_s: float = 0.0,
) -> Liveness:
    """What an open trace is doing. Pure; all times are the server's clock.

    Args:
        now_ns: the moment judged from; in a backlog, that of the newest record read.
        last_span_ns: when the newest span of the trace arrived.
        thresholds: of the trace's agent.
        baseline: what is usual for the agent.
        pulse: the heartbeats of the process at work; None where it sends none.
        waiting_for: what an open span of kind waiting waits for, where the spans say so.
        longest_span_s: the longest finished step of this very trace: a step of that length is no stall.
    """
    silent_s = max(now_ns - last_span_ns, 0) / 1e9
    limit_s = stall_limit_s(thresholds, baseline, longest_span_s)
    if pulse is not None and not pulse.said_goodbye:
        missing_s = max(now_ns - pulse.last_ns, 0) / 1e9
        deadline_s = max(thresholds.died_min_s, thresholds.died_intervals * pulse.interval_s)
        # A newer span is a sign of life as good as a heartbeat.
        if min(missing_s, silent_s) > deadline_s:
            return Liveness(
                state="died",
                silent_s=missing_s,
                limit_s=deadline_s,
                reason=f"no heartbeat for {seconds(missing_s)}, one is due every {seconds(pulse.interval_s)}",
            )
    waits = waiting_for or (pulse.waiting_for if pulse is not None else "")
    if waits in _WAITS and (pulse is None or not pulse.said_goodbye):
        return Liveness(
            state=_WAITS[waits], silent_s=silent_s, limit_s=limit_s, reason=f"it waits for {waits.replace('_', ' ')}"
        )
    if silent_s > limit_s:
        alive = "" if pulse is None else "; its process is alive" if not pulse.said_goodbye else "; its process ended"
        return Liveness(
            state="stalled", silent_s=silent_s, limit_s=limit_s, reason=f"no span for {seconds(silent_s)}{alive}"
        )
    if silent_s > min(_QUIET_S, limit_s / 2):
        return Liveness(state="quiet", silent_s=silent_s, limit_s=limit_s, reason=f"no span for {seconds(silent_s)}")
    return Liveness(state="running", silent_s=silent_s, limit_s=limit_s, reason="spans arrive")


def stall_limit_s(thresholds: Thresholds, baseline: Baseline, longest_span_s: float = 0.0) -> float:
    """Seconds of silence after which an open trace counts as stalled."""
    if baseline.gap_s > 0 and baseline.traces >= thresholds.baseline_traces:
        usual = max(thresholds.stalled_factor * baseline.gap_s, thresholds.stalled_min_s)
    else:
        usual = thresholds.stalled_default_s
    return max(usual, 2 * longest_span_s)


def live_of(view: View) -> Liveness | None:
    """What the trace of a view is doing; None where it is not open or its arrival is not known."""
    if not view.open_ or not view.received_ns:
        return None
    waiting = next(
        (fact.purpose for fact in reversed(view.facts) if fact.kind == "waiting" and fact.status == "running"), ""
    )
    root = view.root
    # What ended: of the span everything lies in the length says nothing.
    longest_ns = max((fact.end_ns - fact.start_ns for fact in view.facts if fact is not root), default=0)
    return liveness(
        now_ns=view.now_ns,
        last_span_ns=view.received_ns,
        thresholds=view.thresholds,
        baseline=view.baseline,
        pulse=view.pulse,
        waiting_for=waiting,
        longest_span_s=longest_ns / 1e9,
    )


def looks_unfinished(view: View) -> bool:
    """True where an open trace is plainly at work, rather than one whose root will never be sent.

    Spans that still run, or a heartbeat that names open ones, are plain. Else a root is expected only of an agent
    whose traces usually have one, and of a trace that did not end in a reply.
    """
    if any(fact.status == "running" for fact in view.facts):
        return True
    if view.pulse is not None and view.pulse.open_spans and not view.pulse.said_goodbye:
        return True
    if view.roots:
        return False
    known = view.baseline.traces >= view.thresholds.baseline_traces
    return view.baseline.rooted >= 0.9 if known else bool(view.models) and not view.answer


def still(view: View) -> Signal | None:
    """``stalled`` or ``died``, whichever the clock says."""
    live = live_of(view)
    if live is None or live.state not in ("stalled", "died") or not looks_unfinished(view):
        return None
    open_spans = [fact for fact in view.facts if fact.status == "running"]
    if not open_spans and view.pulse is not None:
        open_spans = [view.by_id[span_id] for span_id in view.pulse.open_spans if span_id in view.by_id]
    last = max(view.facts, key=lambda fact: fact.end_ns)
    at = open_spans[-1] if open_spans else last
    where = f"{named(at)} is open" if open_spans else f"the last step was {named(at)}"
    shown = listed(open_spans, "still open") or (evidence(last, "the last that was heard of it"),)
    if live.state == "died":
        return Signal(
            name="died",
            severity="critical",
            message=f"Its process sent no heartbeat for {seconds(live.silent_s)} and did not say goodbye "
            f"(limit {seconds(live.limit_s)}); {where}.",
            evidence=shown,
            value=round(live.silent_s, 1),
            limit=round(live.limit_s, 1),
            unit="s",
        )
    known = view.baseline.gap_s > 0 and view.baseline.traces >= view.thresholds.baseline_traces
    usual = (
        f"; spans of {view.agent or 'this agent'} are usually at most {seconds(view.baseline.gap_s)} apart"
        if known
        else ""
    )
    alive = view.pulse is not None and not view.pulse.said_goodbye
    return Signal(
        name="stalled",
        severity="critical",
        message=f"Nothing has happened for {seconds(live.silent_s)} (limit {seconds(live.limit_s)}{usual}); {where}"
        f"{', and its process is alive' if alive else ''}.",
        evidence=shown,
        value=round(live.silent_s, 1),
        limit=round(live.limit_s, 1),
        unit="s",
    )
