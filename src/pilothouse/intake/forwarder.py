"""The forwarder: a process that passes on what arrives to other OTLP backends. It runs where any is configured.

It tails the same journals as the ingest worker, with a checkpoint of its own for each backend, so a backend that is
down is given everything when it is back, as far as the journal reaches (``forward_backlog_mb``), and no sender waits
for it. A request whose answer was lost may reach the backend twice; none is passed over.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import json
import logging
import os
import random
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pilothouse.guards import Masker
from pilothouse.otlp.sender import Answer
from pilothouse.records import PilothouseError
from pilothouse.records.priority import give_way

from .checkpoint import Spot
from .forward import Upstream, masked_body, read_upstreams, sender_to
from .journal_reader import Entry, JournalReader, forward_name
from .masking import read_maskers

LOG = logging.getLogger("pilothouse.forwarder")

STATUS_NAME = "forward.json"
"""The file in the data folder that says how far each backend is."""
_IDLE_S = 0.1
_PAUSE_MAX_S = 60.0
_UNWELCOME_PAUSE_S = 30.0
_FINAL = ("taken", "refused", "too_large")
"""Verdicts after which a request is not sent again."""
_BATCH_BYTES = 8 << 20
_SAVE_EVERY_S = 1.0


@dataclass(slots=True, kw_only=True)
class Progress:
    """What came of one backend since the start."""

    sent: int = 0
    refused: int = 0
    """Requests it answered it will never take; they were passed over."""
    undecodable: int = 0
    """Requests that could not be masked, and so were not passed on."""
    skipped: int = 0
    """Times that the journal no longer reached back to where it was."""
    pending_bytes: int = 0
    failing_since: float = 0.0
    """Seconds since 1970; 0 while it answers."""
    last_error: str = ""


class Forwarder:
    """Passes records on to one backend, in order."""

    def __init__(self, journal: Path, upstream: Upstream, maskers: Mapping[str, Masker]) -> None:
        self.upstream = upstream
        self.progress = Progress()
        self._maskers = maskers
        self._sender = sender_to(upstream)
        self._reader = JournalReader(journal, name=forward_name(upstream.name))
        if not (journal / forward_name(upstream.name)).exists():
            # New: it gets what arrives from now on, not what the journal happens to hold.
            self._reader.save(JournalReader(journal).load())
        self._checkpoint = self._reader.load()
        self._saved = time.monotonic()

    def run(self, stop: threading.Event) -> None:
        """Pass on until told to stop."""
        while not stop.is_set():
            try:
                pause = self.turn(stop)
            except Exception:
                LOG.exception("forwarding to %s failed; it is tried again", self.upstream.name)
                pause = 5.0
            stop.wait(pause)

    def turn(self, stop: threading.Event) -> float:
        """Pass on what has arrived; give the pause before the next turn, in seconds."""
        oldest = self._reader.missing(self._checkpoint)
        if oldest:
            self.progress.skipped += oldest
            LOG.error("%s was away too long: what the journal no longer holds is not passed on", self.upstream.name)
        batch = self._reader.read(self._checkpoint, bytes_max=_BATCH_BYTES)
        for entry in batch:
            if self.upstream.wants(entry.record) and not self._pass_on(entry, stop):
                return 0.0
            position = entry.position
            self._checkpoint = self._checkpoint.moved(position.receiver, Spot(position.segment, position.end))
            if time.monotonic() - self._saved >= _SAVE_EVERY_S:
                self._save()
        if batch.after != self._checkpoint or batch.entries:
            self._checkpoint = batch.after
            self._save()
        self.progress.pending_bytes = self._reader.pending(self._checkpoint)
        return 0.0 if batch.entries else _IDLE_S

    def _pass_on(self, entry: Entry, stop: threading.Event) -> bool:
        """Send one record for as long as it takes. False where it was stopped before."""
        record = entry.record
        try:
            body = masked_body(record, self._maskers.get(record.project_id) or self._maskers[""])
        except PilothouseError as error:
            self.progress.undecodable += 1
            self.progress.last_error = error.message[:300]
            return True
        kind = record.content_type.partition(";")[0].strip().lower()
        packed = gzip.compress(body, 1)
        attempt = 0
        while not stop.is_set():
            answer = self._sender.post(record.signal, packed, gzipped=True, content_type=kind)
            self._count(answer)
            if answer.verdict in _FINAL:
                return True
            if attempt == 0:
                # What came before is on the other side: a restart must not send it again.
                self._save()
            stop.wait(_pause(answer, attempt))
            attempt += 1
        return False

    def _save(self) -> None:
        self._saved = time.monotonic()
        self._reader.save(self._checkpoint)

    def _count(self, answer: Answer) -> None:
        progress = self.progress
        if answer.verdict in _FINAL:
            progress.failing_since = 0.0
        if answer.verdict == "taken":
            progress.sent += 1
            return
        progress.last_error = answer.reason
        if answer.verdict in _FINAL:
            progress.refused += 1
        elif not progress.failing_since:
            progress.failing_since = time.time()
            LOG.warning("%s does not take what is passed on; it is tried again: %s", self.upstream.name, answer.reason)
        progress.pending_bytes = self._reader.pending(self._checkpoint)


def _pause(answer: Answer, attempt: int) -> float:
    if answer.verdict == "unwelcome":
        return _UNWELCOME_PAUSE_S
    # Full jitter: several servers behind one dead collector do not come back at the same moment.
    spread = random.uniform(0.1, min(0.5 * 2 ** min(attempt, 10), _PAUSE_MAX_S))  # noqa: S311  # not a secret
    return max(spread, answer.retry_after_s)


def main() -> None:
    """Pass on until standard input closes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s forwarder %(levelname)s %(message)s", stream=sys.stderr)
    # The first line on standard input: what the configuration says. Not an argument, since arguments are public.
    config: dict[str, Any] = json.loads(sys.stdin.readline() or "{}")
    maskers = read_maskers(config.get("mask", {}))
    # Checked when the configuration was read; JSON made lists of its tuples.
    rows: list[dict[str, Any]] = config["forward"]
    upstreams = list(read_upstreams([{**row, "timeout_s": float(row["timeout_s"])} for row in rows]))
    forwarders = [Forwarder(options.data / "journal", upstream, maskers) for upstream in upstreams]
    give_way()
    stop = threading.Event()
    threads = [threading.Thread(target=forwarder.run, args=(stop,), daemon=True) for forwarder in forwarders]
    for thread in threads:
        thread.start()
    threading.Thread(target=_report, args=(options.data, forwarders), daemon=True).start()
    for _ in sys.stdin:
        pass
    stop.set()
    for thread in threads:
        thread.join(timeout=2)
    os._exit(0)


def _report(data: Path, forwarders: list[Forwarder]) -> None:
    while True:
        status = {forwarder.upstream.name: asdict(forwarder.progress) for forwarder in forwarders}
        temporary = data / f".{STATUS_NAME}.new"
        with contextlib.suppress(OSError):
            temporary.write_text(json.dumps(status))
            temporary.replace(data / STATUS_NAME)
        time.sleep(0.5)


if __name__ == "__main__":
    main()
