"""A receiver killed with -9 at random moments: every acknowledged record is there afterwards, once."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pilothouse.intake import Checkpoint, Journal, JournalReader

# Appends as fast as it can from many senders, and writes a record's name to standard output once it is acknowledged.
SENDER = """
import asyncio, os, pathlib, random, sys
from pilothouse.intake import Journal, Record, Settings

async def main(directory, turn, seed):
    chance = random.Random(seed)
    journal = Journal(pathlib.Path(directory), Settings(segment_bytes=200_000))
    async def sender(name):
        number = 0
        while True:
            body = f"{turn}/{name}/{number} ".encode() + bytes(chance.randrange(3000))
            record = Record(project_id="p", signal="logs", content_type="application/json", encoding="",
                            received_ns=1, body=body)
            await journal.append(record)
            os.write(1, body.split(b" ")[0] + b"\\n")
            number += 1
    await asyncio.gather(*(sender(name) for name in range(16)))

asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
"""


def crash(
    directory: Path, turn: int, seed: int, after_s: float, meanwhile: Callable[[], None] | None = None
) -> set[str]:
    """Run a sender, kill it some time after its first acknowledgement, and return what was acknowledged.

    ``meanwhile`` is called again and again while it runs.
    """
    sender = subprocess.Popen(
        [sys.executable, "-c", SENDER, str(directory), str(turn), str(seed)], stdout=subprocess.PIPE
    )
    assert sender.stdout is not None
    first = sender.stdout.readline()
    end = time.monotonic() + after_s
    while (left := end - time.monotonic()) > 0:
        if meanwhile is None:
            time.sleep(left)
        else:
            meanwhile()
    sender.kill()
    acknowledged = (first + sender.stdout.read()).decode().splitlines(keepends=True)
    sender.wait()
    # The kill may have cut the last name short.
    return {name.strip() for name in acknowledged if name.endswith("\n") and name.strip()}


def test_killed_at_random_moments_nothing_acknowledged_is_lost_or_doubled(tmp_path):
    seed = int(os.environ.get("PILOTHOUSE_SEED", random.randrange(1 << 30)))
    print(f"PILOTHOUSE_SEED={seed}")
    chance = random.Random(seed)
    acknowledged: set[str] = set()
    for turn in range(10):
        acknowledged |= crash(tmp_path / "r0", turn, seed + turn, chance.random() * 0.15)
    journal = Journal(tmp_path / "r0")
    journal.close()
    names = [
        entry.record.body.split(b" ")[0].decode()
        for entry in JournalReader(tmp_path).read(Checkpoint(), bytes_max=1 << 40, records_max=1 << 40)
    ]
    assert len(names) == len(set(names)), "a record is there twice"
    assert acknowledged <= set(names), f"lost: {sorted(acknowledged - set(names))[:5]}"
    assert len(acknowledged) > 100
    # In the order each sender sent them.
    numbers: dict[str, int] = {}
    for name in names:
        sender, _, number = name.rpartition("/")
        assert int(number) == numbers.get(sender, -1) + 1
        numbers[sender] = int(number)


def test_a_reader_beside_crashing_writers_sees_each_record_once(tmp_path):
    """Reads in small steps from saved checkpoints while the writer is killed and comes back."""
    seed = int(os.environ.get("PILOTHOUSE_SEED", random.randrange(1 << 30)))
    print(f"PILOTHOUSE_SEED={seed}")
    chance = random.Random(seed)
    reader = JournalReader(tmp_path)
    acknowledged: set[str] = set()
    seen: list[str] = []

    def catch_up() -> None:
        batch = reader.read(reader.load(), bytes_max=chance.randrange(1, 100_000))
        seen.extend(entry.record.body.split(b" ")[0].decode() for entry in batch)
        reader.save(batch.after)
        reader.release(batch.after)

    for turn in range(5):
        acknowledged |= crash(tmp_path / "r0", turn, seed + turn, chance.random() * 0.1, catch_up)
    assert seen, "nothing was read while the senders ran"
    Journal(tmp_path / "r0").close()
    while reader.pending(reader.load()):
        catch_up()
    assert len(seen) == len(set(seen))
    assert acknowledged <= set(seen)


@pytest.mark.slow
def test_killed_a_hundred_times(tmp_path):
    seed = int(os.environ.get("PILOTHOUSE_SEED", random.randrange(1 << 30)))
    print(f"PILOTHOUSE_SEED={seed}")
    chance = random.Random(seed)
    acknowledged: set[str] = set()
    for turn in range(100):
        acknowledged |= crash(tmp_path / "r0", turn, seed + turn, chance.random() * 0.05)
    Journal(tmp_path / "r0").close()
    batch = JournalReader(tmp_path).read(Checkpoint(), bytes_max=1 << 40, records_max=1 << 40)
    names = [entry.record.body.split(b" ")[0].decode() for entry in batch]
    assert len(names) == len(set(names))
    assert acknowledged <= set(names)
