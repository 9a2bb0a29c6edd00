"""Follows logs and ships them: nothing is lost when either side stops, and nothing is stored twice."""

from __future__ import annotations

import hashlib
import itertools
import os
import re
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from pilothouse.otlp.destination import Destination
from pilothouse.records import BadRequest

from .log_files import Record
from .log_formats import Format, parse
from .log_journald import journal_line
from .log_line import LogLine, Value
from .log_ship import BATCH_RECORDS, Entry, Shipper
from .log_sources import FileSource, JournalSource, PipeSource, Source, matching, same_head
from .log_state import Pending, Position, State

_POLL_S: Final = 0.2
_DISCOVER_S: Final = 1.0
_BATCH_CHARS: Final = 2_000_000
_LINGER_S: Final = 0.3
"""How long a small batch waits for more."""
_PATIENCE_S: Final = 5.0
"""How long the last batch is tried when told to stop."""
_WAITING_CHARS_MAX: Final = 8_000_000
"""Text of all sources that waits to be sent: so much memory, however many files there are."""
_SOURCES_MAX: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowSettings:
    """What to follow and how."""

    paths: tuple[str, ...]
    """Files, patterns, or ``-`` for standard input."""
    state: Path
    format: Format = "auto"
    service: str = ""
    """Name of the service that writes; empty: what the line, the container or the file's name says."""
    from_start: bool = False
    """Read what files hold already; else only what is written from now on."""
    journal: bool = False
    journal_unit: str = ""


@dataclass(slots=True)
class Tally:
    """What was done."""

    records: int = 0
    refused: int = 0
    files: int = 0


def state_file(data: Path, settings_paths: Sequence[str], journal_unit: str) -> Path:
    """Where the state of following these paths is kept: the same paths, the same file."""
    named = "\n".join(sorted(absolute(path) for path in settings_paths)) + f"\n{journal_unit}"
    digest = hashlib.blake2b(named.encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()
    return data / "logs-follow" / f"{digest}.json"


def absolute(path: str) -> str:
    """A path or pattern that means the same from any folder; ``-`` stays."""
    return path if path == "-" else os.path.abspath(os.path.expanduser(path))  # noqa: PTH100, PTH111  # patterns


class Follower:
    """Reads sources in turn, sends what they give in batches, and remembers what arrived."""

    def __init__(
        self,
        settings: FollowSettings,
        destination: Destination,
        *,
        stop: threading.Event,
        notify: Callable[[str], None],
    ) -> None:
        self._settings = settings
        self._stop = stop
        self._notify = notify
        self._shipper = Shipper(destination, stop=stop, notify=notify)
        self._state = State(settings.state)
        self._sources: dict[str, Source] = {}
        self._host = socket.gethostname()
        self._left_out: set[str] = set()
        """Files that cannot be followed, and are known to be so."""
        self.tally = Tally()

    def run(self) -> Tally:
        """Follow until told to stop, or until standard input ends where nothing else is followed.

        Raises:
            BadRequest: another follower uses the state, or the address is wrong.
            NotAllowed: the key may not write.
        """
        self._state.open()
        try:
            self._begin()
            self._loop()
        finally:
            for source in self._sources.values():
                source.close()
            self._shipper.close()
            self._state.close()
        return self.tally

    def _begin(self) -> None:
        settings = self._settings
        self._adopt_moved()
        self._discover(first=True)
        if "-" in settings.paths:
            self._add(PipeSource(sys.stdin.buffer, settings.format))
        if settings.journal:
            cursor = self._state.cursors.get(f"journald:{settings.journal_unit}", "")
            self._add(JournalSource(settings.journal_unit, cursor, from_start=settings.from_start))
        self._replay()
        self._remember()
        self._state.save()

    def _loop(self) -> None:
        discovered = filled = time.monotonic()
        batch: list[tuple[Source, Record]] = []
        chars = 0
        for turn in itertools.count():
            stopping = self._stop.is_set()
            if not stopping and time.monotonic() - discovered >= _DISCOVER_S:
                self._discover(first=False)
                discovered = time.monotonic()
            full = False
            for source in self._in_turn(turn):
                if self._waiting_chars < _WAITING_CHARS_MAX:
                    source.fill()
                for record in source.take(BATCH_RECORDS - len(batch)):
                    batch.append((source, record))
                    chars += len(record.text)
                full = len(batch) >= BATCH_RECORDS or chars >= _BATCH_CHARS
                if full:
                    break
            over = stopping or self._ended
            if batch and (full or over or time.monotonic() - filled >= _LINGER_S):
                if not self._ship(batch):
                    return
                batch, chars, filled = [], 0, time.monotonic()
                self._leave_finished()
                if not stopping:
                    continue
            if over:
                self._moved_on()
                return
            if not batch:
                filled = time.monotonic()
                self._leave_finished()
            self._stop.wait(_POLL_S)

    def _in_turn(self, turn: int) -> list[Source]:
        """All sources, each time another one first: a busy one does not starve the rest."""
        sources = list(self._sources.values())
        first = turn % len(sources) if sources else 0
        return sources[first:] + sources[:first]

    @property
    def _waiting_chars(self) -> int:
        return sum(source.ready_chars for source in self._sources.values())

    @property
    def _ended(self) -> bool:
        """True where nothing is followed but pipes, and all of them have ended."""
        sources = self._sources.values()
        return not self._patterns and all(isinstance(source, PipeSource) and source.finished for source in sources)

    def _ship(self, batch: list[tuple[Source, Record]]) -> bool:
        """Send a batch; false where it could not be sent before the end."""
        observed_ns = time.time_ns()
        ends = {source.key: source.position for source, _ in batch if isinstance(source, FileSource)}
        if ends:
            self._state.pending = Pending(observed_ns=observed_ns, ends=ends)
            self._state.save()
        outcome = self._shipper.ship(self._entries(batch, observed_ns), patience_s=_PATIENCE_S)
        if not outcome.delivered:
            self._notify(f"{len(batch)} records could not be sent; they are read again at the next start")
            return False
        self.tally.records += outcome.sent
        self.tally.refused += outcome.refused
        self._moved_on()
        return True

    def _moved_on(self) -> None:
        self._state.pending = None
        self._remember()
        self._state.save()

    def _remember(self) -> None:
        for source in self._sources.values():
            if isinstance(source, FileSource):
                self._state.positions[source.key] = Position(
                    path=source.path, offset=source.position, headed=source.joiner.headed, head=source.head
                )
            elif isinstance(source, JournalSource) and source.cursor:
                self._state.cursors[source.key] = source.cursor

    def _entries(self, batch: Iterable[tuple[Source, Record]], observed_ns: int) -> list[Entry]:
        return [self._entry(source, record, observed_ns) for source, record in batch]

    def _entry(self, source: Source, record: Record, observed_ns: int) -> Entry:
        line: LogLine
        if isinstance(source, JournalSource):
            line = journal_line(record.text, now_ns=observed_ns)
        else:
            line = parse(record.text, self._settings.format, now_ns=observed_ns)
        place = place_of(source.path)
        container = str(place.get("k8s.container.name") or "")
        service = self._settings.service or line.service or container or _name_of(source.path)
        return Entry(
            line=line if self._settings.format != "auto" else _without_twins(line),
            time_ns=line.time_ns or record.time_ns or observed_ns,
            observed_ns=observed_ns,
            service=service,
            host=line.host or self._host,
            place=place,
            path=source.path,
            offset=record.start,
            cut_bytes=record.cut_bytes,
            stream=record.stream,
        )

    @property
    def _patterns(self) -> tuple[str, ...]:
        return tuple(absolute(path) for path in self._settings.paths if path != "-")

    def _discover(self, *, first: bool) -> None:
        """Open files that are new, and notice those whose name leads elsewhere now."""
        present: dict[str, Path] = {}
        for pattern in self._patterns:
            for path in matching(pattern):
                try:
                    about = path.stat()
                except OSError:
                    continue
                present.setdefault(f"{about.st_dev}:{about.st_ino}", path)
        for key, source in self._sources.items():
            if isinstance(source, FileSource):
                source.gone = key not in present
        for key, path in present.items():
            if key not in self._sources and key not in self._left_out:
                self._open(key, path, first=first)

    def _open(self, key: str, path: Path, *, first: bool) -> None:
        if len(self._sources) >= _SOURCES_MAX:
            self._notify(f"{path} is left out: {_SOURCES_MAX} files are followed already")
            self._left_out.add(key)
            return
        settings = self._settings
        known = self._state.positions.get(key)
        try:
            if known is not None and known.offset <= path.stat().st_size and same_head(path, known.head):
                source = FileSource(path, settings.format, name=known.path, offset=known.offset, headed=known.headed)
            else:
                # What is found later was made while we looked: all of it is new.
                fresh = settings.from_start or not first or known is not None or self._was_known(path)
                source = FileSource(path, settings.format, offset=0 if fresh else _line_start(path))
        except OSError as error:
            self._notify(f"{path} cannot be read: {error.strerror}")
            self._left_out.add(key)
            return
        self._add(source)

    def _was_known(self, path: Path) -> bool:
        """True where a file of this name was followed before: then a new one at its place is new from its start."""
        return any(position.path == str(path) for position in self._state.positions.values())

    def _add(self, source: Source) -> None:
        self._sources[source.key or source.path or "-"] = source
        self.tally.files += isinstance(source, FileSource)

    def _adopt_moved(self) -> None:
        """Open files that were renamed since the last run and still hold what was not delivered."""
        here: dict[str, Path] = {}
        for folder in {Path(position.path).parent for position in self._state.positions.values()}:
            try:
                entries = list(os.scandir(folder))
            except OSError:
                continue
            for entry in entries:
                try:
                    about = entry.stat()
                except OSError:
                    continue
                if entry.is_file():
                    here[f"{about.st_dev}:{about.st_ino}"] = Path(entry.path)
        for key, position in list(self._state.positions.items()):
            path = here.get(key)
            if path is None:
                del self._state.positions[key]
            elif str(path) != position.path and path.stat().st_size > position.offset:
                self._open(key, path, first=True)

    def _replay(self) -> None:
        """Send again, exactly as it was, the batch that a crash left in doubt."""
        pending = self._state.pending
        if pending is None:
            return
        entries: list[Entry] = []
        for key, end in pending.ends.items():
            source = self._sources.get(key)
            if isinstance(source, FileSource):
                records = source.replay(end)
                entries += [self._entry(source, record, pending.observed_ns) for record in records]
        for first in range(0, len(entries), BATCH_RECORDS):
            outcome = self._shipper.ship(entries[first : first + BATCH_RECORDS], patience_s=_PATIENCE_S)
            if not outcome.delivered:
                raise KeyboardInterrupt
            self.tally.records += outcome.sent
        self._state.pending = None

    def _leave_finished(self) -> None:
        for key, source in list(self._sources.items()):
            if source.finished and isinstance(source, FileSource):
                source.close()
                del self._sources[key]
                self._state.positions.pop(key, None)
            elif isinstance(source, JournalSource) and source.finished:
                raise BadRequest("journalctl has ended", got=f"exit code {source.exit_code}", fix="journalctl -n 1")


_CONTAINER: Final = re.compile(r"/containers/([0-9a-f]{64})/")
_K8S_CONTAINER: Final = re.compile(
    r"/containers/([a-z0-9.-]{1,253})_([a-z0-9-]{1,63})_([a-z0-9.-]{1,63})-([0-9a-f]{64})\.log"
)
_K8S_POD: Final = re.compile(r"/pods/([a-z0-9-]{1,63})_([a-z0-9.-]{1,253})_([0-9a-f-]{32,36})/([a-z0-9.-]{1,63})/")


def place_of(path: str) -> dict[str, Value]:
    """The container and pod that a log's path names."""
    if found := _K8S_CONTAINER.search(path):
        return {
            "k8s.pod.name": found[1],
            "k8s.namespace.name": found[2],
            "k8s.container.name": found[3],
            "container.id": found[4],
        }
    if found := _K8S_POD.search(path):
        return {
            "k8s.namespace.name": found[1],
            "k8s.pod.name": found[2],
            "k8s.pod.uid": found[3],
            "k8s.container.name": found[4],
        }
    if found := _CONTAINER.search(path):
        return {"container.id": found[1]}
    return {}


def _name_of(path: str) -> str:
    """A service's name from its file's: ``/var/log/api.log.1`` is ``api``."""
    return Path(path).name.split(".")[0] or "logs"


def _line_start(path: Path) -> int:
    """The end of a file, or the start of the line that is being written there."""
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        tail = os.pread(file.fileno(), min(size, 64 * 1024), max(0, size - 64 * 1024))
    return size - (len(tail) - (tail.rfind(b"\n") + 1)) if b"\n" in tail else (0 if size <= len(tail) else size)


def _without_twins(line: LogLine) -> LogLine:
    """A line without the attributes that its own ids say already."""
    if not line.trace_id:
        return line
    kept = {k: v for k, v in line.attributes.items() if v not in (line.trace_id, line.span_id)}
    return replace(line, attributes=kept)
