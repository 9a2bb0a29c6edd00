"""What is stored, what it takes on disk, and what storing messages once has saved."""

from __future__ import annotations

from pilothouse.records import iso
from pilothouse.store import TraceStore
from pilothouse.store.health_reads import held, table_sizes

from .model import StoreStats, TableStats


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
    holds = held(store, project)
    total = sum(table.bytes for table in tables)
    stored_spans = next(table.rows for table in tables if table.table == "span")
    stored, offered = int(holds["message_bytes"]), int(holds["offered_bytes"])
    saved = max(offered - stored, 0)
    return StoreStats(
        spans=int(holds["spans"]),
        traces=int(holds["traces"]),
        messages=int(holds["messages"]),
        bytes=total,
        bytes_per_span=total / stored_spans if stored_spans else 0.0,
        tables=tables,
        references=int(holds["references"]),
        dedup_share_saved=saved / offered if offered else 0.0,
        bytes_saved_raw=saved,
        oldest=iso(int(holds["oldest_ns"])),
        newest=iso(int(holds["newest_ns"])),
        memory_bytes=memory_bytes,
    )
