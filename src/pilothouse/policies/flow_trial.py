"""Limits, routes and survival of two policies over the same stored model calls: what is put off, where calls go, who stands in."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import Any, Final, cast

from pilothouse.budgets import Prices
from pilothouse.gateway import GatewayConfig, read_gateway
from pilothouse.policy import Policy
from pilothouse.records import Unverified, Usage
from pilothouse.store import TraceStore
from pilothouse.store.routing_reads import RoutedCall, routed_calls
from pilothouse.store.schema import TOKEN_BUCKETS
from pilothouse.survival import (
    Failure,
    FakeTimer,
    Hedges,
    Limit,
    Limited,
    Limits,
    SurvivalConfig,
    following,
    from_response,
    read_limits,
    read_survival,
)

from .model import FlowTrial, LimitOutcome, RouteOutcome, SurvivalOutcome

_EXAMPLES: Final = 5
_OUTPUT_FROM: Final = 6
_BOUNDS: Final = ("max_completion_tokens", "max_tokens", "max_output_tokens")
_NONE: Final = ("(none)", "")
_LOOK_EVERY: Final = 500


def try_flow(
    store: TraceStore,
    project: str,
    in_force: Policy,
    proposed: Policy,
    prices: Prices,
    since_ns: int,
    until_ns: int,
    *,
    limit: int,
    until_s: float,
) -> FlowTrial | None:
    """Send stored calls through both policies; None where neither says anything of them."""
    policies = (in_force, proposed)
    if not any(policy.section(name) for policy in policies for name in ("limits", "survival", "gateway")):
        return None
    read, total = routed_calls(store, project, since_ns, until_ns, limit=limit)
    calls = read if time.monotonic() < until_s else []
    now, then = (_flow(policy, calls, until_s) for policy in policies)
    done = min(now.done, then.done)
    calls = calls[:done]
    moved = sum(one != other for one, other in zip(now.places[:done], then.places[:done], strict=True))
    survival: SurvivalOutcome | None = None
    if any(policy.section("survival") for policy in policies):
        survival = SurvivalOutcome(
            failed=sum(call.status == "error" for call in calls),
            unsure=sum(call.status == "error" and _failure(call) is None for call in calls),
            retried_now=now.retried,
            retried_then=then.retried,
            fallbacks_now=dict(now.fallbacks),
            fallbacks_then=dict(then.fallbacks),
            hedged_now=now.hedged,
            hedged_then=then.hedged,
        )
    return FlowTrial(
        calls=done,
        calls_total=total,
        gateway_calls=sum(bool(call.key) for call in calls),
        limits=tuple(_limits(now, then, calls)),
        routes=tuple(_routes(now, then, calls, prices)),
        moved=moved,
        survival=survival,
    )


@dataclass(slots=True, kw_only=True)
class _Flow:
    """What one policy did with the calls."""

    done: int = 0
    limits: tuple[Limit, ...] = ()
    refused: dict[int, str] = field(default_factory=dict[int, str])
    """Numbers of calls that were put off, and by which limit."""
    places: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    """Upstream and model of each call; empty both where the policy has no upstreams."""
    providers: dict[str, str] = field(default_factory=dict[str, str])
    unsure: set[int] = field(default_factory=set[int])
    retried: int = 0
    fallbacks: Counter[str] = field(default_factory=Counter[str])
    hedged: int = 0


def _flow(policy: Policy, calls: Sequence[RoutedCall], until_s: float) -> _Flow:
    limits = read_limits(policy.section("limits"))
    gateway = read_gateway(policy.section("gateway"))
    section = policy.section("survival")
    survival = read_survival(section) if section else None
    found = _Flow(limits=limits)
    found.providers = {one.name: one.provider or one.wire for one in gateway.upstreams.values()}
    timer = FakeTimer()
    buckets = Limits(limits, timer=timer)
    hedges = Hedges(survival.hedge if survival else {})
    start_ns = calls[0].start_ns if calls else 0
    before_ns = start_ns
    for number, call in enumerate(calls):
        if number % _LOOK_EVERY == _LOOK_EVERY - 1:
            if time.monotonic() > until_s:
                break
            time.sleep(0.002)
        timer.pass_s(max(call.start_ns - before_ns, 0) / 1e9)
        before_ns = max(call.start_ns, before_ns)
        found.done = number + 1
        place, sure = _place(gateway, call)
        found.places.append(place)
        if not sure:
            found.unsure.add(number)
        try:
            into = sum(call.tokens[:_OUTPUT_FROM])
            taken = buckets.take(key=call.key, user=call.user, model=call.asked or call.model, tokens=into)
            buckets.settle(taken, sum(call.tokens))
        except Limited as error:
            found.refused[number] = error.limit
            continue
        if survival is not None:
            _survive(found, survival, hedges, call)
    return found


def _survive(found: _Flow, survival: SurvivalConfig, hedges: Hedges, call: RoutedCall) -> None:
    task = call.task or "default"
    if call.status != "error":
        seconds = call.duration_ns / 1e9
        after_s = hedges.after_s(task)
        hedges.began(task)
        if after_s is not None and seconds > after_s and hedges.take(task):
            found.hedged += 1
        hedges.took(task, seconds)
        return
    failure = _failure(call)
    if failure is None:
        return
    chain = survival.fallbacks.of(task, model=call.asked or call.model)
    onward = following(chain, 0, failure)
    tries = survival.retries.tries_before_fallback if onward is not None else survival.retries.tries
    found.retried += failure.passing and tries > 1
    if onward is not None:
        found.fallbacks[chain[onward].name] += 1


def _failure(call: RoutedCall) -> Failure | None:
    """What a stored failure was; None where its status is not known."""
    if not call.http_status.isdigit() or int(call.http_status) < 400:
        return None
    return from_response(int(call.http_status), {}, call.error_message)


def _place(config: GatewayConfig, call: RoutedCall) -> tuple[tuple[str, str], bool]:
    """Upstream and model, as :meth:`GatewayConfig.target` finds them; and whether every rule could be answered."""
    model = call.asked or call.model
    wire = "anthropic" if call.provider == "anthropic" else "openai"
    spoken = [one for one in config.upstreams.values() if one.wire == wire]
    if not config.upstreams:
        return ("", ""), True
    if not spoken:
        return _NONE, True
    routes = [route for route in config.routes if config.upstreams[route.upstream].wire == wire]
    if not routes:
        return (spoken[0].name, model), True
    for route in routes:
        if not fnmatchcase(model, route.model):
            continue
        sure, facts = True, _facts(call, model) if route.by else {}
        for choice in route.by:
            try:
                if choice.when.holds(facts):
                    return (choice.upstream or route.upstream, choice.send_as), sure
            except Unverified:
                sure = False
        return (route.upstream, route.send_as or model), sure
    return _NONE, True


def _facts(call: RoutedCall, model: str) -> dict[str, Any]:
    """What is stored of what rules may ask; what is not is left out, so that a rule that asks for it is told apart."""
    facts: dict[str, Any] = {
        "model": model,
        "tokens": sum(call.tokens[:_OUTPUT_FROM]),
        "turns": max(len(call.input_refs), 1),
        "tools": call.tools,
        "max_tokens": next((v for name in _BOUNDS if type(v := _parameters(call).get(name)) is int), 0),
        "task": call.task,
        "feature": call.feature,
        "agent": call.agent,
        "environment": call.environment,
        "user": call.user,
    }
    if "stream" in (given := _parameters(call)):
        facts["stream"] = given["stream"] is True
    if call.difficulty:
        facts["difficulty"] = float(call.difficulty)
    return facts


def _parameters(call: RoutedCall) -> dict[str, Any]:
    try:
        found: object = json.loads(call.parameters) if call.parameters else {}
    except ValueError:
        return {}
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}


def _limits(now: _Flow, then: _Flow, calls: Sequence[RoutedCall]) -> list[LimitOutcome]:
    found: list[LimitOutcome] = []
    known = {limit.name: limit for limit in (*now.limits, *then.limits)}
    newly = [number for number in then.refused if number not in now.refused and number < len(calls)]
    for name, limit in known.items():
        values = [_subject(limit, call) for call in calls]
        mine = [number for number in newly if then.refused[number] == name]
        found.append(
            LimitOutcome(
                limit=name,
                calls=sum(bool(value) and fnmatchcase(value, limit.match) for value in values),
                refused_now=sum(by == name for by in now.refused.values()),
                refused_then=sum(by == name for by in then.refused.values()),
                new=len(mine),
                unsure=sum(not value for value in values),
                examples=tuple(dict.fromkeys(calls[number].trace_id for number in mine))[:_EXAMPLES],
            )
        )
    return found


def _subject(limit: Limit, call: RoutedCall) -> str:
    names: Mapping[str, str] = {
        "key": call.key,
        "user": call.user,
        "model": call.asked or call.model,
        "system": "system",
    }
    return names[limit.per]


def _routes(now: _Flow, then: _Flow, calls: Sequence[RoutedCall], prices: Prices) -> list[RouteOutcome]:
    places = dict.fromkeys(place for place in (*then.places, *now.places) if place != ("", ""))
    found: list[RouteOutcome] = []
    for place in places:
        before, cost_now, unknown_now = _spent(now, place, calls, prices)
        after, cost_then, unknown_then = _spent(then, place, calls, prices)
        found.append(
            RouteOutcome(
                upstream=place[0],
                model=place[1],
                now=len(before),
                then=len(after),
                cost_now_usd=_dollars(cost_now),
                cost_then_usd=_dollars(cost_then),
                unpriced=max(unknown_now, unknown_then),
                unsure=sum(number in then.unsure for number in after),
            )
        )
    return sorted(found, key=lambda one: -(one.now + one.then))


def _spent(
    flow: _Flow, place: tuple[str, str], calls: Sequence[RoutedCall], prices: Prices
) -> tuple[list[int], Decimal, int]:
    """The calls that go to a place and are not put off, what they cost there, and how many have no price."""
    upstream, model = place
    mine = [n for n, one in enumerate(flow.places[: len(calls)]) if one == place and n not in flow.refused]
    total, unknown = Decimal(0), 0
    for number in mine:
        call = calls[number]
        usage = Usage(**dict(zip(TOKEN_BUCKETS, call.tokens, strict=True)))  # type: ignore[arg-type]  # names of buckets
        provider = flow.providers.get(upstream, call.provider)
        usd = prices.price(usage, model=model, provider=provider, at_ns=call.start_ns).usd
        if usd is None or not sum(call.tokens):
            unknown += 1
        else:
            total += usd
    return mine, total, unknown


def _dollars(amount: Decimal) -> str:
    return format(amount.quantize(Decimal("0.000001")).normalize(), "f")
