"""The journal: what was acknowledged is on disk, what failed is not, and readers see neither more nor less."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import resource
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilothouse.intake import Checkpoint, Journal, JournalReader, Position, Record, Settings, Spot, recover
from pilothouse.intake.mark import Mark, MarkWriter, read_mark
from pilothouse.intake.segment import HEAD_BYTES, MARKER_BYTES, file_name, segments
from pilothouse.records import BadRequest, Broken, DiskFull, PilothouseError, Refused
from tests.intake.faulty_disk import FaultyDisk

WHOLE = {"bytes_max": 1 << 40, "records_max": 1 << 40}


def record(body: bytes | str, project_id: str = "p") -> Record:
    if isinstance(body, str):
        body = body.encode()
    return Record(
        project_id=project_id,
        signal="traces",
        content_type="application/x-protobuf",
        encoding="gzip",
        received_ns=17,
        body=body,
    )


def bodies(root: Path, start: Checkpoint | None = None) -> list[bytes]:
    """The bodies of all records under ``root``."""
    return [entry.record.body for entry in JournalReader(root).read(start or Checkpoint(), **WHOLE)]


def write(root: Path, *items: bytes | str, receiver: str = "r0", **options: Any) -> list[Position]:
    """Append each in a group of its own, and close."""

    async def run() -> list[Position]:
        journal = Journal(root / receiver, **options)
        try:
            return [await journal.append(record(one)) for one in items]
        finally:
            journal.close()

    return asyncio.run(run())


# ── appending ────────────────────────────────────────────────────────────────


def test_what_is_appended_is_read_back_as_it_was(tmp_path):
    (position,) = write(tmp_path, "one")
    (entry,) = JournalReader(tmp_path).read(Checkpoint())
    assert entry.record == record("one")
    assert entry.position == position
    assert position.receiver == "r0"


@given(items=st.lists(st.binary(max_size=200), max_size=20), segment_bytes=st.integers(64, 600))
@settings(max_examples=40, deadline=None)
def test_any_bodies_come_back_in_order_over_any_number_of_segments(tmp_path_factory, items, segment_bytes):
    root = tmp_path_factory.mktemp("journal")
    positions = write(root, *items, settings=Settings(segment_bytes=segment_bytes))
    assert bodies(root) == items
    assert positions == sorted(positions)


def test_64_senders_share_syncs_and_each_gets_its_own_place(tmp_path):
    disk = FaultyDisk()
    disk.before_sync = lambda: time.sleep(0.002)

    async def sender(journal: Journal, name: int) -> list[tuple[Position, bytes]]:
        sent = []
        for number in range(20):
            body = f"{name}/{number}".encode()
            sent.append((await journal.append(record(body)), body))
        return sent

    async def run() -> list[tuple[Position, bytes]]:
        journal = Journal(tmp_path / "r0", disk=disk)
        sent = await asyncio.gather(*(sender(journal, name) for name in range(64)))
        assert journal.stats.records == 64 * 20
        assert journal.stats.groups < 64 * 20 / 4
        journal.close()
        return [one for some in sent for one in some]

    sent = asyncio.run(run())
    read = {entry.position: entry.record.body for entry in JournalReader(tmp_path).read(Checkpoint(), **WHOLE)}
    assert read == dict(sent)
    assert len(read) == 64 * 20


def test_append_returns_only_after_the_sync(tmp_path):
    disk = FaultyDisk()

    async def run() -> None:
        journal = Journal(tmp_path / "r0", disk=disk)
        await journal.append(record("first"))
        entered, leave = asyncio.Event(), threading.Event()
        loop = asyncio.get_running_loop()

        def hold() -> None:
            loop.call_soon_threadsafe(entered.set)
            leave.wait(10)

        disk.before_sync = hold
        waiting = asyncio.create_task(journal.append(record("second")))
        await entered.wait()
        assert not waiting.done()
        # Written but not synced: a reader must not see it either.
        assert bodies(tmp_path) == [b"first"]
        leave.set()
        await waiting
        assert bodies(tmp_path) == [b"first", b"second"]
        journal.close()

    asyncio.run(run())


def test_large_and_empty_bodies_are_kept(tmp_path):
    big = os.urandom(20 << 20)
    write(tmp_path, b"", big, b"after")
    assert bodies(tmp_path) == [b"", big, b"after"]


def test_segments_rotate_and_a_record_larger_than_a_segment_has_its_own(tmp_path):
    write(tmp_path, *[b"x" * 300] * 10, b"y" * 5000, settings=Settings(segment_bytes=1000))
    found = segments(tmp_path / "r0")
    assert len(found) == 6
    sizes = [(tmp_path / "r0" / file_name(number)).stat().st_size for number in found]
    assert all(size <= 1000 for size in sizes[:-1])
    assert len(bodies(tmp_path)) == 11


def test_a_cancelled_sender_does_not_disturb_the_others(tmp_path):
    async def run() -> None:
        journal = Journal(tmp_path / "r0")
        tasks = [asyncio.create_task(journal.append(record(str(number)))) for number in range(50)]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        done = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(one, Position) for one in done[1::2])
        journal.close()

    asyncio.run(run())
    assert {str(number).encode() for number in range(1, 50, 2)} <= set(bodies(tmp_path))


def test_a_closed_journal_refuses(tmp_path):
    async def run() -> None:
        journal = Journal(tmp_path / "r0")
        journal.close()
        journal.close()
        with pytest.raises(Refused):
            await journal.append(record("late"))

    asyncio.run(run())


def test_two_writers_of_one_directory_are_refused(tmp_path):
    journal = Journal(tmp_path / "r0")
    with pytest.raises(BadRequest, match="open in another process") as caught:
        Journal(tmp_path / "r0")
    assert str(os.getpid()) in str(caught.value.got)
    journal.close()
    Journal(tmp_path / "r0").close()


def test_a_writer_in_another_process_is_refused(tmp_path):
    journal = Journal(tmp_path / "r0")
    script = (
        "import sys, pathlib\nfrom pilothouse.intake import Journal\nfrom pilothouse.records import BadRequest\n"
        "try: Journal(pathlib.Path(sys.argv[1]))\nexcept BadRequest: sys.exit(7)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path / "r0")], check=False)
    assert done.returncode == 7
    journal.close()


def test_a_directory_that_can_not_be_made_is_an_error_of_ours(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(PilothouseError):
        Journal(tmp_path / "file" / "r0")


# ── a disk that fails ────────────────────────────────────────────────────────


async def refused(journal: Journal, body: str) -> DiskFull:
    with pytest.raises(DiskFull) as caught:
        await journal.append(record(body))
    return caught.value


@pytest.mark.parametrize("part", [0, 1, 30, 60])
def test_disk_full_takes_back_the_group_and_recovers_by_itself(tmp_path, part):
    disk = FaultyDisk()

    async def run() -> None:
        journal = Journal(tmp_path / "r0", disk=disk)
        await journal.append(record("before"))
        size = (tmp_path / "r0" / file_name(segments(tmp_path / "r0")[0])).stat().st_size
        disk.write_error, disk.write_bytes_max = errno.ENOSPC, part
        error = await refused(journal, "lost" * 50)
        assert error.http_status == 503
        assert error.retry_after_s
        assert "full" in error.message
        assert (tmp_path / "r0" / file_name(segments(tmp_path / "r0")[0])).stat().st_size == size
        disk.write_error = disk.write_bytes_max = None
        await journal.append(record("after"))
        assert journal.stats.failures == 1
        journal.close()

    asyncio.run(run())
    assert bodies(tmp_path) == [b"before", b"after"]
    assert len(segments(tmp_path / "r0")) == 1


def test_short_writes_are_continued(tmp_path):
    disk = FaultyDisk()
    disk.write_bytes_max = 7
    write(tmp_path, "the first body", "", "the second body", disk=disk)
    assert bodies(tmp_path) == [b"the first body", b"", b"the second body"]


def test_a_failed_sync_abandons_the_segment(tmp_path):
    disk = FaultyDisk()

    async def run() -> None:
        journal = Journal(tmp_path / "r0", disk=disk)
        await journal.append(record("before"))
        disk.sync_error = errno.EIO
        error = await refused(journal, "lost")
        assert "EIO" in error.message
        await refused(journal, "lost too")
        disk.sync_error = None
        await journal.append(record("after"))
        journal.close()

    asyncio.run(run())
    assert bodies(tmp_path) == [b"before", b"after"]
    assert len(segments(tmp_path / "r0")) == 2


def test_even_a_failed_cut_corrupts_nothing(tmp_path):
    disk = FaultyDisk()

    async def run() -> None:
        journal = Journal(tmp_path / "r0", disk=disk)
        await journal.append(record("before"))
        disk.write_error, disk.write_bytes_max, disk.truncate_error = errno.EIO, 40, errno.EIO
        await refused(journal, "lost" * 50)
        disk.write_error = disk.write_bytes_max = disk.truncate_error = None
        await journal.append(record("after"))
        journal.close()

    asyncio.run(run())
    assert bodies(tmp_path) == [b"before", b"after"]


def test_only_the_senders_of_the_failed_group_are_told(tmp_path):
    disk = FaultyDisk()

    async def run() -> None:
        journal = Journal(tmp_path / "r0", disk=disk)
        outcomes: dict[bytes, Any] = {}
        for turn in range(12):
            disk.write_error = errno.ENOSPC if turn % 3 == 2 else None
            disk.write_bytes_max = 50 if turn % 3 == 2 else None
            names = [f"{turn}/{number}" for number in range(8)]
            done = await asyncio.gather(*(journal.append(record(one)) for one in names), return_exceptions=True)
            outcomes |= {name.encode(): one for name, one in zip(names, done, strict=True)}
        journal.close()
        kept = [name for name, one in outcomes.items() if isinstance(one, Position)]
        lost = [name for name, one in outcomes.items() if isinstance(one, DiskFull)]
        assert len(kept) + len(lost) == 96
        assert lost
        assert sorted(bodies(tmp_path)) == sorted(kept)

    asyncio.run(run())


def test_a_real_file_size_limit_is_a_full_disk(tmp_path):
    """The kernel refuses the write half way, as a full disk does; the limit is then lifted, as if space were freed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    async def run() -> list[bytes]:
        journal = Journal(tmp_path / "r0")
        kept = []
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
            for number in range(40):
                body = bytes([number]) * 10_000
                try:
                    await journal.append(record(body))
                    kept.append(body)
                except DiskFull as error:
                    assert "full" in error.message
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert 10 < len(kept) < 40
        await journal.append(record("after"))
        journal.close()
        return [*kept, b"after"]

    kept = asyncio.run(run())
    assert bodies(tmp_path) == kept


def test_a_really_full_file_system_recovers_when_space_is_freed(tmp_path):
    mount = tmp_path / "small"
    mount.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(mount)], check=False, capture_output=True
    )
    if made.returncode:
        pytest.skip("mounting a small tmpfs needs root")
    try:

        async def run() -> list[bytes]:
            (mount / "ballast").write_bytes(bytes(500_000))
            Journal(mount / "r0").close()
            # Opening one on a disk that is full to the last byte is no error; appending to it is.
            with pytest.raises(OSError, match="space"):
                (mount / "filler").write_bytes(bytes(2_000_000))
            full = Journal(mount / "r0")
            await refused(full, "no room")
            full.close()
            (mount / "filler").unlink()
            journal = Journal(mount / "r0")
            kept, failed = [], 0
            for number in range(30):
                body = bytes([number]) * 30_000
                try:
                    await journal.append(record(body))
                    kept.append(body)
                except DiskFull:
                    failed += 1
                    if failed == 3:
                        (mount / "ballast").unlink()
            journal.close()
            assert failed >= 3
            return kept

        kept = asyncio.run(run())
        assert len(kept) > 20
        assert bodies(mount) == kept
    finally:
        subprocess.run(["umount", str(mount)], check=True)


# ── what a crash leaves ──────────────────────────────────────────────────────


def last_segment(root: Path) -> Path:
    return root / "r0" / file_name(segments(root / "r0")[-1])


@pytest.mark.parametrize("cut", [1, 10, 29, 60, 100])
def test_a_torn_tail_is_cut_and_counted(tmp_path, cut):
    write(tmp_path, "one", "two" * 50)
    path = last_segment(tmp_path)
    os.truncate(path, path.stat().st_size - cut)
    journal = Journal(tmp_path / "r0")
    journal.close()
    assert journal.recovery.records == 1
    assert journal.recovery.cut_bytes > 0
    assert journal.recovery.kept_aside is None
    assert bodies(tmp_path) == [b"one"]


def test_zeros_after_the_last_record_are_cut(tmp_path):
    write(tmp_path, "one")
    with last_segment(tmp_path).open("ab") as file:
        file.write(bytes(4096))
    journal = Journal(tmp_path / "r0")
    journal.close()
    assert journal.recovery.cut_bytes == 4096
    assert journal.recovery.kept_aside is None
    assert bodies(tmp_path) == [b"one"]


def test_a_tail_that_is_no_torn_record_is_kept_aside(tmp_path):
    write(tmp_path, "one")
    with last_segment(tmp_path).open("ab") as file:
        file.write(b"something else entirely")
    journal = Journal(tmp_path / "r0")
    journal.close()
    assert journal.recovery.kept_aside is not None
    assert journal.recovery.kept_aside.read_bytes() == b"something else entirely"
    assert bodies(tmp_path) == [b"one"]


@pytest.mark.parametrize("size", [0, 1, 8, 15])
def test_a_segment_without_its_head_is_no_obstacle(tmp_path, size):
    write(tmp_path, "one")
    number = segments(tmp_path / "r0")[-1] + 1
    (tmp_path / "r0" / file_name(number)).write_bytes(b"PHJOURN1abcdefgh"[:size])
    write(tmp_path, "two")
    assert bodies(tmp_path) == [b"one", b"two"]


def test_every_run_begins_a_segment_of_its_own(tmp_path):
    for name in ("one", "two", "three"):
        write(tmp_path, name)
    assert len(segments(tmp_path / "r0")) == 3
    assert bodies(tmp_path) == [b"one", b"two", b"three"]


def test_opening_without_appending_leaves_no_segment_behind(tmp_path):
    write(tmp_path, "one")
    for _ in range(3):
        Journal(tmp_path / "r0").close()
    assert len(segments(tmp_path / "r0")) == 1
    assert bodies(tmp_path) == [b"one"]


def test_damage_in_the_middle_costs_only_the_records_it_hit(tmp_path):
    positions = write(tmp_path, "one", "two", "three", "four")
    path = last_segment(tmp_path)
    content = bytearray(path.read_bytes())
    content[positions[1].offset + 40] ^= 255
    path.write_bytes(content)
    reader = JournalReader(tmp_path)
    for _ in range(2):
        assert [entry.record.body for entry in reader.read(Checkpoint(), **WHOLE)] == [b"one", b"three", b"four"]
    assert reader.stats.damages == 1
    assert reader.stats.damaged_bytes == positions[1].end - positions[1].offset
    journal = Journal(tmp_path / "r0")
    journal.close()
    assert journal.recovery.records == 3
    assert journal.recovery.damaged_bytes == positions[1].end - positions[1].offset
    assert bodies(tmp_path) == [b"one", b"three", b"four"]


def test_a_damaged_segment_does_not_hide_the_next(tmp_path):
    write(tmp_path, "one")
    last_segment(tmp_path).write_bytes(os.urandom(5000))
    write(tmp_path, "two")
    reader = JournalReader(tmp_path)
    batch = reader.read(Checkpoint(), **WHOLE)
    assert [entry.record.body for entry in batch] == [b"two"]


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_random_damage_never_invents_or_reorders_records(tmp_path_factory, data):
    root = tmp_path_factory.mktemp("journal")
    items = [f"record {number}".encode() * 3 for number in range(12)]
    write(root, *items, settings=Settings(segment_bytes=400))
    for number in segments(root / "r0"):
        path = root / "r0" / file_name(number)
        content = bytearray(path.read_bytes())
        for _ in range(data.draw(st.integers(0, 2))):
            at = data.draw(st.integers(0, len(content) - 1))
            content[at : at + data.draw(st.integers(0, 30))] = data.draw(st.binary(max_size=30))
        path.write_bytes(content)
    Journal(root / "r0").close()
    found = bodies(root)
    assert set(found) <= set(items)
    assert [items.index(one) for one in found] == sorted(items.index(one) for one in found)


def test_a_body_can_not_forge_a_record(tmp_path):
    """The bytes of a whole record of another project, sent as a body, are never taken for one."""
    write(tmp_path / "a", "victim")
    stolen = (tmp_path / "a" / "r0" / file_name(segments(tmp_path / "a" / "r0")[0])).read_bytes()[HEAD_BYTES:]
    positions = write(tmp_path / "b", stolen * 3, "sound")
    path = last_segment(tmp_path / "b")
    content = bytearray(path.read_bytes())
    content[positions[0].offset + MARKER_BYTES] ^= 255
    path.write_bytes(content)
    assert bodies(tmp_path / "b") == [b"sound"]


def test_recover_makes_a_former_receivers_journal_readable(tmp_path):
    write(tmp_path, "one", receiver="gone")
    (tmp_path / "gone" / "durable").unlink()
    held = Journal(tmp_path / "held")
    assert bodies(tmp_path) == []
    assert set(recover(tmp_path)) == {"gone"}
    assert bodies(tmp_path) == [b"one"]
    held.close()
    assert recover(tmp_path / "absent") == {}


# ── reading ──────────────────────────────────────────────────────────────────


def test_reading_goes_on_from_a_checkpoint(tmp_path):
    write(tmp_path, *map(str, range(10)), settings=Settings(segment_bytes=150))
    reader = JournalReader(tmp_path)
    checkpoint, found = Checkpoint(), []
    while batch := reader.read(checkpoint, records_max=3):
        found += [entry.record.body for entry in batch]
        checkpoint = batch.after
    assert found == [str(number).encode() for number in range(10)]
    assert reader.pending(checkpoint) == 0
    write(tmp_path, "more")
    assert reader.pending(checkpoint) > 0
    assert bodies(tmp_path, checkpoint) == [b"more"]


def test_a_byte_bound_gives_at_least_one_record(tmp_path):
    write(tmp_path, b"x" * 1000, b"y" * 1000)
    assert len(JournalReader(tmp_path).read(Checkpoint(), bytes_max=1)) == 1


def test_several_receivers_are_read_in_their_own_order_and_none_starves(tmp_path):
    write(tmp_path, *[f"a{number}" for number in range(50)], receiver="a")
    write(tmp_path, *[f"b{number}" for number in range(5)], receiver="b")
    batch = JournalReader(tmp_path).read(Checkpoint(), records_max=10)
    found = [entry.record.body.decode() for entry in batch]
    assert found == [f"a{number}" for number in range(5)] + [f"b{number}" for number in range(5)]
    rest = JournalReader(tmp_path).read(batch.after, **WHOLE)
    assert [entry.record.body.decode() for entry in rest] == [f"a{number}" for number in range(5, 50)]


@given(
    counts=st.lists(st.integers(0, 8), min_size=1, max_size=3),
    records_max=st.integers(1, 9),
    more=st.integers(0, 3),
)
@settings(max_examples=30, deadline=None)
def test_a_range_reads_the_same_again_whatever_came_later(tmp_path_factory, counts, records_max, more):
    root = tmp_path_factory.mktemp("journal")
    bounds = Settings(segment_bytes=200)
    for index, count in enumerate(counts):
        write(root, *[f"{index}/{number}" for number in range(count)], receiver=f"r{index}", settings=bounds)
    reader = JournalReader(root)
    start = reader.read(Checkpoint(), records_max=2).after
    batch = reader.read(start, records_max=records_max)
    for index in range(len(counts)):
        write(root, *["later"] * more, receiver=f"r{index}", settings=bounds)
    again = JournalReader(root).read(start, until=batch.after)
    assert again.entries == batch.entries
    assert again.after == batch.after


def test_a_checkpoint_is_saved_and_loaded(tmp_path):
    reader = JournalReader(tmp_path)
    assert reader.load() == Checkpoint()
    checkpoint = Checkpoint(spots={"b": Spot(5, 7), "a": Spot(1, 2)})
    reader.save(checkpoint)
    assert reader.load() == checkpoint
    assert Checkpoint.from_json(checkpoint.as_json()) == checkpoint
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint.json"]


@pytest.mark.parametrize("text", ["", "[]", '{"a":5}', '{"a":[1]}', "\0"])
def test_an_unreadable_checkpoint_says_what_to_do(tmp_path, text):
    (tmp_path / "checkpoint.json").write_text(text)
    with pytest.raises(Broken) as caught:
        JournalReader(tmp_path).load()
    assert "remove" in str(caught.value.fix)


def test_released_segments_are_gone_and_the_last_one_stays(tmp_path):
    write(tmp_path, *[b"x" * 300] * 10, settings=Settings(segment_bytes=700))
    reader = JournalReader(tmp_path)
    part = reader.read(Checkpoint(), records_max=5).after
    before = segments(tmp_path / "r0")
    assert reader.release(part) > 0
    left = segments(tmp_path / "r0")
    assert left == [number for number in before if number >= part.spots["r0"].segment]
    assert len(bodies(tmp_path, part)) == 5
    whole = reader.read(part, **WHOLE).after
    reader.release(whole)
    assert segments(tmp_path / "r0") == before[-1:]
    assert reader.release(whole) == 0
    write(tmp_path, "after")
    assert bodies(tmp_path, whole) == [b"after"]


def test_release_keeps_the_newest_bytes_asked_for(tmp_path):
    write(tmp_path, *[b"x" * 300] * 10, settings=Settings(segment_bytes=700))
    reader = JournalReader(tmp_path)
    before = segments(tmp_path / "r0")
    reader.release(reader.read(Checkpoint(), **WHOLE).after, keep_bytes=1500)
    # Three consumed ones of 389 bytes fit, and the last one always stays.
    assert segments(tmp_path / "r0") == before[-4:]


def test_nothing_is_skipped_when_a_directory_was_emptied(tmp_path):
    """Segment numbers never return, so an old checkpoint can not hide new segments."""
    write(tmp_path, *map(str, range(20)))
    old = JournalReader(tmp_path).read(Checkpoint(), **WHOLE).after
    for path in (tmp_path / "r0").iterdir():
        path.unlink()
    write(tmp_path, "new")
    assert bodies(tmp_path, old) == [b"new"]


def test_a_mark_is_read_whole_or_not_at_all(tmp_path):
    assert read_mark(tmp_path) is None
    writer = MarkWriter(tmp_path)
    assert read_mark(tmp_path) is None
    writer.publish(Mark(3, 44))
    assert read_mark(tmp_path) == Mark(3, 44)
    writer.close()
    content = bytearray((tmp_path / "durable").read_bytes())
    content[0] ^= 1
    (tmp_path / "durable").write_bytes(content)
    assert read_mark(tmp_path) is None


def test_reading_an_absent_journal_is_empty(tmp_path):
    reader = JournalReader(tmp_path / "none")
    assert len(reader.read(Checkpoint())) == 0
    assert reader.pending(Checkpoint()) == 0
    assert reader.release(Checkpoint()) == 0


def test_the_lock_is_released_when_the_process_dies(tmp_path):
    script = (
        "import os, sys, pathlib\nfrom pilothouse.intake import Journal\n"
        "Journal(pathlib.Path(sys.argv[1]))\nos.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path / "r0")], check=False)
    assert done.returncode == -9
    Journal(tmp_path / "r0").close()
    with (tmp_path / "r0" / "lock").open() as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
