"""Large values kept by the runtime: the model gets an id and a preview, as of a file its name and its head.

On disk, by the hash of the content: the same value twice is kept once, and any process that has the folder finds it
by its id. A handle is two files, ``<sha256>`` (the bytes as they came) and ``<sha256>.json`` (what is known of them);
both are written beside their place and put there in one move, so a reader finds a whole handle or none.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from pilothouse.records import BadRequest, Broken, DiskFull, NotFound

from .documents import Document, Kind, document_of, read_document, to_bytes
from .paths import nearest

PREFIX: Final = "data_"
_ID_DIGITS: Final = 10
_CACHE_BYTES: Final = 64 << 20
"""Parsed values are kept for the next question up to so many bytes of their JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Handle:
    """A value the runtime keeps."""

    id: str
    """``data_`` and the first digits of the hash."""
    sha256: str
    kind: Kind
    bytes: int
    label: str
    """Where it came from, e.g. the tool's name."""
    created_ns: int
    notes: tuple[str, ...] = ()


class HandleStore:
    """The values of one folder. Safe for several threads and processes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._parsed: OrderedDict[str, tuple[Document, int]] = OrderedDict()
        self._parsed_bytes = 0

    def put(self, value: object, *, label: str = "", media_type: str = "") -> Handle:
        """Keep a value and give its handle; the same content gives the same handle.

        Raises:
            DiskFull: it cannot be written.
        """
        document, raw = document_of(value, media_type=media_type)
        digest = hashlib.sha256(raw).hexdigest()
        handle = self._known(digest)
        if handle is None:
            handle = Handle(
                id=self._free_id(digest),
                sha256=digest,
                kind=document.kind,
                bytes=len(raw),
                label=label[:200],
                created_ns=time.time_ns(),
                notes=document.notes,
            )
            self._write(digest, raw)
            self._write(f"{digest}.json", json.dumps(asdict(handle), sort_keys=True).encode())
        self._keep(digest, document, len(raw))
        return handle

    def get(self, id: str) -> Handle:
        """The handle of an id, or of its unique beginning.

        Raises:
            NotFound: there is none; it names the newest there are.
            BadRequest: several begin so.
        """
        wanted = id.strip().removeprefix("data://").removeprefix(PREFIX)
        found = [handle for handle in self.handles() if wanted and handle.sha256.startswith(wanted)]
        if len(found) == 1:
            return found[0]
        if found:
            raise BadRequest("several values begin so", got=id, allowed=[one.id for one in found[:5]])
        there = sorted(self.handles(), key=lambda one: -one.created_ns)
        near = nearest(id, [one.id for one in there])
        raise NotFound("no value is kept under this id", got=id, allowed=near, fix=near[0] if near else None)

    def handles(self) -> Iterator[Handle]:
        """All handles, in no order."""
        if not self._folder.is_dir():
            return
        for path in self._folder.glob("*.json"):
            try:
                yield _read(path)
            except (OSError, ValueError, TypeError, KeyError):
                # Taken away meanwhile, or not one of ours.
                continue

    def path(self, handle: Handle) -> Path:
        """Where its bytes lie."""
        return self._folder / handle.sha256

    def json_path(self, handle: Handle) -> Path:
        """Where its value lies as JSON, for programs that read nothing else; made where it came as something else."""
        if handle.kind == "json":
            return self.path(handle)
        path = self._folder / f"{handle.sha256}.value"
        if not path.exists():
            self._write(path.name, to_bytes(self.document(handle).value))
        return path

    def document(self, handle: Handle) -> Document:
        """Its value.

        Raises:
            NotFound: its bytes are gone.
            Broken: they are not what they were.
        """
        with self._lock:
            parsed = self._parsed.get(handle.sha256)
            if parsed is not None:
                self._parsed.move_to_end(handle.sha256)
                return parsed[0]
        try:
            raw = self.path(handle).read_bytes()
        except OSError as error:
            raise NotFound("the value is no longer on disk", got=handle.id) from error
        if hashlib.sha256(raw).hexdigest() != handle.sha256:
            raise Broken("the value on disk is not the one that was kept", got=handle.id)
        media_type = "text/csv" if handle.kind == "csv" else ""
        document = read_document(raw, media_type=media_type)
        self._keep(handle.sha256, document, len(raw))
        return document

    def prune(self, older_than_s: float) -> int:
        """Remove what was kept longer ago; how many values went."""
        gone = 0
        for handle in list(self.handles()):
            if time.time_ns() - handle.created_ns > older_than_s * 1e9:
                self._remove(handle)
                gone += 1
        return gone

    def keep_within(self, bytes_max: int) -> int:
        """Remove the oldest values until the rest takes no more on disk; how many went."""
        try:
            with os.scandir(self._folder) as entries:
                held = sum(entry.stat().st_size for entry in entries if entry.is_file())
        except OSError:
            return 0
        gone = 0
        for handle in sorted(self.handles(), key=lambda one: one.created_ns) if held > bytes_max else ():
            if held <= bytes_max:
                break
            held -= self._remove(handle)
            gone += 1
        return gone

    def _remove(self, handle: Handle) -> int:
        freed = 0
        for name in (f"{handle.sha256}.json", f"{handle.sha256}.value", handle.sha256):
            with contextlib.suppress(OSError):
                freed += (self._folder / name).stat().st_size
                (self._folder / name).unlink(missing_ok=True)
        with self._lock:
            _, size = self._parsed.pop(handle.sha256, (None, 0))
            self._parsed_bytes -= size
        return freed

    def _known(self, digest: str) -> Handle | None:
        try:
            return _read(self._folder / f"{digest}.json")
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def _free_id(self, digest: str) -> str:
        digits = _ID_DIGITS
        while digits < len(digest) and any(self._folder.glob(f"{digest[:digits]}*.json")):
            digits += 2
        return PREFIX + digest[:digits]

    def _write(self, name: str, data: bytes) -> None:
        temporary = self._folder / f".{name}.{os.getpid()}.{threading.get_ident()}"
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write(data)
            temporary.replace(self._folder / name)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise DiskFull(f"the value cannot be kept: {error.strerror or error}", got=str(self._folder)) from error

    def _keep(self, digest: str, document: Document, size: int) -> None:
        if size > _CACHE_BYTES:
            return
        with self._lock:
            if digest not in self._parsed:
                self._parsed[digest] = (document, size)
                self._parsed_bytes += size
            while self._parsed_bytes > _CACHE_BYTES:
                _, (_, dropped) = self._parsed.popitem(last=False)
                self._parsed_bytes -= dropped


def _read(path: Path) -> Handle:
    found: dict[str, Any] = json.loads(path.read_bytes())
    notes: list[str] = found.pop("notes")
    return Handle(notes=tuple(notes), **found)
