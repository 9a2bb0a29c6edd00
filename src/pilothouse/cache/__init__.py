"""Answers of models, kept and given again: what makes two requests the same, which answers may be kept, and in which form."""

from .facts import content_of, facts_of
from .forms import loses_nothing, streamed
from .keeping import names_twice, not_kept
from .key import WHOLE, Asker, Keyed, form_of, key_of, whom
from .meaning import Asked, Compared, Near, asked_of, compare, embed_offline, nearest, unit
from .overview import CacheOverview, ComparedHit, RouteCache, compared_hit, overview
from .settings import CacheRule, MeaningRule, Scope, When, read_cache, seconds_of

__all__ = [
    "WHOLE",
    "Asked",
    "Asker",
    "CacheOverview",
    "CacheRule",
    "Compared",
    "ComparedHit",
    "Keyed",
    "MeaningRule",
    "Near",
    "RouteCache",
    "Scope",
    "When",
    "asked_of",
    "compare",
    "compared_hit",
    "content_of",
    "embed_offline",
    "facts_of",
    "form_of",
    "key_of",
    "loses_nothing",
    "names_twice",
    "nearest",
    "not_kept",
    "overview",
    "read_cache",
    "seconds_of",
    "streamed",
    "unit",
    "whom",
]
