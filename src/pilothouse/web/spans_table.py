"""A trace as a table of steps in tree order: small columns that 50,000 spans fit into.

The store gives spans in order of their start. A waterfall wants them parent first, children below, so that a subtree is
a run of rows: then a page of rows needs nothing but its own columns, and folding needs only the size of a subtree.
"""

from __future__ import annotations

import threading
from array import array
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from pilothouse.traces.model import TraceRow, Waterfall

from .context import told
from .reader import Reader

PICTURE_COLUMNS = 240
"""Columns of the picture of the whole trace above the rows."""
KEPT = 6
"""Traces whose columns are kept: a visitor scrolls through one, and pages of it arrive one by one."""

# Strings: the class takes no parameters at run time before Python 3.12.
Floats: TypeAlias = "array[float]"
Ints: TypeAlias = "array[int]"


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceColumns:
    """One trace in tree order; the i-th of each column belong together."""

    trace_id: str
    total: int
    duration_ms: float
    step: Ints
    depth: Ints
    below: Ints
    """Rows of the subtree below a row."""
    kind: Ints
    name: Ints
    start: Floats
    length: Floats
    status: Ints
    tokens: Ints
    cost: Floats
    critical: Ints
    kinds: tuple[str, ...]
    names: tuple[str, ...]
    busy: tuple[tuple[int, int, int], ...]
    """The picture of the whole: for each column the kind that filled it most (-1: none), leaves at once, failures."""
    row_of_step: Ints
    """Row by step; -1 for a number that is kept free for a span that has not arrived."""

    def neighbour(self, step: int, by: int) -> int | None:
        """The next step that is there, up or down; None at the end."""
        step += by
        while 0 < step < len(self.row_of_step):
            if self.row_of_step[step] >= 0:
                return step
            step += by
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanLine:
    """One step as a row."""

    step: int = field(metadata=told("place in the trace by start time, the same on every surface"))
    depth: int = field(metadata=told("ancestors present in the trace"))
    kind: str = field(metadata=told("agent, model, tool, …"))
    name: str = field(metadata=told("the tool, the model or the agent, else the span's name"))
    start_ms: float = field(metadata=told("from the start of the trace"))
    duration_ms: float = field(metadata=told("wall clock"))
    status: str = field(
        metadata=told("ok, error, running, or soft_error: a tool that failed although its span says ok")
    )
    tokens: int = field(metadata=told("all tokens; 0 where not counted"))
    cost_usd: float = field(metadata=told("0 where not counted or unknown"))
    critical: bool = field(metadata=told("true on the critical path"))
    below: int = field(metadata=told("spans below it"))
    left: float = field(metadata=told("start of its bar, in thousandths of the trace"))
    width: float = field(metadata=told("length of its bar, in thousandths of the trace"))


STATUSES = ("ok", "error", "running", "soft_error")


def lines(columns: TraceColumns, after: int, limit: int) -> tuple[SpanLine, ...]:
    """Some rows as records."""
    scale = 1000 / (columns.duration_ms or 1)
    return tuple(
        SpanLine(
            step=columns.step[i],
            depth=columns.depth[i],
            kind=columns.kinds[columns.kind[i]],
            name=columns.names[columns.name[i]],
            start_ms=round(columns.start[i], 3),
            duration_ms=round(columns.length[i], 3),
            status=STATUSES[columns.status[i]],
            tokens=columns.tokens[i],
            cost_usd=columns.cost[i],
            critical=bool(columns.critical[i]),
            below=columns.below[i],
            left=round(columns.start[i] * scale, 2),
            width=round(max(columns.length[i] * scale, 1.5), 2),
        )
        for i in range(after, min(after + limit, columns.total))
    )


def chunk(columns: TraceColumns, after: int, limit: int) -> dict[str, Any]:
    """Some rows as columns, for the ``trace-waterfall`` element: microseconds, micro-dollars, names told once."""
    end = min(after + limit, columns.total)
    used: dict[int, int] = {}
    names: list[int] = []
    for name in columns.name[after:end]:
        names.append(used.setdefault(name, len(used)))
    return {
        "from": after,
        "total": columns.total,
        "duration": round(columns.duration_ms * 1000),
        "kinds": columns.kinds,
        "names": [columns.names[name][:200] for name in used],
        "step": list(columns.step[after:end]),
        "depth": list(columns.depth[after:end]),
        "below": list(columns.below[after:end]),
        "kind": list(columns.kind[after:end]),
        "name": names,
        "start": [round(value * 1000) for value in columns.start[after:end]],
        "length": [round(value * 1000) for value in columns.length[after:end]],
        "status": list(columns.status[after:end]),
        "tokens": list(columns.tokens[after:end]),
        "cost": [round(value * 1_000_000) for value in columns.cost[after:end]],
        "critical": list(columns.critical[after:end]),
    }


def tree_order(waterfall: Waterfall) -> TraceColumns:
    """Put a waterfall into tree order. Parents that stand in a circle become roots."""
    total = len(waterfall.step)
    children: list[list[int]] = [[] for _ in range(total)]
    roots: list[int] = []
    for index, parent in enumerate(waterfall.parent):
        if parent < 0 or parent == index:
            roots.append(index)
        else:
            children[parent].append(index)
    order: list[int] = []
    depth = [0] * total
    seen = bytearray(total)
    _walk(roots, children, order, depth, seen)
    if len(order) < total:
        _walk([i for i in range(total) if not seen[i]], children, order, depth, seen)
    place = {index: row for row, index in enumerate(order)}
    below = [0] * total
    for row in range(total - 1, -1, -1):
        parent = waterfall.parent[order[row]]
        if parent >= 0 and place[parent] < row:
            below[place[parent]] += below[row] + 1
    steps = array("l", [waterfall.step[i] for i in order])
    rows = array("l", [-1]) * (max(steps, default=0) + 1)
    for row, step in enumerate(steps):
        rows[step] = row
    return TraceColumns(
        trace_id=waterfall.trace_id,
        total=total,
        duration_ms=waterfall.duration_ms,
        step=steps,
        depth=array("l", [depth[i] for i in order]),
        below=array("l", below),
        kind=array("l", [waterfall.kind[i] for i in order]),
        name=array("l", [waterfall.name[i] for i in order]),
        start=array("d", [waterfall.start_ms[i] for i in order]),
        length=array("d", [waterfall.duration[i] for i in order]),
        status=array("l", [waterfall.status[i] for i in order]),
        tokens=array("q", [waterfall.tokens[i] for i in order]),
        cost=array("d", [waterfall.cost_usd[i] for i in order]),
        critical=array("l", [waterfall.critical[i] for i in order]),
        kinds=waterfall.kinds,
        names=waterfall.names,
        busy=_picture(waterfall, children),
        row_of_step=rows,
    )


def _walk(
    starts: Sequence[int], children: Sequence[Sequence[int]], order: list[int], depth: list[int], seen: bytearray
) -> None:
    for start in starts:
        if seen[start]:
            continue
        stack = [(start, 0)]
        while stack:
            index, level = stack.pop()
            if seen[index]:
                continue
            seen[index] = 1
            depth[index] = level
            order.append(index)
            stack.extend((child, level + 1) for child in reversed(children[index]) if not seen[child])


def _picture(waterfall: Waterfall, children: Sequence[Sequence[int]]) -> tuple[tuple[int, int, int], ...]:
    """What ran when: leaves only, since a parent runs as long as its children do."""
    width = (waterfall.duration_ms or 1) / PICTURE_COLUMNS
    by_kind: list[dict[int, float]] = [{} for _ in range(PICTURE_COLUMNS)]
    failures = [0] * PICTURE_COLUMNS
    for index, start in enumerate(waterfall.start_ms):
        first = min(max(int(start / width), 0), PICTURE_COLUMNS - 1)
        if waterfall.status[index] in (1, 3):
            failures[first] += 1
        if children[index]:
            continue
        end = start + waterfall.duration[index]
        last = min(max(int(end / width), first), PICTURE_COLUMNS - 1)
        kind = waterfall.kind[index]
        for column in range(first, last + 1):
            part = min(end, (column + 1) * width) - max(start, column * width)
            cell = by_kind[column]
            cell[kind] = cell.get(kind, 0.0) + max(part, width / 50)
    return tuple(
        (
            max(cell, key=lambda kind: cell[kind]) if cell else -1,
            max(1, round(sum(cell.values()) / width)) if cell else 0,
            failed,
        )
        for cell, failed in zip(by_kind, failures, strict=True)
    )


_kept: OrderedDict[tuple[str, int, float, str], TraceColumns] = OrderedDict()
_lock = threading.Lock()


def kept_columns(row: TraceRow) -> TraceColumns | None:
    """The columns of a trace, where they are in memory and nothing of the trace has changed."""
    key = (row.trace_id, row.spans, row.duration_ms, row.status)
    with _lock:
        found = _kept.get(key)
        if found is not None:
            _kept.move_to_end(key)
        return found


def columns_of(reader: Reader, row: TraceRow) -> TraceColumns:
    """The columns of a trace, from memory or made now."""
    kept = kept_columns(row)
    if kept is not None:
        return kept
    key = (row.trace_id, row.spans, row.duration_ms, row.status)
    made = tree_order(reader.waterfall(row.trace_id))
    if row.status != "running":
        with _lock:
            _kept[key] = made
            while len(_kept) > KEPT:
                _kept.popitem(last=False)
    return made
