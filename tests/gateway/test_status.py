"""What the gateway shows of itself: traffic from stored traces, and to whom it names addresses and keys."""

from __future__ import annotations

from decimal import Decimal

from pilothouse.gateway import AddressStatus, GatewayStatus, KeyStatus, UpstreamStatus, hosts_only
from pilothouse.records import names
from pilothouse.store import TraceStore
from pilothouse.traces import Range, gateway_traffic, plan
from tests.traces.support import PROJECT, TraceBuilder, trace_id

HOUR = 3_600_000_000_000


def test_traffic_is_counted_by_upstream_and_route(any_store: TraceStore) -> None:
    start = 0
    for number in range(1, 11):
        trace = TraceBuilder(trace_id(number))
        start = trace.start_ns
        told = {"pilothouse.gateway.upstream": "main" if number > 2 else "local", "pilothouse.gateway.route": "gpt-*"}
        if number == 3:
            told |= {"pilothouse.gateway.attempts": "3", "pilothouse.gateway.fell_back": "true"}
            told |= {"pilothouse.gateway.asked_model": "dear"}
        if number == 4:
            told |= {"pilothouse.cache.outcome": "hit"}
        failed = {"status": "error", "error_type": "guard_blocked"} if number == 5 else {}
        trace.span(
            1,
            "model",
            ms=number * 100,
            request_model="cheap",
            scope_name=names.GATEWAY_SCOPE,
            attributes=told,
            cost="0.01",
            **failed,
        )
        trace.store(any_store)
    other = TraceBuilder(trace_id(11))
    other.span(1, "model", ms=99_000)
    other.store(any_store)
    found = gateway_traffic(any_store, PROJECT, Range(since_ns=start - HOUR, until_ns=start + HOUR))
    assert [(one.name, one.calls, one.share) for one in found.upstreams] == [("main", 8, 0.8), ("local", 2, 0.2)]
    total = found.total
    assert (total.calls, total.errors, total.blocked, total.cached, total.retried, total.fell_back) == (
        10,
        1,
        1,
        1,
        1,
        1,
    )
    assert total.cost_usd == Decimal("0.10") and found.routes[0].name == "gpt-*"
    # Of ten calls one failed and one came from the cache: eight took 100, 200, 300 and 600 to 1000 ms.
    assert total.p50_ms is not None and 300 <= total.p50_ms <= 700 and total.p95_ms == 1000.0
    (told,) = plan(any_store, PROJECT, trace_id(3)).events
    assert (told.what, told.said) == ("gateway", "fell back to cheap from dear")
    assert plan(any_store, PROJECT, trace_id(6)).events == ()
    assert gateway_traffic(any_store, "prj_other", Range(since_ns=start - HOUR, until_ns=start + HOUR)).upstreams == ()


def test_who_may_only_read_sees_hosts_and_no_sources_of_keys() -> None:
    upstream = UpstreamStatus(
        name="main", wire="openai", calls=0, calls_max=1,
        addresses=(AddressStatus(url="https://ann:hunter2@models.example:8443/v1?team=7", rests_s=0.0),),
        keys=(KeyStatus(source="file:/run/secrets/openai", rests_s=3.0),),
    )  # fmt: skip
    status = GatewayStatus(
        upstreams=(upstream,), routes=(), breakers=(), active=0, traces_recorded=0, traces_without_content=0,
        traces_lost=0, cache_flights=0, cache_failures=0,
    )  # fmt: skip
    (shown,) = hosts_only(status).upstreams
    assert (shown.addresses[0].url, shown.keys[0].source, shown.keys[0].rests_s) == (
        "models.example:8443",
        "key 1",
        3.0,
    )
