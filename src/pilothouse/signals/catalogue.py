"""Every rule by name: what its signal means and which settings decide when it speaks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule as users read of it."""

    meaning: str
    """What its signal says, in one sentence."""
    settings: tuple[str, ...] = ()
    """The fields of :class:`~pilothouse.signals.Thresholds` it goes by; empty where there is nothing to tune."""


RULES: Mapping[str, Rule] = {
    "error": Rule(meaning="A step of this trace failed."),
    "soft_error": Rule(meaning="A tool returned a failure although its span says ok."),
    "loop": Rule(
        meaning="The same tool was called again and again with the same arguments and the same result.",
        settings=("loop_calls", "loop_changing_calls"),
    ),
    "ping_pong": Rule(
        meaning="The agent goes round in a circle of two to four calls, each time with the same arguments.",
        settings=("ping_pong_cycles",),
    ),
    "no_answer": Rule(meaning="Many tool calls, and the trace ended without a reply.", settings=("no_answer_calls",)),
    "premature_finish": Rule(
        meaning="The final answer announces what was not done, claims a success that failed, or leaves its plan open."
    ),
    "retry_storm": Rule(
        meaning="A failing call was repeated at once, again and again.", settings=("retry_calls", "retry_window_s")
    ),
    "truncated": Rule(meaning="The final answer was cut off by the limit on output tokens."),
    "empty_output": Rule(meaning="The final answer is empty."),
    "context_overflow": Rule(
        meaning="The input did not fit into the model's context window, or all but filled it.",
        settings=("context_share",),
    ),
    "tool_not_found": Rule(meaning="The model called a tool that it was not offered."),
    "unexpected_cost": Rule(
        meaning="It cost far more than this agent's traces usually do.",
        settings=("cost_factor", "cost_spread", "cost_min_usd", "baseline_traces"),
    ),
    "unexpected_latency": Rule(
        meaning="It took far longer than this agent's traces usually do.",
        settings=("latency_factor", "latency_spread", "latency_min_s", "baseline_traces"),
    ),
    "canned_traffic": Rule(
        meaning="The very same input came again and again: most likely a test or a monitor, not a user.",
        settings=("canned_traces",),
    ),
    "stalled": Rule(
        meaning="The trace is open and nothing has happened for far longer than usual.",
        settings=("stalled_factor", "stalled_min_s", "stalled_default_s"),
    ),
    "died": Rule(
        meaning="The process that worked on it stopped sending heartbeats without saying goodbye.",
        settings=("died_intervals", "died_min_s"),
    ),
    "orphans": Rule(meaning="Spans name parents that never arrived."),
    "double_instrumented": Rule(meaning="Calls were reported by two instrumentations; they are counted once."),
    "clock_skew": Rule(meaning="A sender's clock was wrong; its times were corrected."),
}
"""In the order in which they are listed."""
