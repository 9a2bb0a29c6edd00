"""Versions of the policy file: written with a name and a reason, kept with their text, taken back.

The file stays the one truth: whoever edits it by hand may do so, and what they wrote becomes a version too. A version is
kept before the file is written and marked after it, so that a server that is killed in between knows afterwards which
of the two it was.
"""

from __future__ import annotations

import difflib
import hashlib
import os
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pilothouse.policy import BYTES_MAX, DEFAULT_NAME, VARIABLE, Problem, Readers, Watch, problems, read, refusal
from pilothouse.records import (
    Actor,
    BadRequest,
    Clock,
    Forbidden,
    NeedsApproval,
    NotFound,
    PilothouseError,
    SystemClock,
    iso,
)
from pilothouse.store.control_store import ControlStore
from pilothouse.store.policy_log import PolicyLog, PolicyVersionRow

NOTE_MAX = 2_000
EMPTY = "# Nothing is said: everything is at its default.\n"
"""What the file holds where a version is taken back before which there was none."""
_BY_HAND = "the file"


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyText:
    """The policy file as it stands."""

    path: str
    """Where it is, or where the first version will be written."""
    text: str
    revision: str
    """The hash of the text; empty where there is no file. Who writes says which one they had read."""
    version: str
    """The version in force: the hash of what it says."""
    editable: bool
    why_not: str
    """In a sentence why it cannot be written from here; empty where it can."""
    problem: str
    """What is wrong with the file as it stands, while the version before it is in force; empty: nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyVersion:
    """One version of the policy."""

    number: int
    version: str
    revision: str
    who: str
    note: str
    of: int | None
    """The version that was taken up again."""
    made: str
    lines: int
    in_force: bool


class PolicyConflict(BadRequest):
    """The file has changed since the writer read it."""

    http_status = 409


class Keeper:
    """The policy file of a server with its versions. Safe to share between threads."""

    def __init__(
        self,
        watched: Watch,
        control: ControlStore,
        readers: Readers,
        *,
        folder: Path,
        clock: Clock | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """``folder``: where the first version is written. ``readers``: who reads each section."""
        self._watched, self._log, self.readers = watched, PolicyLog(control), readers
        self._folder, self._clock = folder, clock or SystemClock()
        self._environment = os.environ if environment is None else environment
        self._lock = threading.Lock()

    def problems(self, text: str) -> tuple[Problem, ...]:
        """Everything that is wrong with a text; empty where it could come into force."""
        return problems(text, self.readers)

    def current(self) -> PolicyText:
        """The file as it stands."""
        policy = self._watched.refresh()
        error = self._watched.error
        path = self._path()
        body = _body(path)
        why_not = self._why_not(path)
        return PolicyText(
            path=str(path),
            text="" if body is None else body.decode("utf-8-sig", "replace"),
            revision="" if body is None else _revision(body),
            version=policy.version,
            editable=not why_not,
            why_not=why_not,
            problem="" if error is None else error.message,
        )

    def settle(self) -> None:
        """Find out what became of versions whose writing was cut off, and keep what was written by hand."""
        with self._lock:
            self._settle()

    def planned(self, text: str) -> tuple[str, tuple[str, ...]]:
        """The version a text would have, and what it would change, as a unified diff; nothing is written.

        Raises:
            BadRequest: the text has problems, all of which are named.
        """
        found = self.problems(text)
        if found:
            raise refusal(found)
        return read(text).version, diff(self.current().text, text, "in force", "proposed")

    def before_latest(self) -> int | None:
        """The version that taking back would go to; None where that is no policy at all, or nothing to take back."""
        self.settle()
        newest = self._log.latest()
        found = None if newest is None else self._before(newest)
        return None if found is None else found.number

    def set(self, text: str, *, base: str, note: str, actor: Actor, of: int | None = None) -> PolicyVersion:
        """Write a new version to the file; it is in force when this returns.

        ``base`` is the revision that the writer had read; empty where there was no file.

        Raises:
            BadRequest: the text has problems, all of which are named; or the note is too long.
            PolicyConflict: the file has changed since.
            Forbidden: the file cannot be written from here.
            NeedsApproval: the writer is no person.
        """
        _need_person(actor)
        if len(note) > NOTE_MAX:
            raise BadRequest(f"a note has at most {NOTE_MAX:,} characters", got=f"{len(note):,}")
        text = text.replace("\r\n", "\n")
        if text and not text.endswith("\n"):
            text += "\n"
        found = self.problems(text)
        if found:
            raise refusal(found)
        with self._lock:
            self._settle()
            path = self._path()
            self._writable(path)
            body = _body(path)
            now = "" if body is None else _revision(body)
            if now != base:
                raise PolicyConflict(
                    "the policy file has changed since you read it",
                    got=base or "no file",
                    allowed=now or "no file",
                    fix="read it again and make your change in what it says now",
                )
            raw = text.encode()
            number = self._log.begin(
                version=read(text).version,
                revision=_revision(raw),
                text=text,
                who=actor.name,
                who_kind=actor.kind,
                note=note,
                of=of,
                now_ns=self._clock.now_ns(),
            )
            try:
                _replace(path, raw)
            except OSError as error:
                self._log.forget(number)
                raise Forbidden(
                    f"the policy file cannot be written: {error.strerror}",
                    got=str(path),
                    fix="make it writable for the server, or change it where it is kept",
                ) from error
            self._log.written(number)
            self._watched.refresh()
            if self._watched.error is not None:
                raise self._watched.error
            made = self._log.version(number)
            assert made is not None, "written above"
            return _shown(made, in_force=True)

    def undo(self, *, actor: Actor, to: int | None = None, note: str = "") -> PolicyVersion:
        """Take up an earlier version again: the one before, or the one named. It becomes the newest.

        Raises:
            NotFound: there is no such version, or none before.
            Forbidden: as :meth:`set`.
        """
        _need_person(actor)
        text = self.earlier(to)
        number = to if to is not None else self.before_latest()
        told = note or (f"back to version {number}" if number is not None else "back to no policy")
        return self.set(text, base=self.current().revision, note=told, actor=actor, of=number)

    def earlier(self, to: int | None = None) -> str:
        """The text that taking back goes to: of the version before, or of the one named.

        Raises:
            NotFound: there is no such version, or none to take back.
        """
        if to is not None:
            return self.text(to)
        self.settle()
        if self._log.latest() is None:
            raise NotFound("there is no version of the policy to take back", fix="pilothouse policy history")
        number = self.before_latest()
        return EMPTY if number is None else self.text(number)

    def versions(self, *, limit: int = 50, before: int | None = None) -> tuple[tuple[PolicyVersion, ...], int]:
        """Versions, newest first, and how many there are in all."""
        self.settle()
        newest = self._log.latest()
        rows = self._log.versions(limit=limit, before=before)
        shown = tuple(_shown(row, in_force=newest is not None and row.number == newest.number) for row in rows)
        return shown, self._log.count()

    def text(self, number: int) -> str:
        """What a version said.

        Raises:
            NotFound: there is no such version.
        """
        row = self._log.version(number)
        if row is None:
            raise NotFound("there is no such version of the policy", got=number, fix="pilothouse policy history")
        return row.text

    def diff(self, number: int, other: int | None = None) -> tuple[str, ...]:
        """What changed in a version, as a unified diff: against the one before it, or against another one.

        Raises:
            NotFound: there is no such version.
        """
        after = self.text(number)
        if other is None:
            rows = self._log.versions(limit=1, before=number)
            before, name = (rows[0].text, f"version {rows[0].number}") if rows else ("", "nothing")
        else:
            before, name = self.text(other), f"version {other}"
        return diff(before, after, name, f"version {number}")

    def _before(self, newest: PolicyVersionRow) -> PolicyVersionRow | None:
        """What an undo goes back to: of a version that was itself an undo, what stood before the version it went to."""
        if newest.of is not None:
            reached = self._log.version(newest.of)
            if reached is not None:
                newest = reached
        rows = self._log.versions(limit=1, before=newest.number)
        return rows[0] if rows else None

    def _settle(self) -> None:
        path = self._path()
        body = _body(path)
        revision = "" if body is None else _revision(body)
        for row in self._log.unsettled():
            if row.revision == revision:
                self._log.written(row.number)
            else:
                self._log.forget(row.number)
        if body is None:
            return
        latest = self._log.latest()
        if latest is not None and latest.revision == revision:
            return
        text = body.decode("utf-8-sig", "replace")
        try:
            version = read(text).version
        except PilothouseError:
            version = ""
        number = self._log.begin(
            version=version,
            revision=revision,
            text=text[:BYTES_MAX],
            who=_BY_HAND,
            who_kind="",
            note="edited where it is kept" if latest is not None else "found at the start",
            of=None,
            now_ns=self._clock.now_ns(),
        )
        self._log.written(number)

    def _path(self) -> Path:
        found = self._watched.path
        return found if found is not None else self._folder / DEFAULT_NAME

    def _why_not(self, path: Path) -> str:
        if self._environment.get(VARIABLE, "") and path.parent.resolve() != self._folder.resolve():
            return f"{VARIABLE} names a file that is kept elsewhere: change it there, it is read again within a second"
        try:
            target = path.resolve()
        except OSError as error:
            return f"the policy file cannot be reached: {error.strerror}"
        if path.is_symlink() and target.parent != path.parent.resolve():
            return "the policy file is a link to a file that is kept elsewhere: change it there"
        if path.exists() and not os.access(path, os.W_OK):
            return "the policy file is read-only for the server: change it where it is kept, or make it writable"
        if not os.access(path.parent, os.W_OK):
            return "the folder of the policy file is read-only for the server"
        return ""

    def _writable(self, path: Path) -> None:
        why_not = self._why_not(path)
        if why_not:
            raise Forbidden(why_not, got=str(path), fix=f"edit {path} where it is kept")


def diff(before: str, after: str, old: str, new: str) -> tuple[str, ...]:
    """A unified diff of two texts, line by line."""
    return tuple(difflib.unified_diff(before.splitlines(), after.splitlines(), old, new, lineterm="", n=3))


def _need_person(actor: Actor) -> None:
    if actor.kind != "person":
        raise NeedsApproval(
            "a policy is changed by a person: what an agent may do is not for an agent to say",
            got=actor.kind,
            fix="a person opens the page /policy, or runs the command on a terminal",
        )


def _shown(row: PolicyVersionRow, *, in_force: bool) -> PolicyVersion:
    return PolicyVersion(
        number=row.number,
        version=row.version,
        revision=row.revision,
        who=row.who,
        note=row.note,
        of=row.of,
        made=iso(row.made_ns),
        lines=row.text.count("\n"),
        in_force=in_force,
    )


def _body(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            return file.read(BYTES_MAX + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BadRequest(f"the policy file cannot be read: {error.strerror}", got=str(path)) from error


def _revision(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()[:12]


def _replace(path: Path, body: bytes) -> None:
    """Put a new file in the place of the old one: whoever reads sees one or the other, also after a loss of power."""
    path.parent.mkdir(parents=True, exist_ok=True)
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o600
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(mode)
        Path(name).replace(path)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
