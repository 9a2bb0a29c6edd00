"""Files that several processes share: written whole or not at all, and made once or not at all."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import secrets
from collections.abc import Generator
from pathlib import Path
from typing import Any

JSON_BYTES_MAX = 4_000_000
"""A larger file is no answer of a worker, and not read."""
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


def write_durably(path: Path, text: str) -> None:
    """Write a file so that a reader sees the old one or the new one, also after the machine lost its power."""
    temporary = _temporary(path, text)
    temporary.replace(path)
    _sync_folder(path.parent)


def publish(path: Path, text: str) -> bool:
    """Make a file with this text; False where there is one already, whoever made it.

    Of several processes, on one host or on hosts that share the disk, one gets True.
    """
    temporary = _temporary(path, text)
    try:
        os.link(temporary, path)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        return _publish_without_links(path, text)
    finally:
        temporary.unlink(missing_ok=True)
    _sync_folder(path.parent)
    return True


def _publish_without_links(path: Path, text: str) -> bool:
    # File systems without hard links: exclusive creation is all there is. A process that dies between the two calls
    # leaves an empty file, which no reader takes for an answer.
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    except FileExistsError:
        return False
    with os.fdopen(descriptor, "wb") as file:
        file.write(text.encode("utf-8", "replace"))
        file.flush()
        os.fsync(file.fileno())
    return True


def _temporary(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.new")
    with open(temporary, "wb") as file:
        file.write(text.encode("utf-8", "replace"))
        file.flush()
        os.fsync(file.fileno())
    return temporary


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_json(path: Path) -> Any:
    """What a file holds; None where there is none, or where it is no JSON or far too long."""
    try:
        with open(path, "rb") as file:
            data = file.read(JSON_BYTES_MAX + 1)
        return json.loads(data) if len(data) <= JSON_BYTES_MAX else None
    except (OSError, ValueError, RecursionError):
        return None


def append_line(path: Path, line: dict[str, Any]) -> None:
    """Append a line of JSON; lines of several processes do not mix."""
    data = (json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n").encode("utf-8", "replace")
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        os.write(descriptor, data)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def locked(folder: Path) -> Generator[None]:
    """Alone in a folder, among those who ask: for moments, never while a worker works."""
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
