"""The ingest worker: a process that tails the journals of all receivers and puts them into the store.

Started by the server, which talks to it on its standard input (one JSON command a line) and restarts it when it dies.
It ends when standard input closes, so it never outlives the server. All its progress is in the checkpoint file, which
is saved only after everything before it is on disk: killed at any moment, it goes on without loss and without doubles.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import queue
import sys
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from pilothouse.costs import PriceBook
from pilothouse.guards import Masker
from pilothouse.records import PilothouseError, SystemClock, Unreachable, iso
from pilothouse.records.priority import give_way
from pilothouse.signals import Rulebook, read_rulebook
from pilothouse.store import StoreError, TraceStore, open_store

from .checkpoint import Checkpoint
from .ingest import Ingest, Prepared, Tally
from .journal_reader import Batch, Entry, JournalReader
from .masking import read_maskers
from .reprocess import reprocess
from .segment import Record

LOG = logging.getLogger("pilothouse.worker")

STATUS_NAME = "worker.json"
"""The file in the data folder that says how far the worker is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """How the worker batches."""

    batch_bytes_max: int = 8 << 20
    """Compressed bytes of requests taken in at once, at most."""
    batch_content_bytes: int = 40 << 20
    """Bytes of content aimed at in a batch: by how much the last batches grew, fewer requests are taken in at once."""
    batch_records_max: int = 400
    """Requests taken in at once."""
    idle_s: float = 0.02
    """Pause before looking again where nothing had arrived."""
    linger_s: float = 0.15
    """Pause after a small batch: fewer, larger inserts, still visible well within a second."""
    watch_s: float = 2.0
    """Pause between two looks at traces that are open."""
    linger_s_max: float = 0.5
    """The longest such pause: twice as long as the last batch took, so that a machine which is short of cores stores fewer
    and larger ones."""
    small_batch: int = 1_000
    """Spans and log records below which a batch is small."""
    keep_bytes: int = 256 << 20
    """Consumed journal kept for whoever has to look into it; 0 where personal data is masked."""
    forwards: tuple[str, ...] = ()
    """Names of the backends that records are passed on to: the journal is kept for those that are behind."""
    forward_bytes: int = 1024 << 20
    """How far behind such a backend may be before the journal goes on without it."""


class _Writing(NamedTuple):
    """A batch on its way into the store."""

    batch: Batch
    prepared: Prepared
    done: Future[None]


class Worker:
    """Tails, ingests, remembers how far it is."""

    def __init__(
        self,
        data: Path,
        store: TraceStore,
        maskers: Mapping[str, Masker],
        prices: PriceBook,
        settings: WorkerSettings,
        rulebook: Rulebook | None = None,
    ) -> None:
        self._data = data
        self._store = store
        self._settings = settings
        self._reader = JournalReader(data / "journal")
        self._checkpoint = self._reader.load()
        self._ahead = self._checkpoint
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="write")
        self._writing: _Writing | None = None
        self._clock = SystemClock()
        self._prices = prices
        self._ingest = Ingest(store, self._clock, maskers, prices, rulebook)
        self._growth = 8.0
        self._watched = 0.0
        self._taken_up_to_ns = 0
        self._quarantined = 0
        self._last_error = ""
        self._last_error_ns = 0
        self._lag_ms = 0.0
        self._reported = 0.0
        self._released = 0.0
        self.commands: queue.Queue[dict[str, Any]] = queue.Queue()

    def run(self) -> None:
        """Work until the process ends."""
        pause = self._settings.idle_s
        while True:
            with contextlib.suppress(queue.Empty):
                command = self.commands.get(timeout=pause)
                self._settle()
                self._obey(command)
            pause = self.turn()

    def turn(self) -> float:
        """Take in what has arrived, if anything; give the pause before the next turn, in seconds.

        A batch is written while the next is prepared: the store works on another core.
        """
        begun = time.monotonic()
        if begun - self._watched >= self._settings.watch_s:
            self._watch()
        bytes_max = min(self._settings.batch_bytes_max, int(self._settings.batch_content_bytes / self._growth))
        batch = self._reader.read(self._ahead, bytes_max=bytes_max, records_max=self._settings.batch_records_max)
        self._ahead = batch.after
        # What arrived later than this may still lie in the journal; nothing does where it was read to its end.
        self._taken_up_to_ns = batch.entries[-1].record.received_ns if batch.entries else 0
        if not batch.entries:
            self._settle()
            self._save(batch.after)
            self._housekeep()
            return self._settings.idle_s
        try:
            prepared = self._ingest.prepare([entry.record for entry in batch.entries])
        except Exception as error:
            self._fail(error)
            self._settle()
            taken = self._take(batch.entries)
            self._save(batch.after)
            return self._settings.linger_s if taken else 0.0
        if not self._settle():
            # The batch before was taken again from the start, so this one was prepared on a wrong memory.
            self._ingest.forget()
            self._take(batch.entries)
            self._save(batch.after)
            return 0.0
        self._writing = _Writing(batch, prepared, self._writer.submit(self._ingest.write, prepared))
        tally = prepared.tally
        taken = tally.spans + tally.logs + tally.points + tally.repeated_spans
        # A batch that its bounds cut short has more behind it.
        cut = sum(len(entry.record.body) for entry in batch.entries) > bytes_max // 2
        if cut or taken >= self._settings.small_batch:
            return 0.0
        self._settle()
        took = time.monotonic() - begun
        return min(max(self._settings.linger_s, 2 * took), self._settings.linger_s_max)

    def _watch(self) -> None:
        """Look at what has been open for long, with nothing being written meanwhile."""
        self._watched = time.monotonic()
        self._settle()
        try:
            self._ingest.watch(self._taken_up_to_ns or self._clock.now_ns())
        except Exception as error:
            # The store is down: the traces are found open again when it is back.
            self._fail(error)
            self._ingest.forget()

    def _settle(self) -> bool:
        """Wait for the batch being written. False where its write failed, and it was taken again."""
        writing, self._writing = self._writing, None
        if writing is None:
            return True
        try:
            writing.done.result()
        except Exception as error:
            self._fail(error)
            self._ingest.forget()
            self._take(writing.batch.entries)
            self._save(writing.batch.after)
            return False
        self._ingest.finish(writing.prepared)
        self._learn([entry.record for entry in writing.batch.entries], writing.prepared.tally)
        self._save(writing.batch.after)
        self._housekeep()
        return True

    def _save(self, checkpoint: Checkpoint) -> None:
        if checkpoint != self._checkpoint:
            self._checkpoint = checkpoint
            self._reader.save(checkpoint)

    def _learn(self, records: list[Record], tally: Tally) -> None:
        compressed = sum(len(record.body) for record in records)
        growth = max(tally.content_bytes_offered / max(compressed, 1), 1.0)
        # Quick to believe that bodies grow, slow to forget it: memory is what is at stake.
        self._growth = max(growth, self._growth * 0.9 + growth * 0.1)
        self._lag_ms = (self._clock.now_ns() - records[0].received_ns) / 1e6

    def _take(self, entries: list[Entry]) -> int:
        """Take a batch in without overlap, for as long as it takes; what cannot be stored is set aside."""
        records = [entry.record for entry in entries]
        for attempt in range(1_000_000):
            try:
                tally = self._ingest.run(records)
            except (Unreachable, StoreError, OSError) as error:
                # The store is down or full: wait for it. The journal holds what arrives meanwhile, within its bound.
                self._fail(error)
                time.sleep(min(0.1 * 2**attempt, 5.0))
                if isinstance(error, StoreError) and attempt >= 3:
                    return self._one_by_one(entries)
            except Exception as error:
                self._fail(error)
                return self._one_by_one(entries)
            else:
                self._learn(records, tally)
                return tally.spans + tally.logs + tally.points + tally.repeated_spans
        raise AssertionError("unreachable")

    def _one_by_one(self, entries: list[Entry]) -> int:
        """A batch failed for a reason that waiting does not cure: find the record it is, and set it aside."""
        taken = 0
        for entry in entries:
            for attempt in range(1_000_000):
                try:
                    tally = self._ingest.run([entry.record])
                    taken += tally.spans + tally.logs + tally.points
                    break
                except Unreachable as error:
                    self._fail(error)
                    time.sleep(min(0.1 * 2**attempt, 5.0))
                except Exception as error:
                    if attempt < 2:
                        time.sleep(0.2)
                        continue
                    self._fail(error)
                    self._quarantine(entry, error)
                    break
        return max(taken, 1)

    def _quarantine(self, entry: Entry, error: Exception) -> None:
        folder = self._data / "quarantine"
        folder.mkdir(exist_ok=True)
        name = f"{entry.record.received_ns}-{entry.position.segment}-{entry.position.offset}"
        (folder / f"{name}.body").write_bytes(entry.record.body)
        about = {
            "project_id": entry.record.project_id,
            "signal": entry.record.signal,
            "content_type": entry.record.content_type,
            "encoding": entry.record.encoding,
            "error": f"{type(error).__name__}: {error}"[:2000],
        }
        (folder / f"{name}.json").write_text(json.dumps(about, indent=1))
        self._quarantined += 1
        LOG.error("a request could not be stored and was set aside as %s: %s", name, about["error"])

    def _fail(self, error: Exception) -> None:
        self._last_error = f"{type(error).__name__}: {error}"[:500]
        self._last_error_ns = self._clock.now_ns()
        LOG.warning("ingest failed: %s", self._last_error, exc_info=not isinstance(error, PilothouseError))
        self._report()

    def _housekeep(self) -> None:
        now = time.monotonic()
        if now - self._reported >= 0.5:
            self._report()
        if now - self._released >= 10:
            self._released = now
            settings = self._settings
            held = self._reader.held(self._checkpoint, settings.forwards, settings.forward_bytes)
            self._reader.release(held, keep_bytes=settings.keep_bytes)

    def _report(self) -> None:
        self._reported = time.monotonic()
        status = {
            "pid": os.getpid(),
            "time": iso(self._clock.now_ns()),
            "pending_bytes": self._reader.pending(self._checkpoint),
            "lag_ms": round(self._lag_ms, 1),
            "quarantined": self._quarantined,
            "journal_damages": self._reader.stats.damages,
            "last_error": self._last_error,
            "last_error_time": iso(self._last_error_ns),
            **asdict(self._ingest.total),
        }
        temporary = self._data / f".{STATUS_NAME}.new"
        # A full disk must not stop the worker: the report is a convenience.
        with contextlib.suppress(OSError):
            temporary.write_text(json.dumps(status))
            temporary.replace(self._data / STATUS_NAME)

    def _obey(self, command: dict[str, Any]) -> None:
        answer: dict[str, Any] = {"id": command.get("id")}
        try:
            if command.get("do") != "reprocess":
                raise ValueError(f"unknown command {command.get('do')!r}")
            answer["result"] = reprocess(
                self._store,
                self._prices,
                project=command["project"],
                since_ns=command["since_ns"],
                until_ns=command["until_ns"],
                dry_run=command["dry_run"],
                judge=self._ingest.judge,
            )
            self._ingest.forget()
        except Exception as error:
            LOG.exception("a command failed")
            answer["error"] = f"{type(error).__name__}: {error}"[:500]
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def main() -> None:
    """Run the worker until standard input closes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--store", default="")
    parser.add_argument("--database", default="pilothouse")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s worker %(levelname)s %(message)s", stream=sys.stderr)
    # The first line on standard input: what the configuration says. Not an argument, since arguments are public.
    config: dict[str, Any] = json.loads(sys.stdin.readline() or "{}")
    store = open_store(options.store, options.data, owner=False, database=options.database)
    settings = WorkerSettings(**config.get("worker", {}))
    maskers = read_maskers(config.get("mask", {}))
    rulebook = read_rulebook(config.get("signals", {}))
    worker = Worker(options.data, store, maskers, PriceBook(config.get("prices", ())), settings, rulebook)
    threading.Thread(target=_listen, args=(worker.commands,), daemon=True).start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    give_way()
    worker.run()


def _listen(commands: queue.Queue[dict[str, Any]]) -> None:
    for line in sys.stdin:
        commands.put(json.loads(line))
    os._exit(0)


if __name__ == "__main__":
    main()
