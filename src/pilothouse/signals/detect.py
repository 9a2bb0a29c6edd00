"""All rules over one trace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pilothouse.records import Signal

from .answers import empty_output, no_answer, truncated
from .catalogue import RULES
from .facts import NO_BASELINE, Baseline, Pulse, SpanFact, WindowOf, no_window
from .failures import clock_skew, context_overflow, double_instrumented, error, orphans, soft_error, tool_not_found
from .finish import premature_finish
from .liveness import looks_unfinished, still
from .repeats import repeats
from .thresholds import Thresholds
from .usual import canned_traffic, unexpected_cost, unexpected_latency
from .view import View

_ORDER = {name: place for place, name in enumerate(RULES)}
_ALONE = (
    error,
    soft_error,
    no_answer,
    premature_finish,
    truncated,
    empty_output,
    context_overflow,
    tool_not_found,
    unexpected_cost,
    unexpected_latency,
    canned_traffic,
    still,
    orphans,
    double_instrumented,
    clock_skew,
)


def detect(
    facts: Sequence[SpanFact],
    thresholds: Thresholds,
    baseline: Baseline = NO_BASELINE,
    *,
    now_ns: int,
    open_: bool,
    received_ns: int = 0,
    pulse: Pulse | None = None,
    window_of: WindowOf = no_window,
    by_id: Mapping[str, SpanFact] | None = None,
) -> tuple[Signal, ...]:
    """What is wrong with a trace, in the order of :data:`~pilothouse.signals.RULES`. Pure.

    The time is n log n in the number of spans. ``stalled`` and ``died`` are looked for only where ``received_ns``,
    the arrival of the newest span by the clock of ``now_ns``, is given.

    Args:
        facts: the spans of the trace in order of their start.
        thresholds: of the trace's agent.
        baseline: what is usual for the agent.
        now_ns: the moment judged from.
        open_: more is expected of the trace.
        received_ns: when the newest span of it arrived.
        pulse: the heartbeats of the process at work on it.
        window_of: context windows of models.
        by_id: the same facts by span id, where the caller has them so.
    """
    if not facts:
        return ()
    view = View(
        facts=facts,
        by_id=by_id if by_id is not None else {fact.span_id: fact for fact in facts},
        thresholds=thresholds,
        open_=open_,
        now_ns=now_ns,
        received_ns=received_ns,
        baseline=baseline,
        pulse=pulse,
        window_of=window_of,
    )
    found = [signal for rule in _ALONE if (signal := rule(view)) is not None]
    again = repeats(view)
    found += [signal for signal in (again.loop, again.ping_pong, again.storm) if signal is not None]
    kept = [signal for signal in found if signal.name not in thresholds.off]
    kept.sort(key=lambda signal: _ORDER[signal.name])
    return tuple(kept)


def expects_more(
    facts: Sequence[SpanFact],
    thresholds: Thresholds,
    baseline: Baseline = NO_BASELINE,
    *,
    pulse: Pulse | None = None,
    by_id: Mapping[str, SpanFact] | None = None,
) -> bool:
    """True where an open trace is plainly at work; false where its root will most likely never be sent."""
    view = View(
        facts=facts,
        by_id=by_id if by_id is not None else {fact.span_id: fact for fact in facts},
        thresholds=thresholds,
        open_=True,
        now_ns=0,
        baseline=baseline,
        pulse=pulse,
    )
    return looks_unfinished(view)
