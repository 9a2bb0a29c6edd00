"""Shapes of charts, computed on the server: SVG needs no script and no inline style."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from pilothouse.records import iso
from pilothouse.traces.model import Heatmap, Share

from .format import clock, duration, money
from .format import count as count_text
from .format import tokens as tokens_text

Number = float | int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One series of a chart over time."""

    label: str
    values: Sequence[Number]
    unit: str = ""
    """Where it differs from the chart's: drawn on a scale of its own, at the right."""
    bars: bool = False
    bad: bool = False
    """Drawn in the colour of errors."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A chart over time: drawn by the ``time-chart`` element, shown as a table where no script runs."""

    label: str
    unit: str
    """ms, usd, count or tokens."""
    times: Sequence[int]
    """Start of each bucket, seconds since 1970 UTC."""
    bucket_s: int
    lines: tuple[Line, ...]

    @property
    def payload(self) -> dict[str, Any]:
        """What the element is given."""
        return {
            "unit": self.unit,
            "bucket": self.bucket_s,
            "times": list(self.times),
            "lines": [
                {
                    "label": line.label,
                    "unit": line.unit or self.unit,
                    "bars": line.bars,
                    "bad": line.bad,
                    "values": [None if v is None else float(f"{v:.5g}") for v in line.values],
                }
                for line in self.lines
            ],
        }

    @property
    def empty(self) -> bool:
        """True where no bucket has a value."""
        return not any(v for line in self.lines for v in line.values)

    @property
    def rows(self) -> list[tuple[str, list[str]]]:
        """The chart as a table: moment and values, buckets without a value left out."""
        table: list[tuple[str, list[str]]] = []
        for index, start in enumerate(self.times):
            values = [line.values[index] for line in self.lines]
            if any(values):
                cells = [write(line.unit or self.unit, v) for line, v in zip(self.lines, values, strict=True)]
                table.append((clock(iso(start * 1_000_000_000)), cells))
        return table


def write(unit: str, value: Number) -> str:
    """A value of a chart in words."""
    if unit == "ms":
        return duration(value)
    if unit == "usd":
        return money(Decimal(repr(float(value)))) if value is not None else money(None)
    return tokens_text(value) if unit == "tokens" else count_text(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """One part of a stacked bar, in thousandths of its length."""

    name: str
    """What it is: also the name of its colour."""
    start: float
    length: float
    text: str
    share: float


def stacked(parts: Sequence[tuple[str, float, str]]) -> tuple[Segment, ...]:
    """A stacked bar of names, sizes and words. Parts of no size are left out; slivers stay visible."""
    total = sum(max(value, 0.0) for _, value, _ in parts)
    if total <= 0:
        return ()
    segments: list[Segment] = []
    start = 0.0
    for name, value, text in parts:
        if value > 0:
            length = value / total * 1000
            segments.append(
                Segment(
                    name=name, start=round(start, 2), length=round(max(length, 2.0), 2), text=text, share=value / total
                )
            )
            start += length
    return tuple(segments)


def time_bar(shares: Sequence[Share]) -> tuple[Segment, ...]:
    """Where the time went, as a stacked bar."""
    return stacked([(share.what, share.self_ms, duration(share.self_ms)) for share in shares])


def money_bar(shares: Sequence[Share]) -> tuple[Segment, ...]:
    """Where the money went, as a stacked bar."""
    return stacked(
        [
            (share.label or share.what, float(share.cost_usd), money(share.cost_usd))
            for share in shares
            if share.cost_usd
        ]
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatmapPicture:
    """A heatmap as a few SVG paths: one for each shade, and one for cells with failures."""

    columns: int
    rows: int
    shades: tuple[str, ...]
    """A path for each shade, weakest first; empty where no cell has it."""
    failed: str
    """A path of marks on the cells that hold failed traces."""
    time_labels: tuple[tuple[float, str], ...]
    """Place (percent from the left) and words."""
    row_labels: tuple[tuple[float, str], ...]
    """Place (percent from the top) and words."""
    payload: dict[str, Any]
    """What the ``heat-map`` element needs to tell cells and to filter."""


SHADES = 6


def heatmap_picture(heatmap: Heatmap) -> HeatmapPicture:
    """Draw a heatmap: columns of 10 units, rows of 10 units, the fastest row at the bottom."""
    columns, rows = len(heatmap.times), len(heatmap.edges_ms) - 1
    low, high = min(heatmap.row), max(heatmap.row)
    # Rows nobody is in would only make the others thinner.
    first, last = max(low - 1, 0), min(high + 1, rows - 1)
    shown = last - first + 1
    most = max(heatmap.count)
    paths: list[list[str]] = [[] for _ in range(SHADES)]
    failed: list[str] = []
    for column, row, number, errors in zip(heatmap.column, heatmap.row, heatmap.count, heatmap.errors, strict=True):
        # Logarithmic: one slow trace beside a thousand quick ones must be seen.
        share = math.log1p(number) / math.log1p(most)
        top = (last - row) * 10
        paths[min(int(share * SHADES), SHADES - 1)].append(f"M{column * 10} {top}h9.2v9.2h-9.2z")
        if errors:
            failed.append(f"M{column * 10} {top + 7.2}h9.2v2h-9.2z")
    step = max(columns // 6, 1)
    by_day = heatmap.bucket_s * columns > 2 * 86_400
    words = [iso(t * 1_000_000_000) for t in heatmap.times]
    return HeatmapPicture(
        columns=columns,
        rows=shown,
        shades=tuple("".join(path) for path in paths),
        failed="".join(failed),
        time_labels=tuple(
            (100 * i / columns, words[i][5:10] if by_day else words[i][11:16])
            for i in range(0, columns, step)
            if i / columns < 0.96
        ),
        row_labels=tuple(
            (100 * (last + 1 - row) / shown, duration(heatmap.edges_ms[row]))
            for row in range(first, last + 2, math.ceil(shown / 4))
        ),
        payload={
            "times": [heatmap.times[0], heatmap.bucket_s, columns],
            "edges": [round(edge, 3) for edge in heatmap.edges_ms[first : last + 2]],
            "cells": [
                [column, row - first, number, errors]
                for column, row, number, errors in zip(
                    heatmap.column, heatmap.row, heatmap.count, heatmap.errors, strict=True
                )
            ],
        },
    )
