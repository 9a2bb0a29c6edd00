"""The step number: the one name a span has in every view of its trace."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol


class Placed(Protocol):
    """What is needed to place a span."""

    @property
    def span_id(self) -> str: ...
    @property
    def parent_span_id(self) -> str: ...
    @property
    def start_ns(self) -> int: ...


def steps(spans: Iterable[Placed]) -> dict[str, int]:
    """Number the spans of one trace from 1: by start time, a parent before its children where they tie.

    A parent that has not arrived yet keeps a number free just before its first child: spans are sent when they end,
    so parents come last, and without the gap every number would shift when they do. Cycles of parents are tolerated.
    """
    starts: dict[str, int] = {}
    parents: dict[str, str] = {}
    for span in spans:
        starts[span.span_id] = span.start_ns
        parents[span.span_id] = span.parent_span_id
    missing: dict[str, int] = {}
    for span_id, parent in parents.items():
        if parent and parent not in starts:
            missing[parent] = min(missing.get(parent, starts[span_id]), starts[span_id])
    depths = depths_of(parents)
    keys = [(start, depths[span_id], span_id) for span_id, start in starts.items()]
    keys += [(start, -1, span_id) for span_id, start in missing.items()]
    keys.sort()
    return {span_id: number for number, (_, _, span_id) in enumerate(keys, 1) if span_id in starts}


def depths_of(parents: Mapping[str, str]) -> dict[str, int]:
    """How many ancestors of each span are there. A parent that never arrived, or a circle of parents, ends the count."""
    depths: dict[str, int] = {}
    for first in parents:
        path: list[str] = []
        seen: set[str] = set()
        current = first
        while current in parents and current not in depths and current not in seen:
            seen.add(current)
            path.append(current)
            current = parents[current]
        depth = depths.get(current, -1)
        for span_id in reversed(path):
            depth += 1
            depths[span_id] = depth
    return depths
