"""How agents report themselves: one file per dialect turns raw attributes into the canonical reading."""

from .detect import READERS as _READERS
from .logs import read_log
from .reading import read
from .settle import Settlement, SpanFacts, settle, span_facts

DIALECTS = tuple(sorted(_READERS))
"""The names of all dialects, as :attr:`~pilothouse.records.Reading.dialect` holds them."""

__all__ = ["DIALECTS", "Settlement", "SpanFacts", "read", "read_log", "settle", "span_facts"]
