"""Answers of models, kept and given again: what makes two requests the same, which answers may be kept, and in which form."""

from .forms import loses_nothing, streamed
from .keeping import names_twice, not_kept
from .key import WHOLE, Asker, Keyed, form_of, key_of, whom
from .overview import CacheOverview, RouteCache, overview
from .settings import CacheRule, Scope, When, read_cache, seconds_of

__all__ = [
    "WHOLE",
    "Asker",
    "CacheOverview",
    "CacheRule",
    "Keyed",
    "RouteCache",
    "Scope",
    "When",
    "form_of",
    "key_of",
    "loses_nothing",
    "names_twice",
    "not_kept",
    "overview",
    "read_cache",
    "seconds_of",
    "streamed",
    "whom",
]
