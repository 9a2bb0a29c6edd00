"""A reader of recorded rows that makes them as they are asked for: a selection of any size, and no server."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pilothouse.records import BadRequest
from pilothouse.runtime.sources import RowPage


class MadeRows:
    """``total`` rows, each made by a function of its number."""

    def __init__(self, total: int, make: Callable[[int], dict[str, Any]], *, breaks_at: int = -1) -> None:
        self.total = total
        self.make = make
        self.breaks_at = breaks_at
        """The page that fails."""
        self.asked: list[tuple[str, dict[str, str], int, str]] = []

    def page(self, kind: str, params: Mapping[str, str], *, limit: int, cursor: str) -> RowPage:
        """One page."""
        self.asked.append((kind, dict(params), limit, cursor))
        if len(self.asked) == self.breaks_at:
            raise BadRequest("the filter is wrong", got="agnt:x", fix="agent:x")
        start = int(cursor or 0)
        end = min(self.total, start + limit)
        rows = [self.make(number) for number in range(start, end)]
        return RowPage(rows=rows, next=str(end) if end < self.total else "", total=self.total)
