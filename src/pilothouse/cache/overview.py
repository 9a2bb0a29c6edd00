"""How the response cache does: what it keeps, how often it answered, and what that saved."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from pilothouse.records import iso
from pilothouse.store.cache_store import CacheStore

_DAY_NS: Final = 86_400_000_000_000
_HITS: Final = ("hit", "meaning")


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteCache:
    """One route of the gateway."""

    route: str
    """The pattern of its models."""
    calls: int
    """That looked for an answer."""
    hits: int
    """Answered with one that was kept."""
    meaning_hits: int
    """Of those, by meaning: the question was put in other words."""
    bypassed: int
    """Calls that did not look: by header, or since the policy keeps no such answers."""
    hit_rate: float | None
    """Of the calls that looked; None where none did."""
    saved_tokens: int
    saved_usd: Decimal
    """What the hits would have cost again."""
    answers: int
    """Kept now."""
    bytes: int
    oldest: str
    """When the oldest of them was made; empty where there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheOverview:
    """The response cache of a project."""

    days: int
    routes: tuple[RouteCache, ...]
    saved_usd: Decimal
    compared: int
    """Hits by meaning that were asked again."""
    differed: int
    """Of those, with another answer: false hits."""


def overview(store: CacheStore, project_id: str, *, days: int, now_ns: int) -> CacheOverview:
    """The last so many days, today included, and what is kept now."""
    since_day = now_ns // _DAY_NS - days + 1
    counted: dict[str, dict[str, tuple[int, int, int]]] = {}
    for one in store.tallies(project_id, since_day=since_day):
        calls, tokens, nano = counted.setdefault(one.route, {}).get(one.outcome, (0, 0, 0))
        counted[one.route][one.outcome] = (calls + one.calls, tokens + one.tokens, nano + one.nano)
    spaces = {space.route: space for space in store.spaces(project_id, now_ns=now_ns)}
    routes: list[RouteCache] = []
    for route in sorted({*counted, *spaces}):
        by = counted.get(route, {})
        hits = sum(by.get(name, (0, 0, 0))[0] for name in _HITS)
        looked = hits + by.get("miss", (0, 0, 0))[0]
        space = spaces.get(route)
        routes.append(
            RouteCache(
                route=route,
                calls=looked,
                hits=hits,
                meaning_hits=by.get("meaning", (0, 0, 0))[0],
                bypassed=by.get("bypass", (0, 0, 0))[0],
                hit_rate=round(hits / looked, 4) if looked else None,
                saved_tokens=sum(by.get(name, (0, 0, 0))[1] for name in _HITS),
                saved_usd=Decimal(sum(by.get(name, (0, 0, 0))[2] for name in _HITS)).scaleb(-9),
                answers=space.answers if space else 0,
                bytes=space.bytes if space else 0,
                oldest=iso(space.oldest_ns) if space else "",
            )
        )
    compared, differed = store.compared(project_id, since_ns=since_day * _DAY_NS)
    saved = sum((route.saved_usd for route in routes), Decimal(0))
    return CacheOverview(days=days, routes=tuple(routes), saved_usd=saved, compared=compared, differed=differed)
