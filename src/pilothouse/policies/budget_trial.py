"""The budgets of two policies over the same stored model calls: who would have been refused, and when."""

from __future__ import annotations

import heapq
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, cast

from pilothouse.budgets import NOBODY, OUTPUT_TOKENS_DEFAULT, Level, Prices, Rule, applying, period_of, worst_case
from pilothouse.records import BadRequest
from pilothouse.store.traffic_reads import ModelCallFacts

from .model import BudgetOutcome, BudgetTrial

_EXAMPLES = 5
_OUTPUT_FROM = 6
"""The buckets from here on are output."""
_NAMES = ("max_completion_tokens", "max_output_tokens", "max_tokens", "maxOutputTokens")


@dataclass(slots=True, kw_only=True)
class _Booked:
    """What one policy's budgets did."""

    applied: dict[str, int] = field(default_factory=dict[str, int])
    refused: dict[str, set[int]] = field(default_factory=dict[str, set[int]])
    """By budget: the numbers of the calls that it refused."""
    spent: dict[str, Decimal] = field(default_factory=dict[str, Decimal])


@dataclass(slots=True)
class _Account:
    usd: Decimal = Decimal(0)
    tokens: int = 0


def try_budgets(
    now: Sequence[Rule],
    then: Sequence[Rule],
    calls: Sequence[ModelCallFacts],
    total: int,
    prices: Prices,
    *,
    until_s: float,
) -> BudgetTrial | None:
    """Book stored calls under both policies, as if every account had been empty when the window began."""
    if not now and not then:
        return None
    dollars = any(rule.usd is not None for rule in (*now, *then))
    unpriced = sum(call.cost_usd == "" for call in calls) if dollars else 0
    before = _book(now, calls, _actual, until_s)
    after = _book(then, calls, _actual, until_s)
    bounds = [rule.output_tokens for rule in then if rule.level == "request" and rule.output_tokens is not None]
    worst_of = _Worst(prices, min(bounds, default=OUTPUT_TOKENS_DEFAULT), dollars=any(r.usd is not None for r in then))
    worst = _book(then, calls, worst_of, until_s)
    names = list(dict.fromkeys([rule.name for rule in (*then, *now)]))
    limits = {rule.name: rule.at_limit for rule in (*now, *then)}
    outcomes: list[BudgetOutcome] = []
    for name in names:
        newly = after.refused.get(name, set()) - before.refused.get(name, set())
        newly_worst = worst.refused.get(name, set()) - before.refused.get(name, set())
        outcomes.append(
            BudgetOutcome(
                budget=name,
                calls=after.applied.get(name, before.applied.get(name, 0)),
                refused_now=len(before.refused.get(name, ())),
                refused_then=len(after.refused.get(name, ())),
                refused_worst=len(worst.refused.get(name, ())),
                runs=len({calls[number].trace_id for number in newly}),
                runs_worst=len({calls[number].trace_id for number in newly_worst}),
                spent_usd=format(after.spent.get(name, Decimal(0)).quantize(Decimal("0.000001")).normalize(), "f"),
                at_limit=limits[name],
                examples=tuple(
                    dict.fromkeys(calls[number].trace_id for number in (*sorted(newly), *sorted(newly_worst)))
                )[:_EXAMPLES],
            )
        )
    return BudgetTrial(calls=len(calls), calls_total=total, unpriced=unpriced, budgets=tuple(outcomes))


Hold = Callable[[ModelCallFacts], tuple[Decimal, int] | None]
"""What a call holds back while it runs: dollars and tokens; None where a budget in dollars cannot know."""


def _actual(call: ModelCallFacts) -> tuple[Decimal, int]:
    return Decimal(call.cost_usd or 0), sum(call.tokens)


class _Worst:
    """The worst case of a call, as it would have been reserved."""

    def __init__(self, prices: Prices, output_tokens: int, *, dollars: bool) -> None:
        self._prices, self._output, self._dollars = prices, output_tokens, dollars
        self._known: dict[tuple[str, str, int, int], Decimal | None] = {}

    def __call__(self, call: ModelCallFacts) -> tuple[Decimal, int] | None:
        used = sum(call.tokens)
        into = sum(call.tokens[:_OUTPUT_FROM])
        out = max(_asked(call.parameters) or self._output, used - into)
        if not self._dollars:
            return Decimal(0), into + out
        key = (call.model, call.provider, into, out)
        if key not in self._known:
            try:
                self._known[key] = worst_case(
                    self._prices,
                    model=call.model,
                    provider=call.provider,
                    input_tokens=into,
                    output_tokens=out,
                    at_ns=call.start_ns,
                )
            except BadRequest:
                self._known[key] = None
        usd = self._known[key]
        return None if usd is None else (usd, into + out)


def _asked(parameters: str) -> int | None:
    """The bound on output that the call set itself."""
    if not any(name in parameters for name in _NAMES):
        return None
    try:
        data = json.loads(parameters)
    except ValueError:
        return None
    found = cast("dict[str, Any]", data) if isinstance(data, dict) else {}
    wanted = next((found[name] for name in _NAMES if isinstance(found.get(name), int | str)), None)
    try:
        return int(wanted) if wanted is not None else None
    except ValueError:
        return None


def _book(rules: Sequence[Rule], calls: Sequence[ModelCallFacts], hold: Hold, until_s: float) -> _Booked:
    """Each call takes what it holds back while it runs, and what it cost once it has ended."""
    found = _Booked()
    if not rules:
        return found
    spent: dict[tuple[str, str, str], _Account] = {}
    held: dict[tuple[str, str, str], _Account] = {}
    running: list[tuple[int, int, list[tuple[str, str, str]], Decimal, int, Decimal, int]] = []
    for number, call in enumerate(calls):
        if number % 1_000 == 999:
            if time.monotonic() > until_s:
                break
            time.sleep(0.002)
        while running and running[0][0] <= call.start_ns:
            _, _, keys, usd, tokens, cost, used = heapq.heappop(running)
            for key in keys:
                held[key].usd -= usd
                held[key].tokens -= tokens
                spent[key].usd += cost
                spent[key].tokens += used
                found.spent[key[0]] = found.spent.get(key[0], Decimal(0)) + cost
        apply = applying(rules, _subjects(call))
        asked = hold(call)
        refused = False
        keys: list[tuple[str, str, str]] = []
        for rule, subject in apply:
            found.applied[rule.name] = found.applied.get(rule.name, 0) + 1
            key = (rule.name, subject, period_of(rule.per, call.start_ns))
            own, under = spent.setdefault(key, _Account()), held.setdefault(key, _Account())
            if _passes(rule, asked, own, under, call, worst=isinstance(hold, _Worst)):
                found.refused.setdefault(rule.name, set()).add(number)
                refused = True
            if rule.level != "request":
                keys.append(key)
        if refused:
            continue
        usd, tokens = asked or (Decimal(0), 0)
        for key in keys:
            held[key].usd += usd
            held[key].tokens += tokens
        cost, used = _actual(call)
        heapq.heappush(running, (call.start_ns + max(call.duration_ns, 0), number, keys, usd, tokens, cost, used))
    for _, _, keys, _, _, cost, _ in running:
        for key in keys:
            found.spent[key[0]] = found.spent.get(key[0], Decimal(0)) + cost
    return found


def _passes(
    rule: Rule, asked: tuple[Decimal, int] | None, spent: _Account, held: _Account, call: ModelCallFacts, *, worst: bool
) -> bool:
    """Whether a call passes a budget."""
    if asked is None:
        return rule.usd is not None
    usd, tokens = asked
    if rule.level == "request":
        into = sum(call.tokens[:_OUTPUT_FROM])
        if rule.input_tokens is not None and into > rule.input_tokens:
            return True
        # A request that asks for no more than the bound is held to it, so what it used does not pass it.
        if worst and rule.output_tokens is not None and (_asked(call.parameters) or 0) > rule.output_tokens:
            return True
        return (rule.usd is not None and usd > rule.usd) or (rule.tokens is not None and tokens > rule.tokens)
    if rule.usd is not None and spent.usd + held.usd + usd > rule.usd:
        return True
    return rule.tokens is not None and spent.tokens + held.tokens + tokens > rule.tokens


def _subjects(call: ModelCallFacts) -> Mapping[Level, str]:
    return {
        "request": call.span_id,
        "run": call.trace_id,
        "user": call.user or NOBODY,
        "feature": call.feature or NOBODY,
        "tenant": NOBODY,
        "system": "system",
    }
