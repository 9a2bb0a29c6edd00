"""Binary content in texts: base64 never stands in a file that is meant to be read; what it holds becomes a file."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass

_EXTENSIONS = {
    "image/png": "png",
    "image/jpeg": "jpg",
    "image/gif": "gif",
    "image/webp": "webp",
    "image/svg+xml": "svg",
    "application/pdf": "pdf",
    "application/zip": "zip",
    "audio/mpeg": "mp3",
    "audio/mp3": "mp3",
    "audio/wav": "wav",
    "audio/x-wav": "wav",
    "audio/ogg": "ogg",
    "video/mp4": "mp4",
}
_MAGIC = (
    (b"\x89PNG\r\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"%PDF-", "application/pdf"),
    (b"PK\x03\x04", "application/zip"),
    (b"OggS", "audio/ogg"),
    (b"ID3", "audio/mpeg"),
)
_RIFF = {b"WEBP": "image/webp", b"WAVE": "audio/wav"}
_DATA = re.compile(
    r"data:([A-Za-z0-9.+-]{1,60}/[A-Za-z0-9.+-]{1,80})?((?:;[A-Za-z0-9_.-]{1,40}=[^;,\s\"']{0,80}){0,5});base64,([A-Za-z0-9+/_=%-]{16,})"
)
_BARE = re.compile(r"(?<![A-Za-z0-9+/_=-])[A-Za-z0-9+/]{256,}={0,2}(?![A-Za-z0-9+/_=-])")

_HEAD = re.compile(r"(?<![A-Za-z0-9+/_=-])[A-Za-z0-9+/]{32,}={0,2}")
"""What is left of one where it was cut."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Binary:
    """Content that is no text."""

    data: bytes
    type: str
    """Its media type; ``application/octet-stream`` where nobody says."""

    @property
    def name(self) -> str:
        """Its file's name: the hash of the content, and its type."""
        digest = hashlib.sha256(self.data).hexdigest()[:24]
        return f"{digest}.{_EXTENSIONS.get(self.type, 'bin')}"


def lift(text: str) -> tuple[str, list[Binary]]:
    """The text with ``(binary payloads/HASH.png image/png 1,234 bytes)`` for each base64 content, and the contents.

    A ``data:`` URL always counts; base64 without one where what it holds begins like a known kind of file.
    """
    found: list[Binary] = []

    def data_url(match: re.Match[str]) -> str:
        data = _decoded(match[3])
        if data is None:
            return "(binary that cannot be decoded)"
        found.append(Binary(data=data, type=(match[1] or sniff(data) or "application/octet-stream").lower()))
        return told(found[-1])

    def bare(match: re.Match[str]) -> str:
        head = _decoded(match[0][:64])
        kind = sniff(head) if head else ""
        data = _decoded(match[0]) if kind else None
        if data is None:
            return match[0]
        found.append(Binary(data=data, type=kind))
        return told(found[-1])

    if ";base64," in text:
        text = _DATA.sub(data_url, text)
    if len(text) >= 256:
        text = _BARE.sub(bare, text)
    return text, found


def without(text: str) -> str:
    """The text with base64 named but not kept: for files that show heads of what payloads hold whole."""
    if ";base64," in text:
        text = _DATA.sub(lambda match: f"(binary {match[1] or ''} in payloads)", text)
    return _HEAD.sub(lambda match: "(binary in payloads)" if _is_file(match[0]) else match[0], text)


def sniff(data: bytes) -> str:
    """The media type by the first bytes; empty for an unknown one."""
    kind = next((kind for magic, kind in _MAGIC if data.startswith(magic)), "")
    return kind or (_RIFF.get(data[8:12], "") if data[:4] == b"RIFF" else "")


def told(binary: Binary) -> str:
    """What stands in the text instead."""
    return f"(binary payloads/{binary.name} {binary.type} {len(binary.data):,} bytes)"


def _is_file(text: str) -> bool:
    head = _decoded(text[:64])
    return bool(head and sniff(head))


def _decoded(text: str) -> bytes | None:
    plain = text.replace("%2B", "+").replace("%2F", "/").replace("%3D", "=").replace("-", "+").replace("_", "/")
    plain = plain.rstrip("=")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None
