"""The spill folder: what the server does not take waits on disk, bounded and private, and comes when it is back."""

from __future__ import annotations

import errno
import json
import os
import stat
import threading
from pathlib import Path
from typing import Any

import pytest

from pilothouse.otlp.destination import Destination, find_destination
from pilothouse.sdk import spill as spill_module
from pilothouse.sdk.batch import Batch, gunzip, gzip
from pilothouse.sdk.spill import Spill
from pilothouse.sdk.stats import Counters
from pilothouse.testing import OtlpSink

from .pipeline_making import Made, ended, recording, until

pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2")

UNREACHABLE = "http://127.0.0.1:9"


def spilled(endpoint: str, folder: Path, count: int, name: str = "step", **options: Any) -> None:
    """A process that records while nobody answers."""
    made = Made(endpoint, folder, **options)
    made.record(count, name=name)
    made.pipeline.close()
    assert made.pipeline.stats().spilled == count


def free_port() -> int:
    with OtlpSink() as sink:
        return sink.port


def test_what_waits_on_disk_is_delivered_in_order_by_the_next_process_that_starts(tmp_path: Path) -> None:
    port = free_port()
    for number in range(4):
        spilled(f"http://127.0.0.1:{port}", tmp_path, 20, f"process {number}")
    with OtlpSink(port=port) as sink, recording(sink.address, tmp_path) as made:
        until(lambda: len(ended(sink)) == 80)
        until(lambda: made.pipeline.stats().spill_files == 0)
        arrived = [span["name"] for span in sink.spans() if "endTimeUnixNano" in span]
        assert arrived == [f"process {p} {n}" for p in range(4) for n in range(20)]
        # Small files travel together.
        assert len([request for request in sink.requests if request.signal == "traces"]) < 4
        assert made.pipeline.stats().delivered_from_spill == 80


def test_a_server_that_goes_and_comes_back_gets_everything_in_order(tmp_path: Path) -> None:
    port = free_port()
    with recording(f"http://127.0.0.1:{port}", tmp_path) as made:
        for number in range(5):
            made.record(2, name=f"away {number}")
            until(lambda: made.pipeline.stats().spilled == 2 * number + 2)  # noqa: B023  # called at once
        # On disk is not in memory.
        until(lambda: made.pipeline.queue.held == 0)
        assert "ConnectionRefused" in made.pipeline.stats().state
        with OtlpSink(port=port) as sink:
            made.record(10, name="back")
            until(lambda: made.pipeline.flush(1.0))
            assert ended(sink) == [*(f"away {n // 2} {n % 2}" for n in range(10)), *(f"back {n}" for n in range(10))]
            assert made.pipeline.stats().state == "ok"


def test_a_hanging_server_costs_no_memory_and_what_it_answers_late_is_not_sent_again(tmp_path: Path) -> None:
    with OtlpSink() as sink, recording(sink.address, tmp_path) as made:
        sink.delay_s = 0.6
        made.record(10)
        # Written to disk while the answer is awaited, and removed when it comes.
        until(lambda: made.pipeline.stats().spill_files == 1)
        until(lambda: made.pipeline.stats().spill_files == 0)
        until(lambda: made.pipeline.queue.held == 0)
        assert len([request for request in sink.requests if request.signal == "traces"]) == 1


def test_the_folder_is_private_and_holds_no_key(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    spilled(UNREACHABLE, folder, 3, key="ph_very_secret")
    for path in [folder.parent, folder, *folder.rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
        assert "ph_very_secret" not in path.name
        if path.is_file():
            content = path.read_bytes()
            assert b"ph_very_secret" not in (gunzip(content) if path.suffix == ".gz" else content)
    assert json.loads(next(folder.glob("*/destination.json")).read_text()) == {"endpoint": UNREACHABLE}


def test_records_of_another_server_or_key_are_left_alone(tmp_path: Path) -> None:
    port = free_port()
    spilled(f"http://127.0.0.1:{port}", tmp_path, 5, "other key", key="ph_other")
    spilled(UNREACHABLE, tmp_path, 5, "other server")
    with OtlpSink(port=port) as sink, recording(sink.address, tmp_path) as made:
        made.record(1, name="own")
        assert made.pipeline.flush()
        assert ended(sink) == ["own 0"]
    assert len(list(tmp_path.glob("*/*.otlp.gz"))) >= 2


def test_a_full_folder_drops_the_oldest_and_counts_them(tmp_path: Path) -> None:
    bound = 200_000
    with recording(UNREACHABLE, tmp_path, spill_bytes_max=bound) as made:
        for number in range(30):
            made.record(2, name=f"round {number}", noise=os.urandom(8_000).hex())
            until(lambda: made.pipeline.stats().queued == 0)
            assert made.pipeline.stats().spill_bytes <= bound
        stats = made.pipeline.stats()
        assert 0 < stats.dropped_by_reason["spill_full"] < 60
        waiting = sum(file.count for file in made.pipeline._delivery.spill.files())
        assert waiting + stats.dropped == 60
        newest = made.pipeline._delivery.spill.files()[-1]
        assert b"round 29" in gunzip(newest.path.read_bytes())


def test_a_full_disk_keeps_records_in_memory_and_they_go_when_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, content: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    port = free_port()
    with monkeypatch.context() as patch, recording(f"http://127.0.0.1:{port}", tmp_path) as made:
        patch.setattr(spill_module, "_write_whole", full)
        made.record(10)
        until(lambda: "does not take records" in made.pipeline.stats().state)
        assert (made.pipeline.stats().spilled, made.pipeline.stats().dropped) == (0, 0)
        assert made.pipeline.queue.held > 0
        with OtlpSink(port=port) as sink:
            until(lambda: made.pipeline.flush(1.0))
            assert len(ended(sink)) == 10


def test_a_folder_that_cannot_be_written_loses_only_at_the_end_and_says_how_much(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    made = Made(UNREACHABLE, tmp_path / "file")
    made.record(10)
    until(lambda: made.pipeline.stats().state != "ok")
    assert made.pipeline.stats().queued == 10
    made.pipeline.close()
    assert made.pipeline.stats().dropped_by_reason == {"spill_failed": 10}
    assert "writable" in caplog.text and "10 (spill_failed)" in caplog.text


def test_a_damaged_file_is_set_aside_and_stops_nothing(tmp_path: Path) -> None:
    port = free_port()
    spilled(f"http://127.0.0.1:{port}", tmp_path, 5, "first")
    spilled(f"http://127.0.0.1:{port}", tmp_path, 5, "second")
    first = min(tmp_path.glob("*/*-t-*.otlp.gz"))
    first.write_bytes(first.read_bytes()[:-20])
    with OtlpSink(port=port) as sink, recording(sink.address, tmp_path) as made:
        until(lambda: len(ended(sink)) == 5)
        assert made.pipeline.stats().dropped_by_reason == {"refused": 5}
        assert list(tmp_path.glob("*/refused/*.json"))


def test_a_folder_removed_while_it_is_in_use_is_made_again(tmp_path: Path) -> None:
    import shutil

    with recording(UNREACHABLE, tmp_path / "spill") as made:
        made.record()
        until(lambda: made.pipeline.stats().spilled == 1)
        shutil.rmtree(tmp_path / "spill")
        made.record()
        until(lambda: made.pipeline.stats().spilled == 2)
        assert made.pipeline.stats().spill_files >= 1


def test_only_one_delivers_at_a_time_and_another_takes_over(tmp_path: Path) -> None:
    where = Destination(endpoint=UNREACHABLE)
    spills = [Spill(tmp_path, where, 1 << 20, Counters(), f"{n}" * 8) for n in range(3)]
    spills[0].write(Batch(signal="traces", body=b"", gzipped=False, count=1))
    held: list[Spill] = []
    lock = threading.Lock()

    def contend(spill: Spill) -> None:
        if spill.lock():
            with lock:
                held.append(spill)

    threads = [threading.Thread(target=contend, args=(spill,)) for spill in spills]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (first,) = held
    first.unlock()
    assert [spill.lock() for spill in spills].count(True) == 1


def test_names_stay_in_order_when_the_clock_steps_back(tmp_path: Path) -> None:
    spill = Spill(tmp_path, Destination(endpoint=UNREACHABLE), 1 << 20, Counters(), "a" * 8)
    for number, moment in enumerate((5_000, 3_000, 4_000, 9_000)):
        spill.write(Batch(signal="logs", body=str(number).encode(), gzipped=False, count=1, created_ns=moment))
    assert [spill.read(file) for file in spill.files()] == [b"0", b"1", b"2", b"3"]


def test_strangers_in_the_folder_are_left_alone(tmp_path: Path) -> None:
    spill = Spill(tmp_path, Destination(endpoint=UNREACHABLE), 1 << 20, Counters(), "a" * 8)
    spill.write(Batch(signal="logs", body=b"x", gzipped=False, count=1))
    for name in ("notes.txt", ".hidden.otlp.gz", "x.otlp.gz", "1-2-z-4.otlp.gz", "-.otlp.gz", "a-t-b.otlp.gz"):
        (spill.folder / name).write_bytes(gzip(b""))
    assert len(spill.files()) == 1


class TestDestination:
    """Where records go when nobody says, and who may have which key."""

    def runtime(self, data: Path, **told: Any) -> None:
        data.mkdir(exist_ok=True)
        (data / "server.json").write_text(
            json.dumps({"url": "http://127.0.0.1:4444", "token": "phl_t", "pid": os.getpid(), **told})
        )

    def test_the_running_server_of_this_machine_is_found(self, tmp_path: Path) -> None:
        self.runtime(tmp_path)
        found = find_destination("", "", {"PILOTHOUSE_DATA": str(tmp_path)})
        assert (found.endpoint, found.key) == ("http://127.0.0.1:4444", "phl_t")

    def test_its_key_is_never_sent_anywhere_else(self, tmp_path: Path) -> None:
        self.runtime(tmp_path)
        for given in ({"PILOTHOUSE_URL": "http://else:1"}, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://else:1"}):
            assert find_destination("", "", {"PILOTHOUSE_DATA": str(tmp_path), **given}).key == ""
        assert find_destination("http://else:1", "", {"PILOTHOUSE_DATA": str(tmp_path)}).key == ""

    @pytest.mark.parametrize(
        "content", ["", "[]", "{}", '{"url": 1}', "\xff", '{"url":"http://a","token":"t","pid":"x"}']
    )
    def test_a_file_that_says_nothing_is_no_server(self, tmp_path: Path, content: str) -> None:
        (tmp_path / "server.json").write_text(content)
        assert find_destination("", "", {"PILOTHOUSE_DATA": str(tmp_path)}).endpoint == "http://127.0.0.1:4318"

    def test_a_server_that_was_killed_is_not_taken_for_running(self, tmp_path: Path) -> None:
        self.runtime(tmp_path, pid=2**22 + 1)
        assert find_destination("", "", {"PILOTHOUSE_DATA": str(tmp_path)}).key == ""

    def test_a_restarted_local_server_gets_what_waited_under_its_old_key_and_port(self, tmp_path: Path) -> None:
        data = tmp_path / "data"
        with OtlpSink() as first:
            self.runtime(data, url=first.address)
            made = Made("", tmp_path / "spill", key="", variables={"PILOTHOUSE_DATA": str(data)})
            made.record(name="before")
            assert made.pipeline.flush()
            # The connection is kept, and would serve on.
            first.status = 503
        made.record(name="away")
        until(lambda: made.pipeline.stats().spilled == 1)
        with OtlpSink() as second:
            self.runtime(data, url=second.address, token="phl_new")
            until(lambda: made.pipeline.flush(1.0))
            assert ended(second) == ["away 0"]
            assert second.requests[-1].headers["authorization"] == "Bearer phl_new"
            made.pipeline.close()
