"""Which process this is, so that another process of the same machine can tell at once that it is gone."""

from __future__ import annotations

import hashlib
import os
import socket
from pathlib import Path


def machine() -> str:
    """Where a process id means something: this boot of this host, this container."""
    parts = [socket.gethostname(), _text("/proc/sys/kernel/random/boot_id")]
    try:
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    except OSError:
        parts.append("")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


def process_start(process_id: int) -> str:
    """When a process began, in a form only good for comparing; empty where the system does not tell."""
    fields = _text(f"/proc/{process_id}/stat").rpartition(")")[2].split()
    return fields[19] if len(fields) > 19 else ""


def is_gone(process_id: int, started: str) -> bool:
    """True where a process of this machine has certainly ended; False where it lives or that cannot be told."""
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    now = process_start(process_id)
    return (bool(started and now) and now != started) or _is_zombie(process_id)


def _is_zombie(process_id: int) -> bool:
    # Dead, and not yet collected by its parent.
    return _text(f"/proc/{process_id}/stat").rpartition(")")[2].split()[:1] == ["Z"]


def _text(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""
