"""How many requests a second the journal makes durable: ``python benchmarks/journal.py [directory]``.

Prints appends a second, MB/s and the wait of a sender (median and p99) for three sizes of body and three numbers of
senders; then how fast a reader reads them back. The directory decides which disk is measured.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from pathlib import Path

from pilothouse.intake import Checkpoint, Journal, JournalReader, Record

SECONDS = 1.5


async def load(journal: Journal, senders: int, size: int) -> list[float]:
    """Append from so many senders at once for SECONDS; return how long each append took."""
    record = Record(
        project_id="bench",
        signal="traces",
        content_type="application/x-protobuf",
        encoding="gzip",
        received_ns=1,
        body=os.urandom(size),
    )
    waits: list[float] = []
    end = time.perf_counter() + SECONDS

    async def sender() -> None:
        while (begin := time.perf_counter()) < end:
            await journal.append(record)
            waits.append(time.perf_counter() - begin)

    await asyncio.gather(*(sender() for _ in range(senders)))
    return waits


def main() -> None:
    """Print the table."""
    print(f"{'body':>8} {'senders':>8} {'appends/s':>10} {'MB/s':>7} {'p50 ms':>7} {'p99 ms':>7} {'per sync':>9}")
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as folder:
        root = Path(folder)
        for size in (2_000, 50_000, 500_000):
            for senders in (1, 16, 64):
                journal = Journal(root / f"r-{size}-{senders}")
                begin = time.perf_counter()
                waits = sorted(asyncio.run(load(journal, senders, size)))
                seconds = time.perf_counter() - begin
                groups = journal.stats.groups
                journal.close()
                rate = len(waits) / seconds
                print(
                    f"{size:8,} {senders:8} {rate:10,.0f} {rate * size / 1e6:7,.0f} {waits[len(waits) // 2] * 1e3:7.2f}"
                    f" {waits[int(len(waits) * 0.99)] * 1e3:7.2f} {len(waits) / groups:9.1f}"
                )
        reader, checkpoint, count, size_read = JournalReader(root), Checkpoint(), 0, 0
        begin = time.perf_counter()
        while batch := reader.read(checkpoint, bytes_max=16 << 20):
            count += len(batch)
            size_read += sum(entry.position.end - entry.position.offset for entry in batch)
            checkpoint = batch.after
        seconds = time.perf_counter() - begin
        print(f"read back: {count / seconds:,.0f} records/s, {size_read / seconds / 1e6:,.0f} MB/s")


if __name__ == "__main__":
    main()
