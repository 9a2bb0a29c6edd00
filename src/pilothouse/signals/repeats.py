"""Calls that repeat: ``loop``, ``ping_pong``, ``retry_storm``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from pilothouse.records import Signal

from .calls import Call
from .facts import SpanFact
from .failure_text import RATE_LIMIT
from .view import View
from .wording import clipped, listed, named, seconds, times

PERIOD_MAX = 4
Key = tuple[str, str]
"""Tool and arguments."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeats:
    """What the three rules find; each call belongs to one of them."""

    storm: Signal | None = None
    ping_pong: Signal | None = None
    loop: Signal | None = None


def repeats(view: View) -> Repeats:
    """Look for a storm first, then for circles, then for loops in what is left."""
    limits = view.thresholds
    fewest = min(limits.retry_calls, limits.loop_calls, limits.ping_pong_cycles)
    if len(view.tools or view.models) < fewest:
        return Repeats()
    runs = _runs(view, fewest)
    storm = _storm(view, runs)
    taken = set[int]()
    if storm is not None and storm[1]:
        taken = storm[1]
    ping_pong = _ping_pong(view, runs, taken)
    if ping_pong is not None:
        taken |= ping_pong[1]
    return Repeats(
        storm=storm[0] if storm else None,
        ping_pong=ping_pong[0] if ping_pong else None,
        loop=_loop(view, runs, taken),
    )


def _runs(view: View, fewest: int) -> list[list[Call]]:
    """The calls of each run of an agent in order; runs in which no tool was called often are left out."""
    counts = Counter(fact.tool_name or fact.name for fact in view.tools)
    if view.tools and max(counts.values()) < fewest:
        return []
    by_owner: dict[str, list[Call]] = {}
    for call in view.calls:
        by_owner.setdefault(call.owner, []).append(call)
    return [run for run in by_owner.values() if len(run) >= fewest]


def _loop(view: View, runs: Sequence[list[Call]], taken: set[int]) -> Signal | None:
    limits = view.thresholds
    worst: list[Call] = []
    same = True
    for run in runs:
        counts = Counter(call.tool for call in run)
        often = {tool for tool, count in counts.items() if count >= limits.loop_calls}
        if not often:
            continue
        found = _same_in_a_row(run, often, taken, limits.loop_calls)
        if len(found) > len(worst):
            worst, same = found, True
        if not worst:
            found = _changing_in_a_row(run, often, taken, limits.loop_changing_calls)
            if found:
                worst, same = found, False
    if not worst:
        return None
    first, last = worst[0], worst[-1]
    limit = limits.loop_calls if same else limits.loop_changing_calls
    what = "the same arguments and the same result" if same else "the same arguments, though results changed"
    took = seconds((last.fact.end_ns - first.fact.start_ns) / 1e9)
    return Signal(
        name="loop",
        severity="critical" if view.open_ or len(worst) >= 2 * limit else "warning",
        message=f"{clipped(first.tool, 80)} was called {times(len(worst))} with {what} within {took} (limit {limit}).",
        evidence=listed(_distinct(worst), f"{first.tool}({clipped(first.arguments, 100)})"),
        value=float(len(worst)),
        limit=float(limit),
        unit="calls",
        detail={"tool": first.tool, "arguments": clipped(first.arguments)},
    )


def _same_in_a_row(run: Sequence[Call], often: set[str], taken: set[int], limit: int) -> list[Call]:
    """The longest series of equal calls with equal results; half as many other calls may stand between them.

    Where an equal call later gave another result, the agent was waiting for it: what came before is no loop.
    """
    results: dict[Key, str] = {}
    series: dict[Key, list[tuple[int, Call]]] = {}
    for place, call in enumerate(run):
        if call.tool not in often or id(call) in taken:
            continue
        key, result = (call.tool, call.arguments_key), call.result_key
        if not call.pending and results.setdefault(key, result) != result:
            results[key] = result
            series[key] = []
        series.setdefault(key, []).append((place, call))
    best: list[Call] = []
    for entries in series.values():
        dense = _dense(entries, limit, limit + limit // 2) if len(entries) >= limit else []
        if len(dense) > len(best):
            best = dense
    return best


def _dense(entries: Sequence[tuple[int, Call]], limit: int, window: int) -> list[Call]:
    """The longest stretch in which every ``window`` calls of the run hold ``limit`` of these."""
    best = (0, -1)
    first, end = 0, -1
    for start in range(len(entries) - limit + 1):
        last = start + limit - 1
        if entries[last][0] - entries[start][0] >= window:
            continue
        if start > end:
            first = start
        end = last
        if end - first > best[1] - best[0]:
            best = (first, end)
    return [call for _, call in entries[best[0] : best[1] + 1]]


def _changing_in_a_row(run: Sequence[Call], often: set[str], taken: set[int], limit: int) -> list[Call]:
    best: list[Call] = []
    chain: list[Call] = []
    key: Key | None = None
    for call in run:
        mine = (call.tool, call.arguments_key) if call.tool in often and id(call) not in taken else None
        if mine is None or mine != key:
            chain, key = [], mine
        if mine is not None:
            chain.append(call)
        if len(chain) >= limit and len(chain) > len(best):
            best = chain
    return best


def _ping_pong(view: View, runs: Sequence[list[Call]], taken: set[int]) -> tuple[Signal, set[int]] | None:
    limits = view.thresholds
    best: list[Call] = []
    best_period = 0
    same = True
    for run in runs:
        usable = [call for call in run if id(call) not in taken]
        if len(usable) < 2 * limits.ping_pong_cycles:
            continue
        keys: dict[tuple[str, str, str], int] = {}
        # Results are part of what repeats: a circle in which something moves on is work.
        exact = [keys.setdefault((call.tool, call.arguments_key, call.result_key), len(keys)) for call in usable]
        loose_keys: dict[Key, int] = {}
        loose = [loose_keys.setdefault((call.tool, call.arguments_key), len(loose_keys)) for call in usable]
        for series, cycles, exactly in (
            (exact, limits.ping_pong_cycles, True),
            (loose, limits.loop_changing_calls, False),
        ):
            for period in range(2, PERIOD_MAX + 1):
                start, length = _circle(series, period)
                if length >= cycles * period and length > len(best) and len(set(series[start : start + period])) > 1:
                    best, best_period, same = usable[start : start + length], period, exactly
            if best:
                break
    if not best:
        return None
    cycles = len(best) // best_period
    limit = limits.ping_pong_cycles if same else limits.loop_changing_calls
    order = " → ".join(clipped(call.tool, 60) for call in best[:best_period])
    signal = Signal(
        name="ping_pong",
        severity="critical" if view.open_ or cycles >= 2 * limit else "warning",
        message=f"The calls {order} went round {times(cycles)} with the same arguments"
        f"{' and results' if same else ''} (limit {limit}).",
        evidence=listed(_distinct(best), order),
        value=float(cycles),
        limit=float(limit),
        unit="rounds",
        detail={"tools": [call.tool for call in best[:best_period]]},
    )
    return signal, {id(call) for call in best}


def _circle(series: Sequence[int], period: int) -> tuple[int, int]:
    """Start and length of the longest stretch in which each element equals the one a period before."""
    best = (0, 0)
    length = 0
    for place in range(period, len(series)):
        length = length + 1 if series[place] == series[place - period] else 0
        if length and length + period > best[1]:
            best = (place - period - length + 1, length + period)
    return best


def _storm(view: View, runs: Sequence[list[Call]]) -> tuple[Signal, set[int]] | None:
    limits = view.thresholds
    window_ns = limits.retry_window_s * 1e9
    best: list[Call] = []
    for run in runs:
        failing: dict[Key, list[Call]] = {}
        for call in run:
            if call.failure:
                failing.setdefault((call.tool, call.arguments_key), []).append(call)
        for calls in failing.values():
            found = _within(calls, window_ns) if len(calls) >= limits.retry_calls else []
            if len(found) >= limits.retry_calls and len(found) > len(best):
                best = found
    if best:
        first = best[0]
        took = (best[-1].fact.end_ns - first.fact.start_ns) / 1e9
        return (
            _storm_signal(
                view,
                [call.fact for call in best],
                f"{clipped(first.tool, 80)} failed {times(len(best))} with the same arguments within {seconds(took)} "
                f'("{clipped(first.failure, 120)}"; limit {limits.retry_calls} in {seconds(limits.retry_window_s)}).',
                first.failure,
            ),
            {id(call) for call in best},
        )
    refused: dict[str, list[SpanFact]] = {}
    for fact in view.models:
        if fact.status == "error" and RATE_LIMIT.search(fact.error_message):
            refused.setdefault(fact.model or fact.name, []).append(fact)
    for facts in refused.values():
        stretch = _stretch(facts, window_ns)
        if len(stretch) >= limits.retry_calls:
            took = (stretch[-1].end_ns - stretch[0].start_ns) / 1e9
            message = (
                f"{named(stretch[0])} was refused {times(len(stretch))} within {seconds(took)} for its rate limit "
                f"(limit {limits.retry_calls} in {seconds(limits.retry_window_s)})."
            )
            return _storm_signal(view, stretch, message, stretch[0].error_message), set()
    return None


def _storm_signal(view: View, facts: Sequence[SpanFact], message: str, why: str) -> Signal:
    return Signal(
        name="retry_storm",
        severity="critical" if view.open_ else "warning",
        message=message,
        evidence=listed(facts, why),
        value=float(len(facts)),
        limit=float(view.thresholds.retry_calls),
        unit="calls",
    )


def _within(calls: Sequence[Call], window_ns: float) -> list[Call]:
    """The most calls that lie within a window."""
    first, end = _widest([call.fact.start_ns for call in calls], window_ns)
    return list(calls[first:end])


def _stretch(facts: Sequence[SpanFact], window_ns: float) -> list[SpanFact]:
    """The most spans that lie within a window."""
    first, end = _widest([fact.start_ns for fact in facts], window_ns)
    return list(facts[first:end])


def _widest(starts: Sequence[int], window_ns: float) -> tuple[int, int]:
    best = (0, 0)
    first = 0
    for place, start in enumerate(starts):
        while start - starts[first] > window_ns:
            first += 1
        if place + 1 - first > best[1] - best[0]:
            best = (first, place + 1)
    return best


def _distinct(calls: Sequence[Call]) -> list[SpanFact]:
    return list({call.fact.span_id: call.fact for call in calls}.values())
