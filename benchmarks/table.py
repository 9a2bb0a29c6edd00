"""A line of the table."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """One budget and what was measured."""

    what: str
    budget: str
    measured: str
