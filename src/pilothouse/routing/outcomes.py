"""How stored calls went, by what the store knows: scores first, then errors of the call, then what was found in its trace."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pilothouse.store.routing_reads import RoutedCall, ScoreRow, TraceOutcome

SIGNALS: Final = frozenset(
    {
        "loop",
        "ping_pong",
        "retry_storm",
        "premature_finish",
        "no_answer",
        "empty_output",
        "tool_not_found",
        "soft_error",
    }
)
"""Signals that tell of the model rather than of the machinery around it."""
_REFUSED: Final = frozenset({"content_filter", "refusal", "safety"})
_CUT: Final = frozenset({"length", "max_tokens"})
_GOOD_FROM: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one call went."""

    bad: bool
    by: str
    """What told it: score, invalid, refused, truncated, signal or quiet."""


def outcomes_of(
    calls: Sequence[RoutedCall], traces: Mapping[str, TraceOutcome], scores: Sequence[ScoreRow], *, quiet: bool
) -> dict[str, Outcome]:
    """Outcomes by span; calls without one are left out.

    ``quiet``: whether a call that nobody scored, in a trace without an error or a signal, counts as gone well. A call
    that failed for its provider's sake tells nothing of how hard it was.
    """
    of_span = _means(scores, lambda row: row.span_id)
    of_trace = _means(scores, lambda row: row.trace_id if not row.span_id else "")
    of_session = _means(scores, lambda row: row.session_id if not row.span_id and not row.trace_id else "")
    found: dict[str, Outcome] = {}
    for call in calls:
        scored = of_span.get(call.span_id, of_trace.get(call.trace_id, of_session.get(call.session)))
        trace = traces.get(call.trace_id)
        if scored is not None:
            found[call.span_id] = Outcome(bad=scored < _GOOD_FROM, by="score")
        elif call.finish_reason in _REFUSED:
            found[call.span_id] = Outcome(bad=True, by="refused")
        elif call.status == "error":
            continue
        elif call.valid == "false":
            found[call.span_id] = Outcome(bad=True, by="invalid")
        elif call.finish_reason in _CUT:
            found[call.span_id] = Outcome(bad=True, by="truncated")
        elif trace is not None and SIGNALS & set(trace.signals):
            found[call.span_id] = Outcome(bad=True, by="signal")
        elif quiet and trace is not None and trace.status != "error" and not trace.signals:
            found[call.span_id] = Outcome(bad=False, by="quiet")
    return found


def _means(scores: Sequence[ScoreRow], key: Callable[[ScoreRow], str]) -> dict[str, float]:
    values: dict[str, list[float]] = {}
    for row in scores:
        # Scores on other scales say nothing without their scale.
        if (name := key(row)) and 0 <= row.value <= 1:
            values.setdefault(name, []).append(row.value)
    return {name: sum(found) / len(found) for name, found in values.items()}
