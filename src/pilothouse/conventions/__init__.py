"""How agents report themselves: one file per dialect turns raw attributes into the canonical reading."""

from .reading import read

__all__ = ["read"]
