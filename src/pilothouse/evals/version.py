"""The version of what is tested, where nobody names one: the commit, and what was changed since."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path
from typing import Final

_TIMEOUT_S: Final = 10
_DIFF_BYTES_MAX: Final = 64 << 20


def code_version(folder: Path) -> str:
    """Of the repository that a folder is in: ``abc1234``, with ``+`` and a hash where files were changed; else empty.

    The suite's own results do not count; a case that is changed is told apart by its own hash.
    """
    head = _git(folder, "rev-parse", "--short=12", "HEAD")
    if not head:
        return ""
    changed = _git(folder, "diff", "HEAD", "--", ":/", ":!*/.pilothouse/*")
    new = _git(folder, "ls-files", "--others", "--exclude-standard", "--full-name", ":/")
    if changed is None or new is None:
        return ""
    names = [name for name in new.splitlines()[:5_000] if not name.endswith(".pyc")]
    if not changed and not names:
        return head
    digest = hashlib.sha256(changed.encode("utf-8", "surrogateescape"))
    top = _git(folder, "rev-parse", "--show-toplevel") or "."
    for name in names:
        path = Path(top) / name
        try:
            about = path.stat()
            digest.update(f"{name} {about.st_size}\n".encode())
            if about.st_size < 4 << 20:
                digest.update(path.read_bytes())
        except OSError:
            continue
    return f"{head}+{digest.hexdigest()[:8]}"


def _git(folder: Path, *words: str) -> str | None:
    """What git says; None where there is none, or it is no repository."""
    try:
        done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, timeout=_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode or len(done.stdout) > _DIFF_BYTES_MAX:
        return None
    return done.stdout.decode("utf-8", "surrogateescape").strip()
