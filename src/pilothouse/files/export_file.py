"""One file of an export, and the names files may have."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from pathlib import PurePosixPath

_UNSAFE = re.compile(r"[^a-z0-9]+")
_PART = re.compile(r"[a-z0-9][a-z0-9._-]{0,120}")
_DEVICES = {"con", "prn", "aux", "nul", *(f"com{n}" for n in range(10)), *(f"lpt{n}" for n in range(10))}


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportFile:
    """A file to be written. Text is UTF-8 with LF line ends."""

    path: str
    """Relative to the export's folder, with ``/``."""
    text: str = ""
    append: bool = False
    """True where it goes on with what was sent of the same file just before."""
    data: bytes = b""
    """Of a file that is no text: its bytes."""


def slug(text: str, chars: int = 40) -> str:
    """A text as a file name or a part of one: lower-case ASCII letters, digits and hyphens, no device of Windows."""
    plain = unicodedata.normalize("NFKD", text[:400]).encode("ascii", "ignore").decode().lower()
    name = _UNSAFE.sub("-", plain).strip("-")[:chars].strip("-") or "x"
    return f"{name}-x" if name in _DEVICES else name


def safe_path(path: str) -> PurePosixPath | None:
    """The path, where it can only lead into the folder it is meant for; None where it could lead anywhere else."""
    parts = path.split("/")
    if not 1 <= len(parts) <= 8 or len(path) > 400:
        return None
    if not all(_PART.fullmatch(part) and part.split(".")[0] not in _DEVICES for part in parts):
        # README.md is the one name with capitals.
        return PurePosixPath(path) if path == "README.md" else None
    return PurePosixPath(path)
