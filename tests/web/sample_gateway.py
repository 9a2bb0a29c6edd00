"""A gateway with two upstreams, one of which is in trouble, and a cache that saves."""

from __future__ import annotations

from decimal import Decimal

from pilothouse.cache import CacheOverview, RouteCache
from pilothouse.gateway import AddressStatus, BreakerStatus, GatewayStatus, KeyStatus, RouteStatus, UpstreamStatus
from pilothouse.records import iso
from pilothouse.traces.model import Window
from pilothouse.traces.model.gateway import GatewayCalls, GatewayTraffic
from pilothouse.traces.model.prompt_cache import PrefixBreak, PromptCache, PromptCacheRow
from pilothouse.web import GatewayShown

from .sample import NOW_NS, SECOND
from .sample_policy import HOSTILE

_WINDOW = Window(since=iso(NOW_NS - 86_400 * SECOND), until=iso(NOW_NS), assumed=False)


def _calls(name: str, calls: int, of: int) -> GatewayCalls:
    return GatewayCalls(
        name=name, calls=calls, share=calls / of if of else 0.0, errors=calls // 10, p50_ms=812.0 if calls else None,
        p95_ms=4_210.0 if calls else None, cost_usd=Decimal("1.25") if calls else Decimal(0), retried=calls // 20,
        fell_back=calls // 30, stood_in=calls // 50, cached=calls // 4, blocked=calls // 40, over_budget=calls // 80,
        limited=calls // 90,
    )  # fmt: skip


def _traffic(calls: int) -> GatewayTraffic:
    rows = (_calls("main", calls * 2 // 3, calls), _calls(HOSTILE, calls // 4, calls)) if calls else ()
    return GatewayTraffic(window=_WINDOW, total=_calls("", calls, calls), upstreams=rows, routes=rows)


def sample_gateway(*, empty: bool = False) -> GatewayShown:
    """What the page is made from."""
    upstreams = tuple(
        UpstreamStatus(
            name=name, wire="openai",
            addresses=(AddressStatus(url="https://api.example.com/v1", rests_s=0.0 if name == "main" else 12.0),),
            keys=(KeyStatus(source="env:MAIN_KEY", rests_s=0.0), KeyStatus(source="env:SECOND_KEY", rests_s=30.0)),
            calls=3, calls_max=1_000,
        )
        for name in ("main", HOSTILE)
    )  # fmt: skip
    status = GatewayStatus(
        upstreams=() if empty else upstreams,
        routes=()
        if empty
        else (RouteStatus(model="main", upstream="main", send_as=HOSTILE, rules=2, cache="3600 s, tenant, always"),),
        breakers=()
        if empty
        else (
            BreakerStatus(
                upstream=HOSTILE,
                model=HOSTILE,
                kind="server_error",
                state="open",
                failures=9,
                calls=12,
                opens_in_s=17.5,
            ),
        ),
        active=3,
        traces_recorded=10,
        traces_without_content=0,
        traces_lost=0,
        cache_flights=0,
        cache_failures=0,
    )
    route = RouteCache(
        route="main", calls=400, hits=100, meaning_hits=20, bypassed=5, hit_rate=0.25, saved_tokens=120_000,
        saved_usd=Decimal("0.84"), answers=60, bytes=210_000, oldest=iso(NOW_NS - SECOND),
    )  # fmt: skip
    cache = CacheOverview(
        days=7, routes=() if empty else (route,), saved_usd=Decimal("0.84"), compared=0 if empty else 12,
        differed=0 if empty else 1, false_hit_high=None if empty else 0.35,
    )  # fmt: skip
    calls = 0 if empty else 1_200
    return GatewayShown(status=status, hour=_traffic(calls // 24), day=_traffic(calls), cache=cache)


def sample_prompts(*, empty: bool = False) -> PromptCache:
    """Prompt caches with one finding."""
    row = PromptCacheRow(
        agent=HOSTILE, version="3", model="claude-sonnet-4-5", provider="anthropic", calls=90, input_tokens=900_000,
        read_tokens=300_000, written_tokens=50_000, hit_rate=0.33, possible_tokens=700_000, possible_rate=0.77,
        saved_usd=Decimal("0.80"), lost_usd=Decimal("1.10"),
    )  # fmt: skip
    found = PrefixBreak(
        kind="system_changes", what="the system text holds a moment in time", agent=HOSTILE, version="3",
        model="claude-sonnet-4-5", calls=40, lost_tokens=400_000, lost_usd=Decimal("1.10"), trace_id="ab" * 16, step=2,
        span_id="cd" * 8, before_trace_id="ab" * 16, before_step=1, message=1, role="system", offset=12,
        before=f"It is 10:01 {HOSTILE}", after=f"It is 10:02 {HOSTILE}",
    )  # fmt: skip
    return PromptCache(
        window=_WINDOW, calls=0 if empty else 90, more=False, rows=() if empty else (row,),
        breaks=() if empty else (found,), notes=(),
    )  # fmt: skip
