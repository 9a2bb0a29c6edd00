"""How the gateway stands now: upstreams, the health of their keys by name, breakers, calls under way."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

if TYPE_CHECKING:
    from .gateway import Gateway


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyStatus:
    """One key of an upstream."""

    source: str
    """Where it comes from, as the policy names it; never the key."""
    rests_s: float
    """Seconds that it is passed over for, since it was refused or limited; 0: it takes its turn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressStatus:
    """One address of an upstream."""

    url: str
    rests_s: float
    """Seconds that it is passed over for, since it did not answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamStatus:
    """One upstream."""

    name: str
    wire: str
    addresses: tuple[AddressStatus, ...]
    keys: tuple[KeyStatus, ...]
    calls: int
    """Under way now."""
    calls_max: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerStatus:
    """One circuit breaker that is not as it should be, or has counted failures."""

    upstream: str
    model: str
    kind: str
    """The kind of failure it counts."""
    state: str
    failures: int
    calls: int
    opens_in_s: float
    """Until a probe goes through."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteStatus:
    """One route."""

    model: str
    upstream: str
    send_as: str
    rules: int
    """That may choose another model."""
    cache: str
    """How its answers are kept, in words; empty where they are not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayStatus:
    """The gateway as it stands."""

    upstreams: tuple[UpstreamStatus, ...]
    routes: tuple[RouteStatus, ...]
    breakers: tuple[BreakerStatus, ...]
    active: int
    """Requests that are being answered."""
    traces_recorded: int
    """Since the start."""
    traces_without_content: int
    traces_lost: int
    cache_flights: int
    """Calls under way that the same call would wait for."""
    cache_failures: int
    """Times that the cache's database did not answer; the calls went on."""


def hosts_only(status: GatewayStatus) -> GatewayStatus:
    """The same for those who may only read: hosts in place of addresses, numbers in place of where keys come from."""
    return replace(
        status,
        upstreams=tuple(
            replace(
                one,
                addresses=tuple(replace(address, url=_host(address.url)) for address in one.addresses),
                keys=tuple(replace(key, source=f"key {number}") for number, key in enumerate(one.keys, start=1)),
            )
            for one in status.upstreams
        ),
    )


def _host(url: str) -> str:
    """Host and port; never what stands before an @."""
    return urlsplit(url).netloc.rpartition("@")[2]


def _shown(url: str) -> str:
    """The address without a name and password."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query=""))


def status_of(gateway: Gateway) -> GatewayStatus:
    """How a gateway stands now."""
    rules = gateway.rules
    under_way = gateway.under_way
    upstreams = tuple(
        UpstreamStatus(
            name=one.name,
            wire=one.wire,
            addresses=tuple(
                AddressStatus(url=_shown(url), rests_s=gateway.turns.rests_s(one, url)) for url in one.urls
            ),
            keys=tuple(
                KeyStatus(source=key.source, rests_s=gateway.turns.rests_s(one, key.source)) for key in one.keys
            ),
            calls=under_way.get(one.name, 0),
            calls_max=one.calls_max,
        )
        for one in rules.gateway.upstreams.values()
    )
    routes = tuple(
        RouteStatus(
            model=one.model,
            upstream=one.upstream,
            send_as=one.send_as,
            rules=len(one.by),
            cache=f"{one.cache.ttl_s:g} s, {one.cache.scope}, {one.cache.when}" if one.cache is not None else "",
        )
        for one in rules.gateway.routes
    )
    breakers = rules.survivor.breakers if rules.survivor is not None else None
    states = breakers.states() if breakers is not None else []
    recorder, answers = gateway.recorder, gateway.answers
    return GatewayStatus(
        upstreams=upstreams,
        routes=routes,
        breakers=tuple(
            BreakerStatus(
                upstream=one.provider,
                model=one.model,
                kind=one.kind,
                state=one.state,
                failures=one.failures,
                calls=one.calls,
                opens_in_s=round(one.opens_in_s, 1),
            )
            for one in states
        ),
        active=gateway.active,
        traces_recorded=recorder.recorded,
        traces_without_content=recorder.without_content,
        traces_lost=recorder.lost,
        cache_flights=answers.waited_for if answers is not None else 0,
        cache_failures=answers.failed if answers is not None else 0,
    )
