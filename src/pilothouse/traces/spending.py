"""What was spent in a window, by whatever one asks for."""

from __future__ import annotations

from collections.abc import Sequence

from pilothouse.records import BadRequest
from pilothouse.store import TraceStore
from pilothouse.store.chart_reads import COST_DIMENSIONS, cost_rows
from pilothouse.store.schema import TOKEN_BUCKETS

from .charts import share
from .filters import conditions_of
from .model import CostRow, Costs
from .rows import bucket_tokens, money
from .windows import time_range

DIMENSIONS = tuple(COST_DIMENSIONS)
"""What costs can be broken down by."""
_BY_MAX = 4
_ROWS_MAX = 1_000


def costs(
    store: TraceStore,
    project: str,
    by: Sequence[str] = ("agent", "model"),
    *,
    since_ns: int | None = None,
    until_ns: int | None = None,
    text: str = "",
    limit: int = 50,
) -> Costs:
    """Money and tokens by some dimensions, dearest first. Aggregates and calls seen twice are not in the sums."""
    unknown = [name for name in by if name not in COST_DIMENSIONS]
    if unknown:
        raise BadRequest(
            "costs cannot be broken down by this",
            got=unknown[0],
            allowed=list(DIMENSIONS),
            fix="pilothouse cost --by model",
        )
    if len(by) > _BY_MAX or len(set(by)) != len(by):
        raise BadRequest(f"up to {_BY_MAX} different dimensions", got=list(by)[:10])
    if not 1 <= limit <= _ROWS_MAX:
        raise BadRequest(f"1 to {_ROWS_MAX} rows", got=limit)
    covered = time_range(since_ns, until_ns)
    conditions = conditions_of(store, project, text)
    rows = cost_rows(store, project, covered.since_ns, covered.until_ns, conditions, by, rows_max=limit)
    first = rows[0] if rows else None
    made: list[CostRow] = []
    for row in rows:
        if not by and not row["calls"]:
            continue
        tokens = bucket_tokens([row[f"{bucket}_sum"] for bucket in TOKEN_BUCKETS])
        made.append(
            CostRow(
                key={name: row[f"key{place}"] for place, name in enumerate(by)},
                calls=row["calls"],
                tokens=tokens,
                cost_usd=money(row["cost"]),
                cost_unknown=row["unknown"],
                cost_from_cache_share=share(tokens.cache_read, tokens.input_total),
            )
        )
    return Costs(
        window=covered.as_window(),
        by=tuple(by),
        total_usd=money(first["all_cost"]) if first else None,
        calls=first["all_calls"] if first else 0,
        cost_unknown=first["all_unknown"] if first else 0,
        ambiguous=first["all_ambiguous"] if first else 0,
        rows=tuple(made),
        others=max(0, first["set_size"] - len(rows)) if first else 0,
    )
