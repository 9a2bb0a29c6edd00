"""Content that is stored once: messages, long values, tool definitions, documents."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import Any

from pilothouse.guards import Masker
from pilothouse.records import Message, encode_message

from .moments import stored_milliseconds

INLINE_CHARS = 1_000
"""A value up to this long stays whole in its span's row."""
PREVIEW_CHARS = 500
"""What a row shows of a longer value, before the mark that it goes on."""


class SeenContents:
    """Which contents are known to be stored, by scope; bounded, and forgetting is harmless: the store keeps one."""

    def __init__(self, hashes_max: int = 150_000) -> None:
        self._hashes_max = hashes_max
        self._scopes: OrderedDict[tuple[str, str, str], set[str]] = OrderedDict()
        self._count = 0

    def add(self, project: str, scope: str, day: str, digest: str) -> bool:
        """Remember a content; True where it is new. Each day stores its own copy, so that a day can be dropped."""
        key = (project, scope, day)
        known = self._scopes.get(key)
        if known is None:
            known = self._scopes[key] = set()
        elif digest in known:
            return False
        else:
            self._scopes.move_to_end(key)
        known.add(digest)
        self._count += 1
        while self._count > self._hashes_max and len(self._scopes) > 1:
            _, dropped = self._scopes.popitem(last=False)
            self._count -= len(dropped)
        return True

    def forget_all(self) -> None:
        """Forget everything: after a failed write, memory may be ahead of the store."""
        self._scopes.clear()
        self._count = 0


class Contents:
    """Collects the content rows of one batch."""

    def __init__(self, seen: SeenContents, masker: Masker, *, received: str, day: str, version: int) -> None:
        self._seen = seen
        self._masker = masker
        self._arrival = (received, day, version)
        self._day = day
        self.rows: list[list[Any]] = []
        """The values of ``schema.MESSAGE`` in order."""
        self.bytes_offered = 0
        """Bytes of content that arrived, repeated or not: what storing once is measured against."""
        self.bytes_new = 0

    def put_message(self, item: Message, project: str, scope: str, trace_id: str, span_id: str, at_ns: int) -> str:
        """Store a message once and return its reference. Instructions are shared by the whole project."""
        if item.role in ("system", "developer"):
            scope = ""
        self.bytes_offered += sum(len(part.text) for part in item.parts)
        if self._seen.add(project, scope, self._day, item.hash):
            content, envelope = encode_message(self._masker.mask_message(item))
            self.bytes_new += len(content) + len(envelope)
            self._row(
                project, scope, item.hash, "message", item.role, item.name, content, envelope, trace_id, span_id, at_ns
            )
        return item.hash

    def put_value(
        self, text: str, kind: str, project: str, scope: str, trace_id: str, span_id: str, at_ns: int, *, name: str = ""
    ) -> str:
        """Store a long text once and return its reference. The text must have been masked."""
        digest = hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=16).hexdigest()
        if kind == "tools":
            scope = ""
        self.bytes_offered += len(text)
        if self._seen.add(project, scope, self._day, digest):
            self.bytes_new += len(text)
            self._row(project, scope, digest, kind, "", name, text, "", trace_id, span_id, at_ns)
        return digest

    def _row(self, project: str, scope: str, digest: str, kind: str, role: str, name: str, content: str, envelope: str, trace_id: str, span_id: str, at_ns: int) -> None:  # fmt: skip
        self.rows.append(
            [project, scope, digest, kind, role, name, content, envelope, trace_id, span_id, stored_milliseconds(at_ns), *self._arrival]
        )  # fmt: skip


def preview(text: str) -> str:
    """What a row shows of a text: all of it, or its head and a mark that it goes on."""
    return text if len(text) <= INLINE_CHARS else text[:PREVIEW_CHARS] + "…"
