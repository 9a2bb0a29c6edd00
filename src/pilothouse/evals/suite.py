"""A suite: a folder of cases beside the code. One small YAML file a case, or many a file, one JSON a line.

    evals/refunds/
      suite.yaml            what is run, by which judges, and what the gate wants (all of it optional)
      cases/late-refund.yaml
      cases/imported.jsonl  thousands of cases, a line each
      payloads/3fa1…json    long values, named by their content

An index of where each case stands is kept in ``.pilothouse/`` and made anew for files that changed, so that a suite of
100,000 cases is listed without reading them. Nothing rests on it: it may be deleted.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shlex
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NamedTuple

from pilothouse.records import BadRequest, NotFound, PilothouseError

from . import payloads
from .case import Case, check_id
from .case_text import CASE_BYTES_MAX, as_yaml, read_case, read_yaml
from .plain import mapping_of

SUITE_FILE: Final = "suite.yaml"
CASES: Final = "cases"
_INDEX: Final = ".pilothouse/index.jsonl"
_INDEX_VERSION: Final = 4
CASES_MAX: Final = 1_000_000


class Place(NamedTuple):
    """Where a case stands, and what a list shows of it. A tuple, since a suite may have 100,000."""

    id: str
    file: str
    """Below the suite's folder."""
    offset: int = -1
    """Of its line in a ``.jsonl``; -1 where the file is the case."""
    length: int = 0
    """Bytes, without payloads."""
    sha256: str = ""
    capability: str = ""
    difficulty: str = ""
    severity: str = ""
    kind: str = ""
    tags: Sequence[str] = ()
    checks: int = 0
    criteria: int = 0
    quarantined: str = ""
    repeats: int = 0
    error: str = ""
    """Why it cannot be read; then nothing else but the file is known."""


class Suite:
    """The cases of one folder. Not safe to change from two processes at once; reading while another writes is."""

    def __init__(self, folder: Path | str) -> None:
        """
        Raises:
            NotFound: there is no such folder, or no case and no ``suite.yaml`` in it.
        """
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise NotFound("there is no such suite", got=str(folder), fix="pilothouse eval init NAME")
        self._places: dict[str, Place] | None = None
        self._broken: list[Place] = []

    @property
    def name(self) -> str:
        """What the folder is called."""
        return self.folder.resolve().name

    # -- reading -----------------------------------------------------------------------------------------------------

    def places(self) -> Mapping[str, Place]:
        """Where each case stands, by id, in order of ids. Two cases with one id are an error of the second."""
        if self._places is None:
            self._index()
        assert self._places is not None
        return self._places

    def broken(self) -> list[Place]:
        """Files and lines that are no cases, and why."""
        self.places()
        return self._broken

    def whole(self) -> Mapping[str, Place]:
        """All cases of a suite in which every file is one: what is left out must not pass unseen.

        Raises:
            BadRequest: a file or a line is no case.
        """
        if self.broken():
            first, more = self._broken[0], len(self._broken) - 1
            raise BadRequest(
                f"{first.file} is no case" + (f", nor are {more} more" if more else "") + ": not all cases can be run",
                got=first.error,
                fix=f"pilothouse eval list --broken --suite {shlex.quote(str(self.folder))}",
            )
        return self.places()

    def version(self) -> str:
        """The version of the cases: 12 hex digits over all of them, in whatever files they stand."""
        digest = hashlib.sha256()
        for id, place in self.places().items():
            digest.update(f"{id} {place.sha256}\n".encode())
        return digest.hexdigest()[:12]

    def case(self, id: str) -> Case:
        """A case, with its payloads.

        Raises:
            NotFound: there is none.
            BadRequest: it cannot be read.
        """
        place = self.place(id)
        case = self._read(place)
        if case.id != place.id:
            # The file was changed since it was looked at.
            self._places = None
            case = self._read(self.place(id))
        return case

    def cases(self) -> Iterator[Case]:
        """All cases in order of their ids, one at a time."""
        for id in list(self.places()):
            yield self.case(id)

    def place(self, id: str) -> Place:
        """Where a case stands; by the unique beginning of its id too."""
        places = self.places()
        if id in places:
            return places[id]
        near = [one for one in places if one.startswith(id)] if id else []
        if len(near) == 1:
            return places[near[0]]
        if near:
            raise BadRequest("several cases begin so", got=id, allowed=near[:10])
        raise NotFound("there is no such case", got=id, allowed=_nearest(id, places), fix="pilothouse eval list")

    def text(self, id: str) -> str:
        """A case as it stands in its file."""
        place = self.place(id)
        return self._bytes(place).decode("utf-8", "replace")

    def _read(self, place: Place) -> Case:
        body = self._bytes(place).decode("utf-8-sig", "replace")
        load = payloads.loader(self.folder)
        if place.offset >= 0:
            return _with_path(read_case(_json(body, place.file), shown=f"{place.file} {place.id}", load=load), place)
        return _with_path(read_yaml(body, shown=place.file, load=load), place)

    def _bytes(self, place: Place) -> bytes:
        path = self.folder / place.file
        try:
            with path.open("rb") as file:
                if place.offset >= 0:
                    file.seek(place.offset)
                    return file.read(place.length)
                return file.read(CASE_BYTES_MAX * 4)
        except OSError as error:
            raise NotFound("the case's file is gone", got=place.file) from error

    # -- changing ----------------------------------------------------------------------------------------------------

    def add(self, data: Mapping[str, Any], *, overwrite: bool = False) -> Case:
        """Write a case; ``overwrite``: in the place of the one with its id.

        Raises:
            BadRequest: it is wrong, or there is one with this id already, or none to replace.
        """
        case = read_case(data, load=payloads.loader(self.folder))
        there = self.places().get(case.id)
        if there is not None and not overwrite:
            raise BadRequest("there is a case with this id", got=case.id, fix=f"pilothouse eval replace {case.id}")
        if there is None and overwrite:
            raise NotFound("there is no such case", got=case.id, allowed=_nearest(case.id, self.places()))
        if there is not None and there.offset >= 0:
            line = json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()
            self._rewrite(there, line + b"\n")
            self._places = None
        else:
            file = there.file if there is not None else f"{CASES}/{case.id}.yaml"
            body = as_yaml(data).encode("utf-8", "surrogatepass")
            payloads.write(self.folder / file, body)
            self._know(self._place(file, body, -1))
        return self.case(case.id)

    def add_lines(self, rows: Iterable[Mapping[str, Any]], *, files_max: int = 0) -> str:
        """Write many new cases into one file of lines; its name. All are checked before any of them is there.

        ``files_max``: so few of them become files of their own, and the name is that of their folder.

        Raises:
            BadRequest: one of them is wrong, or has an id that is taken.
        """
        known, held = set(self.places()), list[Mapping[str, Any]]()
        folder = self.folder / CASES
        folder.mkdir(exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=folder, prefix=".added.")
        try:
            with os.fdopen(handle, "wb") as file:
                number = 0
                for number, data in enumerate(rows, start=1):
                    case = read_case(data, shown=f"case {number}", load=payloads.loader(self.folder))
                    if case.id in known:
                        raise BadRequest("there is a case with this id", got=case.id)
                    known.add(case.id)
                    if number <= files_max:
                        held.append(data)
                    line = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
                    file.write(line.encode("utf-8", "surrogatepass") + b"\n")
                file.flush()
                os.fsync(file.fileno())
            if number <= files_max:
                for data in held:
                    self.add(data)
                return CASES
            Path(temporary).chmod(0o644)
            return self._named(temporary)
        finally:
            Path(temporary).unlink(missing_ok=True)
            self._places = None

    def _named(self, temporary: str) -> str:
        """Give a file of lines a name that no other has."""
        number = 0
        while True:
            number += 1
            file = f"{CASES}/added-{number}.jsonl"
            with contextlib.suppress(FileExistsError):
                os.link(temporary, self.folder / file)
                return file

    def _know(self, place: Place) -> None:
        """Note what was just written. The index on disk follows when the folder is next looked at."""
        assert self._places is not None
        new = place.id not in self._places
        self._places[place.id] = place
        if new:
            self._places = dict(sorted(self._places.items()))

    def remove(self, id: str) -> str:
        """Take a case away; its text, as it stood."""
        place = self.place(id)
        text = self.text(place.id)
        if place.offset >= 0:
            self._rewrite(place, b"")
        else:
            (self.folder / place.file).unlink()
        self._places = None
        return text

    def _rewrite(self, place: Place, line: bytes) -> None:
        """Put another line in the place of a case's, without holding the file; the index follows without reading it."""
        path = self.folder / place.file
        before = self._stamp(place.file)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            with path.open("rb") as old, temporary.open("wb") as new:
                _copy(old, new, place.offset)
                new.write(line)
                old.seek(place.offset + place.length)
                _copy(old, new, -1)
                new.flush()
                os.fsync(new.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        known = self._known()
        stamp, listed = known.get(place.file, ((0, 0), []))
        if stamp != before or place not in listed:
            return
        moved = len(line) - place.length
        after = [one._replace(offset=one.offset + moved) if one.offset > place.offset else one for one in listed]
        at = listed.index(place)
        after[at : at + 1] = [self._place(place.file, line, place.offset)] if line else []
        known[place.file] = self._stamp(place.file), after
        self._keep({file: one for file, (one, _) in known.items()}, {file: one for file, (_, one) in known.items()})

    def _stamp(self, file: str) -> tuple[int, int]:
        about = (self.folder / file).stat()
        return about.st_mtime_ns, about.st_size

    # -- the index ---------------------------------------------------------------------------------------------------

    def _index(self) -> None:
        known, found, changed = self._known(), dict[str, list[Place]](), False
        stamps: dict[str, tuple[int, int]] = {}
        for file, stamp in self._files():
            stamps[file] = stamp
            if file in known and known[file][0] == stamp:
                found[file] = known[file][1]
            else:
                found[file], changed = self._look(file), True
        if changed or set(known) != set(found):
            self._keep(stamps, found)
        places: dict[str, Place] = {}
        self._broken = []
        for place in sorted((one for listed in found.values() for one in listed), key=lambda one: (one.id, one.file)):
            if place.error:
                self._broken.append(place)
            elif place.id in places:
                other = places[place.id].file
                self._broken.append(Place(id=place.id, file=place.file, error=f"{other} has a case with this id"))
            else:
                places[place.id] = place
            if len(places) > CASES_MAX:
                raise BadRequest(f"a suite has at most {CASES_MAX:,} cases", got=str(self.folder))
        self._places = places

    def _files(self) -> Iterator[tuple[str, tuple[int, int]]]:
        root = self.folder / CASES if (self.folder / CASES).is_dir() else self.folder
        waiting = [root]
        while waiting:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    if entry.name.startswith(".") or entry.is_symlink():
                        continue
                    if entry.is_dir():
                        if entry.name != payloads.FOLDER:
                            waiting.append(Path(entry.path))
                    elif entry.name.endswith((".yaml", ".yml", ".jsonl")) and entry.name != SUITE_FILE:
                        about = entry.stat()
                        yield os.path.relpath(entry.path, self.folder), (about.st_mtime_ns, about.st_size)

    def _look(self, file: str) -> list[Place]:
        if not file.endswith(".jsonl"):
            return [self._place(file, (self.folder / file).read_bytes(), -1)]
        found: list[Place] = []
        with (self.folder / file).open("rb") as lines:
            offset = 0
            for line in lines:
                if line.strip():
                    found.append(self._place(file, line, offset))
                offset += len(line)
        return found

    def _place(self, file: str, body: bytes, offset: int) -> Place:
        shown = file if offset < 0 else f"{file} at byte {offset}"
        try:
            text = body.decode("utf-8-sig")
            # Payloads are not loaded: a list needs none of them.
            case = read_yaml(text, shown=shown) if offset < 0 else read_case(_json(text, shown), shown=shown)
        except (PilothouseError, UnicodeDecodeError) as error:
            told = error.message if isinstance(error, PilothouseError) else "it is no UTF-8"
            got = f" (got {error.got})" if isinstance(error, PilothouseError) and error.got is not None else ""
            return Place(id=Path(file).stem, file=file, offset=offset, length=len(body), error=f"{told}{got}"[:500])
        about = case.metadata
        return Place(
            id=case.id,
            file=file,
            offset=offset,
            length=len(body),
            sha256=case.sha256,
            capability=about.capability,
            difficulty=about.difficulty,
            severity=about.severity,
            kind=about.kind,
            tags=list(about.tags),
            checks=len(case.checks),
            criteria=len(case.criteria),
            quarantined=case.quarantined,
            repeats=case.repeats,
        )

    def _known(self) -> dict[str, tuple[tuple[int, int], list[Place]]]:
        known: dict[str, tuple[tuple[int, int], list[Place]]] = {}
        try:
            with (self.folder / _INDEX).open("rb") as lines:
                head = json.loads(next(lines))
                if head != {"version": _INDEX_VERSION}:
                    return {}
                for line in lines:
                    file, mtime_ns, size, rows = json.loads(line)
                    known[file] = (mtime_ns, size), [Place._make(row) for row in rows]
        except (OSError, ValueError, TypeError, KeyError, StopIteration):
            # A cache: whatever is wrong with it, it is made anew.
            return {}
        return known

    def _keep(self, stamps: Mapping[str, tuple[int, int]], found: Mapping[str, list[Place]]) -> None:
        lines = [json.dumps({"version": _INDEX_VERSION})]
        lines += [json.dumps([file, *stamps[file], listed]) for file, listed in found.items()]
        try:
            path = self.folder / _INDEX
            path.parent.mkdir(exist_ok=True)
            ignore = path.parent / ".gitignore"
            if not ignore.exists():
                ignore.write_text("*\n")
            payloads.write(path, ("\n".join(lines) + "\n").encode())
        except OSError:
            # A folder that may only be read is a suite all the same.
            return


def _copy(old: Any, new: Any, length: int) -> None:
    while length:
        piece = old.read(min(1 << 20, length) if length > 0 else 1 << 20)
        if not piece:
            return
        new.write(piece)
        length -= len(piece) if length > 0 else 0


def _json(text: str, shown: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"{shown} is no JSON", got=text[:80]) from error


def _with_path(case: Case, place: Place) -> Case:
    return replace(case, path=place.file)


def _nearest(id: str, places: Mapping[str, Place]) -> list[str]:
    import difflib

    # Only among some: the search is slow, and the list is a hint.
    return difflib.get_close_matches(id, list(places)[:5_000], 3) or list(places)[:3]


def read_suite_file(folder: Path) -> Mapping[str, Any]:
    """What ``suite.yaml`` says; empty where there is none.

    Raises:
        BadRequest: it is no mapping.
    """
    from pilothouse.records.plain_yaml import plain_yaml

    path = folder / SUITE_FILE
    if not path.is_file():
        return {}
    found = mapping_of(plain_yaml(path.read_text("utf-8-sig"), str(path)) or {})
    if found is None:
        raise BadRequest(f"{SUITE_FILE} is a mapping of names to values", got=str(path))
    return found


def new_id(suite: Suite, wanted: str) -> str:
    """An id like what is wanted that no case has yet."""
    plain = "-".join(
        part for part in "".join(c if c.isalnum() and c.isascii() else " " for c in wanted.lower()).split()
    )
    base = check_id((plain or "case")[:80].strip("-"))
    known, number = suite.places(), 1
    id = base
    while id in known:
        number += 1
        id = f"{base}-{number}"
    return id
