"""The key that digests and links are signed with: made once, readable by its owner alone."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pilothouse.records import BadRequest

KEY_NAME: Final = "approvals.key"
VARIABLE: Final = "PILOTHOUSE_APPROVALS_KEY"
_BYTES: Final = 32


def approvals_key(folder: Path, *, environment: Mapping[str, str] | None = None) -> bytes:
    """The key of this server: what PILOTHOUSE_APPROVALS_KEY says in hex, else the file in the data folder.

    Several servers over one database need the same one: what another has signed is not approved otherwise.

    Raises:
        BadRequest: it is too short, no hex digits, or others can read the file.
    """
    given = (os.environ if environment is None else environment).get(VARIABLE, "").strip()
    if given:
        return _read(given, VARIABLE)
    path = folder / KEY_NAME
    folder.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        _make(folder, path)
    mode = path.stat().st_mode
    if os.name == "posix" and mode & 0o077:
        raise BadRequest("others can read the key of approvals", got=f"mode {mode & 0o777:o}", fix=f"chmod 600 {path}")
    return _read(path.read_text("ascii", "replace").strip(), str(path))


def _make(folder: Path, path: Path) -> None:
    temporary = folder / f".{KEY_NAME}.{secrets.token_hex(4)}"
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(secrets.token_hex(_BYTES) + "\n")
        file.flush()
        os.fsync(file.fileno())
    # A link instead of a rename: of two processes that make it at once, the second finds the first one's.
    with contextlib.suppress(FileExistsError):
        os.link(temporary, path)
    temporary.unlink()


def _read(text: str, source: str) -> bytes:
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) < _BYTES:
        # What stands there is not repeated: it may be most of a key.
        raise BadRequest("the key of approvals is at least 64 hex digits", got=source, fix="openssl rand -hex 32")
    return key
