"""The static files: read once, packed once, named by their content so that a browser may keep them for ever."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent / "static"
TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
STYLE = "pilothouse.css"
"""All of ``static/css`` in the order of their names, as one file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticFile:
    """One file as it is sent."""

    name: str
    type: str
    plain: bytes
    packed: bytes
    """The same, gzipped."""
    digest: str
    """The first 12 hex digits of its SHA-256: part of its address."""

    @property
    def url(self) -> str:
        """The address under which it never changes."""
        return f"/static/{self.name}?v={self.digest}"


@cache
def files() -> dict[str, StaticFile]:
    """Every static file by name, e.g. ``js/copy-button.js``."""
    found: dict[str, StaticFile] = {}
    for path in sorted(FOLDER.rglob("*")):
        if path.suffix in TYPES and path.parent.name != "css":
            name = path.relative_to(FOLDER).as_posix()
            found[name] = _packed(name, path.read_bytes(), TYPES[path.suffix])
    style = b"\n".join(path.read_bytes() for path in sorted((FOLDER / "css").glob("*.css")))
    found[STYLE] = _packed(STYLE, style, TYPES[".css"])
    return found


def _packed(name: str, plain: bytes, type: str) -> StaticFile:
    return StaticFile(
        name=name,
        type=type,
        plain=plain,
        packed=gzip.compress(plain, 9, mtime=0),
        digest=hashlib.sha256(plain).hexdigest()[:12],
    )


def url(name: str) -> str:
    """The address of a static file. Raises KeyError where there is none of that name."""
    return files()[name].url
