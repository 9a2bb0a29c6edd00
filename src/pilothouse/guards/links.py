"""Addresses: only to hosts on a list, and none that carries data out."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from .disguise import folded, plain
from .subject import Subject
from .verdict import Action, Finding

_ADDRESS = re.compile(
    r"""(?i)(?:\b[a-z][a-z0-9+.-]{1,15}:)?//[^\s<>"'`\\^{}|)\]]+|\b(?:data|javascript|vbscript|mailto):[^\s<>"'`)\]]+|\bwww\.[^\s<>"'`)\]]+"""
)
_IMAGE = re.compile(r"!\[[^\]]*\]\(\s*([^)\s]+)")
_DATA_CHARS = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class LinksCheck:
    """Addresses whose host is not on the list. Images are looked at twice: they are fetched without a click."""

    name: str
    action: Action
    allow: tuple[str, ...]
    """Hosts; each with all hosts below it."""
    schemes: tuple[str, ...] = ("https", "http", "mailto")
    slow: bool = False

    def run(self, subject: Subject) -> list[Finding]:
        """A finding for each address that is not allowed; it does not name the host, which pages would make a link."""
        found: list[Finding] = []
        for match in _ADDRESS.finditer(subject.text):
            why = self._wrong(match[0])
            if why:
                found.append(
                    Finding(
                        check=self.name,
                        rule=why,
                        action=self.action,
                        start=match.start(),
                        end=match.end(),
                        message=f"an address that is not allowed: {why}",
                    )
                )
        return found

    def _wrong(self, address: str) -> str:
        try:
            parts = urlsplit(address if ":" in address.split("//")[0] else f"https://{address.lstrip('/')}")
            host = (parts.hostname or "").rstrip(".")
        except ValueError:
            return "it cannot be read"
        if parts.scheme.lower() not in self.schemes:
            return "a scheme that is not on the list"
        if parts.scheme.lower() == "mailto":
            host = parts.path.rpartition("@")[2].lower()
        if parts.username is not None:
            return "a user before the host"
        smooth, _ = folded(plain(host))
        if smooth is not None:
            return "a host in look-alike letters"
        if not any(host == name or host.endswith(f".{name}") for name in self.allow):
            return "a host that is not on the list" if host else "no host"
        return ""


def beacons(text: str) -> list[tuple[int, int]]:
    """Images whose address carries data: how an answer sends out what the model knows, when it is only shown."""
    found: list[tuple[int, int]] = []
    for match in _IMAGE.finditer(text):
        query = match[1].partition("?")[2] or match[1].rpartition("/")[2]
        longest = max((len(value) for value in re.split(r"[&=]", query)), default=0)
        if ("?" in match[1] and longest >= _DATA_CHARS) or re.search(r"[{<\[]\w+[}>\]]", match[1]):
            found.append(match.span())
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class BeaconCheck:
    """Images whose address carries data out."""

    name: str
    action: Action
    slow: bool = False

    def run(self, subject: Subject) -> list[Finding]:
        """A finding for each."""
        if "![" not in subject.text:
            return []
        return [
            Finding(
                check=self.name,
                rule="image with data in its address",
                action=self.action,
                start=start,
                end=end,
                message="an image whose address carries data out when it is shown",
            )
            for start, end in beacons(subject.text)
        ]
