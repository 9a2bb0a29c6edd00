"""An export's folder on disk: traces arrive whole or not at all, and the same spec brings the same folder up to date.

Standard library only: it runs where the command runs, far from the server.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
from base64 import b64decode
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from pilothouse.records import BadRequest, Broken, DiskFull, PilothouseError, Unreachable

from .export_file import safe_path
from .export_index import INDEX_NAME, ExportIndex
from .papers import write_papers
from .spec import SCHEMA, ExportSpec, read_spec

STATE_NAME = ".pull.json"
SUMS_NAME = "files.sha256"
MANIFEST_NAME = "manifest.json"
_TRACES_A_COMMIT = 50

Heard = Callable[[int, int], None]
"""Told how many traces are there, and how many there will be."""


@dataclass(slots=True, kw_only=True)
class Pulled:
    """What a pull brought."""

    traces: int = 0
    gone: int = 0
    files: int = 0
    bytes: int = 0
    complete: bool = False
    """False where there is more to ask for."""


class ExportFolder:
    """One export on disk. One process at a time writes to it."""

    def __init__(self, path: Path, spec: ExportSpec, *, fresh: bool = False) -> None:
        """Open or make the folder.

        Raises:
            BadRequest: it holds another export, or something that is no export.
            DiskFull: it cannot be made.
        """
        self.path = path
        self.spec = spec
        self._server = ""
        self._check(fresh)
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._lock = _locked(path)
            if fresh:
                _clear(path)
            self.watermark, self._total = self._state()
            # What a killed pull left half written.
            for leftover in path.glob(".new-*"):
                shutil.rmtree(leftover, ignore_errors=True)
            self._index = ExportIndex(path)
        except OSError as error:
            raise _disk(error, path) from error

    def close(self) -> None:
        """Let go of it."""
        self._index.close()
        os.close(self._lock)

    def take(self, lines: Iterable[bytes], heard: Heard = lambda _done, _all: None) -> Pulled:
        """Write what a stream brings. What came whole stays, even where the stream breaks.

        Raises:
            Unreachable: the stream broke off; asking again goes on from there.
            BadRequest: a line is not what an export is made of.
        """
        pulled = Pulled()
        trace: _Arriving | None = None
        uncommitted = 0
        self._index.begin()
        try:
            for line in _parsed(lines):
                kind = line.get("t")
                if kind == "start":
                    self._started(line, pulled)
                elif kind == "trace":
                    trace = _Arriving(self.path, line)
                elif kind == "file" and trace is not None:
                    trace.write(line)
                elif kind == "done" and trace is not None:
                    self._keep(trace, pulled)
                    trace, uncommitted = None, uncommitted + 1
                    if uncommitted >= _TRACES_A_COMMIT:
                        self._commit()
                        uncommitted = 0
                        self._index.begin()
                    heard(pulled.traces, self._total)
                elif kind == "paper":
                    self._paper(line)
                elif kind == "gone":
                    self._drop(str(line.get("id", "")))
                    pulled.gone += 1
                    self.watermark = (int(line["version"]), str(line["id"]))
                elif kind == "error":
                    raise Unreachable(str(line.get("message", "the server could not go on")), fix=self.again)
                elif kind == "end":
                    pulled.complete = not line.get("more")
                    break
                else:
                    raise BadRequest("the server sent a line that is no part of an export", got=str(line)[:200])
            else:
                raise Unreachable("the export broke off before its end", fix=self.again)
        except OSError as error:
            raise _disk(error, self.path) from error
        finally:
            self._commit()
        return pulled

    def finish(self, *, complete: bool) -> dict[str, Any]:
        """Write the papers that lie at the top, the manifest last; give the manifest."""
        try:
            return write_papers(
                self.path,
                self.spec,
                self._index,
                watermark=self.watermark,
                complete=complete,
                server=self._server,
            )
        except OSError as error:
            raise _disk(error, self.path) from error

    @property
    def again(self) -> str:
        """The command that goes on with it."""
        return f"pilothouse pull --again {self.path}"

    def _check(self, fresh: bool) -> None:
        state = self.path / STATE_NAME
        if state.exists():
            if fresh:
                return
            found = read_state(self.path)
            if found["spec"] != self.spec.canonical:
                raise BadRequest(
                    "this folder holds another export",
                    got=str(self.path),
                    fix=f"another folder, or --fresh to replace it; it was made by: {found['spec']}",
                )
        elif self.path.is_dir() and any(self.path.iterdir()):
            raise BadRequest(
                "this folder is not empty, and no export", got=str(self.path), fix="name an empty or a new folder"
            )

    def _state(self) -> tuple[tuple[int, str], int]:
        if not (self.path / STATE_NAME).exists():
            self.watermark = (0, "")
            self._save()
            return (0, ""), 0
        found = read_state(self.path)
        version, trace_id = cast("list[Any]", found["watermark"])
        return (int(version), str(trace_id)), 0

    def _save(self) -> None:
        state = {"schema": SCHEMA, "spec": self.spec.canonical, "watermark": list(self.watermark)}
        write_atomically(self.path / STATE_NAME, json.dumps(state, sort_keys=True) + "\n")

    def _commit(self) -> None:
        # The index first: a trace that is in it twice over is only replaced; one that is missing would stay missing.
        self._index.commit()
        self._save()

    def _paper(self, line: Mapping[str, Any]) -> None:
        """A file of a session: beside the traces, written anew with every sync."""
        path = safe_path(str(line.get("path", "")))
        if path is None or path.parts[0] != "sessions" or len(path.parts) != 3:
            raise BadRequest("the server named a file outside of the export", got=str(line.get("path"))[:200])
        (self.path / path).parent.mkdir(parents=True, exist_ok=True)
        write_atomically(self.path / path, str(line["text"]))

    def _started(self, line: Mapping[str, Any], pulled: Pulled) -> None:
        if line.get("schema") != SCHEMA:
            raise BadRequest(
                "the server exports in another format",
                got=line.get("schema"),
                allowed=SCHEMA,
                fix="install the same version here and on the server",
            )
        self._server = str(line.get("server", ""))[:100]
        self._total = pulled.traces + int(line.get("total", 0))

    def _keep(self, trace: _Arriving, pulled: Pulled) -> None:
        old = self._index.folder_of(trace.id)
        digest = trace.place(self.path)
        if old and old != trace.folder:
            shutil.rmtree(self.path / old, ignore_errors=True)
        self._index.add(trace.row, trace.folder, trace.version, digest, spans_cut=trace.spans_cut)
        self.watermark = (trace.version, trace.id)
        pulled.traces += 1
        pulled.files += digest["files"]
        pulled.bytes += digest["bytes"]

    def _drop(self, trace_id: str) -> None:
        old = self._index.folder_of(trace_id)
        if old:
            shutil.rmtree(self.path / old, ignore_errors=True)
            self._index.remove(trace_id)


class _Arriving:
    """A trace that is being written beside its place."""

    def __init__(self, root: Path, line: Mapping[str, Any]) -> None:
        folder = safe_path(str(line.get("folder", "")))
        self.id = str(line.get("id", ""))
        if folder is None or folder.parts[0] != "traces" or not self.id.isalnum():
            raise BadRequest("the server named a folder outside of the export", got=str(line.get("folder"))[:200])
        self.folder = str(folder)
        self.version = int(line["version"])
        self.spans_cut = int(line.get("cut", 0))
        self.row = cast("Mapping[str, Any]", line["row"])
        self._new = root / f".new-{self.id}"
        shutil.rmtree(self._new, ignore_errors=True)
        self._new.mkdir()
        self._sums: dict[str, Any] = {}
        self._bytes = 0

    def write(self, line: Mapping[str, Any]) -> None:
        """Write a file, or go on with one."""
        path = safe_path(str(line.get("path", "")))
        if path is None or not str(path).startswith(self.folder + "/"):
            raise BadRequest("the server named a file outside of its trace", got=str(line.get("path"))[:200])
        name = str(path)[len(self.folder) + 1 :]
        data = b64decode(line["base64"]) if "base64" in line else str(line["text"]).encode("utf-8", "replace")
        target = self._new / name
        target.parent.mkdir(exist_ok=True)
        append = bool(line.get("append")) and name in self._sums
        with open(target, "ab" if append else "wb") as file:
            file.write(data)
        if not append:
            self._sums[name] = hashlib.sha256()
        self._sums[name].update(data)
        self._bytes += len(data)

    def place(self, root: Path) -> dict[str, Any]:
        """Put it where it belongs; what lay there before is replaced."""
        sums = "".join(f"{self._sums[name].hexdigest()}  {name}\n" for name in sorted(self._sums))
        (self._new / SUMS_NAME).write_text(sums)
        target = root / self.folder
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(target, ignore_errors=True)
        self._new.replace(target)
        digest = hashlib.sha256(sums.encode()).hexdigest()
        return {"files": len(self._sums), "bytes": self._bytes, "sha256": digest}


def _parsed(lines: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    for line in lines:
        try:
            found: object = json.loads(line)
        except ValueError as error:
            # A line that is cut off is the end of a connection, not a wrong answer.
            raise Unreachable("the export broke off in the middle of a line") from error
        if not isinstance(found, dict):
            raise BadRequest("the server sent a line that is no part of an export", got=str(found)[:200])
        yield cast("dict[str, Any]", found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """Whether an export is what its manifest says."""

    files: int
    wrong: tuple[str, ...]
    """Files that are missing, changed or not listed, at most 100 of them."""
    wrong_count: int

    @property
    def sound(self) -> bool:
        """True where nothing is wrong."""
        return not self.wrong_count


def verify(path: Path) -> Verified:
    """Hash every file of an export again.

    Raises:
        BadRequest: there is no export.
    """
    try:
        manifest = json.loads((path / MANIFEST_NAME).read_text())
    except (OSError, ValueError) as error:
        raise BadRequest(
            "there is no finished export here", got=str(path), fix=f"pilothouse pull --again {path}"
        ) from error
    wrong: list[str] = []
    files = 0
    for name, about in manifest["files"].items():
        files += 1
        if name != INDEX_NAME and _sum(path / name) != about["sha256"]:
            wrong.append(name)
    listed: set[str] = set()
    for line in (path / "folders.sha256").read_text().splitlines():
        digest, _, folder = line.partition("  ")
        place = safe_path(folder)
        if place is None:
            wrong.append(folder)
            continue
        listed.add(folder)
        sums = path / folder / SUMS_NAME
        if _sum(sums) != digest:
            wrong.append(f"{folder}/{SUMS_NAME}")
            continue
        expected = {name: hashed for hashed, _, name in (row.partition("  ") for row in sums.read_text().splitlines())}
        files += len(expected)
        for name, hashed in expected.items():
            if _sum(path / folder / name) != hashed:
                wrong.append(f"{folder}/{name}")
        there = {str(file.relative_to(path / folder)) for file in (path / folder).rglob("*") if file.is_file()}
        wrong += [f"{folder}/{name}" for name in sorted(there - set(expected) - {SUMS_NAME})]
    there = {str(folder.relative_to(path)) for folder in path.glob("traces/*/*")}
    wrong += sorted(there - listed)
    return Verified(files=files, wrong=tuple(wrong[:100]), wrong_count=len(wrong))


def _sum(path: Path) -> str:
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    except OSError:
        return ""
    return digest.hexdigest()


def read_state(path: Path) -> dict[str, Any]:
    """How far an export is.

    Raises:
        BadRequest: there is none.
        Broken: its state is unreadable.
    """
    try:
        found = json.loads((path / STATE_NAME).read_text())
        read_spec(found["spec"])
        int(found["watermark"][0])
    except FileNotFoundError as error:
        raise BadRequest("there is no export here", got=str(path), fix="pilothouse pull ID DIR") from error
    except (ValueError, KeyError, TypeError, IndexError, BadRequest) as error:
        raise Broken(
            "the export's state is unreadable", got=str(path / STATE_NAME), fix="pilothouse pull … --fresh"
        ) from error
    return found


def write_atomically(path: Path, text: str) -> None:
    """Write a file so that a reader sees the old one or the new one."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_bytes(text.encode("utf-8", "replace"))
    temporary.replace(path)


def _locked(path: Path) -> int:
    descriptor = os.open(path / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise BadRequest("another pull is writing to this folder", got=str(path), fix="wait until it ends") from error
    return descriptor


def _clear(path: Path) -> None:
    for name in ("traces", "sessions", *(leftover.name for leftover in path.glob(".new-*"))):
        shutil.rmtree(path / name, ignore_errors=True)
    for name in (STATE_NAME, INDEX_NAME, f"{INDEX_NAME}-wal", f"{INDEX_NAME}-shm", MANIFEST_NAME):
        with contextlib.suppress(FileNotFoundError):
            (path / name).unlink()


def _disk(error: OSError, path: Path) -> PilothouseError:
    return DiskFull(
        f"the export cannot be written: {error.strerror or error}", got=str(path), fix="another folder, or more space"
    )
