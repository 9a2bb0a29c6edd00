"""Leases: who works on an item, until when, and which attempt it is.

A lease is a file that is made exclusively, ``leases/KEY/NNN.json`` for attempt NNN, so of two that ask one gets it.
Attempt N+1 can only be made once attempt N has ended, has expired, or belongs to a process of this machine that is
gone. Files are never removed: they are also the record of what every attempt cost. A holder whose lease was lost
learns of it at the next renewal; what it still brings is refused, because an answer is accepted once.
"""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal, cast

from pilothouse.records import Clock

from .disk import publish, read_json, write_durably

Ended = Literal["", "done", "failed", "released"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The right to work on one item for a while."""

    key: str
    """Which job."""
    attempt: int
    """From 1."""
    token: str
    """Only the holder knows it while it runs."""
    machine: str = ""
    """Host, boot and process namespace: where ``pid`` means something."""
    pid: int = 0
    """0 where no process holds it: it was handed to somebody who works by himself."""
    process: str = ""
    """When that process started, as the kernel counts: tells it from a later one of the same number."""
    until_ns: int = 0
    """When it expires unless it is renewed, by the clock of the holder's machine."""
    ended: Ended = ""
    """How the attempt ended; empty while it runs, or after its process was killed."""
    why: str = ""
    """What went wrong, at most 500 characters."""
    tokens: int = 0
    """What the attempt took."""
    usd: float | None = None
    """What it cost; None where nobody knows."""

    def over(self, now_ns: int) -> bool:
        """True where the item may be claimed again."""
        if self.ended or self.until_ns <= now_ns:
            return True
        return bool(self.pid) and self.machine == this_machine() and _process(self.pid) != self.process


def attempts(folder: Path, key: str) -> list[Lease]:
    """All attempts of a job, the oldest first. One whose file is unreadable counts as expired."""
    try:
        paths = sorted(path for path in (folder / "leases" / key).iterdir() if path.name[0] != ".")
    except FileNotFoundError:
        return []
    return [_read(path, key) for path in paths]


def current(folder: Path, key: str) -> Lease | None:
    """The newest attempt."""
    found = attempts(folder, key)
    return found[-1] if found else None


def claim(folder: Path, key: str, *, clock: Clock, seconds: float, handed: bool = False) -> Lease | None:
    """Take a job; None where somebody else has it. ``handed``: held by no process, until it expires."""
    last = current(folder, key)
    if last is not None and not last.over(clock.now_ns()):
        return None
    lease = Lease(
        key=key,
        attempt=last.attempt + 1 if last is not None else 1,
        token=secrets.token_hex(8),
        machine=this_machine(),
        pid=0 if handed else os.getpid(),
        process="" if handed else _process(os.getpid()),
        until_ns=clock.now_ns() + int(seconds * 1e9),
    )
    return lease if publish(_path(folder, lease), _text(lease)) else None


def renew(folder: Path, lease: Lease, *, clock: Clock, seconds: float) -> Lease | None:
    """Hold on to a job; None where it was lost to another."""
    if not held(folder, lease):
        return None
    longer = replace(lease, until_ns=clock.now_ns() + int(seconds * 1e9))
    write_durably(_path(folder, lease), _text(longer))
    return longer


def held(folder: Path, lease: Lease) -> bool:
    """Whether it is still the newest attempt."""
    last = current(folder, lease.key)
    return last is not None and last.token == lease.token and not last.ended


def end(folder: Path, lease: Lease, how: Ended, *, why: str = "", tokens: int = 0, usd: float | None = None) -> None:
    """Give a job back, and write down what the attempt took."""
    ended = replace(lease, ended=how, why=why[:500], tokens=tokens, usd=usd)
    write_durably(_path(folder, lease), _text(ended))


def _path(folder: Path, lease: Lease) -> Path:
    return folder / "leases" / lease.key / f"{lease.attempt:03d}.json"


def _text(lease: Lease) -> str:
    return json.dumps(asdict(lease), separators=(",", ":")) + "\n"


def _read(path: Path, key: str) -> Lease:
    found = read_json(path)
    fields: dict[str, Any] = cast("dict[str, Any]", found) if isinstance(found, dict) else {}
    known = {name: value for name, value in fields.items() if name in Lease.__dataclass_fields__}
    try:
        return Lease(**known)
    except TypeError:
        number = path.stem
        return Lease(key=key, attempt=int(number) if number.isdigit() else 0, token="")


@cache
def this_machine() -> str:
    """Where a process number means something: this host, since it was started, in this namespace."""
    boot = _text_of("/proc/sys/kernel/random/boot_id")
    try:
        space = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        space = ""
    return f"{os.uname().nodename} {boot} {space}"


def _process(pid: int) -> str:
    """When a process started, in ticks since boot; ``gone`` where there is none."""
    stat = _text_of(f"/proc/{pid}/stat")
    if stat:
        # The name in parentheses may hold anything, blanks and parentheses included.
        fields = stat.rpartition(")")[2].split()
        return "gone" if fields[0] in "ZX" else fields[19]
    if Path("/proc/self/stat").exists():
        return "gone"
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return "gone"
    except PermissionError:
        pass
    return "there"


def _text_of(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""
