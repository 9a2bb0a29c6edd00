"""How the response cache does: what it keeps, how often it answered, and what that saved."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from pilothouse.records import iso
from pilothouse.records.statistics import wilson
from pilothouse.store.cache_store import CacheStore, Comparison

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
    false_hit_high: float | None
    """Upper end of the 95 % interval (Wilson) of the share of false hits; None where none was asked again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedHit:
    """A hit by meaning that was asked again."""

    time: str
    route: str
    same: bool
    """By rules: the same numbers and negations, and words alike."""
    why: str
    similarity: float
    """Of the two questions."""
    trace_id: str
    """The call that was answered from the cache."""
    asked: str
    kept_for: str
    """The question that the kept answer had been given to."""
    kept_answer: str
    fresh_answer: str


def compared_hit(row: Comparison) -> ComparedHit:
    """A stored comparison as it is shown."""
    return ComparedHit(
        time=iso(row.made_ns),
        route=row.route,
        same=row.same,
        why=row.why,
        similarity=round(row.similarity, 4),
        trace_id=row.trace_id,
        asked=row.asked,
        kept_for=row.kept_for,
        kept_answer=row.kept_answer,
        fresh_answer=row.fresh_answer,
    )


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
    return CacheOverview(
        days=days,
        routes=tuple(routes),
        saved_usd=saved,
        compared=compared,
        differed=differed,
        false_hit_high=round(wilson(differed, compared).high, 4) if compared else None,
    )
