"""The overview, the facets and the heatmap: traces of a window, summed up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

from pilothouse.records import BadRequest
from pilothouse.store import TraceStore
from pilothouse.store.chart_reads import (
    ANNOTATION_FACETS,
    DIMENSIONS,
    facet_counts,
    heatmap_cells,
    model_table,
    overview_sets,
)
from pilothouse.store.conditions import FACET_COLUMNS
from pilothouse.store.schema import TOKEN_BUCKETS

from .filters import conditions_of
from .model import (
    Breakdown,
    BreakdownRow,
    Facet,
    FacetValue,
    Heatmap,
    Overview,
    Series,
    Tokens,
    TraceQuery,
)
from .rows import bucket_tokens, milliseconds, money
from .windows import Range, time_range

FACET_FIELDS: tuple[str, ...] = (
    "status",
    "agent",
    "model",
    "tool",
    "env",
    "version",
    "user",
    "service",
    "signal",
    "tag",
)
"""What is counted where nothing is named."""

_BUCKETS_MAX = 120
_BUCKETS_S = (1, 5, 10, 30, 60, 300, 900, 1800, 3600, 10_800, 21_600, 43_200, 86_400, 604_800, 2_592_000, 31_536_000)
_ROWS_MAX = 20
_FACET_VALUES_MAX = 20
_HEATMAP_ROWS = 25
"""Powers of two of a millisecond: the last row begins at 4.7 hours."""


def bucket_seconds(covered: Range, buckets_max: int = _BUCKETS_MAX) -> int:
    """The width of a time bucket: round, and so that a chart has at most ``buckets_max`` of them."""
    seconds = (covered.until_ns - covered.since_ns) / 1e9
    return next((size for size in _BUCKETS_S if seconds / size <= buckets_max), _BUCKETS_S[-1])


def overview(
    store: TraceStore, project: str, *, since_ns: int | None = None, until_ns: int | None = None, text: str = ""
) -> Overview:
    """Latency and cost per trace over time, totals, and tables by agent, model, version, environment and user."""
    conditions = conditions_of(store, project, text)
    covered = time_range(since_ns, until_ns)
    bucket_s = bucket_seconds(covered)
    span = (project, covered.since_ns, covered.until_ns, conditions)
    # Two reads of two tables: side by side they take as long as the longer one.
    with ThreadPoolExecutor(1) as second:
        models = second.submit(model_table, store, *span, rows_max=_ROWS_MAX)
        rows = overview_sets(store, *span, bucket_s=bucket_s, rows_max=_BUCKETS_MAX * 3)
        model_rows = models.result()
    sets: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        sets.setdefault(row["set_name"], []).append(row)
    everything = sets["all"][0]
    tables = [_breakdown(name, sets.get(name, [])) for name in DIMENSIONS]
    tables.insert(1, _breakdown("model", model_rows, counts_calls=True))
    cost, traces = money(everything["cost"]), everything["traces"]
    p50, p95, p99 = _quantiles(everything["quantiles"])
    return Overview(
        window=covered.as_window(),
        traces=traces,
        errors=everything["failed"],
        running=everything["running"],
        p50_ms=p50,
        p95_ms=p95,
        p99_ms=p99,
        cost_usd=cost,
        cost_per_trace_usd=_per(cost, traces),
        cost_unknown=everything["unknown"],
        tokens=_tokens(everything),
        series=_series(covered, bucket_s, sets.get("time", [])),
        breakdowns=tuple(tables),
    )


def facets(
    store: TraceStore, project: str, query: TraceQuery, fields: Sequence[str] = FACET_FIELDS
) -> tuple[Facet, ...]:
    """The commonest values of some fields among the traces of a query."""
    countable = {*FACET_COLUMNS, *ANNOTATION_FACETS}
    unknown = [name for name in fields if name not in countable]
    if unknown:
        raise BadRequest("this field has no values to count", got=unknown[0], allowed=sorted(countable))
    if not fields:
        return ()
    conditions = conditions_of(store, project, query.text)
    covered = time_range(query.since_ns, query.until_ns)
    wanted = list(dict.fromkeys(fields))
    counts = facet_counts(
        store, project, covered.since_ns, covered.until_ns, conditions, wanted, values_max=_FACET_VALUES_MAX
    )
    return tuple(
        Facet(
            field=name,
            values=tuple(FacetValue(value=value, count=count) for value, count in counts[name][0]),
            others=max(0, counts[name][1] - len(counts[name][0])),
        )
        for name in wanted
    )


def heatmap(store: TraceStore, project: str, query: TraceQuery) -> Heatmap:
    """The traces of a query by time and duration; a row is twice as slow as the one below it."""
    conditions = conditions_of(store, project, query.text)
    covered = time_range(query.since_ns, query.until_ns)
    bucket_s = bucket_seconds(covered, 60)
    cells = heatmap_cells(
        store, project, covered.since_ns, covered.until_ns, conditions, bucket_s=bucket_s, rows_max=_HEATMAP_ROWS
    )
    times = _times(covered, bucket_s)
    places = {second: place for place, second in enumerate(times)}
    lowest = min((power for _, power, _, _ in cells), default=0)
    highest = max((power for _, power, _, _ in cells), default=0)
    shown = [cell for cell in cells if cell[0] in places]
    return Heatmap(
        window=covered.as_window(),
        bucket_s=bucket_s,
        times=times,
        edges_ms=tuple(float(2**power) for power in range(lowest, highest + 2)),
        column=tuple(places[second] for second, _, _, _ in shown),
        row=tuple(power - lowest for _, power, _, _ in shown),
        count=tuple(count for _, _, count, _ in shown),
        errors=tuple(errors for _, _, _, errors in shown),
    )


def _times(covered: Range, bucket_s: int) -> tuple[int, ...]:
    first = covered.since_ns // 1_000_000_000 // bucket_s * bucket_s
    last = (covered.until_ns - 1) // 1_000_000_000
    return tuple(range(first, last + 1, bucket_s))


def _series(covered: Range, bucket_s: int, rows: list[dict[str, Any]]) -> Series:
    by_time = {int(row["value"]): row for row in rows}
    times = _times(covered, bucket_s)
    found = [by_time.get(second) for second in times]
    quantiles = [_quantiles(row["quantiles"]) if row else (None, None, None) for row in found]
    costs = [money(row["cost"]) if row else None for row in found]
    return Series(
        bucket_s=bucket_s,
        times=times,
        traces=tuple(row["traces"] if row else 0 for row in found),
        errors=tuple(row["failed"] if row else 0 for row in found),
        p50_ms=tuple(three[0] for three in quantiles),
        p95_ms=tuple(three[1] for three in quantiles),
        p99_ms=tuple(three[2] for three in quantiles),
        cost_usd=tuple(None if cost is None else float(cost) for cost in costs),
        cost_per_trace_usd=tuple(
            None if cost is None or not row else float(cost) / row["traces"]
            for cost, row in zip(costs, found, strict=True)
        ),
        tokens_per_trace=tuple(_tokens(row).total / row["traces"] if row else None for row in found),
    )


def _breakdown(name: str, rows: list[dict[str, Any]], *, counts_calls: bool = False) -> Breakdown:
    shown = rows[:_ROWS_MAX]
    return Breakdown(
        by=name,
        counts="calls" if counts_calls else "traces",
        rows=tuple(_breakdown_row(row) for row in shown),
        others=max(0, rows[0]["set_size"] - len(shown)) if rows else 0,
    )


def _breakdown_row(row: Mapping[str, Any]) -> BreakdownRow:
    p50, p95, p99 = _quantiles(row["quantiles"])
    cost = money(row["cost"])
    return BreakdownRow(
        value=row["value"],
        traces=row["traces"],
        errors=row["failed"],
        error_share=share(row["failed"], row["traces"]),
        p50_ms=p50,
        p95_ms=p95,
        p99_ms=p99,
        total_tokens=row["tokens"] if "tokens" in row else _tokens(row).total,
        cost_usd=cost,
        cost_per_trace_usd=_per(cost, row["traces"]),
    )


def _tokens(row: Mapping[str, Any]) -> Tokens:
    return bucket_tokens([row[f"{bucket}_sum"] for bucket in TOKEN_BUCKETS])


def _quantiles(values: Sequence[Any]) -> tuple[float | None, float | None, float | None]:
    if not values:
        return None, None, None
    p50, p95, p99 = map(milliseconds, values)
    return p50, p95, p99


def share(part: int, whole: int) -> float:
    """A part of a whole, to four digits; 0 of nothing."""
    return round(part / whole, 4) if whole else 0.0


def _per(cost: Decimal | None, count: int) -> Decimal | None:
    if cost is None or not count:
        return None
    return round(cost / count, 9).normalize()
