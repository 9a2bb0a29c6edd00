"""What was recorded, in numbers; and what the store takes on disk and has saved."""

from __future__ import annotations

from pilothouse.records import iso
from pilothouse.store import TraceStore
from pilothouse.store.health_reads import content_bytes, held, recorded, sharing, table_sizes
from pilothouse.store.schema import TOKEN_BUCKETS

from .model import Stats, StoreStats, TableStats
from .rows import bucket_tokens, money
from .windows import time_range


def stats(store: TraceStore, project: str, *, since_ns: int | None = None, until_ns: int | None = None) -> Stats:
    """What was recorded in a window, in numbers."""
    covered = time_range(since_ns, until_ns)
    row = recorded(store, project, covered.since_ns, covered.until_ns)
    names, counts = row["dialects"]
    return Stats(
        window=covered.as_window(),
        traces=row["traces"],
        spans=row["spans"],
        model_calls=row["model_calls"],
        tool_calls=row["tool_calls"],
        errors=row["errors"],
        traces_with_errors=row["traces_with_errors"],
        sessions=row["sessions"],
        users=row["users"],
        agents=row["agents"],
        duplicates=row["duplicates"],
        orphans=row["orphans"],
        tokens=bucket_tokens([row[f"{bucket}_sum"] for bucket in TOKEN_BUCKETS]),
        cost_usd=money(row["cost"]),
        cost_unknown=row["cost_unknown"],
        dialects={name: int(count) for name, count in zip(names, counts, strict=True)},
        events=row["events"],
        logs=row["logs"],
        points=row["points"],
        scores=row["scores"],
    )


def store_stats(store: TraceStore, project: str, *, memory_bytes: int = 0) -> StoreStats:
    """The store's figures: tables and bytes of the whole store, counts of the project."""
    tables = tuple(
        TableStats(
            table=row["table"],
            rows=int(row["rows"]),
            bytes=int(row["bytes"]),
            bytes_raw=int(row["bytes_raw"]),
            parts=int(row["parts"]),
        )
        for row in table_sizes(store)
    )
    rows = {table.table: table.rows for table in tables}
    total = sum(table.bytes for table in tables)
    holds, shared = held(store, project), sharing(store, project)
    stored_share = shared.stored_bytes / shared.offered_bytes if shared.offered_bytes else 1.0
    stored = content_bytes(store)
    return StoreStats(
        spans=holds.spans,
        traces=holds.traces,
        messages=rows.get("message", 0),
        bytes=total,
        bytes_per_span=round(total / rows["span"], 1) if rows.get("span") else 0.0,
        tables=tables,
        references=holds.references,
        dedup_share_saved=round(1 - stored_share, 4),
        bytes_saved_raw=round(stored / stored_share - stored) if stored_share else 0,
        oldest=iso(holds.oldest_ns),
        newest=iso(holds.newest_ns),
        memory_bytes=memory_bytes,
    )
