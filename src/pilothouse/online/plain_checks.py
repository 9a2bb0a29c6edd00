"""Scores from plain facts: no model, no code of the user's, no money."""

from __future__ import annotations

from collections import Counter

from .model import Outcome
from .rules import Scorer
from .units import Seen, cost_of


def run_check(scorer: Scorer, seen: Seen) -> Outcome:
    """What the check of a scorer says of a unit."""
    if seen.too_large:
        return Outcome.none("too_long", f"it was not read: {seen.too_large}")
    if scorer.check == "finished":
        return _finished(seen)
    value, why = _figure(scorer.check, seen)
    if value is None:
        return Outcome.none("unknown", why)
    bound = scorer.at_most or 0.0
    return Outcome(value=value, label="pass" if value <= bound else "fail", why=why)


def _finished(seen: Seen) -> Outcome:
    row = seen.traces[-1]
    if row.status == "running":
        return Outcome(value=0.0, label="fail", why="it has not ended")
    if row.status == "error":
        return Outcome(value=0.0, label="fail", why=f"it ended with an error: {row.first_error[:200]}".rstrip(": "))
    if not row.output_text.strip():
        return Outcome(value=0.0, label="fail", why="it ended without an answer")
    return Outcome(value=1.0, label="pass", why="it ended with an answer")


def _figure(check: str, seen: Seen) -> tuple[float | None, str]:
    if check == "tool_errors":
        tools = seen.tools
        failed = [one for one in tools if one.failed]
        if not tools:
            return None, "it calls no tool"
        first = f", first {failed[0].label}" if failed else ""
        return len(failed) / len(tools), f"{len(failed)} of {len(tools)} tool calls failed{first}"
    if check == "repeated_calls":
        # Of long arguments the head is known: two that differ after it count as the same.
        same = Counter((one.label, one.input_head) for one in seen.tools)
        repeated = sum(count - 1 for count in same.values())
        most = max(same.items(), key=lambda pair: pair[1], default=None)
        told = f": {most[0][0]} {most[1]} times" if most is not None and most[1] > 1 else ""
        return float(repeated), f"{repeated} of {len(seen.tools)} tool calls repeat an earlier one{told}"
    if check == "cost":
        cost = cost_of(seen)
        return cost, "the price of no call is known" if cost is None else f"${cost:.4f}"
    seconds = sum(one.duration_ms for one in seen.traces) / 1000
    if seen.level in ("tool_call", "task"):
        seconds = max((one.duration_ms for one in seen.spans), default=0.0) / 1000
    return seconds, f"{seconds:.1f} s"
