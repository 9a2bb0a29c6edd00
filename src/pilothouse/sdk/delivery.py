"""Getting batches to the server: from memory while it answers, by way of the disk while it does not.

Two threads meet here. The shipping thread offers batches, and writes to disk what has waited too long for an answer,
the batch that is being sent included: ``kill -9`` at any moment loses no more than what was not offered yet, or was
offered less than a flush interval ago. The delivery thread sends, one request at a time, and waits between failures.
"""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from pathlib import Path

from opentelemetry.context import (
    _SUPPRESS_INSTRUMENTATION_KEY,  # pyright: ignore[reportPrivateUsage]  # its only name
    attach,
    set_value,
)

from pilothouse.otlp.sender import Answer, Sender

from .batch import Batch, gzip
from .queue import Queue
from .settings import Settings
from .spill import Spill, SpillFile
from .split import halves
from .stats import Counters

BACKOFF_S = 0.5
BACKOFF_S_MAX = 10.0
"""Tries are apart by a random time up to 0.5, 1, 2, … and at most so many seconds, so that a fleet does not knock in
step on a server that comes back."""
SLOW_RETRY_S = 30.0
"""Between tries of a server that will not have us: a wrong key is mended by a person."""
GROUP_BYTES = 1024 * 1024
"""Small files are sent together up to so many compressed bytes."""
BODY_BYTES = 4 * 1024 * 1024
"""The largest body before compression, unless one span alone is larger. A server's answer of 413 halves it."""
_BODY_BYTES_MIN = 64 * 1024
_LOOK_EVERY_S = 5.0
"""How often the folder is looked at for files of processes that are gone."""
_POLL_S = 0.5


class Delivery:
    """Delivers for one process. Public methods are called by the shipping thread, ``run`` is the delivery thread."""

    def __init__(self, settings: Settings, queue: Queue, counters: Counters, instance: str) -> None:
        self._settings = settings
        self._queue = queue
        self._counters = counters
        self._sender = Sender(settings.destination)
        self.spill = Spill(settings.spill_dir, settings.destination, settings.spill_bytes_max, counters, instance)
        self._lock = threading.RLock()
        self._disk = threading.RLock()
        """Both threads may want to write the same batch: the one that is being sent and fails."""
        self._ready: deque[Batch] = deque()
        self._flight: Batch | None = None
        self._own: deque[Path] = deque()
        """Files of this process that were not seen to be gone yet, oldest first."""
        self._wake = threading.Event()
        self._failures = 0
        self._retry_at = 0.0
        self._looked = float("-inf")
        self._singly = 0
        """So many files of the folder are sent alone, since one of them was not taken in company."""
        self._stopping = False
        self._busy = False
        """True until a request and all that follows from its answer is done."""
        self.attempts = 0
        """Requests that were answered or failed so far."""
        self.body_bytes = BODY_BYTES
        self.trouble = ""
        self.remedy = ""

    # The shipping thread's side.

    def offer(self, batch: Batch) -> None:
        """Take a batch: to be sent at once while the server answers and nothing older waits on disk, else to disk."""
        batch.held = len(batch.body)
        self._queue.hold(batch.held)
        self._prune()
        if (self._retry_at or self._own) and (not batch.keep or self._store(batch)):
            self._let_go(batch)
            return
        with self._lock:
            self._ready.append(batch)
        self._wake.set()

    def guard(self, older_than_s: float) -> None:
        """Write to disk what has waited longer for the server to take it. It stays in flight where it was sent."""
        now = time.monotonic()
        with self._lock:
            waiting = [batch for batch in (self._flight, *self._ready) if batch is not None]
        for batch in waiting:
            if batch.path is not None or batch.done or now - batch.born < older_than_s:
                continue
            if not batch.keep or self._store(batch):
                self._forget(batch)

    def settled(self) -> bool:
        """True where nothing is left in memory or on disk that this process has to deliver."""
        self._prune()
        with self._lock:
            return not self._ready and self._flight is None and not self._own and not self._busy

    def safe(self) -> bool:
        """True where all that is left is on disk."""
        with self._lock:
            return not self._ready and (self._flight is None or self._flight.path is not None or not self._flight.keep)

    def draining(self) -> bool:
        """True while this process delivers what others left on disk, or has not looked for it yet."""
        if self._retry_at or not (self.spill.locked or self._looked == float("-inf")):
            return False
        return self.spill.any_waiting()

    @property
    def failing(self) -> bool:
        """True while the server is not being tried, since it failed."""
        return self._retry_at != 0.0

    def hurry(self) -> None:
        """Try now, whatever was agreed with a server that failed."""
        self._retry_at = 0.0
        self._looked = float("-inf")
        self._wake.set()

    def stop(self) -> None:
        """End the delivery thread once it has nothing to do at once."""
        self._stopping = True
        self._wake.set()

    def drain(self) -> bool:
        """Send the oldest of what waits on disk, unless it is too early after a failure; True where it was sent."""
        return self._retry_at <= time.monotonic() and self._from_disk()

    def release(self) -> None:
        """Close the connection and let go of the folder. In a forked child both stay open in the parent."""
        self.spill.unlock()
        self._sender.close()

    def abandon(self) -> int:
        """Count what never got to disk nor to the server as lost, at the very end; gives the number."""
        with self._lock:
            left = [b for b in (self._flight, *self._ready) if b is not None and b.path is None and not b.done]
            for batch in self._ready:
                self._let_go(batch)
            self._ready.clear()
        lost = sum(batch.count for batch in left)
        self._counters.drop("spill_failed", lost)
        return lost

    def _store(self, batch: Batch) -> bool:
        with self._disk:
            return batch.path is not None or self._write(batch)

    def _write(self, batch: Batch) -> bool:
        try:
            path = self.spill.write(batch)
        except OSError as error:
            self._set_trouble(
                self.trouble or f"the spill folder takes nothing ({error})",
                f"make {self._settings.spill_dir} writable or free disk space; until then records wait in memory",
            )
            return False
        with self._lock:
            if batch.done:
                # Answered while it was being written.
                self.spill.remove(path)
                return True
            batch.path = path
            self._own.append(path)
        self._counters.add(spilled=batch.count, settled=batch.count)
        return True

    def _forget(self, batch: Batch) -> None:
        """Take a batch out of memory, unless it is being sent."""
        with self._lock:
            if batch not in self._ready:
                return
            self._ready.remove(batch)
        self._let_go(batch)

    def _let_go(self, batch: Batch) -> None:
        held, batch.held = batch.held, 0
        self._queue.release(held)

    def _prune(self) -> None:
        """Forget files that were delivered, by whomever."""
        with self._lock:
            if not self._own:
                return
            while self._own and not self._own[0].exists():
                self._own.popleft()
            if not self._own:
                # Where another process delivered them, the server answers again.
                self._recovered()

    # The delivery thread's side.

    def run(self) -> None:
        """Deliver until :meth:`stop`."""
        # What sends telemetry must not make any: instrumentations of HTTP clients look at this.
        attach(set_value(_SUPPRESS_INSTRUMENTATION_KEY, True))
        while True:
            self._wake.clear()
            if self.step():
                continue
            if self._stopping:
                self.release()
                return
            self._wake.wait(self._pause())

    def step(self) -> bool:
        """Send one request, if there is one to send now; True where there was."""
        if self._retry_at > time.monotonic():
            return False
        self._busy = True
        try:
            return self._step()
        finally:
            self._busy = False

    def _step(self) -> bool:
        if self._own and self._from_disk():
            return True
        with self._lock:
            batch = self._flight = self._ready.popleft() if self._ready else None
        if batch is not None:
            self._from_memory(batch)
            return True
        if time.monotonic() - self._looked >= _LOOK_EVERY_S:
            if self._from_disk():
                return True
            self._looked = time.monotonic()
        return False

    def _pause(self) -> float:
        due = self._retry_at - time.monotonic()
        return min(max(due, 0.001), _POLL_S) if self._retry_at else _POLL_S

    def _from_memory(self, batch: Batch) -> None:
        answer = self._post(batch)
        if answer.verdict == "taken":
            with self._lock:
                batch.done = True
                self._flight = None
                path = batch.path
            kept = max(batch.count - answer.rejected, 0)
            if path is None:
                self._counters.add(sent=kept, settled=batch.count)
            else:
                self.spill.remove(path)
                self._counters.add(delivered=kept)
            self._let_go(batch)
            return
        if answer.verdict == "too_large" and batch.path is None:
            parts = halves(batch.plain_body())
            if len(parts) == 2:
                self._split(batch, parts)
                return
        # From here on it is the folder's: what the server refuses is set aside there.
        stored = batch.path is not None or (batch.keep and self._store(batch))
        with self._lock:
            self._flight = None
            if not stored and batch.keep and answer.verdict in ("later", "unwelcome"):
                self._ready.appendleft(batch)
                return
        self._let_go(batch)
        path = batch.path
        if answer.verdict in ("too_large", "refused") and batch.keep:
            if path is not None:
                file = SpillFile(path=path, signal=batch.signal, count=batch.count, size=len(batch.body))
                self._set_aside([file], batch.plain_body(), answer)
            else:
                self._counters.add(settled=batch.count)
                self._counters.drop("refused", batch.count)

    def _split(self, batch: Batch, parts: list[bytes]) -> None:
        counts = (batch.count - batch.count // 2, batch.count // 2)
        new = [
            Batch(
                signal=batch.signal,
                body=gzip(part) if batch.gzipped else part,
                gzipped=batch.gzipped,
                count=count,
                created_ns=batch.created_ns,
                born=batch.born,
                keep=batch.keep,
            )
            for part, count in zip(parts, counts, strict=True)
        ]
        for part in new:
            part.held = len(part.body)
            self._queue.hold(part.held)
        with self._lock:
            self._flight = None
            # Written to disk meanwhile: the halves take its place.
            path = batch.path
            batch.done = True
            self._ready.extendleft(reversed(new))
        if path is not None:
            self.spill.remove(path)
            self._counters.add(spilled=-batch.count, settled=-batch.count)
        self._let_go(batch)

    def _from_disk(self) -> bool:
        """Send the oldest files of the folder; False where there is none or another process delivers."""
        if not self.spill.any_waiting() or not self.spill.lock():
            return False
        group, bodies = self._next_group()
        if not group:
            self.spill.unlock()
            return False
        plain = b"".join(bodies)
        gzipped = self.compresses
        batch = Batch(
            signal=group[0].signal,
            body=gzip(plain) if gzipped else plain,
            gzipped=gzipped,
            count=sum(file.count for file in group),
        )
        answer = self._post(batch)
        self._singly = max(self._singly - len(group), 0)
        if answer.verdict == "taken":
            removed = sum(file.count for file in group if self.spill.remove(file.path))
            self._counters.add(delivered=max(removed - answer.rejected, 0))
            self._prune()
        elif answer.verdict in ("too_large", "refused"):
            self._set_aside(group, plain, answer)
        return True

    def _next_group(self) -> tuple[list[SpillFile], list[bytes]]:
        """Files that go together: of one kind, up to a size. Requests in protobuf are joined by putting them in a row."""
        group: list[SpillFile] = []
        bodies: list[bytes] = []
        size = plain = 0
        for file in self.spill.files():
            if group and file.signal != group[0].signal:
                continue
            if group and (self._singly or size + file.size > GROUP_BYTES or plain > self.body_bytes // 2):
                break
            body = self.spill.read(file)
            if body is not None:
                group.append(file)
                bodies.append(body)
                size += file.size
                plain += len(body)
        return group, bodies

    def _set_aside(self, group: list[SpillFile], plain: bytes, answer: Answer) -> None:
        """Something in a group was not taken: send its files alone, then halve them, then put aside what is left."""
        if len(group) > 1:
            self._singly = len(group)
            return
        file = group[0]
        try:
            if answer.verdict == "too_large" and self.spill.split(file, plain):
                with self._lock:
                    # Stands for the halves: the folder has something of ours.
                    self._own.extend(f.path for f in self.spill.files()[:2])
                return
        except OSError:
            self._retry_at = time.monotonic() + BACKOFF_S_MAX
            return
        self.spill.refuse(file, answer.reason)
        self._set_trouble(
            f"the server refused records ({answer.reason})",
            f"they are kept in {self.spill.folder / 'refused'} with the reason",
        )

    def _post(self, batch: Batch) -> Answer:
        answer = self._sender.post(batch.signal, batch.body, batch.gzipped)
        if answer.verdict in ("later", "unwelcome") and self._turned():
            answer = self._sender.post(batch.signal, batch.body, batch.gzipped)
        self.attempts += 1
        if answer.verdict == "taken":
            self._recovered()
            if answer.rejected:
                self._counters.drop("refused", answer.rejected)
        elif answer.verdict == "too_large":
            self.body_bytes = max(min(self.body_bytes, len(batch.plain_body())) // 2, _BODY_BYTES_MIN)
        elif answer.verdict in ("later", "unwelcome"):
            self._failed(answer)
        return answer

    def _turned(self) -> bool:
        """True where the local server has another address or key than it had: it was started anew."""
        now = self._sender.destination.again()
        if now == self._sender.destination:
            return False
        self._sender.turn_to(now)
        return True

    def _failed(self, answer: Answer) -> None:
        self._failures += 1
        where = self._sender.destination
        # Jitter needs no secrecy.
        if answer.verdict == "unwelcome":
            wait = random.uniform(SLOW_RETRY_S / 2, SLOW_RETRY_S)  # noqa: S311
            remedy = (
                "set PILOTHOUSE_API_KEY to a key that may write (pilothouse keys new --mode write)"
                if "HTTP 40" in answer.reason and answer.reason[5:8] in ("401", "403")
                else "set PILOTHOUSE_URL to the address of a Pilothouse server"
            )
        else:
            most = min(BACKOFF_S * 2 ** min(self._failures - 1, 16), BACKOFF_S_MAX)
            wait = max(answer.retry_after_s, 0.0) + random.uniform(0.0, most)  # noqa: S311
            remedy = "start it (pilothouse up) or set PILOTHOUSE_URL"
        self._retry_at = time.monotonic() + wait
        waits = f"records wait in {self.spill.folder} and are delivered when it answers (or by pilothouse deliver)"
        self._set_trouble(f"{where.endpoint} does not take records: {answer.reason}", f"{waits}; {remedy}")

    def _recovered(self) -> None:
        self._failures = 0
        self._retry_at = 0.0
        self.trouble = self.remedy = ""

    def _set_trouble(self, trouble: str, remedy: str) -> None:
        self.trouble, self.remedy = trouble, remedy

    @property
    def compresses(self) -> bool:
        choice = self._settings.compression
        """Whether bodies are compressed: not to the same machine, where it costs more than it saves."""
        return choice == "gzip" or (choice == "auto" and not self._sender.destination.on_this_machine)
