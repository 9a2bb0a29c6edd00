"""Long values of a trace: kept out of the lines that are read first, whole in files of their own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .binaries import Binary, lift
from .export_file import ExportFile

INLINE_CHARS = 2_000
"""A value up to this length stands where it belongs."""
PART_CHARS = 262_144
"""A payload above four times this is split into parts of this size, at line ends where there are any."""
_HEAD = 100


class Payloads:
    """Hands out references to long values, and the files that hold them."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._waiting: list[ExportFile] = []
        self._names: dict[str, str] = {}
        self._binaries: set[str] = set()
        self.count = 0
        self.chars = 0

    def value(self, name: str, text: str, identity: str = "") -> Any:
        """The value itself, or where it is long ``{"$ref", "chars", "head"}`` with its file put in line.

        ``identity`` is what two equal values share: the second then refers to the first's file.
        """
        text, binaries = lift(text)
        for binary in binaries:
            self.binary(binary)
        if len(text) <= INLINE_CHARS:
            return text
        path = self._names.get(identity) if identity else None
        if path is None:
            path = f"payloads/{name}.{'json' if _looks_like_json(text) else 'txt'}"
            if identity:
                self._names[identity] = path
            self.count += 1
            self.chars += len(text)
            self._waiting.extend(self._files(path, text))
        return {"$ref": path, "chars": len(text), "head": text[:_HEAD]}

    def binary(self, binary: Binary) -> dict[str, Any]:
        """Where content that is no text lies: equal content once, under its hash."""
        path = f"payloads/{binary.name}"
        if path not in self._binaries:
            self._binaries.add(path)
            self._waiting.append(ExportFile(path=f"{self._folder}/{path}", data=binary.data))
        return {"$ref": path, "bytes": len(binary.data), "type": binary.type}

    def take(self) -> Iterator[ExportFile]:
        """The files put in line since the last time."""
        waiting, self._waiting = self._waiting, []
        yield from waiting

    def _files(self, path: str, text: str) -> Iterator[ExportFile]:
        if len(text) <= 4 * PART_CHARS:
            yield ExportFile(path=f"{self._folder}/{path}", text=text)
            return
        at, number = 0, 1
        while at < len(text):
            end = min(at + PART_CHARS, len(text))
            if end < len(text) and (line_end := text.rfind("\n", at + PART_CHARS // 2, end)) > 0:
                end = line_end + 1
            yield ExportFile(path=f"{self._folder}/{path}.part-{number:06d}", text=text[at:end])
            at, number = end, number + 1


def _looks_like_json(text: str) -> bool:
    return text[:1] in "{[" and text.rstrip()[-1:] in "}]"
