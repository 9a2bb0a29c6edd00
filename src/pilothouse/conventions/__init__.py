"""How agents report themselves: one file per dialect turns raw attributes into the canonical reading."""

from .reading import read
from .settle import Settlement, SpanFacts, settle, span_facts

__all__ = ["Settlement", "SpanFacts", "read", "settle", "span_facts"]
